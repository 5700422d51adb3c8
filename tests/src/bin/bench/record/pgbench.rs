//! What Postgres's own program makes of one-row inserts.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, ensure};
use tokio::process::Command;
use tokio_postgres::config::Host;

use super::LEAF_BYTES;

/// Inserts one row a transaction with so many clients for so many seconds, and says the rate.
///
/// # Errors
/// Where the program is missing, or cannot connect.
pub async fn inserts(
    program: &PathBuf,
    database: &tokio_postgres::Config,
    clients: usize,
    seconds: u64,
) -> anyhow::Result<f64> {
    let script = tempfile::NamedTempFile::new()?;
    let body = "78".repeat(LEAF_BYTES);
    std::fs::write(
        script.path(),
        format!(
            "INSERT INTO pgbench_row (stream, version, leaf_hash, leaf) \
             VALUES (:client_id, 1, '\\x{}', '\\x{body}');\n",
            "00".repeat(32)
        ),
    )?;
    let mut command = Command::new(program);
    command.args(["--no-vacuum", "--protocol=prepared", "--jobs=2"]);
    command.args([format!("--client={clients}"), format!("--time={seconds}")]);
    command.arg("--file").arg(script.path());
    if let Some(host) = database.get_hosts().first() {
        match host {
            Host::Tcp(name) => command.arg("--host").arg(name),
            Host::Unix(folder) => command.arg("--host").arg(folder),
        };
    }
    if let Some(port) = database.get_ports().first() {
        command.arg(format!("--port={port}"));
    }
    if let Some(user) = database.get_user() {
        command.arg("--username").arg(user);
    }
    if let Some(password) = database.get_password() {
        // Not on the command line, where everybody could read it.
        command.env("PGPASSWORD", String::from_utf8_lossy(password).into_owned());
    }
    command.arg(database.get_dbname().context("a database")?);
    let output = command.stdin(Stdio::null()).output().await;
    let output = output.with_context(|| format!("{} cannot be run", program.display()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "pgbench failed: {}{text}",
        String::from_utf8_lossy(&output.stderr)
    );
    let line = text.lines().find(|line| line.starts_with("tps = "));
    let rate = line.and_then(|line| line.split_whitespace().nth(2));
    rate.and_then(|rate| rate.parse().ok()).with_context(|| format!("pgbench said: {text}"))
}
