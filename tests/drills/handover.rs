//! A leader that stops gives the lease back: the next one leads at once, and what runs is found.

use std::time::Duration;

use dagbook_tests::drill::{Site, judge};

use crate::{PROGRAM, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_stops_hands_over_at_once_and_its_attempts_run_on() {
    let mut site = Site::new(PROGRAM, &[]);
    let dag = site.dag(2.0);
    let mut first = site.start("first");
    first.leads(SOON);
    let second = site.start("second");
    second.started(SOON);
    for _ in 0..4 {
        site.submit(&mut first, "north", &dag).expect("the server is there");
    }
    let took = first.stop(SOON);
    assert!(took < Duration::from_secs(10), "stopping took {took:?}");
    // No lease has to run out.
    second.leads(Duration::from_secs(3));
    let (_look, recorder) = site.look(&[]).await;
    site.all_over(&recorder, SOON).await;
    let report = judge(&recorder, &site.accepted, &site.marks()).await;
    report.all_succeeded(4);
    assert_eq!((report.lost, report.repeated), (0, 0), "{report:?}");
    second.stop(SOON);
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_for_people_are_unique_whichever_server_gives_them() {
    let mut site = Site::new(PROGRAM, &[]);
    let dag = site.dag(0.0);
    let (mut first, mut second) = (site.start("first"), site.start("second"));
    first.started(SOON);
    second.started(SOON);
    for n in 0..10 {
        let door = if n % 2 == 0 { &mut first } else { &mut second };
        site.submit(door, "north", &dag).expect("the server is there");
    }
    let (_look, recorder) = site.look(&[]).await;
    site.all_over(&recorder, SOON).await;
    let mut numbers = std::collections::BTreeSet::new();
    for (run, tenant) in &site.accepted {
        let facts = recorder.facts(tenant, *run).await.expect("facts");
        numbers.insert(dagbook_events::run::fold(&facts).facts().number);
    }
    assert_eq!(numbers.len(), 10, "{numbers:?}");
}
