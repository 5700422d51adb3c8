//! Which attempts are shown, and how far each was read.

use dagbook_events::ids::{AttemptId, RunId, StepKey};
use dagbook_events::project::RunView;
use dagbook_events::run::UnitStatus;
use dagbook_executors::{LogError, local::read_log};

use super::lines::{Lines, Source};
use super::origin::Logs;
use super::stream::{LogStream, Piece};
use super::tail;
use crate::client::Client;
use crate::edge::cli::CliError;

/// Bytes read at one time.
const CHUNK: usize = 256 << 10;

/// Logs of a server that are read at one time; the others wait for their turn.
const AT_ONE_TIME: usize = 48;

/// The attempts that are shown.
pub struct Chosen {
    run: RunId,
    /// The step or child; none: all.
    wanted: Option<StepKey>,
    number: Option<u32>,
    tail: Option<u64>,
    place: Logs,
    logs: Vec<OpenLog>,
}

struct OpenLog {
    source: Source,
    offset: u64,
    closed: bool,
    /// Comes from a server, once its turn has come.
    stream: Option<LogStream>,
    /// The attempt ended: a log that is not there will not come.
    ended: bool,
}

impl Chosen {
    pub fn new(
        run: RunId,
        wanted: Option<StepKey>,
        number: Option<u32>,
        tail: Option<u64>,
        place: Logs,
    ) -> Self {
        Self { run, wanted, number, tail, place, logs: Vec::new() }
    }

    /// Whether the output can only be of one step or child: then lines need no name.
    pub fn is_one(&self, view: &RunView) -> bool {
        self.wanted.as_ref().is_some_and(|key| view.state.find(key).is_some())
            && self.wanted.as_ref().is_some_and(|key| !fans_out(view, key))
    }

    /// Finds attempts that are to be shown and were not seen before.
    pub fn look(&mut self, view: &RunView) -> Result<(), CliError> {
        for (at, _) in view.state.units() {
            let key = view.state.key(at);
            if !self.takes(&key) {
                continue;
            }
            let attempts = view.attempts_of(&key);
            let first_time = !self.logs.iter().any(|log| log.source.step == key);
            let newest = attempts.last().map(|a| a.epoch.0);
            for attempt in attempts {
                let shown = match self.number {
                    Some(number) => attempt.epoch.0 == number,
                    // At first the last one; later every further one.
                    None => !first_time || Some(attempt.epoch.0) == newest,
                };
                let ended = attempt.end.is_some();
                let mut logs = self.logs.iter_mut();
                if let Some(log) = logs.find(|log| log.source.attempt == attempt.attempt) {
                    log.ended = ended;
                } else if shown && self.is_news(&key, attempt.epoch.0) {
                    self.open(key.clone(), attempt.attempt, attempt.epoch.0, ended)?;
                }
            }
        }
        Ok(())
    }

    /// Later than what is shown of that step already.
    fn is_news(&self, key: &StepKey, number: u32) -> bool {
        let of_step = self.logs.iter().filter(|log| log.source.step == *key);
        of_step.map(|log| log.source.number).max().is_none_or(|shown| number > shown)
    }

    fn takes(&self, key: &StepKey) -> bool {
        match &self.wanted {
            None => true,
            Some(wanted) => key == wanted || key.split().0 == wanted.as_str(),
        }
    }

    fn open(
        &mut self,
        step: StepKey,
        attempt: AttemptId,
        number: u32,
        ended: bool,
    ) -> Result<(), CliError> {
        let offset = match (&self.place, self.tail) {
            (Logs::Folder(folder), Some(count)) => tail::start(folder, self.run, attempt, count)?,
            _ => 0,
        };
        let source = Source { step, attempt, number };
        self.logs.push(OpenLog { source, offset, closed: false, stream: None, ended });
        Ok(())
    }

    /// Hands on what is new in each log; says whether there was anything.
    pub fn read(&mut self, lines: &mut Lines) -> Result<bool, CliError> {
        match self.place.clone() {
            Logs::Folder(folder) => self.read_files(&folder, lines),
            Logs::Server(client, follow) => self.read_streams(&client, follow, lines),
        }
    }

