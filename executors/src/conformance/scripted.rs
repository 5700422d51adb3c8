//! Worlds of the scripted executor.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::ids::{AttemptId, RunId, StepKey};
use dagbook_events::step::{AttemptSpec, Outcome, StartErrorKind};

use super::spec::command;
use super::world::{Act, Factory, Setup, World};
use crate::port::Executor;
use crate::scripted::{Behavior, Script, ScriptedExecutor, Starting};

/// Makes scripted executors.
#[derive(Debug, Default)]
pub struct ScriptedFactory;

#[async_trait]
impl Factory for ScriptedFactory {
    fn name(&self) -> &str {
        "scripted"
    }

    async fn world(&self, setup: Setup) -> Result<Box<dyn World>, String> {
        let script = script().slots(setup.slots.unwrap_or(0)).measuring(setup.measure_every);
        let executor = ScriptedExecutor::with_clock("scripted", script, setup.clock);
        Ok(Box::new(ScriptedWorld { executor: Arc::new(executor) }))
    }
}

/// Every act that needs no process, under a step name of its own.
fn script() -> Script {
    let forever = Duration::from_secs(3_600);
    let endless = || Behavior::endless().printing("ready\ncleanup\n");
    let missing = "the program does not exist".to_string();
    let mut script = Script::new()
        .on("endless", [Behavior::endless()])
        .on("clean_up", [endless().stopping_after(Duration::from_millis(20))])
        .on("ignore_term", [endless().stopping_after(forever)])
        .on(
            "missing",
            [Behavior::default().starting(Starting::Invalid(StartErrorKind::Image, missing))],
        );
    for code in 0..256 {
        script = script.on(&format!("exit_{code}"), [Behavior::exits(code)]);
    }
    for signal in 1..32 {
        let killed = Behavior::ends(Outcome::Signaled { signal });
        script = script.on(&format!("signal_{signal}"), [killed]);
    }
    for ms in SLEEPS {
        let sleep = Behavior::default().running_for(Duration::from_millis(ms));
        script = script.on(&format!("sleep_{ms}"), [sleep]);
    }
    for text in TEXTS {
        script = script.on(&text_name(text), [Behavior::default().printing(text)]);
    }
    script
}

/// The lengths and texts that the cases use.
const SLEEPS: [u64; 4] = [0, 5, 20, 400];
const TEXTS: [&[u8]; 3] = [b"once\n", b"first\nno newline", super::cases::OFFSETS_TEXT];

fn text_name(text: &[u8]) -> String {
    format!("print_{:08x}", crc32fast::hash(text))
}

struct ScriptedWorld {
    executor: Arc<ScriptedExecutor>,
}

#[async_trait]
impl World for ScriptedWorld {
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::clone(&self.executor) as Arc<dyn Executor>
    }

    async fn crash(&mut self) {
        self.executor = Arc::new(self.executor.restarted());
    }

    async fn boot(&mut self) {}

    async fn spec(&self, act: Act) -> Result<AttemptSpec, String> {
        let step = match act {
            Act::Exit(code) => format!("exit_{code}"),
            Act::Signal(signal) => format!("signal_{signal}"),
            Act::Sleep(span) => format!("sleep_{}", span.as_millis()),
            Act::Endless => "endless".to_string(),
            Act::CleanUp => "clean_up".to_string(),
            Act::IgnoreTerm => "ignore_term".to_string(),
            Act::Print(text) => text_name(&text),
            Act::MissingProgram => "missing".to_string(),
            Act::Shell(_) | Act::Tool(_) => {
                return Err("this executor runs no programs: declare the case".to_string());
            }
        };
        Ok(AttemptSpec { step: StepKey::new(&step), ..command(&["scripted"]) })
    }

    fn has_ended(&self, attempt: AttemptId) -> bool {
        self.executor.has_ended(attempt)
    }

    fn kill_step(&self, attempt: AttemptId, _pid: Option<u32>) {
        self.executor.end(attempt, Outcome::Signaled { signal: 9 });
    }

    fn kill_supervisor(&self, _attempt: AttemptId) -> bool {
        false
    }

    fn survivors(&self, attempt: AttemptId) -> usize {
        usize::from(self.executor.is_running(attempt))
    }

    fn remains(&self, attempt: AttemptId) -> Vec<String> {
        match self.executor.executions(attempt) {
            0 => Vec::new(),
            n => vec![format!("{n} executions are remembered")],
        }
    }

    fn fill_log_disk(&self, _run: RunId, _attempt: AttemptId) -> Result<(), String> {
        Err("there is no disk: declare the case".to_string())
    }

    fn attempt_dir(&self, _attempt: AttemptId) -> Option<PathBuf> {
        None
    }
}
