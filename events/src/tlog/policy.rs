//! C2SP tlog-policy: which logs are believed, and how many witnesses must have co-signed.

use std::collections::{BTreeMap, BTreeSet};

use super::key::{KeyKind, VerifierKey};
use super::note::{Note, NoteError};

/// Bytes of a policy that are read at most.
const MAX_POLICY_BYTES: usize = 256 * 1024;

/// Why a text is not a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of the policy: {reason}")]
pub struct InvalidPolicy {
    /// Line, from 1; 0 for the whole text.
    pub line: usize,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a checkpoint is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// None of the policy's logs has signed it.
    #[error("none of the policy's logs has signed the checkpoint")]
    NoLog,
    /// A known key's signature is wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Too few witnesses.
    #[error("the quorum `{quorum}` is not reached: co-signed by {}", names(.by))]
    Quorum {
        /// Name of the group or witness.
        quorum: String,
        /// Names of the witnesses that did co-sign.
        by: Vec<String>,
    },
}

fn names(by: &[String]) -> String {
    if by.is_empty() { "nobody".to_string() } else { by.join(", ") }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    threshold: usize,
    members: Vec<String>,
}

/// Logs, witnesses and the rule that says how many of them are enough.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Policy {
    logs: Vec<VerifierKey>,
    witnesses: BTreeMap<String, VerifierKey>,
    groups: BTreeMap<String, Group>,
    /// In the order of their lines: members stand before the groups that name them.
    order: Vec<String>,
    members: BTreeSet<String>,
    quorum: Option<String>,
}

impl Policy {
    /// One log, and all of these witnesses; none at all is `quorum none`.
    pub fn all_of(log: VerifierKey, witnesses: Vec<VerifierKey>) -> Self {
        let named = |(i, key)| (format!("w{i}"), key);
        let witnesses: BTreeMap<_, _> = witnesses.into_iter().enumerate().map(named).collect();
        let members: Vec<String> = witnesses.keys().cloned().collect();
        let mut this = Self { logs: vec![log], witnesses, ..Self::default() };
        this.quorum = Some(if members.is_empty() { "none" } else { "all" }.to_string());
        if !members.is_empty() {
            this.order.push("all".to_string());
            this.groups.insert("all".to_string(), Group { threshold: members.len(), members });
        }
        this
    }

