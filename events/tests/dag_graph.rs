//! Pictures of plans.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use dagbook_events::dag::graph::{GraphFormat, render};
use dagbook_events::dag::{self, Plan, PlanFacts, SourceBundle};

fn plan_of(text: &str) -> Plan {
    let files = [("dag.yaml", text), ("parts/child.yaml", CHILD)];
    let bundle = SourceBundle {
        entry: "dag.yaml".into(),
        files: files.iter().map(|(p, t)| (p.to_string(), t.to_string())).collect(),
    };
    let given = BTreeMap::from([("dataset".to_string(), "cats".into())]);
    let given = if text.contains("dataset:") { given } else { BTreeMap::new() };
    dag::plan(&bundle, &given, &PlanFacts::default())
        .unwrap_or_else(|f| panic!("{}", dag::render(&f, &bundle, false)))
}

const CHILD: &str = "dagbook: v1\nname: child\nparams: { n: { default: '1' } }\n\
                     steps: { a: { command: [echo, '${{ params.n }}'] } }\n";

#[test]
fn the_text_picture_lists_levels() {
    insta::assert_snapshot!(render(&plan_of(include_str!("dag/full.yaml")), GraphFormat::Text));
    insta::assert_snapshot!(render(&plan_of(include_str!("dag/kinds.yaml")), GraphFormat::Text));
}

#[test]
fn dot_and_mermaid_name_every_step_and_edge() {
    insta::assert_snapshot!(render(&plan_of(include_str!("dag/full.yaml")), GraphFormat::Dot));
    insta::assert_snapshot!(render(&plan_of(include_str!("dag/full.yaml")), GraphFormat::Mermaid));
}

/// A file of 200 steps: chains, joins, long edges, fan-outs.
fn two_hundred() -> String {
    let mut text = String::from("dagbook: v1\nname: two-hundred\nsteps:\n");
    let kinds = [
        "run: 'true'",
        "command: [ls]",
        "command: [echo, \"${{ matrix.m }}\"], matrix: { m: [1, 2, 3, 4] }",
        "run: 'true', executor: gpu",
        "wait: { for: 10m }",
        "approval: { role: owner }",
    ];
    for n in 0..198usize {
        let level = n / 18;
        let mut needs = Vec::new();
        if level > 0 {
            needs.push(format!("step-{:03}", (level - 1) * 18 + n % 18));
            if n % 3 == 0 {
                needs.push(format!("step-{:03}", (level - 1) * 18 + (n % 18 + 2) % 18));
            }
            if n % 17 == 0 && level > 3 {
                needs.push(format!("step-{:03}", n % 18));
            }
        }
        let kind = if n % 29 == 5 { kinds[5] } else { kinds[n % 5] };
        let _ = writeln!(text, "  step-{n:03}: {{ needs: [{}], {kind} }}", needs.join(", "));
    }
    text.push_str("finally:\n  tidy: { run: 'true' }\n  tell: { needs: tidy, run: 'true' }\n");
    text
}

#[test]
fn the_svg_of_two_hundred_steps_is_whole_and_the_same_each_time() {
    let plan = plan_of(&two_hundred());
    let svg = render(&plan, GraphFormat::Svg);
    assert_eq!(svg, render(&plan, GraphFormat::Svg));
    assert_eq!(svg.matches("<g class=").count(), 200);
    let edges: usize = plan.steps.iter().map(|step| step.needs.len()).sum();
    assert_eq!(svg.matches("marker-end").count(), edges);
    assert_eq!(svg.matches("class=\"finally\"").count(), 2);
    for n in [0, 99, 197] {
        assert!(svg.contains(&format!(">step-{n:03}</text>")));
    }
    let out = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("two-hundred.svg");
    std::fs::write(&out, &svg).expect("the picture can be kept");
    let kinds = render(&plan_of(include_str!("dag/kinds.yaml")), GraphFormat::Svg);
    std::fs::write(out.with_file_name("kinds.svg"), kinds).expect("the picture can be kept");
}

#[test]
fn text_in_pictures_is_escaped() {
    let text = "dagbook: v1\nname: x\nsteps:\n  a: { wait: { event: '<script>&\"#`' } }\n";
    let plan = plan_of(text);
    let svg = render(&plan, GraphFormat::Svg);
    assert!(svg.contains("wait for &lt;script&gt;&amp;&quot;#`") && !svg.contains("<script"));
    assert!(render(&plan, GraphFormat::Dot).contains("<script>&\\\"#`"));
    assert!(render(&plan, GraphFormat::Mermaid).contains("#60;script#62;#38;#34;#35;#96;"));
}
