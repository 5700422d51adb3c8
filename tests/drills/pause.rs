//! The leader stands still for longer than its lease, as a machine that swaps or a guest that was
//! suspended, and goes on after another one leads: what it had on its way reaches nobody, and it
//! starts nothing more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use dagbook_tests::drill::{Site, judge, reconcile_with_shims};
use dagbook_tests::servers::{Postgres, PostgresVersion, eventually};
use rustix::process::Signal;
use serde_json::Value;

use crate::api::{Api, readiness};
use crate::leader::{self, now_ms};
use crate::served::Served;
use crate::{PROGRAM, SOON, deep};

/// How long the other one leads before the stopped one goes on: what both were about to start has
/// come to its end by then.
const BEHIND: Duration = Duration::from_secs(3);

/// Who started an attempt, and when, by the folders that attempts have while they are there.
type Started = Arc<Mutex<BTreeMap<String, (u32, u64)>>>;

/// Looks at the attempts' folders until it is ended. Attempts last longer than a look takes.
fn watch(site: &Site) -> (Started, tokio::task::JoinHandle<()>) {
    let (started, folder) = (Started::default(), site.attempts());
    let found = started.clone();
    let task = tokio::spawn(async move {
        loop {
            for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                // A draft is none yet, nor is a folder without a step: what wakes late may get as
                // far as the fence, and no further.
                if !entry.path().join("started").exists() {
                    continue;
                }
                let path = entry.path().join("attempt.json");
                let Ok(text) = std::fs::read(&path) else { continue };
                let Ok(record) = serde_json::from_slice::<Value>(&text) else { continue };
                let name = entry.file_name().to_string_lossy().into_owned();
                let process = record["launcher"].as_str().and_then(|line| line.split(' ').next());
                let process = process.and_then(|pid| pid.parse().ok()).expect("its launcher");
                let Ok(written) = path.metadata().and_then(|file| file.modified()) else {
                    continue;
                };
                let at = written.duration_since(UNIX_EPOCH).expect("a clock that was set");
                let at = u64::try_from(at.as_millis()).expect("not so soon");
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                found.entry(name).or_insert((process, at));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    (started, task)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_slept_through_its_lease_appends_and_starts_nothing_when_it_wakes() {
    let postgres = Postgres::start(PostgresVersion::Debian);
    let variables =
        [("DAGBOOK_STORE", postgres.database("record")), ("DAGBOOK_SLOTS", "6".to_string())];
    let mut site = Site::new(PROGRAM, &variables);
    let rounds = if deep() { 10 } else { 2 };
    let mut servers = vec![Served::start(&site, "server-a")];
    let api = Api::prepare(&servers[0], &["north", "south"]).await;
    servers.push(Served::start(&site, "server-b"));
    api.at(&servers);
    let (look, recorder) = site.look(&[]).await;
    let mut leads = leader::next(&look, &servers, 0).await;
    let (started, watching) = watch(&site);
    // More than there are places for, so that something is about to be started at every moment.
    let runs = usize::try_from(rounds).expect("few") * 20;
    let counts = [("north", runs / 2), ("south", runs / 2)];
    let load = api.load(&counts, &site.dag(0.5), Duration::from_secs(8) * rounds);
    let (mut slept, mut led) = (Vec::new(), vec![leads]);
    for _ in 0..rounds {
        let busy = || async {
            let started = started.lock().unwrap_or_else(PoisonError::into_inner);
            let after =
                started.values().filter(|(by, at)| *by == leads.process && *at > leads.epoch);
            (after.count() >= 3).then_some(())
        };
        eventually("the leader to start attempts", SOON, busy).await;
        let sleeper = leader::place_of(&servers, leads);
        servers[sleeper].signal(Signal::STOP);
        let then = leader::next(&look, &servers, leads.epoch).await;
        assert_ne!(then.process, leads.process, "it stands still");
        tokio::time::sleep(BEHIND).await;
        servers[sleeper].signal(Signal::CONT);
        slept.push((leads.process, now_ms()));
        // It sees that it does not lead any more, and stays for what it may still do.
        let stands_by = || async {
            let (status, failing) = readiness(&servers[sleeper]).await?;
            (status == 200 && failing.is_empty()).then_some(())
        };
        eventually("it to be ready again", SOON, stands_by).await;
        let log = servers[sleeper].log();
        assert!(log.contains("this process leads no more"), "{log}");
        assert_eq!(leader::next(&look, &servers, 0).await, then, "waking takes no lead");
        leads = then;
        led.push(then);
    }
    site.accepted = load.accepted().await;
    assert_eq!(site.accepted.len(), runs, "each submission is a run of its own");
    site.all_over(&recorder, SOON * 3).await;
    watching.abort();
    let mut report = judge(&recorder, &site.accepted, &site.marks()).await;
    let (agreed, findings) = reconcile_with_shims(&recorder, &site.accepted, &site.logs()).await;
    report.findings.extend(findings);
    let started = started.lock().unwrap_or_else(PoisonError::into_inner);
    for (process, woke) in &slept {
        // Until it leads again it begins nothing.
        let again = led.iter().filter(|led| led.process == *process && led.epoch > *woke);
        let until = again.map(|led| led.epoch).min().unwrap_or(u64::MAX);
        for (attempt, (by, at)) in started.iter() {
            if by == process && at > woke && *at < until {
                report
                    .findings
                    .push(format!("{process} woke at {woke} and began {attempt} at {at}"));
            }
        }
    }
    println!("{} started, {agreed} ends agree: {report:?}", started.len());
    report.all_succeeded(runs);
    assert_eq!((report.lost, report.repeated), (0, 0), "one data folder: {report:?}");
    assert_eq!(agreed, report.attempts, "every attempt ended, as its shim says");
    for mut server in servers {
        assert!(server.is_running(), "{}", server.log());
        server.stop();
    }
}
