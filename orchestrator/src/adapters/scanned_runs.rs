//! Runs as another keeping of the record has them: read leaf by leaf, checked on the way, and
//! given out through the port of a store, so that all that reads runs can read these.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::envelope::{Envelope, closes_stream};
use dagbook_events::ids::{Position, RunId, StreamName, TenantId};
use dagbook_events::journal::reconcile::{KeptLeaf, LeafSource, SourceError};
use dagbook_events::ports::{
    AppendError, AppendRequest, Appended, EventStore, LogHead, ReadError, Recorded,
};
use dagbook_events::tlog::leaf_hash;

/// Leaves read at a time.
const PAGE: usize = 1_000;

/// Beginnings of runs that are kept at most.
const MOST_RUNS: usize = 100_000;

/// What is wanted of a keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The first event of each run, by which a person's words are understood.
    Beginnings,
    /// All events of one run.
    Run(RunId),
}

/// Why runs could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScanError {
    /// The keeping cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A leaf is not what it must be.
    #[error("{source_name} is damaged at {place}: {reason}")]
    Damaged {
        /// Which keeping.
        source_name: String,
        /// The position, or the leaf's number where it is kept by that.
        place: String,
        /// What is wrong.
        reason: String,
    },
}

impl ScanError {
    /// Whether what is kept is not what it must be.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Source(error) => error.is_damage,
            Self::Damaged { .. } => true,
        }
    }
}

/// Events of some runs of one tenant.
#[derive(Debug, Default)]
pub struct ScannedRuns {
    streams: BTreeMap<StreamName, Vec<Recorded>>,
    /// In the order of their first events.
    order: Vec<StreamName>,
    head: Position,
}

impl ScannedRuns {
    /// Reads a keeping from its beginning to its end. Every leaf of the tenant is checked:
    /// its form, its hash where one stands beside it, its number where it is kept by that,
    /// and that none is missing before it.
    pub async fn read(
        source: &dyn LeafSource,
        tenant: &TenantId,
        wanted: Wanted,
    ) -> Result<Self, ScanError> {
        let mut this = Self::default();
        let mut reading = source.read_all().await?;
        let (mut leaves, mut of_tenant) = (0_u64, 0_u64);
        loop {
            let page = reading.next(PAGE).await?;
            if page.is_empty() {
                return Ok(this);
            }
            for leaf in page {
                leaves += 1;
                let damaged = |reason: String| ScanError::Damaged {
                    source_name: source.name().to_string(),
                    place: place(&leaf, leaves),
                    reason,
                };
                let envelope = understood(&leaf).map_err(damaged)?;
                if envelope.tenant != *tenant {
                    continue;
                }
                if envelope.tenant_sequence != of_tenant {
                    let found = envelope.tenant_sequence;
                    return Err(damaged(format!(
                        "leaf {of_tenant} is missing before leaf {found}"
                    )));
                }
                of_tenant += 1;
                this.take(wanted, envelope, &leaf).map_err(damaged)?;
            }
        }
    }

    fn take(&mut self, wanted: Wanted, envelope: Envelope, leaf: &KeptLeaf) -> Result<(), String> {
        self.head = self.head.max(envelope.position);
        let Some(run) = envelope.stream.as_run() else { return Ok(()) };
        let is_wanted = match wanted {
            Wanted::Beginnings => envelope.version == 0 && self.order.len() < MOST_RUNS,
            Wanted::Run(wanted) => wanted == run,
        };
        if !is_wanted {
            return Ok(());
        }
        let events = self.streams.entry(envelope.stream.clone()).or_default();
        if envelope.version != events.len() as u64 {
            let (stream, found) = (&envelope.stream, envelope.version);
            let wanted = events.len();
            return Err(format!("version {wanted} of {stream} is missing before version {found}"));
        }
        if events.is_empty() {
            self.order.push(envelope.stream.clone());
        }
        events.push(Recorded {
            position: envelope.position,
            tenant: envelope.tenant,
            tenant_sequence: envelope.tenant_sequence,
            stream: envelope.stream,
            version: envelope.version,
            leaf: leaf.bytes.clone(),
        });
        Ok(())
    }
}

fn place(leaf: &KeptLeaf, number: u64) -> String {
    match leaf.position {
        Some(position) => format!("position {position}"),
        None => format!("its leaf number {number}"),
    }
}

fn understood(leaf: &KeptLeaf) -> Result<Envelope, String> {
    let envelope = Envelope::parse(&leaf.bytes).map_err(|error| error.to_string())?;
    if leaf.stated_hash.is_some_and(|stated| stated != leaf_hash(&leaf.bytes)) {
        return Err("the leaf has another hash than the one that stands beside it".to_string());
    }
    match leaf.position {
        Some(kept) if kept != envelope.position => {
            Err(format!("the leaf says that it stands at position {}", envelope.position))
        }
        _ => Ok(envelope),
    }
}

fn elsewhere() -> String {
    "only runs are read from here, not the record as a whole".to_string()
}

#[async_trait]
impl EventStore for ScannedRuns {
    async fn append(&self, _request: AppendRequest) -> Result<Appended, AppendError> {
        Err(AppendError::Unavailable(elsewhere()))
    }

    async fn read_stream(
        &self,
        _tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let events = self.streams.get(stream).map(Vec::as_slice).unwrap_or_default();
        let from = usize::try_from(from_version).unwrap_or(usize::MAX);
        Ok(events.iter().skip(from).take(limit).cloned().collect())
    }

    async fn read_after(&self, _: Position, _: usize) -> Result<Vec<Recorded>, ReadError> {
        Err(ReadError::Unavailable(elsewhere()))
    }

    async fn read_log(&self, _: &TenantId, _: u64, _: usize) -> Result<Vec<Recorded>, ReadError> {
        Err(ReadError::Unavailable(elsewhere()))
    }

    async fn streams(
        &self,
        _tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        let newest = self.order.iter().rev();
        let older = newest.skip_while(|name| before.is_some_and(|before| *name != before));
        let behind = older.skip(usize::from(before.is_some()));
        Ok(behind.filter(|name| name.as_str().starts_with(prefix)).take(limit).cloned().collect())
    }

    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        // All of them are of one tenant and one kind. Of which only the beginning was read,
        // nobody knows whether it was closed, and it counts as open.
        let after = after.map(|(_, stream)| stream);
        let behind = self.order.iter().skip_while(|name| after.is_some_and(|it| *name != it));
        let mut open = Vec::new();
        for name in behind.skip(usize::from(after.is_some())) {
            let events = self.streams.get(name).map(Vec::as_slice).unwrap_or_default();
            let closes = |event: &Recorded| {
                Envelope::parse(&event.leaf).is_ok_and(|event| closes_stream(&event.kind))
            };
            let is_ours = name.as_str().starts_with(prefix) && open.len() < limit;
            if is_ours && !events.iter().any(closes) {
                open.extend(events.first().map(|first| (first.tenant.clone(), name.clone())));
            }
        }
        Ok(open)
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.head)
    }

    async fn log_head(&self, _: &TenantId) -> Result<LogHead, ReadError> {
        Err(ReadError::Unavailable(elsewhere()))
    }

    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        Err(ReadError::Unavailable(elsewhere()))
    }

    async fn timeline(&self) -> Result<u64, ReadError> {
        Err(ReadError::Unavailable(elsewhere()))
    }

    async fn begin_timeline(&self, _current: u64) -> Result<u64, AppendError> {
        Err(AppendError::Unavailable(elsewhere()))
    }

    async fn wait_beyond(&self, _: Position, _: Duration) -> Result<Position, ReadError> {
        Ok(self.head)
    }
}
