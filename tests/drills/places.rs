//! Two servers with folders of their own: what ran in one place is never started in the other,
//! and is said to be lost there.

use dagbook_events::run::RunEvent;
use dagbook_events::step::Outcome;
use dagbook_tests::drill::{Site, folders, judge};
use dagbook_tests::servers::{Postgres, PostgresVersion, eventually};

use crate::{PROGRAM, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_of_another_place_is_lost_on_the_record_and_tried_again_there() {
    let postgres = Postgres::start(PostgresVersion::Debian);
    let patience = ("DRILL_PATIENCE_MS", "1000".to_string());
    let variables = [("DAGBOOK_STORE", postgres.database("record")), patience];
    let mut site = Site::new(PROGRAM, &variables);
    let mut here = site.start("here");
    here.leads(SOON);
    // Content is shared, as it must be; all else of the folder is another place's.
    let elsewhere = site.folder().join("elsewhere");
    std::fs::create_dir(&elsewhere).expect("a folder");
    let blobs = site.folder().join("data/blobs");
    std::os::unix::fs::symlink(blobs, elsewhere.join("blobs")).expect("a link");
    let there = site.start_with("there", &[("DAGBOOK_DATA", elsewhere.display().to_string())]);
    there.started(SOON);
    let dag = site.dag(30.0).replacen("sleep 30", "sleep 3", 2);
    let run = site.submit(&mut here, "north", &dag).expect("the server is there");
    let marks = site.marks();
    let began = || async { (std::fs::read_dir(&marks).ok()?.count() > 0).then_some(()) };
    eventually("the first attempt to run", SOON, began).await;
    here.kill();
    there.leads(SOON);
    let (_look, recorder) = site.look(&[]).await;
    site.all_over(&recorder, SOON).await;
    let report = judge(&recorder, &site.accepted, &marks).await;
    report.all_succeeded(1);
    assert_eq!((report.lost, report.repeated), (1, 1), "{report:?}");
    let facts = recorder.facts(&site.accepted[&run], run).await.expect("facts");
    let planned = facts.iter().filter_map(|fact| match &fact.event {
        RunEvent::AttemptPlanned(planned) => planned.place.clone(),
        _ => None,
    });
    let places: Vec<_> = planned.collect();
    let lost = facts.iter().find_map(|fact| match &fact.event {
        RunEvent::AttemptExited(exited) => match &exited.exit.outcome {
            Outcome::Lost { detail } => Some(detail.clone()),
            _ => None,
        },
        _ => None,
    });
    assert!(lost.expect("it is lost").contains(&*places[0]), "the place is named");
    assert!(places[1..].iter().all(|place| *place != places[0]), "{places:?}");
    // The one that comes back does not lead, and ends what it left behind.
    let back = site.start("back");
    back.started(SOON);
    let attempts = site.folder().join("data/attempts");
    let gone = || async { (folders(&attempts) == 0).then_some(()) };
    eventually("what was left behind to be ended", SOON, gone).await;
}