    /// The text of the policy, as [`Policy::parse`] reads it.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for log in &self.logs {
            text.push_str(&format!("log {}\n", log.to_text()));
        }
        for (name, key) in &self.witnesses {
            text.push_str(&format!("witness {name} {}\n", key.to_text()));
        }
        for name in &self.order {
            let Some(Group { threshold, members }) = self.groups.get(name) else { continue };
            text.push_str(&format!("group {name} {threshold} {}\n", members.join(" ")));
        }
        text.push_str(&format!("quorum {}\n", self.quorum.as_deref().unwrap_or("none")));
        text
    }

    /// The same logs and witnesses, of whom none is needed.
    pub fn without_quorum(&self) -> Self {
        Self { quorum: Some("none".to_string()), ..self.clone() }
    }

    /// Reads a policy file.
    pub fn parse(text: &str) -> Result<Self, InvalidPolicy> {
        let whole = |reason: &str| InvalidPolicy { line: 0, reason: reason.to_string() };
        if text.len() > MAX_POLICY_BYTES {
            return Err(whole("it is longer than 256 KiB"));
        }
        if text.bytes().any(|byte| matches!(byte, 0..=8 | 11..=31 | 127)) {
            return Err(whole("control characters other than tab and line feed are not allowed"));
        }
        if !text.ends_with('\n') {
            return Err(whole("the last line does not end in a line feed"));
        }
        let mut this = Self::default();
        for (index, line) in text.split('\n').enumerate() {
            let words: Vec<&str> =
                line.split([' ', '\t']).filter(|word| !word.is_empty()).collect();
            if words.first().is_none_or(|word| word.starts_with('#')) {
                continue;
            }
            this.line(&words).map_err(|reason| InvalidPolicy { line: index + 1, reason })?;
        }
        match this.quorum {
            Some(_) => Ok(this),
            None => Err(whole("there is no `quorum` line")),
        }
    }

    fn line(&mut self, words: &[&str]) -> Result<(), String> {
        match words {
            ["log", key] | ["log", key, _] => self.log(key),
            ["witness", name, key] | ["witness", name, key, _] => self.witness(name, key),
            ["group", name, threshold, members @ ..] => self.group(name, threshold, members),
            ["quorum", name] => self.set_quorum(name),
            [word, ..] => Err(format!("`{word}` with {} words is not known", words.len() - 1)),
            [] => Ok(()),
        }
    }

    fn log(&mut self, key: &str) -> Result<(), String> {
        let key = self.key(key, KeyKind::Log)?;
        if self.logs.iter().any(|there| there.public_key() == key.public_key()) {
            return Err("the key of this log stands there twice".to_string());
        }
        self.logs.push(key);
        Ok(())
    }

    fn witness(&mut self, name: &str, key: &str) -> Result<(), String> {
        self.unused(name)?;
        let key = self.key(key, KeyKind::Cosigner)?;
        if self.witnesses.values().any(|there| there.public_key() == key.public_key()) {
            return Err("the key of this witness stands there twice".to_string());
        }
        self.witnesses.insert(name.to_string(), key);
        Ok(())
    }

    fn key(&self, text: &str, kind: KeyKind) -> Result<VerifierKey, String> {
        let key = VerifierKey::parse(text).map_err(|error| error.to_string())?;
        match key.kind() == kind {
            true => Ok(key),
            false => Err(format!("a key of type {:#04x} is expected here", kind.byte())),
        }
    }

    fn group(&mut self, name: &str, threshold: &str, members: &[&str]) -> Result<(), String> {
        self.unused(name)?;
        if members.is_empty() {
            return Err("a group has at least one member".to_string());
        }
        let threshold = match threshold {
            "all" => members.len(),
            "any" => 1,
            number => number.parse().map_err(|_| format!("`{number}` is not a threshold"))?,
        };
        if threshold == 0 || threshold > members.len() {
            return Err(format!("the threshold must be from 1 to {}", members.len()));
        }
        for member in members {
            self.defined(member)?;
            if !self.members.insert((*member).to_string()) {
                return Err(format!("`{member}` is already a member of a group"));
            }
        }
        let members = members.iter().map(|member| (*member).to_string()).collect();
        self.groups.insert(name.to_string(), Group { threshold, members });
        self.order.push(name.to_string());
        Ok(())
    }

    fn set_quorum(&mut self, name: &str) -> Result<(), String> {
        if self.quorum.is_some() {
            return Err("there is a second `quorum` line".to_string());
        }
        if name != "none" {
            self.defined(name)?;
        }
        self.quorum = Some(name.to_string());
        Ok(())
    }

    fn unused(&self, name: &str) -> Result<(), String> {
        match name == "none" || self.is_defined(name) {
            true => Err(format!("the name `{name}` is taken")),
            false => Ok(()),
        }
    }

    fn defined(&self, name: &str) -> Result<(), String> {
        match self.is_defined(name) {
            true => Ok(()),
            false => Err(format!("`{name}` is not defined on a line before")),
        }
    }

    fn is_defined(&self, name: &str) -> bool {
        self.witnesses.contains_key(name) || self.groups.contains_key(name)
    }

    /// Keys of the logs.
    pub fn logs(&self) -> &[VerifierKey] {
        &self.logs
    }

    /// Keys of the witnesses, in the order of their names.
    pub fn witnesses(&self) -> impl Iterator<Item = &VerifierKey> {
        self.witnesses.values()
    }

    /// Accepts a checkpoint that one of the logs has signed (all, where the policy names none)
    /// and enough witnesses have co-signed. A wrong signature by a known key is an error, even
    /// where the others would be enough. `check` does the arithmetic.
    pub fn check(
        &self,
        note: &Note,
        check: impl Fn(&[u8; 32], &[u8], &[u8]) -> bool,
    ) -> Result<(), PolicyError> {
        let mut signed = self.logs.is_empty();
        for log in &self.logs {
            signed |= has_signed(note, log, &check)? && is_log_of(note, log);
        }
        if !signed {
            return Err(PolicyError::NoLog);
        }
        let mut reached = BTreeSet::new();
        for (name, witness) in &self.witnesses {
            if has_signed(note, witness, &check)? {
                reached.insert(name.clone());
            }
        }
        let by = reached.iter().cloned().collect();
        for name in &self.order {
            let Some(group) = self.groups.get(name) else { continue };
            let count = group.members.iter().filter(|member| reached.contains(*member)).count();
            if count >= group.threshold {
                reached.insert(name.clone());
            }
        }
        match &self.quorum {
            Some(quorum) if quorum != "none" && !reached.contains(quorum) => {
                Err(PolicyError::Quorum { quorum: quorum.clone(), by })
            }
            _ => Ok(()),
        }
    }
}

/// One key signs all logs of a site: their origins are its name, or lie below it.
fn is_log_of(note: &Note, log: &VerifierKey) -> bool {
    let origin = note.text.split('\n').next().unwrap_or_default();
    let below = origin.strip_prefix(log.name());
    below.is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

fn has_signed(
    note: &Note,
    key: &VerifierKey,
    check: &impl Fn(&[u8; 32], &[u8], &[u8]) -> bool,
) -> Result<bool, NoteError> {
    match note.verify(key, check) {
        Ok(()) => Ok(true),
        Err(NoteError::NotSigned(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
