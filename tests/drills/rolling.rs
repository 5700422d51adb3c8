//! A new version is rolled out: one server after the other is stopped and started again under
//! load, and each hands over at once. And a program that is too old for what another one made of
//! the record says so and stays away, while the others go on.

use std::time::Duration;

use dagbook_tests::drill::{Site, judge, reconcile_with_shims};
use dagbook_tests::servers::{Postgres, PostgresVersion};

use crate::api::Api;
use crate::leader::{self, now_ms};
use crate::served::Served;
use crate::{PROGRAM, SOON, deep};

/// How long nobody leads when the leader stops and says so: no lease has to run out.
const HANDOVER: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_restarted_one_after_the_other_lose_nothing_and_hand_over_at_once() {
    let postgres = Postgres::start(PostgresVersion::Debian);
    let mut site = Site::new(PROGRAM, &[("DAGBOOK_STORE", postgres.database("record"))]);
    let restarts = if deep() { 12 } else { 4 };
    let mut servers = vec![Served::start(&site, "server-a")];
    let api = Api::prepare(&servers[0], &["north", "south"]).await;
    servers.push(Served::start(&site, "server-b"));
    api.at(&servers);
    let (look, recorder) = site.look(&[]).await;
    leader::next(&look, &servers, 0).await;
    let runs = restarts * 6;
    let over = Duration::from_secs(3) * u32::try_from(restarts).expect("few");
    let load = api.load(&[("north", runs / 2), ("south", runs / 2)], &site.dag(1.0), over);
    let mut longest = Duration::ZERO;
    for restart in 1..=restarts {
        let before = leader::next(&look, &servers, 0).await;
        // The leader and the other one in turn.
        let (leads, was_leader) = (leader::place_of(&servers, before), restart % 2 == 1);
        servers.remove(if was_leader { leads } else { 1 - leads }).stop();
        let stopped = now_ms();
        if was_leader {
            let then = leader::next(&look, &servers, before.epoch).await;
            let took = Duration::from_millis(then.epoch.saturating_sub(stopped));
            assert!(took <= HANDOVER, "nobody led for {took:?} after a polite stop");
            longest = longest.max(took);
        } else {
            let still = leader::next(&look, &servers, 0).await;
            assert_eq!(still, before, "a standby that goes takes no lead away");
        }
        servers.push(Served::start(&site, &format!("again-{restart}")));
        api.at(&servers);
    }
    site.accepted = load.accepted().await;
    assert_eq!(site.accepted.len(), runs, "each submission is a run of its own");
    site.all_over(&recorder, SOON * 2).await;
    let mut report = judge(&recorder, &site.accepted, &site.marks()).await;
    let (agreed, findings) = reconcile_with_shims(&recorder, &site.accepted, &site.logs()).await;
    report.findings.extend(findings);
    println!("the longest handover {longest:?}, {agreed} ends agree: {report:?}");
    report.all_succeeded(runs);
    assert_eq!((report.lost, report.repeated), (0, 0), "{report:?}");
    assert_eq!(agreed, report.attempts, "every attempt ended, as its shim says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_too_old_for_the_record_says_so_and_the_one_that_runs_goes_on() {
    let postgres = Postgres::start(PostgresVersion::Debian);
    let mut site = Site::new(PROGRAM, &[("DAGBOOK_STORE", postgres.database("record"))]);
    let running = [Served::start(&site, "server")];
    let api = Api::prepare(&running[0], &["north"]).await;
    let (look, recorder) = site.look(&[]).await;
    let leads = leader::next(&look, &running, 0).await;
    // What the roll-out of a newer program leaves in the store: a migration that it alone knows.
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum) \
                 VALUES (999, 'of_a_newer_program', '2099-01-01T00:00:00Z', '1')";
    postgres.execute_in("record", newer);
    let said = Served::refused(&site);
    assert_ne!(said.code, 0);
    assert!(said.stderr.contains("a newer program has migrated it"), "{}", said.stderr);
    let run = api.submit("north", &site.dag(0.1)).await;
    site.accepted.insert(run, dagbook_events::ids::TenantId::new("north").expect("a slug"));
    site.all_over(&recorder, SOON).await;
    judge(&recorder, &site.accepted, &site.marks()).await.all_succeeded(1);
    assert_eq!(leader::next(&look, &running, 0).await, leads, "it leads as before");
}
