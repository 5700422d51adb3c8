//! Events that became known a moment ago, without a gap: for those who follow the record and
//! stand near its end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ids::{Position, StreamName, TenantId};
use crate::ports::Recorded;

/// Events that are kept.
const KEPT: usize = 4_096;
/// Bytes of leaves that are kept.
const KEPT_BYTES: usize = 4 << 20;
/// How long they are kept: the slowest of those who follow is hardly further behind, and a store
/// that was put back is not told of for longer.
const KEPT_FOR: Duration = Duration::from_secs(1);
/// Events that are handed out at one time.
const PAGE: usize = 1_000;

/// The newest events, each at the position behind the one before.
#[derive(Debug, Default)]
pub struct Recent {
    events: VecDeque<(Instant, Recorded)>,
    bytes: usize,
}

impl Recent {
    /// Where the newest stands; none: nothing is kept.
    pub fn last(&self) -> Option<Position> {
        self.events.back().map(|(_, event)| event.position)
    }

    /// What comes directly behind a position, in order; a page at most. Nothing: it is not kept.
    pub fn behind(&self, cursor: Position) -> Vec<Recorded> {
        let first = self.events.front().map_or(u64::MAX, |(_, event)| event.position.0);
        let skipped =
            cursor.0.saturating_add(1).checked_sub(first).and_then(|n| usize::try_from(n).ok());
        let Some(skipped) = skipped else { return Vec::new() };
        let events = self.events.iter().skip(skipped).take(PAGE);
        events.map(|(_, event)| event.clone()).collect()
    }

    /// What a stream has from a version on, in order: all of it that stands at or before the
    /// position `reached`, and what is kept of it behind that. Nothing: not all of it is kept.
    pub fn stream(
        &self,
        (tenant, stream): (&TenantId, &StreamName),
        from: u64,
        reached: Position,
    ) -> Vec<Recorded> {
        if self.last().is_none_or(|last| last < reached) {
            return Vec::new();
        }
        let mut found = VecDeque::new();
        // Whoever asks for a stream asks for one that has just begun.
        for (_, event) in self.events.iter().rev() {
            if event.stream == *stream && event.tenant == *tenant {
                if event.version < from {
                    break;
                }
                found.push_front(event.clone());
                if event.version == from {
                    return found.into();
                }
            }
        }
        Vec::new()
    }

    /// Keeps what stands behind a position, in order. What does not follow on what is kept takes
    /// its place.
    pub fn add(
        &mut self,
        cursor: Position,
        page: impl IntoIterator<Item = Recorded>,
        now: Instant,
    ) {
        self.forget(now);
        if self.last() != Some(cursor) {
            *self = Self::default();
        }
        for event in page {
            let expected = self.last().unwrap_or(cursor).0.saturating_add(1);
            if event.position.0 != expected {
                // A record without gaps has none here; what is one is nothing to be kept.
                return *self = Self::default();
            }
            self.bytes += event.leaf.len();
            self.events.push_back((now, event));
        }
        while self.events.len() > KEPT || self.bytes > KEPT_BYTES {
            self.drop_first();
        }
    }

    /// Forgets what has been kept for long enough.
    pub fn forget(&mut self, now: Instant) {
        while self.events.front().is_some_and(|(kept, _)| now - *kept > KEPT_FOR) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some((_, event)) = self.events.pop_front() {
            self.bytes -= event.leaf.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn event(position: u64) -> Recorded {
        event_of("acme", "run/x", position - 1, position)
    }

    fn event_of(tenant: &str, stream: &str, version: u64, position: u64) -> Recorded {
        Recorded {
            position: Position(position),
            tenant: tenant_of(tenant),
            tenant_sequence: position - 1,
            stream: stream_of(stream),
            version,
            leaf: Arc::from(vec![0; 1_024]),
        }
    }

    fn tenant_of(name: &str) -> TenantId {
        TenantId::new(name).expect("a tenant")
    }

    fn stream_of(name: &str) -> StreamName {
        StreamName::new(name).expect("a stream")
    }

    fn positions(recent: &Recent, cursor: u64) -> Vec<u64> {
        recent.behind(Position(cursor)).iter().map(|event| event.position.0).collect()
    }

    #[test]
    fn only_what_follows_without_a_gap_is_handed_out() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.add(Position(4), (5..8).map(event), now);
        recent.add(Position(7), [event(8)], now);
        assert_eq!(positions(&recent, 3), [0; 0], "5 is not what follows on 3");
        assert_eq!(positions(&recent, 4), [5, 6, 7, 8]);
        assert_eq!(positions(&recent, 7), [8]);
        assert_eq!(positions(&recent, 8), [0; 0]);
        // Somebody else has 9.
        recent.add(Position(9), [event(10)], now);
        assert_eq!(positions(&recent, 7), [0; 0], "the rest must be read");
        assert_eq!(positions(&recent, 9), [10]);
        recent.add(Position(10), [event(12)], now);
        assert_eq!(recent.last(), None, "what has a gap is not kept");
    }

    #[test]
    fn a_stream_is_told_where_all_of_it_is_kept() {
        let mut recent = Recent::default();
        let events = [
            event_of("acme", "run/x", 0, 5),
            event_of("acme", "run/y", 0, 6),
            event_of("umbrella", "run/x", 0, 7),
            event_of("acme", "run/x", 1, 8),
            event_of("acme", "run/y", 1, 9),
            event_of("acme", "run/z", 7, 10),
        ];
        recent.add(Position(4), events, Instant::now());
        let versions = |tenant: &str, stream: &str, from, reached| {
            let (tenant, stream) = (tenant_of(tenant), stream_of(stream));
            let found = recent.stream((&tenant, &stream), from, Position(reached));
            let positions = found.iter().map(|event| (event.version, event.position.0));
            positions.collect::<Vec<_>>()
        };
        assert_eq!(versions("acme", "run/x", 0, 10), [(0, 5), (1, 8)]);
        assert_eq!(versions("acme", "run/x", 1, 7), [(1, 8)], "what is behind is told, too");
        assert_eq!(versions("umbrella", "run/x", 0, 0), [(0, 7)]);
        assert_eq!(versions("acme", "run/x", 2, 10), [], "it may stand elsewhere");
        assert_eq!(versions("acme", "run/x", 0, 11), [], "somebody else may have 11");
        assert_eq!(versions("acme", "run/z", 0, 10), [], "it began before");
        assert_eq!(versions("acme", "run/z", 7, 10), [(7, 10)]);
        assert_eq!(versions("acme", "run/w", 0, 10), []);
    }

    #[test]
    fn what_is_old_or_too_much_is_forgotten() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.add(Position(0), (1..10_001).map(event), now);
        assert_eq!(recent.events.len(), KEPT_BYTES / 1_024);
        assert_eq!(recent.bytes, KEPT_BYTES);
        let later = now + KEPT_FOR / 2;
        recent.add(Position(10_000), [event(10_001)], later);
        recent.forget(now + KEPT_FOR + Duration::from_millis(1));
        assert_eq!(positions(&recent, 10_000), [10_001]);
        assert_eq!(recent.bytes, 1_024);
        recent.forget(later + KEPT_FOR + Duration::from_millis(1));
        assert_eq!((recent.last(), recent.bytes), (None, 0));
    }
}
