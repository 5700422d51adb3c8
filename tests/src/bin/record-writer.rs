//! Appends to a store and says each answer as a line of JSON, until it has enough or is killed.
//!
//! `record-writer STORE SEED CALLERS EVENTS`; earlier answers come on standard input, one a
//! line, and an empty line ends them. It ends when its standard input does.

use std::io::Write;
use std::sync::Arc;

use anyhow::Context;
use dagbook_events::journal::clock::SystemClock;
use dagbook_tests::stores;
use dagbook_tests::workload::{Ledger, Load};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, seed, callers, events] = &arguments[..] else {
        anyhow::bail!("record-writer STORE SEED CALLERS EVENTS");
    };
    let ledger = Arc::new(Ledger::default());
    let mut lines = std::io::stdin().lines();
    loop {
        let line = lines.next().context("an empty line ends the earlier answers")??;
        if line.is_empty() {
            break;
        }
        ledger.enter(serde_json::from_str(&line)?);
    }
    // Whoever started this is gone when nothing more can come.
    drop(lines);
    std::thread::spawn(|| {
        while std::io::stdin().lines().next().is_some_and(|line| line.is_ok()) {}
        std::process::exit(0);
    });
    let load = Load::new(seed.parse()?, callers.parse()?, events.parse()?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = stores::open(address, Arc::new(SystemClock)).await?;
        let tell = |entry: &_| {
            let line = serde_json::to_string(entry).unwrap_or_default() + "\n";
            // A line that nobody can hear any more is an answer that nobody got.
            let _ = std::io::stdout().lock().write_all(line.as_bytes());
        };
        load.run_telling(store, Arc::clone(&ledger), tell).await;
        anyhow::Ok(())
    })?;
    let surprises = ledger.surprises();
    anyhow::ensure!(surprises.is_empty(), "{}", surprises.join("\n"));
    if let Some(reason) = ledger.stopped() {
        anyhow::bail!("stopped: {reason}");
    }
    Ok(())
}
