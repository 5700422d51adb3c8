//! `dagbook.toml`: its keys, each set from text or from a TOML value.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dagbook_events::ids::TenantId;
use dagbook_events::tlog::{KeyKind, VerifierKey};

use super::{BusLocation, Config, http, limits, nearest, oidc, places};
use crate::telemetry::logs::UnknownLogFormat;

/// Every key, in the order of the documentation.
pub(super) const KEYS: [&str; 26] = [
    "store",
    "bus",
    "objects",
    "site",
    "tenant",
    "witnesses",
    "migrate",
    "data",
    "slots",
    "limits",
    "pools",
    "log_level",
    "log_format",
    "site_key_file",
    "oidc_issuer",
    "oidc_client_id",
    "oidc_client_secret_file",
    "oidc_redirect_url",
    "oidc_groups_claim",
    "oidc_roles",
    "listen",
    "tls_cert",
    "tls_key",
    "http_limits",
    "retention_every_s",
    "usage_every_s",
];

/// Most local slots.
const MOST_SLOTS: u32 = 10_000;

/// The longest pause between two turns of retention, or two measurements: a day.
const LONGEST_PAUSE_S: u64 = 86_400;

/// Most witnesses.
const MOST_WITNESSES: usize = 16;

/// What the meaning of a text depends on.
pub(super) struct Surroundings<'a> {
    /// The folder that relative paths are relative to; without one it is the current folder.
    pub(super) base: Option<&'a Path>,
    /// Looks up an environment variable.
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
}

pub(super) fn read(
    config: &mut Config,
    path: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
    problems: &mut Vec<String>,
) {
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
    let surroundings = Surroundings { base: path.parent(), variable };
    // In the file's order, for that is how a person reads the list.
    let mut keys: Vec<&String> = table.keys().collect();
    keys.sort_by_key(|key| text.find(key.as_str()));
    for key in keys {
        if let Err(problem) = set(config, key, &table[key], &surroundings) {
            problems.push(format!("{shown}: {problem}"));
        }
    }
}

fn set(
    config: &mut Config,
    key: &str,
    value: &toml::Value,
    surroundings: &Surroundings<'_>,
) -> Result<(), String> {
    if !KEYS.contains(&key) {
        let hint = nearest(key, KEYS).map(|k| format!("; did you mean `{k}`?"));
        return Err(format!("unknown key `{key}`{}", hint.unwrap_or_default()));
    }
    match (key, value) {
        ("slots" | "retention_every_s" | "usage_every_s", toml::Value::Integer(n)) => {
            set_text(config, key, &n.to_string(), surroundings)
        }
        ("slots" | "retention_every_s" | "usage_every_s", _) => {
            Err(format!("`{key}` must be a whole number"))
        }
        ("witnesses", toml::Value::Array(keys)) => {
            let keys: Option<Vec<&str>> = keys.iter().map(toml::Value::as_str).collect();
            let keys = keys.ok_or("`witnesses` must be a list of keys as text")?;
            config.witnesses = witnesses(&keys)?;
            Ok(())
        }
        ("oidc_roles", toml::Value::Array(roles)) => {
            let roles: Option<Vec<&str>> = roles.iter().map(toml::Value::as_str).collect();
            config.oidc.set_roles(&roles.ok_or("`oidc_roles` must be a list of texts")?)
        }
        ("limits", toml::Value::Table(table)) => {
            config.limits.site = limits::site(table.clone())?;
            Ok(())
        }
        ("pools", toml::Value::Table(table)) => {
            config.limits.pools = limits::pools(table.clone())?;
            Ok(())
        }
        ("http_limits", toml::Value::Table(table)) => {
            config.http.limits = http::limits(table.clone())?;
            Ok(())
        }
        (_, toml::Value::String(text)) => set_text(config, key, text, surroundings),
        _ => Err(format!("`{key}` must be text, it is {}", value.type_str())),
    }
}

