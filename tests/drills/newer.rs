//! An older program beside a newer one: what it cannot read it leaves alone, and all else goes on.

use std::sync::Arc;

use dagbook::app::stamp;
use dagbook::wiring::Purpose;
use dagbook_events::ids::StreamName;
use dagbook_events::ports::{Actor, AppendRequest, Expected, NewEvent, StreamAppend};
use dagbook_tests::drill::Site;
use dagbook_tests::servers::{eventually, wait_for};

use crate::{PROGRAM, SOON};

#[tokio::test(flavor = "multi_thread")]
async fn a_run_with_an_event_of_a_newer_program_stands_still_and_the_others_go_on() {
    let mut site = Site::new(PROGRAM, &[]);
    let mut server = site.start("server");
    server.leads(SOON);
    let strange = site.submit(&mut server, "north", &site.dag(5.0)).expect("the server is there");
    let marks = site.marks();
    let began = || async { (std::fs::read_dir(&marks).ok()?.count() > 0).then_some(()) };
    eventually("its first attempt to run", SOON, began).await;
    server.kill();
    let (installation, recorder) = site.open(&[], Purpose::Append).await;
    let deps = &installation.deps;
    let event = NewEvent {
        id: stamp::event_id(deps.clock.as_ref(), deps.rng.as_ref()),
        kind: Arc::from("run.dreamt"),
        at: deps.clock.now(),
        actor: Arc::new(Actor::new("system", "a newer program")),
        causation: None,
        correlation: Some(Arc::from(strange.to_string())),
        traceparent: None,
        data: b"{}".to_vec(),
        blob: None,
    };
    let tenant = site.accepted[&strange].clone();
    let stream = StreamName::run(strange);
    let streams = vec![StreamAppend { stream, expected: Expected::Any, events: vec![event] }];
    let request = AppendRequest { tenant, key: None, streams, fence: None };
    recorder.store().append(request).await.expect("it is appended");
    let mut server = site.start("again");
    server.leads(SOON);
    let log = site.log("again");
    wait_for("the server to say that it leaves the run alone", SOON, || {
        std::fs::read_to_string(&log).ok()?.contains("a run cannot be taken over").then_some(())
    });
    let plain = site.submit(&mut server, "north", &site.dag(0.0)).expect("the server is there");
    let over = || async {
        let open = recorder.store().open_streams("run/", None, 10).await.ok()?;
        let open: Vec<_> = open.into_iter().filter_map(|(_, name)| name.as_run()).collect();
        assert!(open.contains(&strange), "it stands still: {open:?}");
        (!open.contains(&plain)).then_some(())
    };
    eventually("the other run to end", SOON, over).await;
    assert_eq!(server.failed(), None);
    server.stop(SOON);
}
