//! Which secrets a tenant keeps. Their values are sealed elsewhere; here are names and versions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::aggregate::Aggregate;
use crate::recorded::recorded_events;
use crate::time::Timestamp;

/// The stream of a tenant's secrets.
pub const SECRETS_STREAM: &str = "secrets";
/// The most secrets of a tenant.
pub const SECRETS_MAX: usize = 1_000;
/// The largest value, in bytes.
pub const SECRET_VALUE_MAX: usize = 64 << 10;

/// A secret as its events left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretRecord {
    /// Grows with every change, also over a removal.
    pub version: u64,
    /// When it was last set.
    pub set_at: Timestamp,
    /// Whether it is there.
    pub is_there: bool,
}

/// A tenant's secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secrets {
    /// By name; also those that were removed, so that no version is used twice.
    pub by_name: BTreeMap<String, SecretRecord>,
}

/// A value was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretSet {
    /// Its name.
    pub name: String,
    /// Its version, from 1.
    pub version: u64,
}

/// It was removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRemoved {
    /// Its name.
    pub name: String,
    /// The version of the removal.
    pub version: u64,
}

recorded_events!(
    /// What can happen to secrets.
    SecretEvent {
        /// A value was set.
        Set(SecretSet) = "secret.set",
        /// It was removed.
        Removed(SecretRemoved) = "secret.removed",
    }
);

impl Aggregate for Secrets {
    type Event = SecretEvent;

    fn apply(&mut self, at: Timestamp, event: &SecretEvent) {
        let (name, version, is_there) = match event {
            SecretEvent::Set(set) => (&set.name, set.version, true),
            SecretEvent::Removed(removed) => (&removed.name, removed.version, false),
        };
        self.by_name.insert(name.clone(), SecretRecord { version, set_at: at, is_there });
    }
}

impl Secrets {
    /// Those that are there.
    pub fn there(&self) -> impl Iterator<Item = (&str, &SecretRecord)> {
        let there = self.by_name.iter().filter(|(_, record)| record.is_there);
        there.map(|(name, record)| (name.as_str(), record))
    }
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretCommand {
    /// Keep a value of so many bytes under the name.
    Set {
        /// The name.
        name: String,
        /// Bytes of the value.
        bytes: usize,
    },
    /// Forget it.
    Remove {
        /// The name.
        name: String,
    },
}

/// # Errors
/// Where the name cannot be a secret's.
pub fn check_secret_name(name: &str) -> Result<(), Refusal> {
    let first = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
    let rest = |c: u8| first(c) || c == b'.' || c == b'-';
    let fits = name.bytes().next().is_some_and(first) && name.len() <= 127;
    match fits && name.bytes().all(rest) {
        true => Ok(()),
        false => Err(Refusal::Invalid(format!(
            "`{}` cannot name a secret: it must match [A-Za-z0-9_][A-Za-z0-9_.-]{{0,126}}",
            name.chars().take(80).collect::<String>()
        ))),
    }
}

/// Decides.
///
/// # Errors
/// Where it is refused, with the reason.
pub fn decide_secret(state: &Secrets, command: &SecretCommand) -> Result<SecretEvent, Refusal> {
    match command {
        SecretCommand::Set { name, bytes } => {
            check_secret_name(name)?;
            if *bytes == 0 || *bytes > SECRET_VALUE_MAX {
                return Err(Refusal::Invalid(format!(
                    "the value of a secret has 1 to {SECRET_VALUE_MAX} bytes; {bytes} were given"
                )));
            }
            let before = state.by_name.get(name);
            // Names of removed secrets are remembered, so they count.
            if before.is_none() && state.by_name.len() >= SECRETS_MAX {
                return Err(Refusal::Full {
                    limit: "secrets",
                    reason: format!(
                        "a tenant keeps at most {SECRETS_MAX} names of secrets, and there are as \
                         many; use a name again that is no longer needed"
                    ),
                });
            }
            let version = before.map_or(1, |before| before.version + 1);
            Ok(SecretEvent::Set(SecretSet { name: name.clone(), version }))
        }
        SecretCommand::Remove { name } => match state.by_name.get(name) {
            Some(record) if record.is_there => {
                let version = record.version + 1;
                Ok(SecretEvent::Removed(SecretRemoved { name: name.clone(), version }))
            }
            _ => Err(Refusal::Missing { what: "secret", name: name.chars().take(127).collect() }),
        },
    }
}
