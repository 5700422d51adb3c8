//! Commands that read a DAG file: lint, plan, graph, schema.

use dagbook_tests::project::Project;

const SEVEN: &str = "\
dagbook: v1
name: Seven Mistakes
steps:
  fetch:
    run: echo ${{ params.x }}
  clean:
    needs: fetsh
    run: ./clean.sh
    timeout: 30
  train:
    neds: clean
    command: [train]
  ship:
    run: ./ship.sh
    command: [ship]
  a:
    needs: b
    run: 'true'
  b:
    needs: a
    run: 'true'
";

#[test]
fn seven_mistakes_give_seven_findings_in_the_right_places() {
    let project = Project::with("seven.yaml", SEVEN);
    let report = project.json(&["lint", "seven.yaml"]);
    let findings = report["files"][0]["findings"].as_array().expect("findings");
    let places: Vec<(String, u64, u64)> = findings
        .iter()
        .map(|f| {
            let code = f["code"].as_str().unwrap_or_default().to_string();
            let number = |name: &str| f[name].as_u64().unwrap_or(0);
            (code, number("line"), number("column"))
        })
        .collect();
    let at = |code: &str, line, column| (code.to_string(), line, column);
    assert_eq!(
        places,
        [
            at("E104", 2, 7),
            at("E307", 5, 15),
            at("E201", 7, 12),
            at("E109", 9, 14),
            at("E101", 11, 5),
            at("E118", 15, 5),
            at("E202", 17, 12),
        ]
    );
    assert_eq!((report["errors"].as_u64(), report["warnings"].as_u64()), (Some(7), Some(0)));
    let said = project.dagbook(&["lint", "seven.yaml"]);
    assert_eq!(said.code, 2);
    assert!(said.stdout.contains("seven.yaml:7:12"), "{}", said.stdout);
    assert!(said.stdout.contains("did you mean `fetch`?"), "{}", said.stdout);
    assert!(said.stderr.ends_with("7 errors, 0 warnings\n"), "{}", said.stderr);
}

#[test]
fn a_missing_program_is_a_warning_about_this_machine() {
    let text = "dagbook: v1\nname: tools\nsteps:\n  read:\n    requires: [no-such-program]\n    run: 'true'\n";
    let project = Project::with("tools.yaml", text);
    let report = project.json(&["lint", "tools.yaml"]);
    let finding = &report["files"][0]["findings"][0];
    assert_eq!((finding["code"].as_str(), finding["line"].as_u64()), (Some("W201"), Some(4)));
    assert_eq!(project.dagbook(&["lint", "tools.yaml"]).code, 0);
    assert_eq!(project.dagbook(&["lint", "--deny-warnings", "tools.yaml"]).code, 2);
}

const SHAPE: &str = "\
dagbook: v1
name: shape
params:
  n: { type: integer, default: 2 }
steps:
  fetch:
    run: echo \"$N\"
    env: { N: \"${{ params.n }}\" }
  grid:
    needs: fetch
    matrix: { split: [val, test], device: [cpu] }
    command: [echo, \"${{ matrix.split }}\"]
    resources: { cpu: 2, memory: 4Gi }
  join:
    needs: grid
    run: 'true'
finally:
  report:
    run: 'true'
";

#[test]
fn a_plan_shows_levels_children_and_the_critical_path() {
    let project = Project::with("shape.yaml", SHAPE);
    let plan = project.json(&["plan", "shape.yaml", "--param", "n=5"]);
    assert_eq!(plan["params"]["n"], 5);
    assert_eq!(plan["units"], 5);
    assert_eq!(plan["critical_path"], serde_json::json!(["fetch", "grid", "join"]));
    let grid = &plan["steps"][1];
    let children = serde_json::json!(["grid[split=val,device=cpu]", "grid[split=test,device=cpu]"]);
    assert_eq!(grid["children"], children);
    assert_eq!(grid["resources"]["memory_bytes"], 4_u64 << 30);
    let text = project.dagbook(&["plan", "shape.yaml"]);
    assert_eq!(text.code, 0);
    assert!(text.stdout.contains("critical path: fetch → grid → join"), "{}", text.stdout);
    let wrong = project.dagbook(&["plan", "shape.yaml", "--param", "n=many"]);
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
}

#[test]
fn pictures_hold_every_step() {
    let project = Project::with("shape.yaml", SHAPE);
    for format in ["svg", "dot", "mermaid", "text"] {
        let picture = project.dagbook(&["graph", "shape.yaml", "--format", format]);
        assert_eq!(picture.code, 0, "{format}: {}", picture.stderr);
        for step in ["fetch", "grid", "join", "report"] {
            assert!(picture.stdout.contains(step), "{format} lacks {step}: {}", picture.stdout);
        }
    }
    let said = project.dagbook(&["graph", "shape.yaml", "--format", "svg", "-o", "shape.svg"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, ""));
    let file = std::fs::read_to_string(project.path().join("shape.svg")).expect("a picture");
    assert!(file.contains("<svg"));
}

#[test]
fn the_schema_accepts_a_good_file_and_refuses_a_bad_one() {
    let project = Project::new();
    let schema: serde_json::Value =
        serde_json::from_str(&project.dagbook(&["schema"]).stdout).expect("JSON");
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    let good =
        serde_json::json!({ "dagbook": "v1", "name": "x", "steps": { "a": { "run": "true" } } });
    assert!(validator.is_valid(&good));
    let bad =
        serde_json::json!({ "dagbook": "v1", "name": "x", "steps": { "a": { "runn": "x" } } });
    assert!(!validator.is_valid(&bad));
}
