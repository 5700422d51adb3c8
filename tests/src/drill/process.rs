//! A server as a process of its own, to be spoken to and to be killed.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::host::{Request, Said};

/// What a server said so far.
#[derive(Debug, Default)]
struct Heard {
    started: bool,
    leads: Option<u64>,
    ended: bool,
    failed: Option<String>,
    answers: BTreeMap<u64, Said>,
}

/// A running server. It ends when this is dropped.
pub struct ServerProcess {
    child: Child,
    input: Option<ChildStdin>,
    heard: Arc<(Mutex<Heard>, Condvar)>,
    next: u64,
}

impl ServerProcess {
    /// Starts one, with this configuration. What it has to say for people goes to the log.
    ///
    /// # Panics
    /// Where the program cannot be started.
    pub fn start(program: &Path, variables: &BTreeMap<String, String>, log: &Path) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("a log");
        let mut child = Command::new(program)
            .envs(variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the drill's server starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let input = child.stdin.take();
        let heard: Arc<(Mutex<Heard>, Condvar)> = Arc::default();
        let listener = heard.clone();
        std::thread::spawn(move || {
            for line in output.lines() {
                let Ok(line) = line else { break };
                let Ok(said) = serde_json::from_str::<Said>(&line) else { continue };
                let mut heard = listener.0.lock().unwrap_or_else(PoisonError::into_inner);
                match said {
                    Said::Started => heard.started = true,
                    Said::Leads(epoch) => heard.leads = epoch,
                    Said::Failed(reason) => heard.failed = Some(reason),
                    Said::Answer { id, .. } | Said::Readiness { id, .. } => {
                        heard.answers.insert(id, said);
                    }
                }
                listener.1.notify_all();
            }
            listener.0.lock().unwrap_or_else(PoisonError::into_inner).ended = true;
            listener.1.notify_all();
        });
        Self { child, input, heard, next: 0 }
    }

    fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&mut Heard) -> Option<T>,
    ) -> T {
        let deadline = Instant::now() + within;
        let mut heard = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(found) = look(&mut heard) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited {within:?} in vain for {what}: {heard:?}");
            let waited = self.heard.1.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Waits until it has started.
    ///
    /// # Panics
    /// Where it does not.
    pub fn started(&self, within: Duration) {
        self.wait("a server to start", within, |heard| heard.started.then_some(()));
    }

    /// Waits until it leads; says the epoch.
    ///
    /// # Panics
    /// Where it does not.
    pub fn leads(&self, within: Duration) -> u64 {
        self.wait("a server to lead", within, |heard| heard.leads)
    }

    /// The epoch under which it leads now.
    pub fn epoch(&self) -> Option<u64> {
        self.heard.0.lock().unwrap_or_else(PoisonError::into_inner).leads
    }

    /// Why it could not go on, if it said so.
    pub fn failed(&self) -> Option<String> {
        self.heard.0.lock().unwrap_or_else(PoisonError::into_inner).failed.clone()
    }

    /// Sends a request; says its number. A server that is gone answers nothing.
    pub fn send(&mut self, request: impl FnOnce(u64) -> Request) -> u64 {
        self.next += 1;
        let id = self.next;
        let line = serde_json::to_string(&request(id)).expect("plain data");
        if let Some(input) = &mut self.input {
            // Where it was killed, the answer is waited for in vain, which tells.
            let _ = writeln!(input, "{line}");
        }
        id
    }

    /// The answer, where it came within that time: nothing where it was accepted, else why not
    /// and whether it should be asked again. `None`: no answer came, or the server is gone.
    pub fn answer(&self, id: u64, within: Duration) -> Option<Result<(), (String, bool)>> {
        let deadline = Instant::now() + within;
        let mut heard = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(Said::Answer { error, again, .. }) = heard.answers.remove(&id) {
                return Some(error.map_or(Ok(()), |error| Err((error, again))));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || heard.ended {
                return None;
            }
            let waited = self.heard.1.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// How it stands: whether it is ready, and which parts are not well.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn readiness(&mut self) -> (bool, BTreeMap<String, String>) {
        let id = self.send(|id| Request::Ready { id });
        self.wait("an answer about readiness", Duration::from_secs(20), |heard| {
            match heard.answers.remove(&id) {
                Some(Said::Readiness { ready, failing, .. }) => Some((ready, failing)),
                _ => None,
            }
        })
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it with -9.
    ///
    /// # Panics
    /// Where it cannot be killed.
    pub fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    /// Stops it gracefully; says how long that took.
    ///
    /// # Panics
    /// Where it does not stop well.
    pub fn stop(mut self, within: Duration) -> Duration {
        let began = Instant::now();
        self.send(|_| Request::Stop);
        self.wait("a server to stop", within, |heard| heard.ended.then_some(()));
        let status = self.child.wait().expect("it ends");
        assert!(status.success(), "{status}");
        began.elapsed()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
