//! Brings the oldest events of a store to the archive.
//!
//! The order: every leaf of a range is proven to stand in the published tiles; its index is
//! written beside them; the store is told of it, and compares the hashes of the leaves with its
//! own; when a whole segment is covered, all that the store was told of is read back, leaf by
//! leaf, and the segment goes. Whoever dies in between has
//! changed nothing that readers see, and the next turn goes through the same steps.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::index::{MAX_RANGE, RangeBuilder};
use super::leaves::ArchivedLeaves;
use crate::envelope::Envelope;
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::keys::verify_note;
use crate::journal::tiles::{TileError, TileLog, tenant_folder};
use crate::ports::{
    Archive, CopyError, EventStore, ObjectError, Objects, ReadError, RecordCopy, Recorded, Segment,
};
use crate::time::{Millis, Timestamp};
use crate::tlog::{VerifierKey, leaf_hash};

/// Events read at a time.
const PAGE: usize = 1_000;

/// Ranges that are made in one turn, at most.
const RANGES_A_TURN: usize = 128;

/// What an archiver works with.
pub struct ArchiverParts {
    /// The store, which may read through its archive.
    pub store: Arc<dyn EventStore>,
    /// What lets go.
    pub archive: Arc<dyn Archive>,
    /// Where the tiles are published.
    pub objects: Arc<dyn Objects>,
    /// The key of the log.
    pub key: VerifierKey,
    /// Witnesses, each of which must have co-signed what goes.
    pub witnesses: Vec<VerifierKey>,
    /// The second copy, which must have what goes.
    pub copy: Option<Arc<dyn RecordCopy>>,
}

/// What has just been done. For tests that end a process there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveStep {
    /// An index was written.
    Indexed,
    /// The store was told of the ranges.
    Kept,
    /// They were read back.
    ReadBack,
    /// The segment has gone.
    Gone,
}

/// Why the oldest segment stays for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waits {
    /// Nothing lies wholly behind the head.
    NothingWhole,
    /// Its last event is too young.
    Young {
        /// When it is old enough.
        until: Timestamp,
    },
    /// A stream in it goes on.
    Open {
        /// Whose.
        tenant: TenantId,
        /// Which.
        stream: StreamName,
    },
    /// Its leaves are not all below a published head.
    Unpublished {
        /// Whose.
        tenant: TenantId,
    },
    /// A witness has not co-signed the published head.
    Unwitnessed {
        /// Whose.
        tenant: TenantId,
        /// The witness.
        witness: String,
    },
    /// The second copy does not have it.
    Uncopied,
    /// It is large, and the next turn goes on with it.
    Unfinished {
        /// From here.
        next: Position,
    },
    /// It could go, and it was only asked.
    DryRun,
    /// Whoever asked wanted to stop there.
    Stopped,
}

/// What a turn did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveTurn {
    /// The segment that it was about.
    pub segment: Option<Segment>,
    /// Events that went.
    pub gone: u64,
    /// Why it stays.
    pub waits: Option<Waits>,
}

/// Why archiving failed. Everything stays readable.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The store.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The tiles.
    #[error(transparent)]
    Tiles(#[from] TileError),
    /// The objects.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The copy.
    #[error("the second copy: {0}")]
    Copy(#[from] CopyError),
    /// The record and its tiles are not the same.
    #[error(
        "position {position} is not to be archived: {reason}; see ops/runbooks/archive-damaged.md"
    )]
    Differs {
        /// Where.
        position: Position,
        /// What.
        reason: String,
    },
}

/// Archives one segment a turn.
pub struct Archiver {
    parts: ArchiverParts,
}

impl Archiver {
    /// An archiver that has not looked yet.
    pub fn new(parts: ArchiverParts) -> Self {
        Self { parts }
    }

    /// Archives the oldest segment, if its last event was recorded `min_age` before `now`.
    pub async fn turn(
        &self,
        now: Timestamp,
        min_age: Millis,
        dry_run: bool,
    ) -> Result<ArchiveTurn, ArchiveError> {
        self.turn_until(now, min_age, dry_run, &mut |_| true).await
    }

