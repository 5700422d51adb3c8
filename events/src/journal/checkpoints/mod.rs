//! Signed checkpoints of the tenants' logs, and their history on disk.
//!
//! A checkpoint is written only after the leaves since the last one were hashed again and lead
//! from the root that was signed to the root that the store keeps.

mod history;

use std::sync::Arc;

pub use history::{History, SignedCheckpoint};

use crate::digest::Sha256Digest;
use crate::ids::TenantId;
use crate::ports::{EventStore, LogHead, ReadError, SignError, Signer};
use crate::tlog::{
    Checkpoint, Frontier, Note, ProofError, VerifierKey, consistency_proof_over, leaf_hash,
};

/// Leaves read at a time.
const PAGE: usize = 2_000;

/// Why there is no new checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The signer refuses.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The history on disk cannot be used.
    #[error("the checkpoints in {path} are not usable: {reason}")]
    History {
        /// File or folder.
        path: std::path::PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The log is not an extension of what was signed, or not what its frontier says.
    #[error("the log of tenant {tenant} is damaged: {reason}")]
    Inconsistent {
        /// The tenant.
        tenant: TenantId,
        /// What does not fit.
        reason: String,
    },
}

/// Writes checkpoints.
pub struct Checkpoints {
    history: History,
    signer: Arc<dyn Signer>,
    site: String,
}

/// A log that was read again, up to its head.
struct Reread {
    head: LogHead,
    /// As it was at the size that was signed last.
    base: Frontier,
    /// As it is now.
    full: Frontier,
    /// Hashes of the leaves behind the base.
    news: Vec<Sha256Digest>,
}

impl Checkpoints {
    /// Checkpoints of a site's logs, kept under the history's folder.
    pub fn new(history: History, signer: Arc<dyn Signer>, site: &str) -> Self {
        Self { history, signer, site: site.to_string() }
    }

    /// The history that it adds to.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Name of a tenant's log.
    pub fn origin(&self, tenant: &TenantId, timeline: u64) -> String {
        format!("{}/t/{tenant}/{timeline}", self.site)
    }

    /// Signs the tenant's log as it is now, unless the last checkpoint already says so.
    pub async fn write(
        &self,
        store: &dyn EventStore,
        tenant: &TenantId,
        timeline: u64,
    ) -> Result<SignedCheckpoint, CheckpointError> {
        let _lock = self.history.lock().await?;
        let origin = self.origin(tenant, timeline);
        let former = self.history.latest(tenant)?;
        let log = self.reread(store, tenant, &origin, former.as_ref()).await?;
        if let Some(former) = former.filter(|former| former.checkpoint.size == log.head.size) {
            return Ok(former);
        }
        let checkpoint = Checkpoint { origin, size: log.head.size, root: log.head.root };
        let text = checkpoint.to_text();
        let proof = log.proof().map_err(|error| inconsistent(tenant, error.to_string()))?;
        let signature = self.signer.sign_extension(&text, &proof)?;
        let key = VerifierKey::new(self.signer.name(), self.signer.public_key())
            .map_err(|error| SignError::Key(error.to_string()))?;
        let mut note = Note::new(&text).map_err(|error| SignError::Key(error.to_string()))?;
        note.sign_with(&key, &signature);
        let signed = SignedCheckpoint { checkpoint, note };
        self.history.add(tenant, &signed, &log.full)?;
        Ok(signed)
    }

    /// Hashes the leaves since the last checkpoint again (all of them where its frontier is
    /// not known) and compares with what was signed and with what the store keeps.
    async fn reread(
        &self,
        store: &dyn EventStore,
        tenant: &TenantId,
        origin: &str,
        former: Option<&SignedCheckpoint>,
    ) -> Result<Reread, CheckpointError> {
        let former = former.map(|former| &former.checkpoint);
        let remembered = self.signer.last_signed(origin)?;
        let base_size = remembered.as_ref().or(former).map_or(0, |checkpoint| checkpoint.size);
        let head = store.log_head(tenant).await?;
        let signed: Vec<&Checkpoint> = former.into_iter().chain(remembered.as_ref()).collect();
        if let Some(beyond) = signed.iter().find(|signed| signed.size > head.size) {
            let reason = format!("{} leaves were signed, {} are there", beyond.size, head.size);
            return Err(inconsistent(tenant, reason));
        }
        let known = former
            .filter(|former| former.size <= base_size)
            .and_then(|former| self.history.frontier(tenant, former));
        let mut full = known.unwrap_or_default();
        let mut base = full.clone();
        let mut news = Vec::new();
        while full.size() < head.size {
            let page = store.read_log(tenant, full.size(), page(&head, &full)).await?;
            if page.is_empty() {
                let reason = format!("leaf {} is missing", full.size());
                return Err(inconsistent(tenant, reason));
            }
            for event in page {
                let hash = leaf_hash(&event.leaf);
                full.push(hash);
                if full.size() <= base_size {
                    base = full.clone();
                } else {
                    news.push(hash);
                }
                check_root(tenant, &signed, &full)?;
            }
        }
        if full.root() != head.root {
            let reason = "its leaves do not have the root that is kept beside them".to_string();
            return Err(inconsistent(tenant, reason));
        }
        Ok(Reread { head, base, full, news })
    }
}

impl Reread {
    /// Proves that the log extends what was signed last.
    fn proof(&self) -> Result<Vec<Sha256Digest>, ProofError> {
        let first = self.base.size();
        let range_root = |start: u64, end: u64| {
            if end <= first {
                return self.base.peak_over(start, end);
            }
            let (start, end) = (start.checked_sub(first)?, end - first);
            let (start, end) = (usize::try_from(start).ok()?, usize::try_from(end).ok()?);
            self.news.get(start..end).map(crate::tlog::root)
        };
        consistency_proof_over(first, self.head.size, range_root)
    }
}

fn page(head: &LogHead, log: &Frontier) -> usize {
    usize::try_from(head.size - log.size()).unwrap_or(PAGE).min(PAGE)
}

fn check_root(
    tenant: &TenantId,
    signed: &[&Checkpoint],
    log: &Frontier,
) -> Result<(), CheckpointError> {
    let differs = |signed: &&&Checkpoint| signed.size == log.size() && signed.root != log.root();
    match signed.iter().find(differs) {
        None => Ok(()),
        Some(signed) => {
            let reason =
                format!("its first {} leaves do not have the root that was signed", signed.size);
            Err(inconsistent(tenant, reason))
        }
    }
}

fn inconsistent(tenant: &TenantId, reason: String) -> CheckpointError {
    CheckpointError::Inconsistent { tenant: tenant.clone(), reason }
}
