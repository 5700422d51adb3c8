//! A load in a process of its own, to be killed.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::ledger::{Entry, Ledger};
use crate::servers::wait_for;

/// How long a writer may take to finish.
const PATIENCE: Duration = Duration::from_secs(120);

/// The program `record-writer` at work.
pub struct WriterProcess {
    child: Child,
    /// Held open: the program ends when this does.
    _input: ChildStdin,
    hears: Option<JoinHandle<()>>,
    complains: Option<JoinHandle<String>>,
}

impl WriterProcess {
    /// Starts it where the ledger stands, and enters there what it says.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(
        program: &str,
        store: &str,
        seed: u64,
        callers: u64,
        events: u64,
        ledger: &Arc<Ledger>,
    ) -> Self {
        let numbers = [seed, callers, events].map(|number| number.to_string());
        let mut command = Command::new(program);
        command.arg(store).args(numbers).stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the writer starts");
        let mut input = child.stdin.take().expect("its input");
        let output = child.stdout.take().expect("its output");
        let mut errors = child.stderr.take().expect("its errors");
        let mut earlier = String::new();
        for entry in ledger.entries() {
            earlier += &(serde_json::to_string(&entry).expect("an entry") + "\n");
        }
        // It reads all of them before it says anything. One that ends early says why.
        let _ = input.write_all((earlier + "\n").as_bytes());
        let entered = Arc::clone(ledger);
        let hears = std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = String::new();
            // A line without an end was cut off by the kill: nobody was told.
            while output.read_line(&mut line).is_ok_and(|count| count > 0) && line.ends_with('\n') {
                let entry: Entry = serde_json::from_str(&line).expect("an entry");
                entered.enter(entry);
                line.clear();
            }
        });
        let complains = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        Self { child, _input: input, hears: Some(hears), complains: Some(complains) }
    }

    /// Takes its life, and waits until all that it said is entered.
    ///
    /// # Panics
    /// Where it had ended by itself with a failure.
    pub fn kill(mut self) {
        let ended = self.child.try_wait().expect("it is ours");
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it has ended");
        let complaints = self.hear_all();
        assert!(ended.is_none_or(|status| status.success()), "the writer failed: {complaints}");
    }

    /// Waits until it has enough.
    ///
    /// # Panics
    /// Where it fails or takes too long.
    pub fn finish(mut self) {
        let child = &mut self.child;
        let ended = || -> Option<ExitStatus> { child.try_wait().expect("it is ours") };
        let status = wait_for("a writer to finish", PATIENCE, ended);
        let complaints = self.hear_all();
        assert!(status.success(), "the writer failed: {complaints}");
    }

    fn hear_all(&mut self) -> String {
        if let Some(hears) = self.hears.take() {
            hears.join().expect("every whole line is an entry");
        }
        self.complains
            .take()
            .map_or_else(String::new, |complains| complains.join().expect("its complaints"))
    }
}

impl Drop for WriterProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
