//! Collectors that do not do their work: no run is slower or worse for them.

use std::time::{Duration, Instant};

use crate::collector::{Collector, Manner};
use crate::project::Project;

/// Runs are told by their exit code alone; the time is bound by the last export.
fn run_with(endpoint: &str) -> Duration {
    let project = Project::with("  a: { run: 'true' }\n  b: { needs: a, run: 'true' }\n");
    let alone = Instant::now();
    assert!(project.run(&[]).status.success());
    let alone = alone.elapsed();
    let began = Instant::now();
    let out = project.run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    began.elapsed().saturating_sub(alone)
}

#[test]
fn a_collector_that_hangs_is_waited_for_a_moment_at_the_end_and_no_longer() {
    let collector = Collector::start(Manner::Hangs);
    let more = run_with(&collector.url);
    // Two seconds of patience, and what a busy machine adds.
    assert!(more < Duration::from_secs(8), "{more:?}");
    assert!(!collector.got().spans.is_empty(), "it was asked");
}

#[test]
fn a_collector_that_refuses_is_told_once_and_dropped() {
    let collector = Collector::start(Manner::Refuses);
    run_with(&collector.url);
    assert_eq!(collector.got().headers.len(), 1);
}

#[test]
fn a_collector_that_is_not_there_harms_nobody() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = port.local_addr().expect("its address");
    drop(port);
    run_with(&format!("http://{address}"));
}

#[test]
fn an_endpoint_that_is_none_is_said_and_the_run_goes_on() {
    let project = Project::with("  a: { run: 'true' }\n");
    let out = project.run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317")]);
    assert!(out.status.success());
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("must begin with `http://`"), "{said}");
}
