//! Signed checkpoints of the tenants' logs, and their history on disk.
//!
//! A checkpoint is written only after the leaves since the last one were hashed again and lead
//! from the root that was signed to the root that the store keeps. [`Publisher`] does so all
//! the time, and publishes what others need to check it.

mod history;
mod publisher;
mod site;

use std::sync::Arc;

pub use history::{History, SignedCheckpoint};
pub use publisher::{Publisher, PublisherError, PublisherOptions, PublisherParts, Turn};

use crate::digest::Sha256Digest;
use crate::ids::TenantId;
use crate::ports::{EventStore, LogHead, ReadError, SignError, Signer};
use crate::tlog::{
    Checkpoint, Extension, Frontier, Note, ProofError, VerifierKey, bundle_text, leaf_hash,
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
    /// The record has gone over to another timeline: this one is not signed any more.
    #[error(
        "the record went over from timeline {from} to timeline {to} while the log of tenant \
         {tenant} was read"
    )]
    OtherTimeline {
        /// The tenant.
        tenant: TenantId,
        /// The timeline that was to be signed.
        from: u64,
        /// The timeline of the record now.
        to: u64,
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

impl CheckpointError {
    /// Whether the record contradicts what was signed, so that nothing may be added to it.
    pub fn is_inconsistent(&self) -> bool {
        matches!(self, Self::Inconsistent { .. } | Self::Sign(SignError::Inconsistent(_)))
    }
}

/// How often another process may sign while this one reads the log again.
const ATTEMPTS: usize = 5;

/// Writes checkpoints.
pub struct Checkpoints {
    history: History,
    signer: Arc<dyn Signer>,
    site: String,
}

/// A log that was read again, up to its head.
struct Reread {
    head: LogHead,
    /// As it is now.
    full: Frontier,
    /// The proof that it extends what was signed last.
    extension: Extension,
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

    /// What signs them.
    pub(super) fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// Name of the site's own log.
    pub fn site_origin(&self, timeline: u64) -> String {
        format!("{}/site/{timeline}", self.site)
    }

    /// The tenant and the timeline of a tenant's log, by its name.
    pub(super) fn of_origin(&self, origin: &str) -> Option<(TenantId, u64)> {
        let rest = origin.strip_prefix(&self.site)?.strip_prefix("/t/")?;
        let (tenant, timeline) = rest.split_once('/')?;
        let tenant = TenantId::new(tenant).ok()?;
        let timeline = timeline.parse().ok()?;
        // Only one spelling is a name.
        (self.origin(&tenant, timeline) == origin).then_some((tenant, timeline))
    }

    /// Signs the tenant's log as it is now, unless the last checkpoint already says so.
    pub async fn write(
        &self,
        store: &dyn EventStore,
        tenant: &TenantId,
        timeline: u64,
    ) -> Result<SignedCheckpoint, CheckpointError> {
        let _lock = self.history.lock().await?;
        self.write_locked(store, tenant, timeline, None).await
    }

    /// The same for whoever holds the history's lock. `published` is a head that the key has
    /// signed, as found elsewhere.
    pub(super) async fn write_locked(
        &self,
        store: &dyn EventStore,
        tenant: &TenantId,
        timeline: u64,
        published: Option<&Checkpoint>,
    ) -> Result<SignedCheckpoint, CheckpointError> {
        let origin = self.origin(tenant, timeline);
        for attempt in 1.. {
            let remembered = self.signer.last_signed(&origin)?;
            let known = (remembered.as_ref(), published);
            let signed = self.sign_head(store, tenant, timeline, known).await;
            // The key may be shared: another process has signed more in the meantime.
            let overtaken =
                matches!(signed, Err(CheckpointError::Sign(SignError::Inconsistent(_))))
                    && attempt < ATTEMPTS
                    && self.signer.last_signed(&origin)? != remembered;
            if !overtaken {
                return signed;
            }
        }
        unreachable!("the loop above ends by returning")
    }

    async fn sign_head(
        &self,
        store: &dyn EventStore,
        tenant: &TenantId,
        timeline: u64,
        (remembered, published): (Option<&Checkpoint>, Option<&Checkpoint>),
    ) -> Result<SignedCheckpoint, CheckpointError> {
        let history = self.history.on(timeline);
        let former = history.latest(tenant)?;
        let newest = former.as_ref().map(|former| &former.checkpoint);
        // A smaller published head says nothing new, and would have everything read again.
        let published =
            published.filter(|head| newest.is_none_or(|newest| head.size >= newest.size));
        let signed: Vec<&Checkpoint> =
            [newest, remembered, published].into_iter().flatten().collect();
        let base = remembered.or(newest).map_or(0, |checkpoint| checkpoint.size);
        let known = newest.and_then(|newest| history.frontier(tenant, newest));
        let mut log = reread(store, tenant, &signed, base, known.clone()).await;
        if known.is_some() && matches!(log, Err(CheckpointError::Inconsistent { .. })) {
            // From the first leaf on it can be said which signed head it contradicts.
            log = reread(store, tenant, &signed, base, None).await;
        }
        // What was read may already have leaves of a later timeline, or lack what the earlier
        // one had: neither is to be signed, or held against the record, under the old name.
        let now = store.timeline().await?;
        if now != timeline {
            let tenant = tenant.clone();
            return Err(CheckpointError::OtherTimeline { tenant, from: timeline, to: now });
        }
        let log = log?;
        if let Some(former) = former.filter(|former| former.checkpoint.size == log.head.size) {
            return Ok(former);
        }
        let origin = self.origin(tenant, timeline);
        let checkpoint = Checkpoint { origin, size: log.head.size, root: log.head.root };
        let proof = log.extension.proof().map_err(|error| of_proof(tenant, error))?;
        let note = self.sign(&checkpoint, &proof)?;
        let signed = SignedCheckpoint { checkpoint, note };
        history.add(tenant, &signed, &log.full)?;
        Ok(signed)
    }

    /// Signs a head with the proof that it extends what was signed last.
    pub(super) fn sign(
        &self,
        checkpoint: &Checkpoint,
        proof: &[Sha256Digest],
    ) -> Result<Note, SignError> {
        let text = checkpoint.to_text();
        let signature = self.signer.sign_extension(&text, proof)?;
        let key = VerifierKey::new(self.signer.name(), self.signer.public_key())
            .map_err(|error| SignError::Key(error.to_string()))?;
        let mut note = Note::new(&text).map_err(|error| SignError::Key(error.to_string()))?;
        note.sign_with(&key, &signature);
        Ok(note)
    }
}

impl Checkpoints {
    /// The signed note over the manifest of a bundle of this tenant.
    ///
    /// # Errors
    /// Where the key cannot be used, or is one that signs no bundles.
    pub fn sign_bundle(
        &self,
        tenant: &TenantId,
        manifest: &Sha256Digest,
    ) -> Result<Note, SignError> {
        let of_key = |error: crate::tlog::NoteError| SignError::Key(error.to_string());
        let signature = self.signer.sign_bundle(tenant, manifest)?;
        let key = VerifierKey::new(self.signer.name(), self.signer.public_key()).map_err(of_key)?;
        let mut note = Note::new(&bundle_text(tenant.as_str(), manifest)).map_err(of_key)?;
        note.sign_with(&key, &signature);
        Ok(note)
    }
}

/// Hashes the leaves since the last checkpoint again (all of them where its frontier is not
/// known), and compares with what was signed and with what the store keeps. The proof starts
/// from `base` leaves.
async fn reread(
    store: &dyn EventStore,
    tenant: &TenantId,
    signed: &[&Checkpoint],
    base: u64,
    known: Option<Frontier>,
) -> Result<Reread, CheckpointError> {
    // Read after what was signed: a head is never behind what it was.
    let head = store.log_head(tenant).await?;
    if let Some(beyond) = signed.iter().find(|signed| signed.size > head.size) {
        let reason = format!("{} leaves were signed, {} are there", beyond.size, head.size);
        return Err(inconsistent(tenant, reason));
    }
    // What was signed must be compared on the way; a frontier beyond it comes too late.
    let first = signed.iter().map(|signed| signed.size).chain([base]).min().unwrap_or(0);
    let mut full = known.filter(|known| known.size() <= first).unwrap_or_default();
    let mut extension = None;
    loop {
        if full.size() == base {
            let begun = Extension::new(full.clone(), head.size);
            extension = Some(begun.map_err(|error| of_proof(tenant, error))?);
        }
        if full.size() == head.size {
            break;
        }
        let until = if full.size() < base { base } else { head.size };
        let limit = usize::try_from(until - full.size()).unwrap_or(PAGE).min(PAGE);
        let page = store.read_log(tenant, full.size(), limit).await?;
        if page.is_empty() {
            let reason = format!("leaf {} is missing", full.size());
            return Err(inconsistent(tenant, reason));
        }
        for event in page {
            let hash = leaf_hash(&event.leaf);
            full.push(hash);
            if let Some(extension) = &mut extension {
                extension.push(hash);
            }
            check_root(tenant, signed, &full)?;
        }
    }
    if full.root() != head.root {
        let (ours, theirs) = (full.root(), head.root);
        let reason =
            format!("its {} leaves have the root {ours}, {theirs} is kept beside them", head.size);
        return Err(inconsistent(tenant, reason));
    }
    let extension = extension.ok_or_else(|| of_proof(tenant, ProofError::OutOfRange))?;
    Ok(Reread { head, full, extension })
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
            let (ours, theirs) = (log.root(), signed.root);
            let reason = format!(
                "its first {} leaves have the root {ours}, {theirs} was signed",
                signed.size
            );
            Err(inconsistent(tenant, reason))
        }
    }
}

fn of_proof(tenant: &TenantId, error: ProofError) -> CheckpointError {
    inconsistent(tenant, error.to_string())
}

fn inconsistent(tenant: &TenantId, reason: String) -> CheckpointError {
    CheckpointError::Inconsistent { tenant: tenant.clone(), reason }
}
