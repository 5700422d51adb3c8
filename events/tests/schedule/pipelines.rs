//! Registered pipelines, and what differs between two plans.

use std::collections::BTreeMap;

use dagbook_events::aggregate::Aggregate;
use dagbook_events::dag::{self, Plan, PlanFacts, SourceBundle, plan_difference};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::pipeline::{Candidate, Pipeline, PipelineEvent, PipelineRefusal, content};
use dagbook_events::run::event::Source;
use dagbook_events::time::Timestamp;

fn candidate(content: &str) -> Candidate {
    Candidate {
        hash: Sha256Digest::of(content.as_bytes()),
        bytes: content.len() as u64,
        entry: "dag.yaml".to_string(),
        files: 1,
        steps: 2,
        schedules: 0,
        message: "as agreed".to_string(),
        by: "user:ann".to_string(),
    }
}

fn register(pipeline: &mut Pipeline, content: &str) -> Option<u32> {
    let registered = pipeline.register(candidate(content)).expect("accepted")?;
    let version = registered.version;
    pipeline.apply(Timestamp(1), &PipelineEvent::Registered(registered));
    Some(version)
}

#[test]
fn versions_are_dense_and_the_same_content_is_no_new_one() {
    let mut pipeline = Pipeline::default();
    assert_eq!(register(&mut pipeline, "one"), Some(1));
    assert_eq!(register(&mut pipeline, "one"), None);
    assert_eq!(register(&mut pipeline, "two"), Some(2));
    assert_eq!(register(&mut pipeline, "one"), Some(3), "going back is a version again");
    assert_eq!(pipeline.version(1).map(|v| v.registered.version), Some(1));
    assert_eq!(pipeline.version(0), None);
    assert_eq!(pipeline.version(4), None);
}

#[test]
fn an_archived_pipeline_takes_nothing_until_it_is_restored() {
    let mut pipeline = Pipeline::default();
    let archive = |pipeline: &Pipeline| pipeline.archive(String::new(), "user:ann".to_string());
    assert_eq!(archive(&pipeline), Err(PipelineRefusal::Unborn));
    register(&mut pipeline, "one");
    let archived = archive(&pipeline).expect("archived");
    pipeline.apply(Timestamp(2), &PipelineEvent::Archived(archived));
    assert_eq!(pipeline.register(candidate("two")), Err(PipelineRefusal::Archived));
    assert_eq!(archive(&pipeline), Err(PipelineRefusal::Archived));
    let restored = pipeline.restore("user:ann".to_string()).expect("restored");
    pipeline.apply(Timestamp(3), &PipelineEvent::Restored(restored));
    assert_eq!(register(&mut pipeline, "two"), Some(2));
    assert_eq!(pipeline.restore("x".to_string()), Err(PipelineRefusal::NotArchived));
}

#[test]
fn where_a_folder_stood_is_no_part_of_a_version() {
    let bundle = SourceBundle {
        entry: "dag.yaml".to_string(),
        files: BTreeMap::from([("dag.yaml".to_string(), "x".to_string())]),
    };
    let source = |folder: Option<&str>| Source {
        bundle: bundle.clone(),
        folder: folder.map(str::to_string),
        archive: None,
        pipelines: BTreeMap::new(),
    };
    assert_eq!(content(&source(Some("/home/ann"))), content(&source(None)));
}

fn plan(steps: &str) -> Plan {
    let text = format!("dagbook: v1\nname: p\n{steps}");
    let bundle = SourceBundle {
        entry: "dag.yaml".to_string(),
        files: BTreeMap::from([("dag.yaml".to_string(), text)]),
    };
    let facts = PlanFacts { git: None, tenant: "t".to_string() };
    dag::plan(&bundle, &BTreeMap::new(), &facts).unwrap_or_else(|f| panic!("{f:?}"))
}

#[test]
fn a_difference_names_steps_added_removed_and_changed_and_their_needs() {
    let old = plan(
        "steps:\n  a: { run: \"true\" }\n  b: { run: \"true\", needs: [a] }\n  \
         c: { run: \"true\", needs: [a] }\n  d: { run: \"true\" }\n",
    );
    let new = plan(
        "timeout: 2h\nsteps:\n  a: { run: \"false\", retry: { max_attempts: 3 } }\n  \
         c: { run: \"true\", needs: [d] }\n  d: { run: \"true\" }\n  e: { run: \"true\" }\n",
    );
    let difference = plan_difference(&old, &new);
    let names = |steps: &[dagbook_events::ids::StepName]| {
        steps.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(names(&difference.added), ["e"]);
    assert_eq!(names(&difference.removed), ["b"]);
    assert_eq!(difference.pipeline, ["timeout"]);
    let mut changed = difference.changed.clone();
    changed.sort_by(|a, b| a.step.cmp(&b.step));
    assert_eq!(changed.len(), 2, "{changed:?}");
    assert_eq!(
        (changed[0].step.as_str(), &changed[0].what[..]),
        ("a", &["action".to_string(), "retry".to_string()][..])
    );
    assert_eq!((changed[1].step.as_str(), &changed[1].what[..]), ("c", &["needs".to_string()][..]));
    assert_eq!(names(&changed[1].needs_added), ["d"]);
    assert_eq!(names(&changed[1].needs_removed), ["a"]);
    assert!(plan_difference(&old, &old).is_empty());
}

#[test]
fn the_order_in_which_steps_and_needs_are_written_is_no_difference() {
    let old = plan("steps:\n  a: { run: x }\n  b: { run: x }\n  c: { run: x, needs: [a, b] }\n");
    let new = plan("steps:\n  b: { run: x }\n  c: { run: x, needs: [b, a] }\n  a: { run: x }\n");
    assert!(plan_difference(&old, &new).is_empty(), "{:?}", plan_difference(&old, &new));
}
