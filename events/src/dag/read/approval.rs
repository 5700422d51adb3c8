//! `approval` and `wait`.

use crate::dag::codes;
use crate::dag::plan::{Approval, OnTimeout, WaitFor};
use crate::dag::source::Entry;
use crate::time::Timestamp;

use super::fields::shorten;
use super::{Place, Reader};

/// Keys of `approval`.
pub(crate) const APPROVAL_KEYS: [&str; 4] = ["role", "message", "timeout", "on_timeout"];
/// Keys of `wait`.
pub(crate) const WAIT_KEYS: [&str; 3] = ["for", "until", "event"];
/// Roles that can approve.
pub(crate) const ROLES: [(&str, &str); 4] = [
    ("admin", "admin"),
    ("owner", "owner"),
    ("maintainer", "maintainer"),
    ("developer", "developer"),
];

impl Reader<'_, '_> {
    /// Without a `role`, a maintainer is asked.
    pub fn approval(&mut self, entry: &Entry, place: Place) -> Option<Approval> {
        let fields = self.fields(entry, "`approval`", &APPROVAL_KEYS)?;
        let answers = [("reject", OnTimeout::Reject), ("approve", OnTimeout::Approve)];
        let timeout = fields.get("timeout").and_then(|e| self.duration(e));
        if fields.get("timeout").is_none()
            && let Some(idle) = fields.get("on_timeout")
        {
            let message = "`on_timeout` has no effect without `timeout`";
            self.report.add(&codes::NO_EFFECT, idle.key_span, message);
        }
        Some(Approval {
            role: fields
                .get("role")
                .and_then(|e| self.choice(e, &ROLES))
                .unwrap_or("maintainer")
                .to_string(),
            message: fields.get("message").and_then(|e| self.template(e, place)),
            timeout,
            on_timeout: fields
                .get("on_timeout")
                .and_then(|e| self.choice(e, &answers))
                .unwrap_or_default(),
        })
    }

    pub fn wait(&mut self, entry: &Entry) -> Option<WaitFor> {
        let fields = self.fields(entry, "`wait`", &WAIT_KEYS)?;
        let mut given = WAIT_KEYS.into_iter().filter_map(|key| fields.get(key));
        let Some(first) = given.next() else {
            let message = "`wait` must have one of for, until, event";
            self.report.add(&codes::MISSING_KEY, entry.key_span, message);
            return None;
        };
        if let Some(second) = given.next() {
            let message = format!("`wait` has `{}` and `{}`", first.key, second.key);
            self.report
                .add(&codes::CONFLICT, second.key_span, message)
                .hint("a step waits for one thing; make two steps of it");
            return None;
        }
        match first.key.as_str() {
            "for" => self.duration(first).map(WaitFor::For),
            "until" => self.instant(first).map(WaitFor::Until),
            _ => self.word(first).map(WaitFor::Event),
        }
    }

    fn instant(&mut self, entry: &Entry) -> Option<Timestamp> {
        let text = self.word(entry)?;
        let at = Timestamp::parse_rfc3339(&text);
        if at.is_none() {
            let message = format!("`{}` is not a time in RFC 3339", shorten(&text));
            self.report
                .add(&codes::BAD_TIME, entry.at(), message)
                .hint("write date, time and zone: `2026-03-01T08:00:00+01:00`");
        }
        at
    }
}
