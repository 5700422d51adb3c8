//! `timeout`: one duration for the attempt, or up to four.

use crate::dag::codes;
use crate::dag::plan::Timeouts;
use crate::dag::source::{Entry, Kind};

use super::Reader;

/// Keys of `timeout`.
pub(crate) const TIMEOUT_KEYS: [&str; 4] = ["attempt", "total", "queue", "heartbeat"];

impl Reader<'_, '_> {
    /// What is written, over what holds otherwise.
    pub fn timeouts(&mut self, entry: &Entry, base: Timeouts) -> Timeouts {
        let mut timeouts = base;
        if let Kind::Scalar(_) = entry.node.kind {
            if let Some(attempt) = self.duration(entry) {
                timeouts.attempt = attempt;
            }
            return timeouts;
        }
        let Some(fields) = self.fields(entry, "`timeout`", &TIMEOUT_KEYS) else { return timeouts };
        if let Some(attempt) = fields.get("attempt").and_then(|e| self.duration(e)) {
            timeouts.attempt = attempt;
        }
        for (key, slot) in [
            ("total", &mut timeouts.total),
            ("queue", &mut timeouts.queue),
            ("heartbeat", &mut timeouts.heartbeat),
        ] {
            if let Some(span) = fields.get(key).and_then(|e| self.duration(e)) {
                *slot = Some(span);
            }
        }
        if let (Some(total), Some(entry)) = (timeouts.total, fields.get("total"))
            && fields.get("attempt").is_some()
            && total < timeouts.attempt
        {
            let message = "`total` is shorter than `attempt`, which can then never be reached";
            self.report.add(&codes::NO_EFFECT, entry.at(), message);
        }
        timeouts
    }
}
