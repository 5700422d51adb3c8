//! Files with mistakes, each with its exact findings.
//!
//! `dag/bad.txt` holds them: a title, the file, and what must be found (code, line:column,
//! message, and the hint below). `(schema: blind)` marks mistakes that a JSON Schema cannot
//! see, such as a circle.

mod support;

use dagbook_events::dag::{self, Finding};
use support::bad_files;

fn describe(finding: &Finding) -> String {
    let mut text =
        format!("{} {}:{} {}\n", finding.code, finding.line, finding.column, finding.message);
    if let Some(hint) = &finding.hint {
        text.push_str(&format!("  hint: {hint}\n"));
    }
    text
}

#[test]
fn every_bad_file_has_exactly_its_findings() {
    let files = bad_files();
    assert!(files.len() >= 130, "{} files", files.len());
    let mut wrong = String::new();
    for bad in &files {
        let checked = dag::parse(bad.text.as_bytes(), "dag.yaml");
        let found: String = checked.findings.iter().map(describe).collect();
        assert!(!found.is_empty(), "{}: nothing found", bad.title);
        assert_eq!(checked.spec.is_some(), !checked.has_errors(), "{}", bad.title);
        if found != bad.expected {
            wrong.push_str(&format!("=== {}\n{found}", bad.title));
        }
    }
    assert!(wrong.is_empty(), "found otherwise:\n{wrong}");
}

#[test]
fn spans_lie_in_the_text_and_say_the_same_as_line_and_column() {
    for bad in bad_files() {
        for finding in dag::parse(bad.text.as_bytes(), "dag.yaml").findings {
            let text = &bad.text;
            assert!(finding.span.end <= text.len(), "{}: {finding:?}", bad.title);
            let before = text.get(..finding.span.start).expect("a character's edge");
            assert!(text.get(finding.span.clone()).is_some_and(|t| !t.contains('\n')));
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().map_or(0, |l| l.chars().count()) + 1;
            assert_eq!((finding.line as usize, finding.column as usize), (line, column));
        }
    }
}

fn one_line(bytes: &[u8]) -> Vec<String> {
    dag::parse(bytes, "dag.yaml").findings.iter().map(Finding::one_line).collect()
}

const GOOD: &str = "dagbook: v1\nname: x\nsteps:\n  a: { run: 'true' }\n";

