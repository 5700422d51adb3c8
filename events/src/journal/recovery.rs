//! Gets back from the copy what a store has lost that was restored from an older backup.
//!
//! The whole copy is read and proven before anything is written: every leaf by itself, the
//! trees against the store's own logs at the sizes that it still has, and against every signed
//! head that is known. Then what is missing is written, byte by byte, under its old positions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::canonical;
use crate::digest::Sha256Digest;
use crate::envelope::Envelope;
use crate::ids::{Position, TenantId};
use crate::journal::verify::SignedHead;
use crate::ports::{
    AppendError, CopiedEvent, CopyError, CopyScan, EventStore, ReadError, RecordCopy, Restore,
};
use crate::tlog::{Frontier, empty_root, leaf_hash};

/// Events read or written at a time.
const PAGE: usize = 1_000;
/// How long the copy may be silent in the middle of what it said it has.
const SILENCE: Duration = Duration::from_secs(30);

/// Why nothing, or nothing more, was got back. What was written before stands, and is right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecoveryError {
    /// The store cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The copy cannot be read.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The store does not take what it is given.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// The copy is not the continuation of this store, so it proves nothing and nothing was
    /// written: only a new timeline leads on.
    #[error("the copy is no continuation of this store: {0}")]
    Unfit(String),
}

/// What was found and done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recovered {
    /// The timeline.
    pub timeline: u64,
    /// The store's head before.
    pub from: Position,
    /// Its head now.
    pub to: Position,
    /// Signed heads that the copy was compared with and has.
    pub confirmed: u64,
}

/// What recovery is told on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecoveryProgress {
    /// Events of the copy that were read and proven so far, of how many.
    Proven(u64, u64),
    /// The position up to which the store has them back, and the last one wanted.
    Written(Position, Position),
}

/// Reads and proves the copy, and writes what the store lacks; with `only_look` it writes
/// nothing. Nobody else may append meanwhile: their events would stand where those that are to
/// come back belong, which would be refused then.
pub async fn recover(
    store: &dyn EventStore,
    restore: &dyn Restore,
    copy: &dyn RecordCopy,
    signed: &[SignedHead],
    only_look: bool,
    progress: &mut (dyn FnMut(RecoveryProgress) + Send),
) -> Result<Recovered, RecoveryError> {
    let timeline = store.timeline().await?;
    let (from, last) = (store.head().await?, copy.last(timeline).await?);
    let mut proof = Proof::new(store, signed).await?;
    let mut scan = copy.scan(timeline, Position(0), None).await?;
    while proof.position < last {
        for event in page(&mut *scan, last).await? {
            proof.take(&event)?;
        }
        progress(RecoveryProgress::Proven(proof.position.0, last.0));
    }
    let confirmed = proof.finish(from)?;
    if only_look || last <= from {
        return Ok(Recovered { timeline, from, to: last.max(from), confirmed });
    }
    let mut scan = copy.scan(timeline, from, None).await?;
    let mut to = from;
    while to < last {
        let events = page(&mut *scan, last).await?;
        let leaves: Vec<Arc<[u8]>> = events.into_iter().map(|event| event.leaf).collect();
        to = restore.restore(leaves).await?;
        progress(RecoveryProgress::Written(to, last));
    }
    Ok(Recovered { timeline, from, to, confirmed })
}

/// The next events up to the last that is wanted.
async fn page(scan: &mut dyn CopyScan, last: Position) -> Result<Vec<CopiedEvent>, RecoveryError> {
    let mut events = scan.next(PAGE, SILENCE).await?;
    events.retain(|event| event.position <= last);
    match events.is_empty() {
        true => Err(CopyError::OutOfStep(format!("it ended before position {last}")).into()),
        false => Ok(events),
    }
}

/// What the copy must agree with, and how far it does.
struct Proof {
    position: Position,
    logs: BTreeMap<TenantId, Log>,
    confirmed: u64,
}

#[derive(Default)]
struct Log {
    frontier: Frontier,
    /// Roots that it must have, by size, and who says so.
    expected: BTreeMap<u64, Vec<(Sha256Digest, &'static str)>>,
}

impl Proof {
    async fn new(store: &dyn EventStore, signed: &[SignedHead]) -> Result<Self, ReadError> {
        let mut logs: BTreeMap<TenantId, Log> = BTreeMap::new();
        for (tenant, head) in store.log_heads().await? {
            let expected = &mut logs.entry(tenant).or_default().expected;
            expected.entry(head.size).or_default().push((head.root, "the store"));
        }
        for SignedHead { tenant, size, root } in signed {
            let expected = &mut logs.entry(tenant.clone()).or_default().expected;
            expected.entry(*size).or_default().push((*root, "a signed checkpoint"));
        }
        Ok(Self { position: Position(0), logs, confirmed: 0 })
    }

    fn take(&mut self, event: &CopiedEvent) -> Result<(), RecoveryError> {
        let at = event.position;
        let unfit = |reason: String| RecoveryError::Unfit(format!("position {at}: {reason}"));
        if at.0 != self.position.0 + 1 {
            return Err(unfit(format!("position {} was expected", self.position.0 + 1)));
        }
        self.position = at;
        let hash = leaf_hash(&event.leaf);
        if event.stated_hash.is_some_and(|stated| stated != hash) {
            return Err(unfit("the leaf does not have the hash that stands beside it".into()));
        }
        canonical::verify(&event.leaf).map_err(|error| unfit(error.to_string()))?;
        let envelope = Envelope::parse(&event.leaf).map_err(|error| unfit(error.to_string()))?;
        if envelope.position != at {
            return Err(unfit(format!("its leaf says position {}", envelope.position)));
        }
        let log = self.logs.entry(envelope.tenant.clone()).or_default();
        if envelope.tenant_sequence != log.frontier.size() {
            return Err(unfit(format!(
                "it is leaf {} of the log of tenant {} and says {}",
                log.frontier.size(),
                envelope.tenant,
                envelope.tenant_sequence
            )));
        }
        log.frontier.push(hash);
        let size = log.frontier.size();
        for (root, who) in log.expected.remove(&size).unwrap_or_default() {
            let actual = log.frontier.root();
            if root != actual {
                return Err(unfit(format!(
                    "the log of tenant {} has the root {} over {size} leaves, {who} has {}",
                    envelope.tenant,
                    actual.to_hex(),
                    root.to_hex()
                )));
            }
            self.confirmed += u64::from(who != "the store");
        }
        Ok(())
    }

    /// What is still expected was signed, and the copy does not reach so far; or it ends before
    /// the store does.
    fn finish(self, store: Position) -> Result<u64, RecoveryError> {
        if self.position < store {
            return Err(RecoveryError::Unfit(format!(
                "it ends at position {}, the store at {store}",
                self.position
            )));
        }
        for (tenant, log) in &self.logs {
            let beyond = log.expected.iter().flat_map(|(size, heads)| {
                heads.iter().map(move |(root, who)| (*size, *root, *who))
            });
            for (size, root, who) in beyond {
                // An empty log needs no leaves.
                if size == 0 && root == empty_root() {
                    continue;
                }
                return Err(RecoveryError::Unfit(format!(
                    "{who} has {size} leaves of tenant {tenant}, the copy only {}",
                    log.frontier.size()
                )));
            }
        }
        Ok(self.confirmed)
    }
}
