//! Two servers on one Postgres and one NATS, runs of four tenants over HTTP, and the leader killed
//! over and over: every run ends, each attempt was executed once and as its shim says, and the
//! tenants got equal parts of the places though one of them asked for twice as much.

use std::time::{Duration, Instant};

use dagbook_tests::drill::{Site, judge, reconcile_with_shims, shares};
use dagbook_tests::servers::{Nats, NatsVersion, Postgres, PostgresVersion};

use crate::api::Api;
use crate::leader::{self, TAKEOVER};
use crate::served::Served;
use crate::{PROGRAM, SOON, deep};

const TENANTS: [&str; 4] = ["north", "east", "south", "west"];
/// How many of ten runs are each one's: shares do not come from asking.
const ASKED: [usize; 4] = [4, 2, 2, 2];
/// Places: two for each tenant.
const SLOTS: u64 = 8;
/// How often the leader is killed.
const EVERY: Duration = Duration::from_secs(10);

pub fn nats() -> Nats {
    Nats::start(match NatsVersion::Current.available() {
        true => NatsVersion::Current,
        false => NatsVersion::Debian,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_lose_no_run_and_no_share_while_the_leader_is_killed_over_and_over() {
    let (postgres, nats) = (Postgres::start(PostgresVersion::Debian), nats());
    let variables = [
        ("DAGBOOK_STORE", postgres.database("record")),
        ("DAGBOOK_BUS", nats.url()),
        ("DAGBOOK_SLOTS", SLOTS.to_string()),
    ];
    let (runs, kills) = if deep() { (500, 12) } else { (60, 2) };
    let length = EVERY * kills;
    let mut site = Site::new(PROGRAM, &variables);
    let mut servers = vec![Served::start(&site, "server-a")];
    let api = Api::prepare(&servers[0], &TENANTS).await;
    servers.push(Served::start(&site, "server-b"));
    api.at(&servers);
    let (look, recorder) = site.look(&[]).await;
    leader::next(&look, &servers, 0).await;
    let counts: Vec<_> =
        TENANTS.iter().zip(ASKED).map(|(tenant, part)| (*tenant, runs * part / 10)).collect();
    let began = Instant::now();
    let load = api.load(&counts, &site.dag(1.0), length);
    let mut longest = Duration::ZERO;
    for kill in 1..=kills {
        tokio::time::sleep((EVERY * kill).saturating_sub(began.elapsed())).await;
        let name = format!("again-{kill}");
        let took = leader::kill(&site, &look, &mut servers, &name, &api).await;
        assert!(took <= TAKEOVER, "nobody led for {took:?} after kill {kill}");
        longest = longest.max(took);
    }
    site.accepted = load.accepted().await;
    assert_eq!(site.accepted.len(), runs, "each submission is a run of its own");
    site.all_over(&recorder, SOON * if deep() { 10 } else { 3 }).await;
    let mut report = judge(&recorder, &site.accepted, &site.marks()).await;
    let (agreed, findings) = reconcile_with_shims(&recorder, &site.accepted, &site.logs()).await;
    report.findings.extend(findings);
    let shares = shares(&recorder, &TENANTS).await;
    println!("{kills} kills, the longest takeover {longest:?}, {agreed} ends agree: {report:?}");
    println!("{:.3} {:.3}: {shares:?}", shares.farthest(), shares.farthest_held());
    report.all_succeeded(runs);
    assert_eq!((report.lost, report.repeated), (0, 0), "one data folder: {report:?}");
    assert_eq!(agreed, report.attempts, "every attempt ended, as its shim says");
    // What a window's edges cut off is less than one round of all places.
    let edge = SLOTS as f64 / (shares.counted() as f64 / TENANTS.len() as f64);
    let bound = if deep() { 0.05 } else { 0.05 + edge };
    assert!(shares.counted() >= runs as u64 / 4, "all four waited for long: {shares:?}");
    assert!(shares.farthest() <= bound, "{:.3} of {bound:.3}: {shares:?}", shares.farthest());
    for mut server in servers {
        assert!(server.is_running(), "{}", server.log());
        server.stop();
    }
}
