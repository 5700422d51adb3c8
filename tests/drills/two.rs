//! Two servers on one Postgres and one NATS, runs of four tenants, and the leader killed over and
//! over: every run ends, and each attempt was executed once.

use std::time::{Duration, Instant};

use dagbook_tests::drill::{ServerProcess, Site, judge};
use dagbook_tests::servers::{Nats, NatsVersion, Postgres, PostgresVersion};

use crate::{PROGRAM, SOON, deep};

const TENANTS: [&str; 4] = ["north", "east", "south", "west"];

fn nats() -> Nats {
    Nats::start(match NatsVersion::Current.available() {
        true => NatsVersion::Current,
        false => NatsVersion::Debian,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_lose_no_run_while_the_leader_is_killed_over_and_over() {
    let (postgres, nats) = (Postgres::start(PostgresVersion::Debian), nats());
    let variables = [("DAGBOOK_STORE", postgres.database("record")), ("DAGBOOK_BUS", nats.url())];
    let (runs, length) = if deep() { (500, 120) } else { (24, 20) };
    let mut site = Site::new(PROGRAM, &variables);
    let dag = site.dag(0.3);
    let mut servers: Vec<ServerProcess> =
        (0..2).map(|n| site.start(&format!("server-{n}"))).collect();
    servers.iter().for_each(|server| server.started(SOON));
    let began = Instant::now();
    let (mut kills, mut submitted, mut next_kill) = (0, 0, Duration::from_secs(10));
    let length = Duration::from_secs(length);
    while submitted < runs || began.elapsed() < length {
        let due = runs as f64 * (began.elapsed().as_secs_f64() / length.as_secs_f64()).min(1.0);
        if (submitted as f64) < due {
            let door = submitted % 2;
            let tenant = TENANTS[submitted % 4];
            site.submit(&mut servers[door], tenant, &dag).expect("the server is there");
            submitted += 1;
        } else {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if began.elapsed() >= next_kill
            && let Some(leader) = servers.iter().position(|server| server.epoch().is_some())
        {
            kills += 1;
            next_kill += Duration::from_secs(10);
            let again = site.start(&format!("again-{kills}"));
            std::mem::replace(&mut servers[leader], again).kill();
            servers[leader].started(SOON);
        }
    }
    assert!(kills >= 1, "somebody led");
    let (_look, recorder) = site.look(&[]).await;
    site.all_over(&recorder, SOON * 5).await;
    let report = judge(&recorder, &site.accepted, &site.marks()).await;
    println!("{kills} kills, {report:?}");
    report.all_succeeded(runs);
    assert_eq!((report.lost, report.repeated), (0, 0), "one data folder: {report:?}");
}
