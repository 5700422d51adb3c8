//! The recorded shape of every event of a schedule and of a pipeline: golden files that must be
//! read for ever. With `DAGBOOK_BLESS=1` files that are missing are written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dagbook_events::aggregate::AggregateEvent;
use dagbook_events::canonical;
use dagbook_events::dag::trigger::{CatchUp, Overlap};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::RunId;
use dagbook_events::pipeline::{Archived, PipelineEvent, PipelineVersion, Registered, Restored};
use dagbook_events::schedule::*;
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::value::Value;

const AT: Timestamp = Timestamp(1_700_000_000_000);

fn run(n: u8) -> RunId {
    format!("018f0000-0000-7000-8000-00000000000{n}").parse().expect("an id")
}

fn full() -> ScheduleSpec {
    ScheduleSpec {
        pipeline: "nightly".to_string(),
        version: Some(4),
        cron: "30 2 * * 1-5".to_string(),
        timezone: "Europe/Vienna".to_string(),
        overlap: Overlap::CancelRunning,
        catch_up: CatchUp::AllWithin(Millis::seconds(86_400)),
        jitter_ms: Millis::seconds(60),
        params: BTreeMap::from([
            ("rate".to_string(), Value::Number("0.5".into())),
            ("epochs".to_string(), Value::Int(3)),
        ]),
    }
}

fn plain() -> ScheduleSpec {
    ScheduleSpec {
        version: None,
        overlap: Overlap::Skip,
        catch_up: CatchUp::Latest,
        jitter_ms: Millis(0),
        params: BTreeMap::new(),
        ..full()
    }
}

fn tzdb() -> String {
    "2025b".to_string()
}

fn by() -> String {
    "token:ci".to_string()
}

fn schedules() -> Vec<ScheduleEvent> {
    let person = || ByPerson { comment: "the site moves".to_string(), by: by() };
    vec![
        ScheduleEvent::Created(Box::new(Created {
            spec: full(),
            tzdb: tzdb(),
            owner: Some("nightly".to_string()),
            by: by(),
        })),
        ScheduleEvent::Changed(Box::new(Changed { spec: plain(), tzdb: tzdb(), by: by() })),
        ScheduleEvent::Paused(person()),
        ScheduleEvent::Resumed(person()),
        ScheduleEvent::Deleted(person()),
        ScheduleEvent::Fired(Box::new(Fired {
            instant: AT,
            run: run(1),
            pipeline_version: PipelineVersion {
                name: "nightly".to_string(),
                version: 4,
                hash: Sha256Digest::of(b"content"),
            },
            backfill: Some(2),
            after: Some(run(2)),
            cancels: vec![run(3)],
            ended: vec![run(4), run(5)],
            tzdb: tzdb(),
        })),
        ScheduleEvent::Skipped(Box::new(Skipped {
            first: AT,
            last: Timestamp(AT.0 + 60_000),
            count: 2,
            reason: SkipReason::DoesNotFit,
            detail: "`epochs` must be a number".to_string(),
            ended: vec![run(1)],
            tzdb: tzdb(),
        })),
        ScheduleEvent::BackfillRequested(Box::new(BackfillRequested {
            id: 2,
            from: AT,
            to: Timestamp(AT.0 + 86_400_000),
            order: Order::Newest,
            rate_per_minute: Some(30),
            max_parallel: 4,
            again: true,
            count: 24,
            cron: "0 * * * *".to_string(),
            timezone: "UTC".to_string(),
            tzdb: tzdb(),
            by: by(),
        })),
        ScheduleEvent::BackfillCancelled(BackfillCancelled {
            id: 2,
            reason: "wrong range".to_string(),
            by: by(),
        }),
        ScheduleEvent::BackfillFinished(BackfillFinished { id: 2 }),
    ]
}

fn pipelines() -> Vec<PipelineEvent> {
    vec![
        PipelineEvent::Registered(Registered {
            version: 4,
            hash: Sha256Digest::of(b"content"),
            bytes: 512,
            entry: "dag.yaml".to_string(),
            files: 2,
            steps: 7,
            schedules: 1,
            message: "as agreed".to_string(),
            by: by(),
        }),
        PipelineEvent::Archived(Archived { reason: "nobody uses it".to_string(), by: by() }),
        PipelineEvent::Restored(Restored { by: by() }),
    ]
}

fn check<E: AggregateEvent + PartialEq + std::fmt::Debug>(folder: &str, samples: &[E]) {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    let bless = std::env::var_os("DAGBOOK_BLESS").is_some();
    for event in samples {
        let written = canonical::to_vec(&event.to_data()).expect("recordable");
        let path = folder.join(format!("{}.json", event.kind()));
        if bless && !path.exists() {
            std::fs::create_dir_all(&folder).expect("made");
            std::fs::write(&path, &written).expect("written");
        }
        let golden = std::fs::read(&path).unwrap_or_default();
        assert_eq!(
            String::from_utf8_lossy(&written),
            String::from_utf8_lossy(&golden),
            "{}: what is written changed; a new shape needs a data version and an upcaster",
            event.kind()
        );
        let data = serde_json::from_slice(&golden).expect("an object");
        assert_eq!(E::read(event.kind(), &data).expect("read").as_ref(), Some(event));
    }
    let files = std::fs::read_dir(&folder).expect("the folder").count();
    assert_eq!(files, samples.len(), "a golden file of an event that no sample has");
}

#[test]
fn every_event_of_a_schedule_has_its_golden_file_and_reads_back() {
    check("schedule-events-1", &schedules());
}

#[test]
fn every_event_of_a_pipeline_has_its_golden_file_and_reads_back() {
    check("pipeline-events-1", &pipelines());
}

#[test]
fn what_a_newer_program_wrote_is_told_apart() {
    let unknown = serde_json::Map::new();
    assert_eq!(ScheduleEvent::read("schedule.dreamt", &unknown), Ok(None));
    let newer = serde_json::json!({"dv": 9, "id": 1});
    let error = ScheduleEvent::read("schedule.backfill_finished", newer.as_object().expect("one"));
    assert!(error.expect_err("too new").contains("data version 9"));
}
