//! The leader is killed with -9 under load, with real local attempts running, beside a standby
//! that shares its data folder: every attempt is adopted, none is doubled, none forgotten; and a
//! schedule is fired once for each instant, whoever leads.

use std::time::Duration;

use dagbook_tests::drill::{Site, folders, judge, reconcile_with_shims};
use dagbook_tests::servers::eventually;

use crate::api::Api;
use crate::leader::{self, TAKEOVER};
use crate::served::Served;
use crate::ticks::Ticks;
use crate::{PROGRAM, SOON, deep};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_killed_again_and_again_and_no_attempt_is_doubled_or_forgotten() {
    let mut site = Site::new(PROGRAM, &[]);
    let kills = if deep() { 20 } else { 3 };
    let mut servers = vec![Served::start(&site, "server-a")];
    let api = Api::prepare(&servers[0], &["north", "south"]).await;
    servers.push(Served::start(&site, "server-b"));
    api.at(&servers);
    let (look, recorder) = site.look(&[]).await;
    leader::next(&look, &servers, 0).await;
    let ticks = Ticks::begin(&api, "north", &site.dag(0.0), u64::from(kills) * 3).await;
    // As long as the kills will take, and each attempt long enough to be there at one.
    let runs = usize::try_from(kills).expect("few") * 6;
    let counts = [("north", runs / 2), ("south", runs / 2)];
    let load = api.load(&counts, &site.dag(1.5), Duration::from_secs(7) * kills);
    let mut longest = Duration::ZERO;
    for kill in 1..=kills {
        // Something runs whenever the leader dies.
        let runs = || async { (running(&site) > 0).then_some(()) };
        eventually("an attempt to run", SOON, runs).await;
        let name = format!("again-{kill}");
        let took = leader::kill(&site, &look, &mut servers, &name, &api).await;
        assert!(took <= TAKEOVER, "nobody led for {took:?} after kill {kill}");
        longest = longest.max(took);
    }
    site.accepted = load.accepted().await;
    assert_eq!(site.accepted.len(), runs, "each submission is a run of its own");
    site.accepted.extend(ticks.end(&api, &recorder).await);
    site.all_over(&recorder, SOON * 2).await;
    let mut report = judge(&recorder, &site.accepted, &site.marks()).await;
    let (agreed, findings) = reconcile_with_shims(&recorder, &site.accepted, &site.logs()).await;
    report.findings.extend(findings);
    println!("the longest takeover {longest:?}, {agreed} ends agree: {report:?}");
    report.all_succeeded(site.accepted.len());
    assert_eq!((report.lost, report.repeated), (0, 0), "adopted by the same place: {report:?}");
    assert_eq!(agreed, report.attempts, "every attempt ended, as its shim says");
    // What the shims left is released when its end is on record.
    let released = || async { (running(&site) == 0).then_some(()) };
    eventually("attempts to be released", SOON, released).await;
    for mut server in servers {
        assert!(server.is_running(), "{}", server.log());
        server.stop();
    }
}

fn running(site: &Site) -> usize {
    folders(&site.attempts())
}