/// Sets a key from text.
pub(super) fn set_text(
    config: &mut Config,
    key: &str,
    text: &str,
    surroundings: &Surroundings<'_>,
) -> Result<(), String> {
    let path = |text: &str| match surroundings.base {
        Some(base) => base.join(text),
        None => PathBuf::from(text),
    };
    match key {
        "store" => config.store = places::store(text, path, surroundings.variable)?,
        "bus" => config.bus = BusLocation::parse(text)?,
        "objects" => config.objects = places::objects(text, path)?,
        "site" => config.site = places::site(text)?,
        "tenant" => {
            config.tenant = TenantId::new(text).map_err(|error| format!("`tenant`: {error}"))?;
        }
        "witnesses" => {
            let keys: Vec<&str> = text.split(',').map(str::trim).collect();
            config.witnesses = witnesses(&keys)?;
        }
        "migrate" => config.migrate = places::migrate(text)?,
        "data" => config.data = Some(path(text)),
        "slots" => config.slots = Some(slots(text)?),
        "limits" => config.limits.site = limits::site(limits::table(key, text)?)?,
        "pools" => config.limits.pools = limits::pools(limits::table(key, text)?)?,
        "log_level" => config.log_level = text.to_string(),
        "log_format" => {
            config.log_format =
                text.parse().map_err(|error: UnknownLogFormat| error.to_string())?;
        }
        "site_key_file" => config.site_key_file = Some(path(text)),
        "oidc_issuer" => config.oidc.issuer = Some(oidc::address(key, text)?),
        "oidc_client_id" => config.oidc.client_id = Some(text.to_string()),
        "oidc_client_secret_file" => config.oidc.client_secret_file = Some(path(text)),
        "oidc_redirect_url" => config.oidc.redirect_url = Some(oidc::address(key, text)?),
        "oidc_groups_claim" => config.oidc.groups_claim = Some(text.to_string()),
        "oidc_roles" => {
            let roles: Vec<&str> = text.split(',').map(str::trim).collect();
            config.oidc.set_roles(&roles)?;
        }
        "listen" => config.http.listen = http::listen(text)?,
        "tls_cert" => config.http.tls_cert = Some(path(text)),
        "tls_key" => config.http.tls_key = Some(path(text)),
        "http_limits" => config.http.limits = http::limits(limits::table(key, text)?)?,
        "retention_every_s" => config.retention_every = pause(key, text)?,
        "usage_every_s" => config.usage_every = pause(key, text)?,
        other => return Err(format!("unknown key `{other}`")),
    }
    Ok(())
}

fn witnesses(keys: &[&str]) -> Result<Vec<VerifierKey>, String> {
    if keys.len() > MOST_WITNESSES {
        return Err(format!("`witnesses` has more than {MOST_WITNESSES} keys"));
    }
    let one = |text: &&str| {
        let key = VerifierKey::parse(text).map_err(|error| format!("`witnesses`: {error}"))?;
        match key.kind() {
            KeyKind::Cosigner => Ok(key),
            KeyKind::Log => Err(format!(
                "`witnesses`: the key `{}` is that of a log; a witness prints its own when it \
                 starts",
                key.name()
            )),
        }
    };
    keys.iter().map(one).collect()
}

fn pause(key: &str, text: &str) -> Result<Duration, String> {
    match text.parse::<u64>() {
        Ok(seconds) if (1..=LONGEST_PAUSE_S).contains(&seconds) => Ok(Duration::from_secs(seconds)),
        _ => Err(format!(
            "`{key}` must be a whole number of seconds from 1 to {LONGEST_PAUSE_S}, not `{text}`"
        )),
    }
}

fn slots(text: &str) -> Result<u32, String> {
    match text.parse::<u32>() {
        Ok(n) if (1..=MOST_SLOTS).contains(&n) => Ok(n),
        _ => Err(format!("`slots` must be a whole number from 1 to {MOST_SLOTS}, not `{text}`")),
    }
}
