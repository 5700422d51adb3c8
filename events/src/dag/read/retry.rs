//! `retry`.

use crate::dag::codes;
use crate::dag::plan::{Backoff, Jitter, RetryClass, RetryPolicy};
use crate::dag::source::{Entry, Typed};

use super::fields::shorten;
use super::{Reader, units};

/// Keys of `retry`.
pub(crate) const RETRY_KEYS: [&str; 5] =
    ["max_attempts", "backoff", "on", "exit_codes", "infra_attempts"];
/// Keys of `backoff`.
pub(crate) const BACKOFF_KEYS: [&str; 4] = ["initial", "factor", "max", "jitter"];

/// Classes of `on`.
pub(crate) const CLASSES: [(&str, RetryClass); 4] = [
    ("failed", RetryClass::Failed),
    ("timeout", RetryClass::Timeout),
    ("oom", RetryClass::Oom),
    ("any", RetryClass::Any),
];

/// Ways of `jitter`.
pub(crate) const JITTERS: [(&str, Jitter); 3] =
    [("none", Jitter::None), ("full", Jitter::Full), ("equal", Jitter::Equal)];

impl Reader<'_, '_> {
    /// What is written, over what holds otherwise.
    ///
    /// Without `on` every class is tried again; with `exit_codes` but no `on`, only `failed`.
    pub fn retry(&mut self, entry: &Entry, base: &RetryPolicy) -> RetryPolicy {
        let mut retry = base.clone();
        let Some(fields) = self.fields(entry, "`retry`", &RETRY_KEYS) else { return retry };
        let number = |reader: &mut Self, key: &str, slot: &mut u32| {
            if let Some(n) = fields.get(key).and_then(|e| reader.count(e, 1, 1_000)) {
                *slot = n;
            }
        };
        number(self, "max_attempts", &mut retry.max_attempts);
        number(self, "infra_attempts", &mut retry.infra_attempts);
        if let Some(codes) = fields.get("exit_codes") {
            retry.exit_codes = self.exit_codes(codes);
            retry.on = vec![RetryClass::Failed];
        }
        if let Some(on) = fields.get("on") {
            retry.on = self.retry_classes(on);
        }
        if let Some(backoff) = fields.get("backoff") {
            retry.backoff = self.backoff(backoff, retry.backoff);
        }
        let conditions = ["on", "exit_codes", "backoff"];
        if retry.max_attempts == 1
            && let Some(idle) = conditions.iter().find_map(|key| fields.get(key))
        {
            let message = format!("`{}` has no effect: `max_attempts` is 1", idle.key);
            self.report
                .add(&codes::NEVER_RETRIED, idle.key_span, message)
                .hint("set `max_attempts` to 2 or more");
        }
        retry
    }

    fn retry_classes(&mut self, entry: &Entry) -> Vec<RetryClass> {
        let words = self.words(entry).unwrap_or_default();
        if words.is_empty() {
            return vec![RetryClass::Any];
        }
        words.iter().filter_map(|(word, at)| self.choose("on", word, *at, &CLASSES)).collect()
    }

    fn exit_codes(&mut self, entry: &Entry) -> Vec<i32> {
        let mut codes = Vec::new();
        for item in self.items(entry, true).unwrap_or_default() {
            match item.as_scalar().map(|scalar| scalar.typed()) {
                Some(Typed::Int(n @ 1..=255)) => codes.extend(i32::try_from(n).ok()),
                _ => {
                    let message = "an exit code is a whole number from 1 to 255";
                    self.report.add(&codes::OUT_OF_RANGE, item.span, message);
                }
            }
        }
        codes
    }

    fn backoff(&mut self, entry: &Entry, base: Backoff) -> Backoff {
        let mut backoff = base;
        let Some(fields) = self.fields(entry, "`backoff`", &BACKOFF_KEYS) else { return backoff };
        if let Some(initial) = fields.get("initial").and_then(|e| self.duration(e)) {
            backoff.initial = initial;
        }
        match fields.get("max").and_then(|e| self.duration(e)) {
            Some(max) => backoff.max = max,
            // An initial wait beyond the default maximum raises the maximum with it.
            None => backoff.max = backoff.max.max(backoff.initial),
        }
        if let Some(factor) = fields.get("factor").and_then(|e| self.factor(e)) {
            backoff.factor_milli = factor;
        }
        if let Some(jitter) = fields.get("jitter").and_then(|e| self.choice(e, &JITTERS)) {
            backoff.jitter = jitter;
        }
        if let (true, Some(entry)) = (backoff.max < backoff.initial, fields.get("max")) {
            self.report.add(&codes::OUT_OF_RANGE, entry.at(), "`max` is shorter than `initial`");
        }
        backoff
    }

    fn factor(&mut self, entry: &Entry) -> Option<u64> {
        let scalar = self.scalar(entry, "a number from 1 to 100")?;
        let milli = units::thousandths(&scalar.text).filter(|n| (1_000..=100_000).contains(n));
        if milli.is_none() {
            let message = format!(
                "`factor` must be a number from 1 to 100 with at most three decimals, not `{}`",
                shorten(&scalar.text)
            );
            self.report.add(&codes::OUT_OF_RANGE, entry.at(), message);
        }
        milli
    }
}