#[test]
fn bytes_that_are_no_text_are_refused() {
    let with = |bytes: &[u8]| [GOOD.as_bytes(), bytes].concat();
    let cases: [(Vec<u8>, &str); 6] = [
        (with(b"# \xff\n"), "dag.yaml:5:3: E002: byte 0xFF is not UTF-8"),
        (b"\xff\xfed\0a\0".to_vec(), "dag.yaml:1:1: E002: byte 0xFF is not UTF-8"),
        (with(b"# a\0b\n"), "dag.yaml:5:4: E003: a NUL character"),
        (with(b"# \x1b[31m\n"), "dag.yaml:5:3: E003: a U+001B character"),
        (
            vec![b'#'; (1 << 20) + 1],
            "dag.yaml:1:1: E001: the file has 1048577 bytes; at most 1048576 (1 MiB) are read",
        ),
        (Vec::new(), "dag.yaml:1:1: E011: the file holds nothing"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(one_line(&bytes), [expected]);
    }
}

#[test]
fn a_byte_order_mark_and_crlf_are_warned_of_and_read() {
    let text = format!("\u{feff}{}", GOOD.replace('\n', "\r\n"));
    let checked = dag::parse(text.as_bytes(), "dag.yaml");
    let found: Vec<String> = checked.findings.iter().map(Finding::one_line).collect();
    assert_eq!(
        found,
        [
            "dag.yaml:1:1: W001: the file starts with a byte order mark",
            "dag.yaml:1:12: W002: lines end with CRLF"
        ]
    );
    assert_eq!(checked.spec.expect("readable").steps.len(), 1);
    let wrong = text.replace("name: x", "nam: x");
    let found = one_line(wrong.as_bytes());
    assert_eq!(found[2], "dag.yaml:2:1: E101: a DAG file has no key `nam`");
}

#[test]
fn scripts_get_lf_whatever_the_file_has() {
    use dagbook_events::dag::{Action, ProgramTemplate};
    let text =
        "dagbook: v1\r\nname: x\r\nsteps:\r\n  a:\r\n    run: |\r\n      one\r\n      two\r\n";
    let spec = dag::parse(text.as_bytes(), "dag.yaml").spec.expect("readable");
    let Action::Task(task) = &spec.steps[0].action else { panic!("a task") };
    let ProgramTemplate::Script { text, .. } = &task.program else { panic!("a script") };
    assert_eq!(text, "one\ntwo\n");
}

#[test]
fn nesting_stops_early_however_deep() {
    let cases = [
        format!("x-a: {}{}\n{GOOD}", "[".repeat(10_000), "]".repeat(10_000)),
        format!("x-a: {}{}\n{GOOD}", "{a: ".repeat(10_000), "}".repeat(10_000)),
        format!("x-a: {}\n{GOOD}", "[".repeat(500_000)),
        (0..10_000).map(|n| format!("{}a:\n", " ".repeat(n.min(90)))).collect::<String>(),
        format!("x-a: {}1\n", "- ".repeat(100_000)),
    ];
    for text in cases {
        let found = one_line(text.as_bytes());
        let code = found.first().and_then(|line| line.split(": ").nth(1)).unwrap_or_default();
        assert!(matches!(code, "E004" | "E006"), "{found:?}");
        assert_eq!(found.len(), 1);
    }
}

#[test]
fn limits_are_said_where_they_are_broken() {
    let many: String = (0..257).map(|n| format!("  p{n}: {{ default: a }}\n")).collect();
    let text =
        format!("{GOOD}params:\n{many}").replace("'true'", "'true', env: { A: '${{ params }}' }");
    assert_eq!(
        one_line(text.as_bytes()),
        ["dag.yaml:262:3: E603: 257 parameters; at most 256 are allowed"]
    );
    let noisy: String = (0..3_000).map(|n| format!("k{n}: 1\n")).collect();
    let found = one_line(format!("{GOOD}{noisy}").as_bytes());
    assert_eq!(found.len(), 1_001);
    assert!(found.iter().any(|line| line.contains("E019")));
}

#[test]
fn findings_are_drawn_with_their_line() {
    let text = "dagbook: v1\nname: x\nsteps:\n  a: { run: 'true', need: b }\n";
    let bundle = dag::SourceBundle {
        entry: "dag.yaml".into(),
        files: [("dag.yaml".to_string(), text.to_string())].into(),
    };
    let findings = dag::check(&bundle).findings;
    insta::assert_snapshot!(dag::render(&findings, &bundle, false));
    let coloured = dag::render(&findings, &bundle, true);
    assert!(coloured.contains("\u{1b}["));
    let json = serde_json::to_value(dag::FindingDto::from(&findings[0])).expect("JSON");
    assert_eq!(json["code"], "E101");
    assert_eq!(json["severity"], "error");
    assert_eq!((&json["line"], &json["column"]), (&4.into(), &21.into()));
    assert_eq!(json["hint"], "did you mean `needs`?");
}

/// Files made to cost far more than their length; each is answered in a time that shows no
/// square in it (an unoptimised build takes a few seconds for the largest).
#[test]
fn large_files_are_answered_in_bounded_time() {
    let head = "dagbook: v1\nname: x\nsteps:\n";
    let steps = |line: &dyn Fn(usize) -> String, count: usize| -> String {
        head.to_string() + &(0..count).map(line).collect::<String>()
    };
    let unknown_needs = steps(&|n| format!("  s{n}: {{ run: x, needs: [nobody{n}] }}\n"), 15_000);
    let missing_files = steps(&|n| format!("  s{n}: {{ dag: none{n}.yaml }}\n"), 15_000);
    let one_line = format!(
        "{{\"dagbook\":\"v1\",\"name\":\"x\",\"steps\":{{{}}}}}",
        (0..20_000).map(|n| format!("\"s{n}\":{{\"run\":\"x\"}}")).collect::<Vec<_>>().join(",")
    );
    let long_value = format!("{head}  a: {{ command: ['{}'] }}\n", "${{ git.sha }}".repeat(60_000));
    let escaped =
        format!("{head}  a: {{ command: [\"\\t{}\"] }}\n", "${{ git.sha }}".repeat(60_000));
    let includes = format!(
        "{head}  a:\n    matrix:\n      n: [{}]\n      include: [{}]\n    run: x\n",
        (0..40_000).map(|n| n.to_string()).collect::<Vec<_>>().join(","),
        (0..20_000).map(|n| format!("{{m: {n}}}")).collect::<Vec<_>>().join(",")
    );
    let chain = steps(
        &|n| format!("  s{n}: {{ run: x, needs: [s{}] }}\n", n.saturating_sub(1).min(n)),
        15_000,
    )
    .replacen("needs: [s0] ", "needs: [] ", 1);
    let files = [unknown_needs, missing_files, one_line, long_value, escaped, includes, chain];
    for text in files {
        assert!(text.len() <= 1 << 20, "{}", text.len());
        let bundle = dag::SourceBundle {
            entry: "dag.yaml".into(),
            files: [("dag.yaml".to_string(), text.clone())].into(),
        };
        #[expect(clippy::disallowed_methods, reason = "the test measures its own time")]
        let start = std::time::Instant::now();
        let planned = dag::plan(&bundle, &Default::default(), &dag::PlanFacts::default());
        let took = start.elapsed();
        let shown: String = text.chars().skip(30).take(50).collect();
        println!("{shown:?}: {took:?}, {}", if planned.is_ok() { "planned" } else { "refused" });
        assert!(took.as_secs() < 30, "{shown}: {took:?}");
    }
}
