//! Gets back from the copy what a store has lost that was restored from an older backup.
//!
//! The whole copy is read and proven before anything is written: every leaf by itself, the
//! trees against the store's own logs at the sizes that it still has, and against every signed
//! head that is known. Then what is missing is written, byte by byte, under its old positions.
//! It is read a second time for that, because nobody can hold it in memory: each part must be
//! the one that was proven, or it is not written.

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
    /// What the copy gave when it was to be written is not what it had given to be proven.
    #[error(
        "the copy was changed while it was read: what it has now behind position {after} and up \
         to position {until} is not what was proven before, and was not written. Find out who \
         writes to the copy, and begin again"
    )]
    Changed {
        /// Everything up to here is in the store, and proven.
        after: Position,
        /// Where the part that differs ends.
        until: Position,
    },
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
    let mut proof = Proof::new(store, signed, from).await?;
    let mut scan = copy.scan(timeline, Position(0), None).await?;
    while proof.position < last {
        for event in page(&mut *scan, last).await? {
            proof.take(&event)?;
        }
        progress(RecoveryProgress::Proven(proof.position.0, last.0));
    }
    let (confirmed, parts) = proof.finish(from)?;
    if only_look || last <= from {
        return Ok(Recovered { timeline, from, to: last.max(from), confirmed });
    }
    let mut scan = copy.scan(timeline, from, None).await?;
    let mut to = from;
    for proven in parts.digests {
        let leaves = part(&mut *scan, to, last, proven).await?;
        to = restore.restore(leaves).await?;
        progress(RecoveryProgress::Written(to, last));
    }
    Ok(Recovered { timeline, from, to, confirmed })
}

/// The next part of what is missing, if it is still what was proven.
async fn part(
    scan: &mut dyn CopyScan,
    after: Position,
    last: Position,
    proven: Sha256Digest,
) -> Result<Vec<Arc<[u8]>>, RecoveryError> {
    let until = Position(last.0.min(after.0 + PAGE as u64));
    let wanted = usize::try_from(until.0 - after.0).unwrap_or(PAGE);
    let (mut part, mut leaves) = (Part::default(), Vec::new());
    while leaves.len() < wanted {
        let events = scan.next(wanted - leaves.len(), SILENCE).await?;
        if events.is_empty() {
            return Err(CopyError::OutOfStep(format!("it ended before position {last}")).into());
        }
        for event in events {
            part.add(event.position, leaf_hash(&event.leaf));
            leaves.push(event.leaf);
        }
    }
    match part.digest() == proven {
        true => Ok(leaves),
        false => Err(RecoveryError::Changed { after, until }),
    }
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
    /// The store's head: what comes behind it is to be written.
    from: Position,
    missing: Parts,
}

/// What was proven of the events that the store lacks, a page at a time from its head on.
#[derive(Default)]
struct Parts {
    digests: Vec<Sha256Digest>,
    open: Part,
}

/// A part of the copy: its positions and the hashes of its leaves, one after the other.
#[derive(Default)]
struct Part(Vec<u8>);

impl Part {
    const EVENT: usize = 8 + 32;

    fn add(&mut self, position: Position, leaf: Sha256Digest) {
        self.0.extend_from_slice(&position.0.to_be_bytes());
        self.0.extend_from_slice(&leaf.0);
    }

    fn digest(&self) -> Sha256Digest {
        Sha256Digest::of(&self.0)
    }
}

impl Parts {
    fn add(&mut self, position: Position, leaf: Sha256Digest) {
        self.open.add(position, leaf);
        if self.open.0.len() == PAGE * Part::EVENT {
            self.close();
        }
    }

    fn close(&mut self) {
        if !self.open.0.is_empty() {
            self.digests.push(self.open.digest());
            self.open.0.clear();
        }
    }
}

#[derive(Default)]
struct Log {
    frontier: Frontier,
    /// Roots that it must have, by size, and who says so.
    expected: BTreeMap<u64, Vec<(Sha256Digest, &'static str)>>,
}

impl Proof {
    async fn new(
        store: &dyn EventStore,
        signed: &[SignedHead],
        from: Position,
    ) -> Result<Self, ReadError> {
        let mut logs: BTreeMap<TenantId, Log> = BTreeMap::new();
        for (tenant, head) in store.log_heads().await? {
            let expected = &mut logs.entry(tenant).or_default().expected;
            expected.entry(head.size).or_default().push((head.root, "the store"));
        }
        for SignedHead { tenant, size, root } in signed {
            let expected = &mut logs.entry(tenant.clone()).or_default().expected;
            expected.entry(*size).or_default().push((*root, "a signed checkpoint"));
        }
        let missing = Parts::default();
        Ok(Self { position: Position(0), logs, confirmed: 0, from, missing })
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
        if at > self.from {
            self.missing.add(at, hash);
        }
        Ok(())
    }

    /// What is still expected was signed, and the copy does not reach so far; or it ends before
    /// the store does.
    fn finish(mut self, store: Position) -> Result<(u64, Parts), RecoveryError> {
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
        self.missing.close();
        Ok((self.confirmed, self.missing))
    }
}
