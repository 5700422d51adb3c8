//! From a file to a plan.

use std::collections::BTreeMap;

use dagbook_events::dag::{
    self, Action, FanOut, Finding, Plan, PlanFacts, Section, SourceBundle, WhenFull,
};
use dagbook_events::value::Value;

fn bundle(files: &[(&str, &str)]) -> SourceBundle {
    SourceBundle {
        entry: files[0].0.to_string(),
        files: files.iter().map(|(path, text)| (path.to_string(), text.to_string())).collect(),
    }
}

fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, Value> {
    pairs.iter().map(|(name, text)| (name.to_string(), Value::str(text))).collect()
}

fn lines(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(Finding::one_line).collect()
}

fn plan_of(text: &str, params: &[(&str, &str)]) -> Result<Plan, Vec<String>> {
    dag::plan(&bundle(&[("dag.yaml", text)]), &given(params), &PlanFacts::default())
        .map_err(|findings| lines(&findings))
}

#[test]
fn the_file_of_the_format_page_is_accepted_and_planned() {
    let text = include_str!("dag/full.yaml");
    let source = bundle(&[("dag.yaml", text)]);
    let checked = dag::check(&source);
    assert_eq!(lines(&checked.findings), [""; 0]);
    let plan = dag::plan(&source, &given(&[("dataset", "cats")]), &PlanFacts::default())
        .unwrap_or_else(|f| panic!("{}", dag::render(&f, &source, false)));
    let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["fetch", "resize", "train", "evaluate", "ship", "publish", "report"]);
    let levels: Vec<u32> = plan.steps.iter().map(|step| step.level).collect();
    assert_eq!(levels, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(plan.params["epochs"], Value::Int(3));
    let group = plan.concurrency.as_ref().expect("a group");
    assert_eq!((group.group.as_str(), group.when_full), ("train-cats", WhenFull::Queue));
    assert_eq!(plan.unit_count(), 8);
    let FanOut::Matrix(cells) = &plan.steps[3].fan_out else { panic!("evaluate has a matrix") };
    let labels: Vec<&str> = cells.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(labels, ["split=val,device=cpu", "split=test,device=cpu"]);
    let train = &plan.steps[2];
    assert_eq!(train.retry.max_attempts, 2);
    assert_eq!(train.retry.exit_codes, [75]);
    assert_eq!(train.timeouts.attempt.0, 6 * 3_600_000);
    assert_eq!(train.timeouts.heartbeat.map(|t| t.0), Some(60_000));
    let Action::Task(task) = &train.action else { panic!("train is a task") };
    assert_eq!(task.resources.memory_bytes, 32 << 30);
    assert_eq!(task.resources.gpu.as_ref().map(|gpu| gpu.count), Some(1));
    assert_eq!(plan.steps[6].section, Section::Finally);
}

#[test]
fn parameters_are_checked_against_their_declarations() {
    let text = "dagbook: v1
name: p
params:
  n: { type: integer, minimum: 1, maximum: 10, default: 3 }
  word: { type: string, required: true, pattern: '^[a-z]+$' }
  rate: { type: number, default: 0.10 }
  mode: { enum: [fast, slow], default: fast }
  flag: { type: boolean, default: false }
  items: { type: list, default: [a, 1] }
steps:
  a: { command: [echo, '${{ params }}'] }
";
    let plan = plan_of(text, &[("word", "hello"), ("n", "7"), ("flag", "true")]).expect("good");
    assert_eq!(plan.params["n"], Value::Int(7));
    assert_eq!(plan.params["flag"], Value::Bool(true));
    assert_eq!(plan.params["rate"], Value::Number("0.10".into()));
    let cases: [(&[(&str, &str)], &str); 9] = [
        (&[], "dag.yaml:5:3: E402: the parameter `word` is required"),
        (
            &[("word", "A")],
            "dag.yaml:5:3: E404: the parameter `word` does not match the pattern `^[a-z]+$`",
        ),
        (
            &[("word", "a"), ("n", "11")],
            "dag.yaml:4:3: E404: the parameter `n` is 11, above the maximum 10",
        ),
        (
            &[("word", "a"), ("n", "0")],
            "dag.yaml:4:3: E404: the parameter `n` is 0, below the minimum 1",
        ),
        (
            &[("word", "a"), ("n", "x")],
            "dag.yaml:4:3: E403: the parameter `n` must be an integer, not `x`",
        ),
        (&[("word", "a"), ("m", "1")], "dag.yaml:1:1: E401: there is no parameter `m`"),
        (
            &[("word", "a"), ("mode", "med")],
            "dag.yaml:7:3: E404: the parameter `mode` is not one of fast, slow",
        ),
        (
            &[("word", "a"), ("flag", "yes")],
            "dag.yaml:8:3: E403: the parameter `flag` must be a boolean, not `yes`",
        ),
        (
            &[("word", "a"), ("items", "[1")],
            "dag.yaml:9:3: E403: the parameter `items` must be a list in JSON, not `[1`",
        ),
    ];
    for (params, expected) in cases {
        assert_eq!(plan_of(text, params).expect_err(expected), [expected]);
    }
}

