//! `defaults`: what steps have unless they say otherwise.

use crate::dag::expr::Template;
use crate::dag::plan::{Backoff, Jitter, RetryClass, RetryPolicy, Timeouts};
use crate::dag::source::Entry;
use crate::time::Millis;

use super::{Place, Reader};

/// Keys of `defaults`.
pub(crate) const DEFAULT_KEYS: [&str; 7] =
    ["executor", "image", "env", "shell", "timeout", "retry", "workspace"];

/// Defaults of a file, over the defaults of the format.
pub(crate) struct Defaults {
    pub executor: String,
    pub image: Option<Template>,
    /// Put before the step's own variables, which replace those of the same name.
    pub env: Vec<(String, Template)>,
    pub interpreter: Vec<String>,
    pub timeouts: Timeouts,
    pub retry: RetryPolicy,
    pub empty_workspace: bool,
}

impl Default for Defaults {
    fn default() -> Self {
        const DAY: Millis = Millis::seconds(24 * 3_600);
        Self {
            executor: "local".into(),
            image: None,
            env: Vec::new(),
            interpreter: super::task::shell("sh").unwrap_or_default(),
            timeouts: Timeouts { attempt: DAY, total: None, queue: Some(DAY), heartbeat: None },
            retry: RetryPolicy {
                max_attempts: 1,
                on: vec![RetryClass::Any],
                exit_codes: Vec::new(),
                backoff: Backoff {
                    initial: Millis::seconds(10),
                    factor_milli: 2_000,
                    max: Millis::seconds(300),
                    jitter: Jitter::Full,
                },
                infra_attempts: 5,
            },
            empty_workspace: false,
        }
    }
}

impl Reader<'_, '_> {
    pub fn defaults(&mut self, entry: &Entry) -> Defaults {
        let mut defaults = Defaults::default();
        let Some(fields) = self.fields(entry, "`defaults`", &DEFAULT_KEYS) else { return defaults };
        if let Some(executor) = fields.get("executor").and_then(|e| self.executor(e)) {
            defaults.executor = executor;
        }
        defaults.image = fields.get("image").and_then(|e| self.template(e, Place::Defaults));
        if let Some(env) = fields.get("env") {
            defaults.env = self.variables(env, Place::Defaults);
        }
        if let Some(shell) = fields.get("shell").and_then(|e| self.interpreter(e)) {
            defaults.interpreter = shell;
        }
        if let Some(timeout) = fields.get("timeout") {
            defaults.timeouts = self.timeouts(timeout, defaults.timeouts);
        }
        if let Some(retry) = fields.get("retry") {
            defaults.retry = self.retry(retry, &defaults.retry);
        }
        if let Some(workspace) = fields.get("workspace") {
            defaults.empty_workspace = self.workspace(workspace).unwrap_or(false);
        }
        defaults
    }
}
