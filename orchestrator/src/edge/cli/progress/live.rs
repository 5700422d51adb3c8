//! Moving lines: one for each step that goes on (spinner, elapsed, attempt, last line of its
//! log), a bar for each fan-out; what is done scrolls away above them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dagbook_events::dag::StepIndex;
use dagbook_events::ids::AttemptId;
use dagbook_events::run::{RunEvent, RunFact, RunState, StepBody, UnitStatus};
use dagbook_events::time::Timestamp;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Progress;
use super::plain::style;
use super::words::{Mood, sentence, sign};

/// Lines at one time: a terminal has no more room, and the rest is counted.
const LINES_MAX: usize = 12;

/// Draws on stderr.
pub struct Live {
    screen: MultiProgress,
    lines: BTreeMap<StepIndex, ProgressBar>,
    tail: ProgressBar,
    logs: Option<PathBuf>,
    width: usize,
}

impl Live {
    /// A display that reads last lines from the logs of a run in this folder, if they are here.
    pub fn new(logs: Option<PathBuf>) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12));
        let tail = screen.add(ProgressBar::new_spinner());
        tail.set_style(template("  {msg:.dim}"));
        let width = rustix::termios::tcgetwinsize(rustix::stdio::stderr())
            .map_or(100, |size| usize::from(size.ws_col.max(40)));
        Self { screen, lines: BTreeMap::new(), tail, logs, width }
    }

    fn say(&self, text: &str) {
        // Nobody to tell when the terminal is gone.
        let _ = self.screen.println(text);
    }

    fn update(&mut self, state: &RunState, step: StepIndex, now: Timestamp) {
        let status = state.step_status(step);
        let going = match &state.step(step).body {
            StepBody::Single(unit) => {
                matches!(
                    unit.status,
                    UnitStatus::Active(..) | UnitStatus::Held(_) | UnitStatus::Backoff(_)
                )
            }
            StepBody::FanOut(_) => !status.is_done(),
        };
        if !going {
            if let Some(line) = self.lines.remove(&step) {
                line.finish_and_clear();
                self.screen.remove(&line);
            }
            return;
        }
        if !self.lines.contains_key(&step) {
            if self.lines.len() >= LINES_MAX {
                return;
            }
            let line = self.screen.insert_before(&self.tail, ProgressBar::new_spinner());
            self.lines.insert(step, line);
        }
        let line = &self.lines[&step];
        match &state.step(step).body {
            StepBody::Single(_) => self.draw_unit(line, state, step, now),
            StepBody::FanOut(fan) => {
                line.set_style(template("{spinner:.cyan} {prefix:.bold} {wide_bar:.green} {msg}"));
                line.set_length(fan.children.len() as u64);
                line.set_position(u64::from(fan.done));
                line.set_prefix(state.planned(step).name.to_string());
                let failed = match fan.failed {
                    0 => String::new(),
                    n => format!("  {n} failed"),
                };
                let elapsed = now.since(fan.since);
                let (done, all) = (fan.done, fan.children.len());
                line.set_message(format!("{done}/{all}  {} at once{failed}  {elapsed}", fan.busy));
                line.tick();
            }
        }
    }

    fn draw_unit(&self, line: &ProgressBar, state: &RunState, step: StepIndex, now: Timestamp) {
        let unit = dagbook_events::run::UnitRef { step, child: None };
        let unit = state.unit(unit);
        line.set_style(template("{spinner:.cyan} {prefix:.bold} {msg}"));
        line.set_prefix(state.planned(step).name.to_string());
        let attempt =
            if unit.epoch.0 > 1 { format!(" (attempt {})", unit.epoch) } else { String::new() };
        let last = match unit.attempt() {
            Some((attempt, _)) => match &self.logs {
                Some(logs) => last_line(logs, attempt),
                None => unit.status.as_str().replace('_', " "),
            },
            None => unit.status.as_str().replace('_', " "),
        };
        let elapsed = now.since(unit.span.0).to_string();
        let name = state.planned(step).name.as_str().chars().count();
        let room = self.width.saturating_sub(name + elapsed.len() + attempt.len() + 8);
        let last: String = last.chars().take(room).collect();
        line.set_message(format!("{elapsed}{attempt}  {last}"));
        line.tick();
    }
}

impl Progress for Live {
    fn facts(&mut self, state: &RunState, facts: &[RunFact]) {
        for fact in facts {
            let Some((subject, mood, text)) = sentence(state, fact) else { continue };
            if !is_news(&fact.event, mood, &subject) {
                continue;
            }
            let status = state.find(&dagbook_events::ids::StepKey::new(&subject));
            let mark = status.map_or("•", |unit| sign(state.unit(unit).status));
            let style = style(mood);
            self.say(&format!("{style}{mark} {subject}{style:#} {text}"));
        }
    }

    fn tick(&mut self, state: &RunState, now: Timestamp) {
        let count = u32::try_from(state.steps.len()).unwrap_or(u32::MAX);
        for index in 0..count {
            self.update(state, StepIndex(index), now);
        }
        let done = count - state.open_main - state.open_finally;
        let elapsed = now.since(state.submitted_at);
        self.tail.set_message(format!("{done} of {count} steps, {elapsed}"));
        self.tail.tick();
    }

    fn note(&mut self, text: &str) {
        self.say(text);
    }

    fn close(&mut self) {
        for line in std::mem::take(&mut self.lines).into_values() {
            line.finish_and_clear();
        }
        self.tail.finish_and_clear();
    }
}

/// Starts are shown by the moving lines, and so is the good end of one child of many.
fn is_news(event: &RunEvent, mood: Mood, subject: &str) -> bool {
    match event {
        RunEvent::AttemptStarted(_) | RunEvent::StepExpanded(_) => false,
        RunEvent::AttemptExited(_) | RunEvent::StepReused(_) => {
            mood != Mood::Good || !subject.contains('[')
        }
        _ => true,
    }
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

/// The last full line of an attempt's log, control characters left out.
fn last_line(folder: &std::path::Path, attempt: AttemptId) -> String {
    use std::io::{Read, Seek, SeekFrom};
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(folder.join(format!("{attempt}.log")))?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(2_048)))?;
        let mut bytes = Vec::new();
        file.take(2_048).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let line = text.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).collect()
}