#[test]
fn matrices_multiply_exclude_and_include() {
    let text = "dagbook: v1
name: m
params: { regions: { type: list, default: [eu, us] } }
steps:
  a:
    matrix:
      region: ${{ params.regions }}
      size: [1, 2]
      exclude: [{ region: us, size: 2 }]
      include:
        - { region: eu, note: first }
        - { region: ap, size: 9 }
    command: [echo, '${{ matrix.region }}']
";
    let plan = plan_of(text, &[]).expect("good");
    let FanOut::Matrix(cells) = &plan.steps[0].fan_out else { panic!("a matrix") };
    let labels: Vec<&str> = cells.iter().map(|(label, _)| label.as_str()).collect();
    assert_eq!(
        labels,
        [
            "region=eu,size=1,note=first",
            "region=eu,size=2,note=first",
            "region=us,size=1",
            "region=ap,size=9"
        ]
    );
}

#[test]
fn sub_dags_are_followed_in_the_bundle() {
    let parent = "dagbook: v1
name: parent
steps:
  sub: { dag: parts/child.yaml, params: { n: '3' } }
  after:
    needs: sub
    command: [echo, '${{ steps.sub.outputs.work.answer }}']
";
    let child = "dagbook: v1
name: child
params: { n: { type: integer, required: true } }
steps:
  work: { command: [echo, '${{ params.n }}'], outputs: { answer: string } }
";
    let good = bundle(&[("dag.yaml", parent), ("parts/child.yaml", child)]);
    assert_eq!(lines(&dag::check(&good).findings), [""; 0]);
    assert_eq!(dag::sub_dag_paths("dag.yaml", parent), ["parts/child.yaml"]);
    assert_eq!(dag::sub_dag_paths("x/dag.yaml", parent), ["x/parts/child.yaml"]);
    assert!(dag::plan(&good, &BTreeMap::new(), &PlanFacts::default()).is_ok());

    let missing = bundle(&[("dag.yaml", parent), ("parts/childs.yaml", child)]);
    let findings = dag::check(&missing).findings;
    assert_eq!(
        lines(&findings),
        ["dag.yaml:4:15: E501: the sub-DAG file `parts/child.yaml` is not there"]
    );
    assert_eq!(findings[0].hint.as_deref(), Some("did you mean `parts/childs.yaml`?"));

    let wrong_params = parent.replace("n: '3'", "m: '3'").replace("work.answer", "wrk.answer");
    let wrong = bundle(&[("dag.yaml", &wrong_params), ("parts/child.yaml", child)]);
    assert_eq!(
        lines(&dag::check(&wrong).findings),
        [
            "dag.yaml:4:15: E504: `child` has no parameter `m`",
            "dag.yaml:4:15: E504: `child` requires the parameter `n`",
            "dag.yaml:7:26: E306: `child` has no step `wrk`",
        ]
    );

    let broken_child = child.replace("work:", "work: x\n  w:");
    let broken = bundle(&[("dag.yaml", parent), ("parts/child.yaml", &broken_child)]);
    assert_eq!(
        lines(&dag::check(&broken).findings)[0],
        "parts/child.yaml:5:9: E103: step `work` must be a mapping, not text"
    );
}

