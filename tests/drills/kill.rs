//! The leader is killed with -9 under load, with real local attempts running, beside a standby
//! that shares its data folder: every attempt is adopted, none is doubled, none forgotten.

use std::time::{Duration, Instant};

use dagbook_tests::drill::{Site, judge};

use crate::{PROGRAM, SOON, deep};

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_killed_again_and_again_and_no_attempt_is_doubled_or_forgotten() {
    let mut site = Site::new(PROGRAM, &[]);
    let kills = if deep() { 20 } else { 4 };
    let dag = site.dag(1.5);
    let mut leader = site.start("server-0");
    leader.started(SOON);
    let mut epoch = leader.leads(SOON);
    for kill in 1..=kills {
        let mut standby = site.start(&format!("server-{kill}"));
        standby.started(SOON);
        for n in 0..4 {
            let tenant = ["north", "south"][n % 2];
            // To the leader and to the standby: both are doors.
            let door = if n < 2 { &mut leader } else { &mut standby };
            assert!(site.submit(door, tenant, &dag).is_some(), "the server is there");
        }
        // Attempts are running now.
        let began = Instant::now();
        leader.kill();
        let next = standby.leads(SOON);
        assert!(next > epoch, "{next} after {epoch}");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(10), "the takeover took {took:?}");
        (leader, epoch) = (standby, next);
    }
    let (_look, recorder) = site.look(&[]).await;
    site.all_over(&recorder, SOON).await;
    let report = judge(&recorder, &site.accepted, &site.marks()).await;
    println!("{report:?}");
    report.all_succeeded(site.accepted.len());
    assert_eq!((report.lost, report.repeated), (0, 0), "adopted by the same place: {report:?}");
    // What the shims left is released when its end is on record.
    let attempts = site.folder().join("data/attempts");
    let left = || async {
        let left = std::fs::read_dir(&attempts).map_or(0, Iterator::count);
        (left == 0).then_some(())
    };
    dagbook_tests::servers::eventually("attempts to be released", SOON, left).await;
    assert_eq!(leader.failed(), None);
    leader.stop(SOON);
}
