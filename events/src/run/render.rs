//! From a planned task to what an executor is asked: every expression gets its value here.

use std::collections::BTreeMap;

use super::state::{RunState, UnitRef};
use super::view;
use crate::dag::{Action, ExprError, ProgramTemplate, Scope, TaskTemplate, Template};
use crate::digest::Sha256Digest;
use crate::ids::{AttemptId, Epoch, RunId, StepKey};
use crate::step::{
    ArtifactRef, AttemptLimits, AttemptSpec, EnvVar, InputFile, Placement, Program, Workspace,
};
use crate::time::Timestamp;
use crate::trace::SpanId;
use crate::value::Value;

/// The id of an attempt: a UUIDv7 whose random part is derived from run, step and number, so
/// that the same decision gives the same id wherever it is taken again.
pub(super) fn attempt_id(run: RunId, key: &StepKey, epoch: Epoch, at: Timestamp) -> AttemptId {
    let digest = Sha256Digest::of_parts(&[
        run.0.as_bytes(),
        key.as_str().as_bytes(),
        &epoch.0.to_be_bytes(),
    ]);
    let mut random = [0; 10];
    random.copy_from_slice(&digest.0[..10]);
    let millis = u64::try_from(at.0).unwrap_or(0);
    AttemptId(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// The spec of a unit's attempt, or why an expression in it has no value.
pub(super) fn spec(
    state: &RunState,
    at: UnitRef,
    attempt: AttemptId,
    epoch: Epoch,
) -> Result<AttemptSpec, String> {
    let planned = state.planned(at.step);
    let Action::Task(task) = &planned.action else {
        return Err("the step has nothing to execute".to_string());
    };
    let run = view::run_facts(state);
    let facts = state.facts();
    let parts = view::with_scope(state, at, &run, |scope| evaluate(task, scope))?;
    Ok(AttemptSpec {
        attempt,
        epoch,
        tenant: facts.tenant.clone(),
        run: facts.run,
        pipeline: facts.pipeline.clone(),
        step: state.key(at),
        executor: task.executor.clone(),
        program: parts.program,
        image: parts.image,
        workspace: workspace(state, task),
        env: parts.env,
        secrets: task.secrets.clone(),
        inputs: parts.inputs,
        artifacts: task.artifacts.clone(),
        outputs: task.outputs.keys().cloned().collect(),
        resources: task.resources.clone(),
        limits: AttemptLimits {
            run: planned.timeouts.attempt,
            heartbeat: planned.timeouts.heartbeat,
            ..AttemptLimits::default()
        },
        placement: parts.placement,
        traceparent: facts.span().with_span(SpanId::of_attempt(attempt)).to_string(),
    })
}

struct Parts {
    program: Program,
    image: Option<String>,
    env: Vec<EnvVar>,
    inputs: Vec<InputFile>,
    placement: Placement,
}

fn evaluate(task: &TaskTemplate, scope: &Scope<'_>) -> Result<Parts, String> {
    let text = |template: &Template| template.render(scope).map_err(|e: ExprError| e.to_string());
    let program = match &task.program {
        ProgramTemplate::Script { interpreter, text } => {
            Program::Script { interpreter: interpreter.clone(), text: text.clone() }
        }
        ProgramTemplate::Command(argv) => {
            Program::Command { argv: argv.iter().map(text).collect::<Result<_, _>>()? }
        }
    };
    let env =
        task.env.iter().map(|(name, value)| Ok(EnvVar { name: name.clone(), value: text(value)? }));
    let labels = |templates: &BTreeMap<String, Template>| {
        templates.iter().map(|(k, v)| Ok((k.clone(), text(v)?))).collect::<Result<_, String>>()
    };
    Ok(Parts {
        program,
        image: task.image.as_ref().map(text).transpose()?,
        env: env.collect::<Result<_, String>>()?,
        inputs: inputs(task, scope)?,
        placement: Placement { require: labels(&task.require)?, prefer: labels(&task.prefer)? },
    })
}

/// One artifact goes to the path itself; a list of them to `path/0`, `path/1`, ….
fn inputs(task: &TaskTemplate, scope: &Scope<'_>) -> Result<Vec<InputFile>, String> {
    let mut files = Vec::new();
    for (path, template) in &task.inputs {
        let value = template.evaluate(scope).map_err(|e| e.to_string())?;
        let artifact = |value: &Value| {
            ArtifactRef::from_value(value).ok_or_else(|| {
                format!("input `{path}`: `{}` is not an artifact", template.source())
            })
        };
        match &value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let path = format!("{path}/{index}");
                    files.push(InputFile { path, artifact: artifact(item)? });
                }
            }
            one => files.push(InputFile { path: path.clone(), artifact: artifact(one)? }),
        }
    }
    Ok(files)
}

fn workspace(state: &RunState, task: &TaskTemplate) -> Workspace {
    let source = &state.facts().source;
    // A DAG file's own folder, below the root of the bundle.
    let below = source.bundle.entry.rsplit_once('/').map(|(parent, _)| parent);
    match (&source.folder, source.archive) {
        _ if task.empty_workspace => Workspace::Empty,
        (_, Some(archive)) => {
            Workspace::Source { archive, path: below.unwrap_or_default().to_string() }
        }
        (Some(folder), None) => {
            let path = below.map(|parent| format!("{folder}/{parent}"));
            Workspace::Folder { path: path.unwrap_or_else(|| folder.clone()) }
        }
        (None, None) => Workspace::Empty,
    }
}
