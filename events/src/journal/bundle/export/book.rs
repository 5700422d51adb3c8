//! What the stream `billing` says that an export needs to know beforehand.

use std::sync::Arc;

use super::ExportError;
use crate::aggregate::AggregateEvent as _;
use crate::billing::{BILLING_STREAM, BillingEvent, PeriodClosed, PeriodOpened};
use crate::envelope::Envelope;
use crate::ids::{StreamName, TenantId};
use crate::ports::EventStore;
use crate::time::Timestamp;

/// Events read at a time.
const PAGE: usize = 256;

/// The stream `billing` of a tenant, with the places of its leaves.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    pub(super) entries: Vec<Entry>,
}

/// A leaf of the stream.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its index in the log.
    pub(super) index: u64,
    pub(super) leaf: Arc<[u8]>,
    /// The timeline on which it was recorded.
    pub(super) timeline: u64,
    /// None: of a type that is not known here.
    pub(super) event: Option<BillingEvent>,
}

/// A period and its closing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Closing {
    /// Leaf of `period.opened`.
    pub(super) opened_at: u64,
    pub(super) opened: PeriodOpened,
    /// Leaf of `period.closed`.
    pub(super) closed_at: u64,
    /// The timeline on which it was closed.
    pub(super) timeline: u64,
    pub(super) closed: PeriodClosed,
}

impl Book {
    /// Reads it.
    pub(super) async fn read(
        store: &dyn EventStore,
        tenant: &TenantId,
    ) -> Result<Self, ExportError> {
        let damaged = |reason: String| ExportError::Damaged(format!("stream `billing`: {reason}"));
        let stream = StreamName::new(BILLING_STREAM).map_err(|e| damaged(e.to_string()))?;
        let mut entries = Vec::new();
        loop {
            let page = store.read_stream(tenant, &stream, entries.len() as u64, PAGE).await?;
            for recorded in &page {
                let at = |reason: String| {
                    damaged(format!("leaf {} of {tenant}: {reason}", recorded.tenant_sequence))
                };
                let leaf = Envelope::parse(&recorded.leaf).map_err(|e| at(e.to_string()))?;
                let data = leaf.data_object().map_err(|e| at(e.to_string()))?;
                let event = BillingEvent::read(&leaf.kind, &data).map_err(at)?;
                entries.push(Entry {
                    index: recorded.tenant_sequence,
                    leaf: recorded.leaf.clone(),
                    timeline: leaf.timeline,
                    event,
                });
            }
            if page.len() < PAGE {
                return Ok(Self { entries });
            }
        }
    }

    /// The closing of a period.
    pub(super) fn closing(&self, period: &str) -> Result<Closing, ExportError> {
        let opened = self.opened(|opened| opened.period == period);
        let Some((opened_at, opened)) = opened else {
            let known: Vec<&str> = self.periods().map(|(_, it)| it.period.as_str()).collect();
            let known = match known.as_slice() {
                [] => "no period was ever opened for this tenant".to_string(),
                some => {
                    format!("periods are: {}", some[some.len().saturating_sub(12)..].join(", "))
                }
            };
            return Err(ExportError::NoPeriod { period: period.to_string(), known });
        };
        let closed = self.entries.iter().find_map(|entry| match &entry.event {
            Some(BillingEvent::PeriodClosed(closed)) if closed.period == period => {
                Some((entry, closed.clone()))
            }
            _ => None,
        });
        match closed {
            None => Err(ExportError::Open { period: period.to_string(), end: opened.end }),
            Some((entry, closed)) => Ok(Closing {
                opened_at,
                opened,
                closed_at: entry.index,
                timeline: entry.timeline,
                closed,
            }),
        }
    }

    /// The name of the closed period that has exactly these bounds.
    pub(super) fn closed_between(&self, from: Timestamp, to: Timestamp) -> Option<&str> {
        let (_, opened) = self.periods().find(|(_, it)| it.start == from && it.end == to)?;
        self.closing(&opened.period).ok().map(|_| opened.period.as_str())
    }

    fn opened(&self, which: impl Fn(&PeriodOpened) -> bool) -> Option<(u64, PeriodOpened)> {
        self.periods().find(|(_, opened)| which(opened)).map(|(at, it)| (at, it.clone()))
    }

    fn periods(&self) -> impl Iterator<Item = (u64, &PeriodOpened)> {
        self.entries.iter().filter_map(|entry| match &entry.event {
            Some(BillingEvent::PeriodOpened(opened)) => Some((entry.index, opened)),
            _ => None,
        })
    }

    /// Numbers of the entry tiles with leaves of the stream, before a leaf, ascending.
    pub(super) fn tiles_before(&self, first: u64) -> Vec<u64> {
        let width = crate::tlog::ENTRY_TILE_WIDTH;
        let before = self.entries.iter().map(|entry| entry.index).filter(|index| *index < first);
        let mut tiles: Vec<u64> = before.map(|index| index / width).collect();
        tiles.dedup();
        tiles
    }
}
