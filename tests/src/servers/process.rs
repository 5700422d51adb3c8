//! A server's process: started by a thread that lives as long as the tests do, ended by its
//! number.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::wait::wait_for;

/// How long a server may take to go after it was asked to.
const PATIENCE: Duration = Duration::from_secs(15);
/// Lines of a server's log that a failure shows.
const SHOWN_LINES: usize = 30;

/// A running server.
pub struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// Somebody else than root, for servers that refuse root.
pub const NOBODY: &[&str] = &["--reuid=nobody", "--regid=nogroup", "--clear-groups"];

/// Whether we are root.
pub fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// A command that ends with this process, by the signal named.
pub fn tied(signal: &str, program: &Path, as_nobody: bool) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--pdeathsig={signal}"));
    if as_nobody && is_root() {
        command.args(NOBODY);
    }
    // A working folder that everyone can read.
    command.arg("--").arg(program).current_dir("/").stdin(Stdio::null());
    command
}

impl Process {
    /// Starts it with its output going to the end of a file.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(name: &'static str, mut command: Command, log: &Path) -> Self {
        let file = File::options().create(true).append(true).open(log);
        let file = file.unwrap_or_else(|error| panic!("no log for {name}: {error}"));
        let copy = file.try_clone().expect("a second handle of the log");
        command.stdout(file).stderr(copy).process_group(0);
        let child = spawn(command).unwrap_or_else(|error| {
            panic!("{name} cannot be started ({error}); is `setpriv` (util-linux) installed?")
        });
        Self { name, child, log: log.to_path_buf() }
    }

    /// Its number.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_some())
    }

    /// Waits until a check of it succeeds. `false`: it ended instead.
    ///
    /// # Panics
    /// After the deadline, with the end of its log.
    pub fn ready(&mut self, deadline: Duration, mut check: impl FnMut() -> bool) -> bool {
        let started = Instant::now();
        let name = self.name;
        wait_for(name, deadline * 2, || {
            if check() {
                return Some(true);
            }
            if started.elapsed() > deadline {
                panic!("{name} did not answer within {deadline:?}:\n{}", self.log_tail());
            }
            self.ended().then_some(false)
        })
    }

    /// The last lines it wrote.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(SHOWN_LINES)..].join("\n")
    }

    /// Asks it to go, and takes its life where it does not go.
    pub fn end(mut self, signal: Signal) {
        send(self.child.id(), signal);
        let asked = Instant::now();
        while !self.ended() && asked.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(2));
        }
        if !self.ended() {
            eprintln!("warning: {} did not stop within {PATIENCE:?} and is killed", self.name);
            self.kill();
        }
    }

    /// Takes its life, and that of its children, at once: nothing of it runs on afterwards.
    pub fn kill(mut self) {
        // Held still first, so that it cannot start another child meanwhile.
        send(self.child.id(), Signal::STOP);
        let children = children_of(self.child.id());
        for child in &children {
            send(*child, Signal::KILL);
        }
        send(self.child.id(), Signal::KILL);
        let _ = self.child.wait();
        wait_for("the children of a killed server to be gone", PATIENCE, || {
            children.iter().all(|child| gone(*child)).then_some(())
        });
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if !self.ended() {
            for child in children_of(self.child.id()) {
                send(child, Signal::KILL);
            }
            send(self.child.id(), Signal::KILL);
            let _ = self.child.wait();
        }
    }
}

fn send(process: u32, signal: Signal) {
    let process = i32::try_from(process).ok().and_then(Pid::from_raw);
    if let Some(process) = process {
        // It may be gone already.
        let _ = kill_process(process, signal);
    }
}

/// Processes whose parent it is.
fn children_of(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    processes.filter(|process| stat_of(*process).is_some_and(|stat| stat.1 == parent)).collect()
}

/// Gone, or dead and waiting for somebody to notice.
fn gone(process: u32) -> bool {
    stat_of(process).is_none_or(|(state, _)| matches!(state, 'Z' | 'X'))
}

/// State and parent of a process.
fn stat_of(process: u32) -> Option<(char, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it is in parentheses and may hold anything.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut words = rest.split_whitespace();
    Some((words.next()?.chars().next()?, words.next()?.parse().ok()?))
}

type Order = (Command, Sender<std::io::Result<Child>>);

/// Starts a process from a thread that never ends. The signal that ends a server with us is
/// sent when the thread that started it ends, and a test's threads come and go.
fn spawn(command: Command) -> std::io::Result<Child> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let starter = STARTER.get_or_init(|| {
        let (sender, orders) = channel::<Order>();
        std::thread::spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        });
        sender
    });
    let (sender, answer) = channel();
    let lost = || std::io::Error::other("the thread that starts servers is gone");
    starter.send((command, sender)).map_err(|_| lost())?;
    answer.recv().map_err(|_| lost())?
}
