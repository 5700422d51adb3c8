//! The store goes away for a while and comes back: the servers stay, say how they stand, and go on
//! by themselves.

use dagbook_tests::drill::{Site, judge};
use dagbook_tests::servers::{Postgres, PostgresVersion, Proxy, wait_for};

use crate::{PROGRAM, SOON, deep};

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_away_for_a_while_is_waited_for_and_all_goes_on() {
    let postgres = Postgres::start(PostgresVersion::Debian);
    let direct = postgres.database("record");
    let proxy = Proxy::to(postgres.port());
    let mut site = Site::new(PROGRAM, &[("DAGBOOK_STORE", proxy.through(&direct))]);
    let mut server = site.start("server");
    server.leads(SOON);
    let dag = site.dag(1.0);
    for _ in 0..4 {
        site.submit(&mut server, "north", &dag).expect("the server is there");
    }
    wait_for("readiness", SOON, || server.readiness().0.then_some(()));
    proxy.down();
    let failing = wait_for("the server to say that the store is away", SOON, || {
        let (ready, failing) = server.readiness();
        (!ready).then_some(failing)
    });
    assert!(failing.contains_key("store"), "{failing:?}");
    // Longer than the lease: the process leads no more, and must lead again.
    let away = if deep() { 60 } else { 9 };
    tokio::time::sleep(std::time::Duration::from_secs(away)).await;
    assert!(server.is_running(), "{:?}", server.failed());
    wait_for("the lead to be given up", SOON, || server.epoch().is_none().then_some(()));
    proxy.pass();
    server.leads(SOON);
    wait_for("readiness", SOON, || server.readiness().0.then_some(()));
    site.submit(&mut server, "north", &dag).expect("the server is there");
    let (_look, recorder) = site.look(&[("DAGBOOK_STORE", direct)]).await;
    site.all_over(&recorder, SOON).await;
    let report = judge(&recorder, &site.accepted, &site.marks()).await;
    report.all_succeeded(5);
    assert_eq!((report.lost, report.repeated), (0, 0), "{report:?}");
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