    /// The same, until `go_on` says no behind a step.
    pub async fn turn_until(
        &self,
        now: Timestamp,
        min_age: Millis,
        dry_run: bool,
        go_on: &mut (dyn FnMut(ArchiveStep) -> bool + Send),
    ) -> Result<ArchiveTurn, ArchiveError> {
        let Some(segment) = self.parts.archive.oldest_segment().await? else {
            let waits = Some(Waits::NothingWhole);
            return Ok(ArchiveTurn { segment: None, gone: 0, waits });
        };
        let stays = |waits| ArchiveTurn { segment: Some(segment), gone: 0, waits: Some(waits) };
        if let Some(waits) = self.waits(segment, now, min_age).await? {
            return Ok(stays(waits));
        }
        let mut logs = Logs { parts: &self.parts, timeline: 0, open: BTreeMap::new() };
        logs.timeline = self.parts.store.timeline().await?;
        if let Some(waits) = self.ranges(segment, &mut logs, !dry_run, go_on).await? {
            return Ok(stays(waits));
        }
        if dry_run {
            return Ok(stays(Waits::DryRun));
        }
        self.read_back(segment).await?;
        if !go_on(ArchiveStep::ReadBack) {
            return Ok(stays(Waits::Stopped));
        }
        self.parts.archive.let_go(segment).await?;
        go_on(ArchiveStep::Gone);
        let gone = segment.end.0 - segment.first.0;
        Ok(ArchiveTurn { segment: Some(segment), gone, waits: None })
    }

    async fn waits(
        &self,
        segment: Segment,
        now: Timestamp,
        min_age: Millis,
    ) -> Result<Option<Waits>, ArchiveError> {
        let last = Position(segment.end.0 - 2);
        let last = self.parts.store.read_after(last, 1).await?;
        if let Some(last) = last.first() {
            let envelope = Envelope::parse(&last.leaf)
                .map_err(|error| differs(last.position, error.to_string()))?;
            let until = envelope.recorded_at + min_age;
            if now < until {
                return Ok(Some(Waits::Young { until }));
            }
        }
        if let Some((tenant, stream)) = self.parts.archive.open_stream(segment).await? {
            return Ok(Some(Waits::Open { tenant, stream }));
        }
        if let Some(copy) = &self.parts.copy {
            let timeline = self.parts.store.timeline().await?;
            if copy.last(timeline).await?.0 + 1 < segment.end.0 {
                return Ok(Some(Waits::Uncopied));
            }
        }
        Ok(None)
    }

    /// Makes the ranges of a segment, every leaf of which was found in the tiles, and tells the
    /// store of each when its index was written. Those that it knows already are passed over, so
    /// a turn goes on where an earlier one ended.
    async fn ranges(
        &self,
        segment: Segment,
        logs: &mut Logs<'_>,
        write: bool,
        go_on: &mut (dyn FnMut(ArchiveStep) -> bool + Send),
    ) -> Result<Option<Waits>, ArchiveError> {
        let mut made = 0;
        let mut at = segment.first;
        while at < segment.end {
            if let Some(known) = self.parts.archive.ranges(at, 1).await?.first()
                && known.first == at
                && known.end <= segment.end
            {
                at = known.end;
                continue;
            }
            if made == RANGES_A_TURN {
                return Ok(Some(Waits::Unfinished { next: at }));
            }
            made += 1;
            let end = Position(segment.end.0.min(at.0 + MAX_RANGE));
            let builder = match self.range(at, end, logs).await? {
                Ok(builder) => builder,
                Err(waits) => return Ok(Some(waits)),
            };
            let (range, index) = builder.finish().map_err(|why| differs(at, why))?;
            if write {
                self.parts.objects.put(&range.range.index, index).await?;
                if !go_on(ArchiveStep::Indexed) {
                    return Ok(Some(Waits::Stopped));
                }
                self.parts.archive.keep(&range).await?;
                if !go_on(ArchiveStep::Kept) {
                    return Ok(Some(Waits::Stopped));
                }
            }
            at = end;
        }
        Ok(None)
    }

