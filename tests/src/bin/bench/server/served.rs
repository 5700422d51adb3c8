//! The real program serving, with what it needs around it, and what the kernel says of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dagbook_tests::servers::{Nats, NatsVersion, Postgres, PostgresVersion, free_port};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use super::StoreChoice;
use super::client::Client;

/// How long the program may take to say where it listens, and to be ready.
const READY: Duration = Duration::from_secs(60);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(40);
/// No measurement is to measure these.
const LIMITS: &str = "per_token = 60000000\nper_token_burst = 1000000\nconcurrent = 4096\n\
                      followers = 2048\nfollowers_per_tenant = 2048";

/// Where a server keeps its record: nothing but a folder, or two servers of its own.
pub struct Site {
    folder: TempDir,
    servers: Option<(Postgres, Nats)>,
}

impl Site {
    /// An empty one, with its data below the folder.
    pub fn new(store: StoreChoice, within: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(within)?;
        let servers = (store == StoreChoice::Postgres).then(|| {
            // Its data is on the disk that is asked about, not in memory.
            let settings = [("max_wal_size", "4GB"), ("shared_buffers", "256MB")];
            let version = PostgresVersion::Debian;
            let postgres = Postgres::start_in(Some(within), version, &settings);
            let nats = match NatsVersion::Current.available() {
                true => NatsVersion::Current,
                false => NatsVersion::Debian,
            };
            (postgres, Nats::start_in(Some(within), nats, ""))
        });
        Ok(Self { folder, servers })
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its Postgres.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.servers.as_ref().map(|(postgres, _)| postgres)
    }

    /// What configures the program, and nothing else of our environment but the search path.
    fn configure(&self, command: &mut Command) {
        command
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder())
            .env("DAGBOOK_DATA", self.folder().join("data"))
            .env("DAGBOOK_HTTP_LIMITS", LIMITS);
        if let Some((postgres, nats)) = &self.servers {
            command.env("DAGBOOK_STORE", postgres.url()).env("DAGBOOK_BUS", nats.url());
        }
    }
}

/// `dagbook serve`. Ended with its value.
pub struct Served {
    child: Child,
    /// Who asks it.
    pub client: Client,
    /// From the start of the program to its first answer of `readyz` that says yes.
    pub ready_after: Duration,
    /// When the program was started.
    pub started: Instant,
}

impl Served {
    /// Starts it on an empty site.
    pub async fn start(program: &Path, site: &Site) -> Result<Self> {
        let address = format!("127.0.0.1:{}", free_port());
        // It ends with us, however we end; this program makes way for it at once.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig=TERM", "--"]).arg(program);
        command.args(["serve", "--output", "json", "--listen", &address]);
        site.configure(&mut command);
        let log = fs::File::create(site.folder().join("serve.log"))?;
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let started = Instant::now();
        let spawned = command.spawn();
        let mut child = spawned.context("`setpriv` (util-linux) cannot be started")?;
        let said = child.stdout.take().context("a pipe")?;
        let announced = std::thread::spawn(move || announced(said));
        let mut this =
            Self { child, client: Client::new(&address)?, ready_after: Duration::ZERO, started };
        while !this.client.is_ready().await {
            let ended = this.child.try_wait()?;
            let late = this.started.elapsed() > READY;
            if ended.is_some() || late {
                bail!("the server is not ready: {}", tail(site));
            }
            // Short against what is measured.
            tokio::time::sleep(Duration::from_micros(500)).await;
        }
        this.ready_after = this.started.elapsed();
        let announced = tokio::task::spawn_blocking(|| announced.join()).await?;
        let announced = announced.ok().context("the reading of its output failed")??;
        let token = announced["admin_token"].as_str().context("the first token")?;
        this.client.authorize(token)?;
        Ok(this)
    }

    /// Resident memory now, and at its most, in MiB.
    pub fn memory(&self) -> Result<(f64, f64)> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
            Some(kib / 1_024.0)
        };
        mib("VmRSS:").zip(mib("VmHWM:")).context("the kernel says nothing of its memory")
    }

    /// Processor time that it has used, without that of its children.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in brackets may hold anything.
        let (_, rest) = stat.rsplit_once(')').context("its state")?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
        let (user, system) = ticks(11).zip(ticks(12)).context("its processor time")?;
        let tick = 1.0 / rustix::param::clock_ticks_per_second() as f64;
        Ok(Duration::from_secs_f64((user + system) as f64 * tick))
    }

    /// Asks it to stop, and waits for that.
    pub async fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.child.id())?;
        kill_process(Pid::from_raw(id).context("a process")?, Signal::TERM)?;
        let asked = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(status.success(), "the server ended with {status}");
                return Ok(());
            }
            ensure!(asked.elapsed() < STOP, "the server does not stop");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// What it prints when it serves: one JSON object over several lines.
fn announced(said: impl std::io::Read) -> Result<Value> {
    let mut text = String::new();
    for line in BufReader::new(said).lines() {
        text.push_str(&line?);
        if let Ok(value) = serde_json::from_str(&text) {
            return Ok(value);
        }
    }
    bail!("the server did not say where it listens")
}

fn tail(site: &Site) -> String {
    let text = fs::read_to_string(site.folder().join("serve.log")).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
