//! The recorded shape of every event of a run: golden files that must be read for ever.
//!
//! With `DAGBOOK_BLESS=1` files that are missing are written. A file that exists is never
//! rewritten: a shape that was released stays readable, through an upcaster if need be.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagbook_events::billing::Whole;
use dagbook_events::codec::planner::{PLANNER, Planner};
use dagbook_events::codec::run::{CodecError, decode, decode_text, encode};
use dagbook_events::dag::SourceBundle;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{AttemptId, Epoch, RunId, StepKey, TenantId};
use dagbook_events::pipeline::PipelineVersion;
use dagbook_events::run::event::*;
use dagbook_events::step::{
    ArtifactRef, AttemptExit, Fault, GpuUsage, LogSummary, Outcome, PendingReason, Requested,
    StopCause, Usage, UsageQuality, UsageSource, Used,
};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::value::Value;

const DAG: &str = "dagbook: v1\nname: golden\nsteps:\n  a: { run: \"true\" }\n";

fn run() -> RunId {
    "018f0000-0000-7000-8000-000000000001".parse().expect("an id")
}

fn attempt() -> AttemptId {
    "018f0000-0000-7000-8000-000000000002".parse().expect("an id")
}

fn step() -> StepKey {
    StepKey::new("train[split=val]")
}

fn result() -> ReusedResult {
    let sha256 = Sha256Digest::of(b"model");
    ReusedResult {
        from_run: run(),
        outputs: BTreeMap::from([("score".to_string(), Value::Number(Arc::from("0.93")))]),
        artifacts: BTreeMap::from([(
            "model".to_string(),
            ArtifactRef { sha256, bytes: 5, manifest: false },
        )]),
        items: None,
    }
}

fn submitted() -> Submitted {
    let files = BTreeMap::from([("dag.yaml".to_string(), DAG.to_string())]);
    let bundle = SourceBundle { entry: "dag.yaml".to_string(), files };
    let mut submitted = Submitted {
        run: run(),
        tenant: TenantId::new("acme").expect("a slug"),
        pipeline: "golden".to_string(),
        number: 7,
        params: BTreeMap::new(),
        trigger: "manual".to_string(),
        scheduled_at: Some(Timestamp(1_700_000_000_000)),
        pipeline_version: None,
        git: None,
        parent: Some(ParentLink { run: run(), step: step(), depth: 1 }),
        retry_of: Some(run()),
        reuse: BTreeMap::from([(step(), result())]),
        source_hash: Sha256Digest::of(DAG.as_bytes()),
        source: Arc::new(Source {
            bundle,
            folder: Some("/srv/golden".to_string()),
            archive: None,
            pipelines: BTreeMap::new(),
        }),
        planner: PLANNER,
        traceparent: None,
        driven_at: None,
        plan: None,
    };
    submitted.plan = Some(Planner::default().plan_of(&submitted).expect("a plan"));
    submitted
}

fn exited() -> AttemptExited {
    AttemptExited {
        step: step(),
        attempt: attempt(),
        epoch: Epoch(2),
        exited_at: Timestamp(1_700_000_090_000),
        exit: AttemptExit {
            outcome: Outcome::Failed { exit_code: 75 },
            usage: Usage {
                executor: "local".to_string(),
                class: "local".to_string(),
                node: "n1".to_string(),
                allocated_ms: Timestamp(1_700_000_000_000),
                released_ms: Timestamp(1_700_000_090_000),
                started_ms: None,
                requested: Requested { cpu_milli: 2_000, mem_mib: 4_096, disk_mib: 0, gpu: vec![] },
                used: Used {
                    cpu_ms: 151_000,
                    mem_peak_mib: 3_071,
                    mem_mib_ms: 210_000_000,
                    egress_bytes: 0,
                },
                source: UsageSource::Hybrid,
                quality: UsageQuality::Exact,
                outcome: "failed".to_string(),
                fault: Fault::User,
            },
            outputs: BTreeMap::from([("n".to_string(), Value::Int(3))]),
            output_error: None,
            artifacts: BTreeMap::new(),
            log: LogSummary { bytes: 12, crc32: 99, dropped_bytes: 0 },
            leftover_processes: 1,
        },
        heard: None,
        verdict: Verdict::Retry {
            at: Timestamp(1_700_000_100_000),
            infra: false,
            reason: "exit code 75".to_string(),
        },
    }
}

