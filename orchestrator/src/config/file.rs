//! `dagbook.toml`: its keys, each set from text or from a TOML value.

use std::path::{Path, PathBuf};

use super::{Config, StoreLocation, nearest};

/// Every key, in the order of the documentation.
pub(super) const KEYS: [&str; 5] = ["store", "bus", "data", "slots", "log_level"];

/// Most local slots.
const MOST_SLOTS: u32 = 10_000;

pub(super) fn read(config: &mut Config, path: &Path, problems: &mut Vec<String>) {
    let shown = path.display();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => return problems.push(format!("{shown}: {error}")),
    };
    let table: toml::Table = match text.parse() {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(1, |span| 1 + text[..span.start].matches('\n').count());
            return problems.push(format!("{shown}, line {line}: {}", error.message()));
        }
    };
    let base = path.parent().map(Path::to_path_buf);
    // In the file's order, for that is how a person reads the list.
    let mut keys: Vec<&String> = table.keys().collect();
    keys.sort_by_key(|key| text.find(key.as_str()));
    for key in keys {
        if let Err(problem) = set(config, key, &table[key], base.as_deref()) {
            problems.push(format!("{shown}: {problem}"));
        }
    }
}

fn set(
    config: &mut Config,
    key: &str,
    value: &toml::Value,
    base: Option<&Path>,
) -> Result<(), String> {
    if !KEYS.contains(&key) {
        let hint = nearest(key, KEYS).map(|k| format!("; did you mean `{k}`?"));
        return Err(format!("unknown key `{key}`{}", hint.unwrap_or_default()));
    }
    match (key, value) {
        ("slots", toml::Value::Integer(n)) => set_text(config, key, &n.to_string(), base),
        ("slots", _) => Err("`slots` must be a whole number".to_string()),
        (_, toml::Value::String(text)) => set_text(config, key, text, base),
        _ => Err(format!("`{key}` must be text, it is {}", value.type_str())),
    }
}

/// Sets a key from text. `base` is the folder that relative paths are relative to; without one
/// it is the current folder.
pub(super) fn set_text(
    config: &mut Config,
    key: &str,
    text: &str,
    base: Option<&Path>,
) -> Result<(), String> {
    let path = |text: &str| match base {
        Some(base) => base.join(text),
        None => PathBuf::from(text),
    };
    match key {
        "store" => config.store = store(text, path)?,
        "bus" => bus(text)?,
        "data" => config.data = Some(path(text)),
        "slots" => config.slots = Some(slots(text)?),
        "log_level" => config.log_level = text.to_string(),
        other => return Err(format!("unknown key `{other}`")),
    }
    Ok(())
}

fn store(text: &str, path: impl Fn(&str) -> PathBuf) -> Result<StoreLocation, String> {
    match text.split_once(':') {
        Some(("sqlite", file)) if !file.is_empty() => Ok(StoreLocation::Sqlite(path(file))),
        Some(("postgres" | "postgresql", _)) => {
            Err("this build has the embedded stores only: use `sqlite:PATH` instead of a Postgres \
             address"
                .to_string())
        }
        _ => Err(format!("`{text}` is not a store; write `sqlite:PATH`")),
    }
}

fn bus(text: &str) -> Result<(), String> {
    match text.split_once(':') {
        Some(("memory", _)) => Ok(()),
        Some(("nats" | "tls", _)) => {
            Err("this build has the embedded bus only: use `memory:` instead of a NATS address"
                .to_string())
        }
        _ => Err(format!("`{text}` is not a bus; write `memory:`")),
    }
}

fn slots(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(n) if (1..=MOST_SLOTS).contains(&n) => Ok(n),
        _ => Err(format!("`slots` must be a whole number from 1 to {MOST_SLOTS}, not `{text}`")),
    }
}