    fn read_files(
        &mut self,
        folder: &std::path::Path,
        lines: &mut Lines,
    ) -> Result<bool, CliError> {
        let mut moved = false;
        for log in self.logs.iter_mut().filter(|log| !log.closed) {
            loop {
                let attempt = log.source.attempt;
                match read_log(folder, self.run, attempt, log.offset, CHUNK) {
                    Ok(chunk) => {
                        if !chunk.bytes.is_empty() {
                            lines.add(&log.source, chunk.offset, &chunk.bytes)?;
                            moved = true;
                        }
                        log.offset = chunk.next_offset();
                        log.closed = chunk.is_end();
                        if chunk.bytes.is_empty() || log.closed {
                            break;
                        }
                    }
                    Err(LogError::Missing(_)) => {
                        log.closed = log.ended;
                        break;
                    }
                    Err(error) => return Err(CliError::unavailable(error.to_string())),
                }
            }
            if log.closed {
                lines.end(&log.source)?;
            }
        }
        Ok(moved)
    }

    fn read_streams(
        &mut self,
        client: &Client,
        follow: bool,
        lines: &mut Lines,
    ) -> Result<bool, CliError> {
        let (mut moved, mut open) = (false, 0);
        let (run, tail) = (self.run, self.tail);
        for log in self.logs.iter_mut().filter(|log| !log.closed) {
            open += 1;
            if open > AT_ONE_TIME {
                break;
            }
            let source = &log.source;
            let stream = log.stream.get_or_insert_with(|| {
                LogStream::open(client, run, &source.step, source.number, follow, tail)
            });
            loop {
                match stream.take()? {
                    Piece::Bytes(piece) => {
                        lines.add(source, piece.offset, &piece.bytes)?;
                        log.offset = piece.offset + piece.bytes.len() as u64;
                        moved = true;
                    }
                    Piece::Nothing => break,
                    Piece::End => {
                        log.closed = true;
                        lines.end(source)?;
                        break;
                    }
                }
            }
        }
        Ok(moved)
    }

    /// Whether what is there now was read: files are at once.
    pub fn is_read_for_now(&self) -> bool {
        matches!(self.place, Logs::Folder(_)) || self.is_read()
    }

    /// Whether no further attempt can come.
    pub fn is_over(&self, view: &RunView) -> bool {
        if view.state.is_finished() {
            return true;
        }
        match (&self.wanted, self.number) {
            (None, _) => false,
            (Some(key), Some(number)) => view.attempts_of(key).len() >= number as usize,
            (Some(key), None) => match view.state.find(key) {
                Some(at) => view.state.unit(at).status.is_done(),
                None => view
                    .state
                    .find_step(key.as_str())
                    .is_none_or(|step| UnitStatus::is_done(view.state.step_status(step))),
            },
        }
    }

    /// Whether every log was read to its end.
    pub fn is_read(&self) -> bool {
        self.logs.iter().all(|log| log.closed)
    }

    /// Whether there is no byte at all.
    pub fn is_empty(&self) -> bool {
        self.logs.iter().all(|log| log.offset == 0)
    }

    /// Steps whose logs lost bytes to their limit.
    pub fn dropped(&self, view: &RunView) -> Vec<(StepKey, u64)> {
        let lossy = self.logs.iter().filter_map(|log| {
            let attempts = view.attempts_of(&log.source.step);
            let attempt = attempts.iter().find(|a| a.attempt == log.source.attempt)?;
            let dropped = attempt.end.as_ref()?.log.dropped_bytes;
            (dropped > 0).then(|| (log.source.step.clone(), dropped))
        });
        lossy.collect()
    }
}

fn fans_out(view: &RunView, key: &StepKey) -> bool {
    let Some(step) = view.state.find_step(key.as_str()) else { return false };
    view.state.planned(step).fan_out != dagbook_events::dag::FanOut::None
}
