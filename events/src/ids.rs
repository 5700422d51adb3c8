//! Typed identifiers, all made by two macros so that no two kinds can be mixed up.
//!
//! Nothing here mints an id from chance: new ids arrive in commands, stamped by the shell.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Why a text is not an identifier of the kind that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a valid {kind}: {reason}")]
pub struct InvalidId {
    /// The kind of identifier, in words.
    pub kind: &'static str,
    /// What was given, cut to 80 characters.
    pub text: String,
    /// The rule that it breaks.
    pub reason: &'static str,
}

impl InvalidId {
    fn new(kind: &'static str, text: &str, reason: &'static str) -> Self {
        Self { kind, text: text.chars().take(80).collect(), reason }
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// The first eight and last twelve characters identify it to a person.
            pub fn short(&self) -> String {
                let text = self.0.simple().to_string();
                text[text.len() - 8..].to_string()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Uuid::parse_str(text)
                    .map(Self)
                    .map_err(|_| InvalidId::new($kind, text, "a UUID is expected"))
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses the text, or says which rule it breaks.
            pub fn new(text: &str) -> Result<Self, InvalidId> {
                match $check(text) {
                    Ok(()) => Ok(Self(Arc::from(text))),
                    Err(reason) => Err(InvalidId::new($kind, text, reason)),
                }
            }

            /// The text itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;
            fn try_from(text: String) -> Result<Self, InvalidId> {
                Self::new(&text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.to_string()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

uuid_id!(
    /// One run of a pipeline (UUIDv7, minted where the run is submitted).
    RunId, "run id"
);
uuid_id!(
    /// One attempt at one step. It is the idempotency key towards every executor.
    AttemptId, "attempt id"
);
uuid_id!(
    /// One recorded event.
    EventId, "event id"
);

text_id!(
    /// A tenant: `[a-z0-9][a-z0-9-]{0,62}`.
    TenantId, "tenant", slug
);
text_id!(
    /// A step's name as its author wrote it: `[A-Za-z_][A-Za-z0-9_-]{0,62}`.
    StepName, "step name", step_name
);
text_id!(
    /// A stream of events, such as `run/<id>`: at most 200 printable ASCII characters.
    StreamName, "stream name", stream_name
);

impl StreamName {
    /// The stream that holds the history of one run.
    pub fn run(run: RunId) -> Self {
        Self(Arc::from(format!("run/{run}")))
    }

    /// The stream that orders the holders of one concurrency group.
    ///
    /// The group's name is free text, so its digest stands for it.
    pub fn concurrency(group: &str) -> Self {
        let digest = crate::digest::Sha256Digest::of(group.as_bytes()).to_hex();
        Self(Arc::from(format!("concurrency/{}", &digest[..32])))
    }

    /// The run whose history this stream is, if it is one.
    pub fn as_run(&self) -> Option<RunId> {
        self.0.strip_prefix("run/")?.parse().ok()
    }
}

/// One place in a run: a step, or one child of a step that fans out.
///
/// It is the author's name, with the child's label in brackets: `train`, `resize[0]`,
/// `evaluate[split=val,device=cpu]`. Events carry this text, never an index into a graph.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepKey(Arc<str>);

impl StepKey {
    /// The key of a step that does not fan out, or of the parent of one that does.
    pub fn step(name: &StepName) -> Self {
        Self(Arc::clone(&name.0))
    }

    /// The key of one child; `label` is `0` or `split=val,device=cpu`.
    pub fn child(name: &StepName, label: &str) -> Self {
        Self(Arc::from(format!("{name}[{label}]")))
    }

    /// Takes a key from recorded data or a command line.
    pub fn new(text: &str) -> Self {
        Self(Arc::from(text))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The author's name and, for a child, its label.
    pub fn split(&self) -> (&str, Option<&str>) {
        match self.0.split_once('[') {
            Some((name, rest)) => (name, Some(rest.strip_suffix(']').unwrap_or(rest))),
            None => (&self.0, None),
        }
    }
}

impl fmt::Display for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for StepKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StepKey({})", self.0)
    }
}

/// Fencing number of an attempt within its step: 1 for the first, then one more for each.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Epoch(pub u32);

impl Epoch {
    /// The next attempt's number.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Position of an event in the whole store: dense, from 1, in commit order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Position(pub u64);

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn slug(text: &str) -> Result<(), &'static str> {
    let rule = "it must match [a-z0-9][a-z0-9-]{0,62}";
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(first) if plain(*first) && bytes.len() <= 63 => {}
        _ => return Err(rule),
    }
    bytes.iter().all(|c| plain(*c) || *c == b'-').then_some(()).ok_or(rule)
}

fn step_name(text: &str) -> Result<(), &'static str> {
    let rule = "it must match [A-Za-z_][A-Za-z0-9_-]{0,62}";
    let bytes = text.as_bytes();
    match bytes.first() {
        Some(c) if (c.is_ascii_alphabetic() || *c == b'_') && bytes.len() <= 63 => {}
        _ => return Err(rule),
    }
    let rest = |c: &u8| c.is_ascii_alphanumeric() || *c == b'_' || *c == b'-';
    bytes.iter().all(rest).then_some(()).ok_or(rule)
}

fn stream_name(text: &str) -> Result<(), &'static str> {
    let fits = !text.is_empty() && text.len() <= 200;
    if fits && text.bytes().all(|c| c.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("1 to 200 printable ASCII characters are expected")
    }
}
