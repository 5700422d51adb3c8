//! The tree of spans that a collector gets of a run.

use opentelemetry_proto::tonic::trace::v1::Span;

use crate::collector::{Collector, Manner, attribute, hex};
use crate::project::Project;

pub const ABOVE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A line a span, below the one that it names as its parent: name and status.
pub fn tree(spans: &[Span], above: &[u8], depth: usize) -> Vec<String> {
    let mut below: Vec<&Span> = spans.iter().filter(|it| it.parent_span_id == above).collect();
    below.sort_by(|a, b| (a.start_time_unix_nano, &a.name).cmp(&(b.start_time_unix_nano, &b.name)));
    let mut lines = Vec::new();
    for span in below {
        let status = match span.status.as_ref().map_or(0, |status| status.code) {
            1 => "ok",
            2 => "error",
            _ => "unset",
        };
        lines.push(format!("{}{} {status}", "  ".repeat(depth), span.name));
        assert!(span.end_time_unix_nano >= span.start_time_unix_nano, "{}", span.name);
        lines.extend(tree(spans, &span.span_id, depth + 1));
    }
    lines
}

pub fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    spans.iter().find(|span| span.name == name).unwrap_or_else(|| {
        panic!("no span {name}: {:?}", spans.iter().map(|span| &span.name).collect::<Vec<_>>())
    })
}

#[test]
fn a_run_arrives_as_one_trace_of_steps_and_attempts() {
    let collector = Collector::start(Manner::Takes);
    let project = Project::with(
        "  first:\n    run: 'test -e again || { touch again; exit 3; }'\n    \
         retry: { max_attempts: 2, backoff: { initial: 10ms, jitter: none } }\n  \
         fan: { needs: first, matrix: { n: [1, 2] }, run: 'true' }\n  \
         say: { needs: fan, run: 'echo $TRACEPARENT > seen' }\n",
    );
    let out = project.run(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-team=a%20b"),
        ("OTEL_SERVICE_NAME", "laptop"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test"),
    ]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let got = collector.got();
    let mut lines = tree(&got.spans, &[], 0);
    // The two children begin together.
    lines[5..9].sort();
    assert_eq!(
        lines,
        [
            "run traced ok",
            "  step first ok",
            "    attempt 1 of first error",
            "    attempt 2 of first ok",
            "  step fan ok",
            "      attempt 1 of fan[n=1] ok",
            "      attempt 1 of fan[n=2] ok",
            "    step fan[n=1] ok",
            "    step fan[n=2] ok",
            "  step say ok",
            "    attempt 1 of say ok",
        ]
    );
    let trace = &got.spans[0].trace_id;
    assert!(got.spans.iter().all(|span| span.trace_id == *trace));
    // What a step does goes on from the attempt's own span.
    let seen = std::fs::read_to_string(project.path().join("seen")).expect("the step wrote it");
    let say = named(&got.spans, "attempt 1 of say");
    assert_eq!(seen.trim(), format!("00-{}-{}-01", hex(trace), hex(&say.span_id)));
    let failed = named(&got.spans, "attempt 1 of first");
    let of = |name| attribute(&failed.attributes, name);
    assert_eq!(of("dagbook.attempt.outcome").as_deref(), Some("failed"));
    assert_eq!(of("process.exit.code").as_deref(), Some("3"));
    assert_eq!(of("dagbook.executor").as_deref(), Some("local"));
    assert_eq!(failed.status.as_ref().map(|it| it.message.as_str()), Some("exit code 3"));
    assert!(failed.events.iter().any(|event| event.name == "started"));
    let run = named(&got.spans, "run traced");
    assert_eq!(attribute(&run.attributes, "dagbook.tenant").as_deref(), Some("local"));
    for resource in &got.resources {
        assert_eq!(attribute(resource, "service.name").as_deref(), Some("laptop"));
        let place = attribute(resource, "deployment.environment.name");
        assert_eq!(place.as_deref(), Some("test"));
    }
    assert_eq!(got.headers[0]["x-team"], "a b");
}

#[test]
fn a_run_goes_on_in_the_trace_of_whoever_started_it_and_so_does_its_sub_dag() {
    let collector = Collector::start(Manner::Takes);
    let project = Project::with("  sub: { dag: below.yaml }\n");
    project.write("below.yaml", "dagbook: v1\nname: below\nsteps:\n  a: { run: 'true' }\n");
    let out =
        project.run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url), ("TRACEPARENT", ABOVE)]);
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    let got = collector.got();
    let above = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
    assert_eq!(
        tree(&got.spans, &above, 0),
        [
            "run traced ok",
            "  step sub ok",
            "    run below ok",
            "      step a ok",
            "        attempt 1 of a ok",
        ]
    );
    let trace = "0af7651916cd43dd8448eb211c80319c";
    assert!(got.spans.iter().all(|span| hex(&span.trace_id) == trace));
}

#[test]
fn a_trace_that_nobody_wants_stays_here_and_the_numbers_go_out() {
    let collector = Collector::start(Manner::Takes);
    let project = Project::with("  a: { run: 'true' }\n");
    let unwanted = ABOVE.replace("-01", "-00");
    let out =
        project.run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url), ("TRACEPARENT", &unwanted)]);
    assert!(out.status.success());
    assert_eq!(collector.got().spans.len(), 0);
    assert!(collector.got().metrics.iter().any(|it| it.name == "dagbook_runs_finished"));
}

#[test]
fn the_numbers_that_arrive_are_those_of_the_table() {
    use dagbook::telemetry::metrics::{Kind, family};
    use opentelemetry_proto::tonic::metrics::v1::metric::Data;
    let collector = Collector::start(Manner::Takes);
    let project = Project::with("  a: { run: 'true' }\n  b: { needs: a, run: 'exit 1' }\n");
    let out = project.run(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]);
    assert_eq!(out.status.code(), Some(1));
    let got = collector.got();
    for metric in &got.metrics {
        let known = family(&metric.name).unwrap_or_else(|| panic!("{} is new", metric.name));
        let kind = match metric.data.as_ref().expect("it has points") {
            Data::Sum(sum) => {
                assert!(sum.is_monotonic && sum.aggregation_temporality == 2, "{}", metric.name);
                Kind::Counter
            }
            Data::Gauge(_) => Kind::Gauge,
            Data::Histogram(_) => Kind::Histogram,
            other => panic!("{}: {other:?}", metric.name),
        };
        assert_eq!(kind, known.kind, "{}", metric.name);
    }
    let ended = got.metrics.iter().find(|it| it.name == "dagbook_attempts_ended");
    let Some(Data::Sum(ended)) = ended.and_then(|it| it.data.as_ref()) else { panic!("none") };
    let mut outcomes: Vec<String> = ended
        .data_points
        .iter()
        .filter_map(|point| attribute(&point.attributes, "outcome"))
        .collect();
    outcomes.sort();
    assert_eq!(outcomes, ["failed", "succeeded"]);
    let appends = got.metrics.iter().find(|it| it.name == "dagbook_store_append_seconds");
    let Some(Data::Histogram(appends)) = appends.and_then(|it| it.data.as_ref()) else {
        panic!("no appends")
    };
    let point = &appends.data_points[0];
    assert!(point.count >= 2, "{point:?}");
    assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
    assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
}
