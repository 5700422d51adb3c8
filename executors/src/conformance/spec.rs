//! Specs for tests.

use dagbook_events::ids::{AttemptId, Epoch, RunId, StepKey, TenantId};
use dagbook_events::step::{AttemptLimits, AttemptSpec, Placement, Program, Resources, Workspace};
use dagbook_events::time::Millis;
use uuid::Uuid;

/// A spec with a fresh attempt id that runs an argument vector in an empty folder.
pub fn command(argv: &[&str]) -> AttemptSpec {
    AttemptSpec {
        attempt: AttemptId(Uuid::now_v7()),
        epoch: Epoch(1),
        tenant: TenantId::new("acme").expect("a valid tenant"),
        run: RunId(Uuid::now_v7()),
        pipeline: "conformance".to_string(),
        step: StepKey::new("step"),
        executor: "local".to_string(),
        program: Program::Command { argv: argv.iter().map(ToString::to_string).collect() },
        image: None,
        workspace: Workspace::Empty,
        env: Vec::new(),
        secrets: Vec::new(),
        inputs: Vec::new(),
        artifacts: Vec::new(),
        outputs: Vec::new(),
        resources: Resources::default(),
        limits: AttemptLimits { grace: Millis(10_000), ..AttemptLimits::default() },
        placement: Placement::default(),
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_string(),
    }
}

/// A spec that runs a script with `sh -eu`.
pub fn shell(text: &str) -> AttemptSpec {
    let interpreter = vec!["sh".to_string(), "-eu".to_string()];
    AttemptSpec { program: Program::Script { interpreter, text: text.to_string() }, ..command(&[]) }
}