fn heard() -> Heard {
    Heard {
        planned: Timestamp(1_700_000_000_010),
        started: Some(Timestamp(1_700_000_001_010)),
        exited: Timestamp(1_700_000_090_010),
    }
}

fn usage() -> Usage {
    let usage = exited().exit.usage;
    Usage { started_ms: Some(Timestamp(1_700_000_001_000)), ..usage }
}

fn checkpoint() -> UsageCheckpoint {
    let (outcome, fault) = ("running".to_string(), Fault::None);
    let released_ms = Timestamp(1_700_000_060_000);
    UsageCheckpoint {
        step: step(),
        attempt: attempt(),
        usage: Usage { released_ms, outcome, fault, ..usage() },
        heard: Heard { exited: Timestamp(1_700_000_060_010), ..heard() },
    }
}

fn samples() -> Vec<RunEvent> {
    let mark = || AttemptMark { step: step(), attempt: attempt() };
    let text = |text: &str| text.to_string();
    vec![
        RunEvent::Submitted(Box::new(submitted())),
        RunEvent::Admitted(Admitted { group: text("train") }),
        RunEvent::Paused(ByPerson { comment: text("lunch") }),
        RunEvent::Resumed(ByPerson { comment: String::new() }),
        RunEvent::CancelRequested(CancelRequested {
            cause: StopCause::User,
            reason: text("no longer needed"),
            force: false,
        }),
        RunEvent::Signaled(Signaled { name: text("data-arrived") }),
        RunEvent::TimerFired(TimerFired { timer: TimerKind::Backoff(step()) }),
        RunEvent::Finished(Finished { status: RunStatus::Failed, reason: text("step `a` failed") }),
        RunEvent::StepExpanded(StepExpanded {
            step: step(),
            count: 2,
            items: Some(Arc::from([Value::str("x"), Value::Null])),
        }),
        RunEvent::StepSkipped(StepSkipped { step: step(), reason: text("`if: false` is false") }),
        RunEvent::StepFailed(StepFailed { step: step(), reason: text("no such parameter") }),
        RunEvent::CacheAsked(CacheAsked { step: step(), key: Sha256Digest::of(b"key") }),
        RunEvent::CacheMissed(CacheMissed { step: step() }),
        RunEvent::StepReused(StepReused { step: step(), result: result() }),
        RunEvent::ApprovalRequested(ApprovalRequested {
            step: step(),
            role: text("maintainer"),
            message: text("Ship it?"),
        }),
        RunEvent::ApprovalGiven(ApprovalGiven {
            step: step(),
            approved: true,
            comment: text("looks good"),
        }),
        RunEvent::WaitStarted(WaitStarted { step: step(), until: Some(Timestamp(5)) }),
        RunEvent::ChildRequested(ChildRequested {
            step: step(),
            run: run(),
            params: BTreeMap::from([("n".to_string(), Value::Int(9_007_199_254_740_993))]),
        }),
        RunEvent::ChildFinished(ChildFinished {
            step: step(),
            run: run(),
            status: RunStatus::Canceled,
            outputs: BTreeMap::new(),
            reason: text("cancelled"),
        }),
        RunEvent::AttemptPlanned(AttemptPlanned {
            step: step(),
            attempt: attempt(),
            epoch: Epoch(1),
            executor: text("local"),
            spec_hash: Sha256Digest::of(b"spec"),
            place: None,
            class: None,
            hold: None,
        }),
        RunEvent::AttemptPending(AttemptPending {
            step: step(),
            attempt: attempt(),
            reason: PendingReason { code: text("busy"), message: text("no place") },
        }),
        RunEvent::AttemptStarted(AttemptStarted {
            step: step(),
            attempt: attempt(),
            node: text("n1"),
            pid: Some(4_711),
            handle: None,
            started_at: Timestamp(1_700_000_001_000),
        }),
        RunEvent::AttemptStopping(mark()),
        RunEvent::AttemptSuspected(mark()),
        RunEvent::AttemptRecovered(mark()),
        RunEvent::AttemptExited(Box::new(exited())),
        RunEvent::ReportStale(Box::new(ReportStale {
            step: step(),
            attempt: attempt(),
            epoch: Epoch(1),
            said: text("succeeded"),
            usage: None,
            heard: None,
        })),
        RunEvent::UsageCheckpoint(Box::new(checkpoint())),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run-events-1")
}

#[test]
fn every_event_has_its_golden_file_and_reads_back() {
    let bless = std::env::var_os("DAGBOOK_BLESS").is_some();
    let samples = samples();
    for event in &samples {
        let encoded = encode(event).expect("recordable");
        let path = folder().join(format!("{}.json", event.kind()));
        let mut written = encoded.data.clone();
        if let Some(blob) = &encoded.blob {
            written.push(b'\n');
            written.extend_from_slice(blob);
        }
        if bless && !path.exists() {
            std::fs::create_dir_all(folder()).expect("made");
            std::fs::write(&path, &written).expect("written");
        }
        let golden = std::fs::read(&path).unwrap_or_default();
        assert_eq!(
            String::from_utf8_lossy(&written),
            String::from_utf8_lossy(&golden),
            "{}: what is written changed; a new shape needs a data version and an upcaster",
            event.kind()
        );
        let mut lines = golden.splitn(2, |byte| *byte == b'\n');
        let (text, blob) = (lines.next().expect("data"), lines.next());
        let data = serde_json::from_slice(text).expect("JSON");
        let read = decode(event.kind(), data, blob, &Planner::default());
        assert_eq!(read.as_ref(), Ok(event), "{}", event.kind());
        let text = str::from_utf8(text).expect("text");
        let read = decode_text(event.kind(), text, blob, &Planner::default());
        assert_eq!(read.as_ref(), Ok(event), "{}", event.kind());
    }
    let files = std::fs::read_dir(folder()).expect("the folder").count();
    assert_eq!(files, samples.len(), "a golden file of an event that no sample has");
}

#[test]
fn command_lines_stand_in_blobs_only() {
    let encoded = encode(&samples()[0]).expect("recordable");
    let data = String::from_utf8(encoded.data).expect("text");
    assert!(!data.contains("steps:"), "{data}");
    assert!(String::from_utf8(encoded.blob.expect("a blob")).expect("text").contains("steps:"));
}

#[test]
fn long_outputs_and_lists_leave_the_leaf() {
    let mut event = exited();
    event.exit.outputs.insert("long".to_string(), Value::str("x".repeat(60_000)));
    let encoded = encode(&RunEvent::AttemptExited(Box::new(event.clone()))).expect("recordable");
    assert!(encoded.data.len() < 4_096, "{} bytes", encoded.data.len());
    assert!(String::from_utf8_lossy(&encoded.data).contains("\"usage\""), "usage stays");
    let data = serde_json::from_slice(&encoded.data).expect("JSON");
    let read = decode("attempt.exited", data, encoded.blob.as_deref(), &Planner::default());
    assert_eq!(read, Ok(RunEvent::AttemptExited(Box::new(event))));
}

#[test]
fn what_cannot_be_understood_is_refused_with_a_reason() {
    let planner = Planner::default();
    let error = decode("run.dreamt", serde_json::json!({}), None, &planner);
    assert!(error.expect_err("unknown").to_string().contains("run.dreamt"));
    let error = decode("run.admitted", serde_json::json!({"group": 3}), None, &planner);
    assert!(error.expect_err("shape").to_string().contains("another shape"));
    let error = decode("run.admitted", serde_json::json!([]), None, &planner);
    assert!(error.expect_err("shape").to_string().contains("an object is expected"));
    let error = decode("run.admitted", serde_json::json!({"dv": 9, "group": "g"}), None, &planner);
    assert!(error.expect_err("version").to_string().contains("data version 9"));
    // The text of it is understood in the same way.
    for text in
        [r#"{"group":3}"#, "[]", r#"["g"]"#, r#"{"dv":9,"group":"g"}"#, "3", "{}", r#"{"dv":"g"}"#]
    {
        let data = serde_json::from_str(text).expect("JSON");
        let parsed = decode("run.admitted", data, None, &planner);
        assert!(parsed.is_err(), "{text}");
        assert_eq!(decode_text("run.admitted", text, None, &planner), parsed, "{text}");
    }
    let read = decode_text("run.admitted", r#"{"dv":1,"group":"g"}"#, None, &planner);
    assert_eq!(read, Ok(RunEvent::Admitted(Admitted { group: "g".to_string() })));
    let broken = decode_text("run.admitted", r#"{"group""#, None, &planner);
    assert!(matches!(broken, Err(CodecError::Decode { .. })));
}

#[test]
fn an_attempt_and_a_run_name_their_place_and_the_shapes_without_one_still_read() {
    for event in samples() {
        let bound = match event {
            RunEvent::AttemptPlanned(e) => {
                RunEvent::AttemptPlanned(AttemptPlanned { place: Some("here".into()), ..e })
            }
            RunEvent::Submitted(mut e) => {
                e.driven_at = Some("here".into());
                e.traceparent =
                    Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into());
                RunEvent::Submitted(e)
            }
            _ => continue,
        };
        let encoded = encode(&bound).expect("recordable");
        let data = serde_json::from_slice(&encoded.data).expect("JSON");
        let read = decode(encoded.kind, data, encoded.blob.as_deref(), &Planner::default());
        assert_eq!(read, Ok(bound), "what has no place reads as before, by its golden file");
    }
}

/// A run of a registered pipeline that calls another: members that came later than the first
/// golden files, which stay as they are.
#[test]
fn a_run_that_is_pinned_to_a_version_has_its_golden_file_and_reads_back() {
    let version = |name: &str, version: u32| PipelineVersion {
        name: name.to_string(),
        version,
        hash: Sha256Digest::of(name.as_bytes()),
    };
    let mut pinned = submitted();
    pinned.pipeline_version = Some(version("golden", 4));
    let called = PinnedPipeline {
        version: version("train", 7),
        bundle: pinned.source.bundle.clone(),
        archive: None,
    };
    let pipelines = BTreeMap::from([("train@7".to_string(), called)]);
    pinned.source = Arc::new(Source { pipelines, ..(*pinned.source).clone() });
    let event = RunEvent::Submitted(Box::new(pinned));
    let encoded = encode(&event).expect("recordable");
    let mut written = encoded.data.clone();
    written.push(b'\n');
    written.extend_from_slice(encoded.blob.as_deref().expect("a blob"));
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run-pinned-1");
    let path = folder.join("run.submitted.json");
    if std::env::var_os("DAGBOOK_BLESS").is_some() && !path.exists() {
        std::fs::create_dir_all(&folder).expect("made");
        std::fs::write(&path, &written).expect("written");
    }
    let golden = std::fs::read(&path).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&golden));
    let mut lines = golden.splitn(2, |byte| *byte == b'\n');
    let data = serde_json::from_slice(lines.next().expect("data")).expect("JSON");
    let read = decode("run.submitted", data, lines.next(), &Planner::default());
    assert_eq!(read.as_ref(), Ok(&event));
}

/// What came for the bill later than the first golden files, which stay as they are.
#[test]
fn what_a_bill_is_made_of_has_its_golden_files_and_reads_back() {
    let mut usage = usage();
    usage.used.egress_bytes = 7;
    let gpu = GpuUsage { model: "H200".to_string(), mode: "exclusive".to_string(), count: 1 };
    usage.requested.gpu = vec![gpu];
    let mut ended = exited();
    (ended.exit.usage, ended.heard) = (usage.clone(), Some(heard()));
    let planned = AttemptPlanned {
        step: step(),
        attempt: attempt(),
        epoch: Epoch(1),
        executor: "local".to_string(),
        spec_hash: Sha256Digest::of(b"spec"),
        place: None,
        class: Some("large".to_string()),
        hold: Some(Hold {
            nanos: Whole(12_345_678_901_234_567_890),
            ms: Millis(90_000),
            basis: HoldBasis::Recorded,
        }),
    };
    let stale = ReportStale {
        step: step(),
        attempt: attempt(),
        epoch: Epoch(1),
        said: "succeeded".to_string(),
        usage: Some(usage),
        heard: Some(Heard { started: None, ..heard() }),
    };
    for event in [
        RunEvent::AttemptPlanned(planned),
        RunEvent::AttemptExited(Box::new(ended)),
        RunEvent::ReportStale(Box::new(stale)),
    ] {
        let written = encode(&event).expect("recordable").data;
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/run-usage-1");
        let path = folder.join(format!("{}.json", event.kind()));
        if std::env::var_os("DAGBOOK_BLESS").is_some() && !path.exists() {
            std::fs::create_dir_all(&folder).expect("made");
            std::fs::write(&path, &written).expect("written");
        }
        let golden = std::fs::read(&path).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&golden));
        let data = serde_json::from_slice(&golden).expect("JSON");
        assert_eq!(decode(event.kind(), data, None, &Planner::default()), Ok(event));
    }
}
