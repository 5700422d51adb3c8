//! The variables that a step sees. Nothing reaches it that is not named here.

use dagbook_events::step::{AttemptSpec, SecretRequest, StartErrorKind};

use super::paths::AttemptDir;
use crate::port::StartError;

/// A secret with its value.
pub(crate) struct Secret {
    pub(crate) request: SecretRequest,
    pub(crate) value: Vec<u8>,
}

/// Longest `TMPDIR` that still leaves room for the sockets that programs make below it (a
/// socket's path has 107 bytes at most).
const LONGEST_TMPDIR: usize = 70;

/// Builds the environment. Later names win: the machine's few, the operator's passthrough, the
/// author's, secrets, and then ours, which nobody may forge.
pub(crate) fn build(
    spec: &AttemptSpec,
    dir: &AttemptDir,
    passthrough: &[String],
    secrets: &[Secret],
) -> Result<Vec<(String, String)>, StartError> {
    let text = |path: std::path::PathBuf| path.to_string_lossy().into_owned();
    let scratch = text(dir.scratch());
    let mut env = Environment::default();
    env.set("PATH", std::env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_string()));
    env.set("LANG", "C.UTF-8");
    env.set("HOME", scratch.clone());
    if scratch.len() <= LONGEST_TMPDIR {
        env.set("TMPDIR", scratch.clone());
    }
    for name in passthrough {
        if let Ok(value) = std::env::var(name) {
            env.set(name, value);
        }
    }
    for variable in &spec.env {
        env.set_checked(&variable.name, &variable.value)?;
    }
    for (n, secret) in secrets.iter().enumerate() {
        let name = &secret.request.variable;
        if secret.request.as_file {
            env.set_checked(name, &text(dir.secrets().join(n.to_string())))?;
        } else {
            let value = std::str::from_utf8(&secret.value).map_err(|_| {
                config(format!("the secret for {name} is not text; use `as: file`"))
            })?;
            env.set_checked(name, value)?;
        }
    }
    env.set("DAGBOOK_RUN", spec.run.to_string());
    env.set("DAGBOOK_STEP", spec.step.to_string());
    env.set("DAGBOOK_ATTEMPT", spec.epoch.to_string());
    env.set("DAGBOOK_ATTEMPT_ID", spec.attempt.to_string());
    env.set("DAGBOOK_TENANT", spec.tenant.to_string());
    env.set("DAGBOOK_PIPELINE", spec.pipeline.clone());
    env.set("DAGBOOK_OUTPUT", text(dir.output()));
    env.set("DAGBOOK_ARTIFACTS", text(dir.artifacts()));
    env.set("DAGBOOK_SCRATCH", scratch);
    env.set("DAGBOOK_INPUTS", text(dir.inputs()));
    env.set("TRACEPARENT", spec.traceparent.clone());
    Ok(env.0)
}

const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The entry by which an attempt's processes are known.
pub(crate) fn marker(attempt: dagbook_events::ids::AttemptId) -> String {
    format!("DAGBOOK_ATTEMPT_ID={attempt}")
}

#[derive(Default)]
struct Environment(Vec<(String, String)>);

impl Environment {
    fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_string(), value.into()));
    }

    fn set_checked(&mut self, name: &str, value: &str) -> Result<(), StartError> {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(config(format!("`{}` is not a variable's name", name.escape_debug())));
        }
        if value.contains('\0') {
            return Err(config(format!("the variable {name} contains a NUL byte")));
        }
        self.set(name, value);
        Ok(())
    }
}

fn config(message: String) -> StartError {
    StartError::Invalid { kind: StartErrorKind::Config, message }
}
