//! The JSON Schema accepts what the parser accepts, and refuses what it can see.

mod support;

use dagbook_events::dag::{self, schema::schema};
use support::bad_files;

fn as_json(text: &str) -> Option<serde_json::Value> {
    // As YAML 1.2 reads it: `no` is a word.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(text, options).ok()
}

#[test]
fn it_is_a_schema_itself() {
    jsonschema::meta::validate(&schema()).expect("a valid draft 2020-12 schema");
}

#[test]
fn it_accepts_the_good_files() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let mut files = vec![("full.yaml".to_string(), include_str!("dag/full.yaml").to_string())];
    let kinds = include_str!("dag/kinds.yaml");
    files.push(("kinds.yaml".into(), kinds.into()));
    let examples = concat!(env!("CARGO_MANIFEST_DIR"), "/../dag-examples");
    for folder in std::fs::read_dir(examples).into_iter().flatten().flatten() {
        let Ok(inside) = std::fs::read_dir(folder.path()) else { continue };
        for file in inside.flatten().map(|entry| entry.path()) {
            if file.extension().is_some_and(|end| end == "yaml") {
                let text = std::fs::read_to_string(&file).expect("an example can be read");
                if text.contains("\ndagbook:") || text.starts_with("dagbook:") {
                    files.push((file.display().to_string(), text));
                }
            }
        }
    }
    for (name, text) in files {
        let checked = dag::parse(text.as_bytes(), &name);
        let lines: Vec<String> = checked.findings.iter().map(|f| f.one_line()).collect();
        assert!(!checked.has_errors(), "{lines:#?}");
        let instance = as_json(&text).expect("YAML");
        let errors: Vec<String> = validator
            .iter_errors(&instance)
            .map(|error| format!("{name}: {}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
}

#[test]
fn it_refuses_every_mistake_that_a_schema_can_see() {
    let validator = jsonschema::validator_for(&schema()).expect("a schema");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for bad in bad_files() {
        let Some(instance) = as_json(&bad.text) else { continue };
        let valid = validator.is_valid(&instance);
        if valid && !bad.schema_is_blind {
            wrong.push(format!("accepted: {}", bad.title));
        }
        seen += usize::from(!valid);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(seen >= 80, "only {seen} refused");
}