#[test]
fn sub_dags_that_go_in_circles_or_too_deep_are_found() {
    let calls = |name: &str, path: &str| {
        format!("dagbook: v1\nname: {name}\nsteps:\n  s: {{ dag: {path} }}\n")
    };
    let (a, b) = (calls("a", "b.yaml"), calls("b", "a.yaml"));
    let circle = bundle(&[("a.yaml", &a), ("b.yaml", &b)]);
    assert_eq!(
        lines(&dag::check(&circle).findings),
        ["b.yaml:4:13: E502: sub-DAG files call each other in a circle: a.yaml → b.yaml → a.yaml"]
    );
    let mut files: Vec<(String, String)> =
        (0..11).map(|n| (format!("f{n}.yaml"), calls("x", &format!("f{}.yaml", n + 1)))).collect();
    files.push(("f11.yaml".into(), "dagbook: v1\nname: x\nsteps: { s: { run: 'true' } }\n".into()));
    let files: Vec<(&str, &str)> = files.iter().map(|(p, t)| (p.as_str(), t.as_str())).collect();
    let found = lines(&dag::check(&bundle(&files)).findings);
    assert_eq!(found, ["f8.yaml:4:13: E503: sub-DAG files are nested deeper than 8"]);
}

#[test]
fn finally_steps_come_last_and_may_need_main_steps() {
    let text = "dagbook: v1
name: f
finally:
  second: { needs: first, run: 'true' }
  first: { needs: b, when: any_failed, run: 'true' }
steps:
  b: { needs: a, run: 'true' }
  a: { run: 'true' }
";
    let plan = plan_of(text, &[]).expect("good");
    let names: Vec<&str> = plan.steps.iter().map(|step| step.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "first", "second"]);
    assert_eq!(plan.steps.iter().map(|s| s.level).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(plan.steps[0].dependents.len(), 1);
}

#[test]
fn json_is_accepted_and_gives_the_same_plan() {
    let yaml = "dagbook: v1\nname: j\nsteps:\n  a: { run: \"echo hi\\n\" }\n  b: { needs: [a], command: [ls, '1'] }\n";
    let json = r#"{
	"dagbook": "v1", "name": "j",
	"steps": {"a": {"run": "echo hi\n"}, "b": {"needs": ["a"], "command": ["ls", "1"]}}
}"#;
    let (a, b) = (plan_of(yaml, &[]).expect("yaml"), plan_of(json, &[]).expect("json"));
    assert_eq!(a.steps, b.steps);
}

#[test]
fn a_hundred_thousand_units_are_planned() {
    let mut text = String::from("dagbook: v1\nname: wide\nsteps:\n");
    for half in ["a", "b"] {
        text.push_str(&format!("  {half}:\n    matrix:\n"));
        for axis in ["x", "y"] {
            let count = if axis == "x" { 250 } else { 200 };
            let values: Vec<String> = (0..count).map(|n| n.to_string()).collect();
            text.push_str(&format!("      {axis}: [{}]\n", values.join(", ")));
        }
        text.push_str("    command: [echo, '${{ matrix.x }}']\n");
    }
    #[expect(clippy::disallowed_methods, reason = "the test measures its own time")]
    let start = std::time::Instant::now();
    let plan = plan_of(&text, &[]).expect("good");
    println!("100,000 units in {:?}", start.elapsed());
    assert_eq!(plan.unit_count(), 100_000);
    let wider = text.replace("x: [0, ", "x: [0, 9999, ");
    let found = plan_of(&wider, &[]).expect_err("too wide");
    assert_eq!(found[0], "dag.yaml:5:5: E602: the matrix has more than 50000 children");
}
