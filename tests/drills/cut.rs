//! The store or the bus goes away for a while and comes back: the server stays, says how it stands
//! and which part is away, and everything goes on by itself.

use std::time::{Duration, Instant};

use dagbook_tests::drill::{Site, judge, reconcile_with_shims};
use dagbook_tests::servers::{Postgres, PostgresVersion, Proxy, eventually, wait_for};

use crate::api::{Api, health, part, readiness};
use crate::leader;
use crate::served::Served;
use crate::two::nats;
use crate::{PROGRAM, SOON, deep};

/// How long it is away: longer than the lease, so that the process leads no more and must lead
/// again.
fn away() -> Duration {
    Duration::from_secs(if deep() { 60 } else { 9 })
}

/// A request that nobody can answer is answered within this.
const ANSWERED: Duration = Duration::from_secs(35);

/// How the store goes away.
#[derive(Clone, Copy)]
enum Away {
    /// Connections end, and new ones are refused.
    Refused,
    /// Connections stay, and nothing comes back.
    Silent,
}

async fn the_store_is_away(how: Away) {
    let postgres = Postgres::start(PostgresVersion::Debian);
    let direct = postgres.database("record");
    let proxy = Proxy::to(postgres.port());
    let mut site = Site::new(PROGRAM, &[("DAGBOOK_STORE", proxy.through(&direct))]);
    let server = [Served::start(&site, "server")];
    let api = Api::prepare(&server[0], &["north"]).await;
    let (look, recorder) = site.look(&[("DAGBOOK_STORE", direct)]).await;
    let led = leader::next(&look, &server, 0).await;
    let dag = site.dag(2.0);
    let load = api.load(&[("north", 4)], &dag, Duration::from_millis(400));
    site.accepted = load.accepted().await;
    let run = *site.accepted.keys().next().expect("a run");
    let marks = site.marks();
    let begun = || async { (std::fs::read_dir(&marks).ok()?.count() >= 4).then_some(()) };
    eventually("attempts to run", SOON, begun).await;
    match how {
        Away::Refused => proxy.down(),
        Away::Silent => proxy.hold(),
    }
    let began = Instant::now();
    let failing = eventually("it to say that the store is away", SOON, || async {
        let (status, failing) = readiness(&server[0]).await?;
        (status == 503).then_some(failing)
    })
    .await;
    assert!(failing.contains_key("store"), "{failing:?}");
    let path = format!("runs/{run}");
    let mut asked = 0;
    let patient = api.patient();
    while began.elapsed() < away() || asked == 0 {
        let asking = Instant::now();
        let (submitted, shown) =
            tokio::join!(patient.try_submit("north", &dag), patient.get("north", &path));
        let took = asking.elapsed();
        assert!(took < ANSWERED, "an answer took {took:?}");
        let submitted = submitted.expect("it answers");
        assert_eq!(submitted.0, 503, "{submitted:?}");
        let shown = shown.expect("it answers");
        assert_eq!(shown.0, 503, "{shown:?}");
        assert_eq!(health(&server[0]).await, Some(200), "the process stays");
        asked += 1;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    proxy.pass();
    let well = || async { (readiness(&server[0]).await?.0 == 200).then_some(()) };
    eventually("readiness", SOON, well).await;
    let again = leader::next(&look, &server, led.epoch).await;
    assert_eq!(again.process, led.process, "the same process, under a later epoch");
    let one = api.submit("north", &dag).await;
    let tenant = site.accepted[&run].clone();
    site.accepted.insert(one, tenant.clone());
    site.all_over(&recorder, SOON * 2).await;
    // What was answered with 503 may have been done: that is what keys are for. Nothing else is.
    let all = recorder.store().streams(&tenant, "run/", None, 1_000).await.expect("it is read");
    let more = all.iter().filter_map(|stream| stream.as_run());
    let more: Vec<_> = more.filter(|run| !site.accepted.contains_key(run)).collect();
    assert!(more.len() <= asked, "{asked} were asked for in vain, {more:?} were done");
    site.accepted.extend(more.into_iter().map(|run| (run, tenant.clone())));
    let mut report = judge(&recorder, &site.accepted, &site.marks()).await;
    let (agreed, findings) = reconcile_with_shims(&recorder, &site.accepted, &site.logs()).await;
    report.findings.extend(findings);
    report.all_succeeded(site.accepted.len());
    assert_eq!((report.lost, report.repeated), (0, 0), "{report:?}");
    assert_eq!(agreed, report.attempts, "what ran meanwhile ended, as its shim says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_for_a_while_is_waited_for_and_all_goes_on() {
    the_store_is_away(Away::Refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_silent_for_a_while_is_waited_for_and_all_goes_on() {
    the_store_is_away(Away::Silent).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_bus_everything_goes_on_and_the_copy_catches_up_when_it_is_back() {
    let (postgres, nats) = (Postgres::start(PostgresVersion::Debian), nats());
    let proxy = Proxy::to(nats.port());
    let variables = [
        ("DAGBOOK_STORE", postgres.database("record")),
        ("DAGBOOK_BUS", proxy.through(&nats.url())),
    ];
    let mut site = Site::new(PROGRAM, &variables);
    let server = [Served::start(&site, "server")];
    let api = Api::prepare(&server[0], &["north"]).await;
    let (look, recorder) = site.look(&[("DAGBOOK_BUS", nats.url())]).await;
    let led = leader::next(&look, &server, 0).await;
    proxy.down();
    let began = Instant::now();
    let dag = site.dag(0.5);
    let load = api.load(&[("north", 8)], &dag, away());
    eventually("it to say that the bus is away", SOON, || async {
        let (status, failing) = readiness(&server[0]).await?;
        assert_eq!(status, 200, "all else goes on: {failing:?}");
        failing.contains_key("bus").then_some(())
    })
    .await;
    site.accepted = load.accepted().await;
    site.all_over(&recorder, SOON).await;
    while began.elapsed() < away() {
        let (status, failing) = readiness(&server[0]).await.expect("it answers");
        assert_eq!((status, failing.len()), (200, 1), "{failing:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let report = judge(&recorder, &site.accepted, &site.marks()).await;
    report.all_succeeded(8);
    assert_eq!((report.lost, report.repeated), (0, 0), "{report:?}");
    proxy.pass();
    let well = || async {
        let (status, failing) = readiness(&server[0]).await?;
        let copied = part(&server[0], "bus").await? == "the copy is 0 events behind";
        (status == 200 && failing.is_empty() && copied).then_some(())
    };
    eventually("the copy to have all that was appended meanwhile", SOON, well).await;
    assert_eq!(leader::next(&look, &server, 0).await, led, "it led all the time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_before_its_store_waits_for_it() {
    let postgres = Postgres::start(PostgresVersion::Debian);
    let direct = postgres.database("record");
    let proxy = Proxy::to(postgres.port());
    proxy.down();
    let site = Site::new(PROGRAM, &[("DAGBOOK_STORE", proxy.through(&direct))]);
    let mut server = site.start("server");
    let log = site.log("server");
    wait_for("the server to say that it waits", SOON, || {
        std::fs::read_to_string(&log).ok()?.contains("waits for its store").then_some(())
    });
    assert!(server.is_running());
    proxy.pass();
    server.leads(SOON);
}