    async fn range(
        &self,
        first: Position,
        end: Position,
        logs: &mut Logs<'_>,
    ) -> Result<Result<RangeBuilder, Waits>, ArchiveError> {
        let mut builder = RangeBuilder::default();
        let mut at = first;
        while at < end {
            let want = usize::try_from(end.0 - at.0).unwrap_or(PAGE).min(PAGE);
            let page = self.parts.store.read_after(Position(at.0 - 1), want).await?;
            if page.first().is_none_or(|event| event.position != at) {
                return Err(differs(at, "the store does not have it".to_string()));
            }
            if let Some(waits) = logs.have(&page).await? {
                return Ok(Err(waits));
            }
            for event in &page {
                let hash = leaf_hash(&event.leaf);
                let tiles = |tenant: &TenantId| logs.place(tenant);
                builder.add(event, hash, tiles).map_err(|why| differs(event.position, why))?;
            }
            at = Position(at.0 + page.len() as u64);
        }
        Ok(Ok(builder))
    }

    /// Reads everything that the store was told of, as readers will: nothing that was remembered
    /// before is used.
    async fn read_back(&self, segment: Segment) -> Result<(), ArchiveError> {
        let leaves = ArchivedLeaves::new(Arc::clone(&self.parts.objects));
        let mut at = segment.first;
        while at < segment.end {
            let kept = self.parts.archive.ranges(at, 1).await?;
            let range = kept.first().filter(|range| range.first == at && range.end <= segment.end);
            let range =
                range.ok_or_else(|| differs(at, "the store was told of no range".to_string()))?;
            leaves.check(range).await?;
            at = range.end;
        }
        Ok(())
    }
}

fn differs(position: Position, reason: String) -> ArchiveError {
    ArchiveError::Differs { position, reason }
}

/// The published logs of the tenants in a segment.
struct Logs<'a> {
    parts: &'a ArchiverParts,
    timeline: u64,
    open: BTreeMap<TenantId, TileLog>,
}

impl Logs<'_> {
    fn place(&self, tenant: &TenantId) -> (String, u64) {
        let published = self.open.get(tenant).map_or(0, |log| log.checkpoint().size);
        (tenant_folder(tenant, self.timeline), published)
    }

    /// Whether the tiles have these events, byte by byte, on a way to a signed root.
    async fn have(&mut self, page: &[Recorded]) -> Result<Option<Waits>, ArchiveError> {
        let mut of: BTreeMap<&TenantId, Vec<&Recorded>> = BTreeMap::new();
        for event in page {
            of.entry(&event.tenant).or_default().push(event);
        }
        for (tenant, events) in of {
            if let Some(waits) = self.open(tenant).await? {
                return Ok(Some(waits));
            }
            let Some(log) = self.open.get(tenant) else { continue };
            let (from, to) = (events[0].tenant_sequence, events[0].tenant_sequence);
            let to = to + events.len() as u64;
            if log.checkpoint().size < to {
                return Ok(Some(Waits::Unpublished { tenant: tenant.clone() }));
            }
            let mut leaves = log.leaves(from, to);
            let mut events = events.into_iter();
            while let Some(page) = leaves.next().await? {
                for leaf in page.leaves {
                    let Some(event) = events.next() else { continue };
                    if event.leaf != leaf {
                        let reason = format!(
                            "leaf {} of {tenant} is another one in the tiles",
                            event.tenant_sequence
                        );
                        return Err(differs(event.position, reason));
                    }
                }
            }
            if let Some(event) = events.next() {
                let reason = format!("leaf {} is not in the tiles", event.tenant_sequence);
                return Err(differs(event.position, reason));
            }
        }
        Ok(None)
    }

    async fn open(&mut self, tenant: &TenantId) -> Result<Option<Waits>, ArchiveError> {
        if self.open.contains_key(tenant) {
            return Ok(None);
        }
        let (objects, folder) =
            (Arc::clone(&self.parts.objects), tenant_folder(tenant, self.timeline));
        let log = match TileLog::open(objects, &folder, &self.parts.key).await {
            Ok(log) => log,
            Err(TileError::Unpublished(_)) => {
                return Ok(Some(Waits::Unpublished { tenant: tenant.clone() }));
            }
            Err(error) => return Err(error.into()),
        };
        for witness in &self.parts.witnesses {
            if verify_note(log.note(), witness).is_err() {
                let (tenant, witness) = (tenant.clone(), witness.name().to_string());
                return Ok(Some(Waits::Unwitnessed { tenant, witness }));
            }
        }
        self.open.insert(tenant.clone(), log);
        Ok(None)
    }
}
