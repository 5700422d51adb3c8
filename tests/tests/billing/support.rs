//! What both have in common: a project whose one step is billed for an hour, however long it runs.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dagbook_events::time::Timestamp;
use dagbook_tests::project::{Project, Said};
use serde_json::Value as Json;

pub const PATIENCE: Duration = Duration::from_secs(120);
pub const HOUR: i64 = 3_600_000;

const DAG: &str = "\
dagbook: v1
name: billed
steps:
  a: { run: 'true', resources: { cpu: 1, memory: 64Mi } }
";

/// One EUR for a core-hour, and nothing is shorter than an hour.
pub const CARD: &str = "\
rate_card: standard
currency: EUR
effective_from: 2026-01-01T00:00:00Z
minimum_ms: 3600000
increment_ms: 3600000
prices:
  - { sku: cpu, meter: cpu_milli_ms, price: '1', per: 3600000000 }
  - { sku: runner, meter: runner_ms, price: '0.25', per: 3600000 }
";

/// A project with its data beside it, and the files of this test.
pub fn project() -> Project {
    let mut project = Project::with("dag.yaml", DAG);
    let data = project.path().join("data").display().to_string();
    project.set("DAGBOOK_DATA", &data);
    project.write("card.yaml", CARD);
    project.write("dearer.yaml", &CARD.replace("price: '1'", "price: '1.5'"));
    let contract = "contract: friends\ncurrency: EUR\ndiscounts: [ { name: friend, percent: 10 } ]\n\
                    credits: [ { name: welcome, amount: '0.10' } ]\n";
    project.write("contract.yaml", contract);
    project
}

/// Now, and so many ms later or before.
pub fn at(ms: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    Timestamp(i64::try_from(now).expect("in range") + ms).to_rfc3339()
}

/// JSON of a command that went well.
pub fn json(said: &Said) -> Json {
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {}", said.stdout))
}

/// Members below these have names of their own, or are those of VERIFY.md.
const FREE: [&str; 3] = ["card", "contract", "anomalies"];

/// Every member that is printed is named on the page about it.
pub fn must_be_documented(value: &Json) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/docs/cli-output.md");
    let page = std::fs::read_to_string(page).expect("the page");
    match value {
        Json::Object(members) => {
            for (name, inner) in members {
                assert!(page.contains(&format!("`{name}`")), "the page does not name `{name}`");
                if !FREE.contains(&name.as_str()) {
                    must_be_documented(inner);
                }
            }
        }
        Json::Array(items) => items.first().into_iter().for_each(must_be_documented),
        _ => {}
    }
}
