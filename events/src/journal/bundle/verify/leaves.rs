//! Each leaf is one event of the tenant, in its one spelling.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde_json::value::RawValue;

use super::super::manifest::Manifest;
use super::super::{Failure, Reason};
use super::numbers::Numbers;
use crate::canonical;
use crate::envelope::{LEAF_FORMAT, MAX_LEAF_BYTES};

/// The members of a leaf. The strict types of [`crate::envelope`] are not meant here: whoever
/// wrote a bundle may know kinds of names that this program does not.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(rename = "ac")]
    _ac: Actor,
    #[serde(rename = "at")]
    _at: i64,
    #[serde(borrow, default)]
    b: Option<&'a RawValue>,
    #[serde(default, rename = "ca")]
    _ca: Option<Text>,
    #[serde(default, rename = "co")]
    _co: Option<Text>,
    #[serde(borrow)]
    d: &'a RawValue,
    #[serde(rename = "id")]
    _id: Text,
    pos: u64,
    rt: i64,
    #[serde(borrow, default)]
    s: Option<&'a RawValue>,
    #[serde(borrow)]
    st: Cow<'a, str>,
    sv: u64,
    tl: u64,
    #[serde(borrow)]
    tn: Cow<'a, str>,
    #[serde(default, rename = "tp")]
    _tp: Option<Text>,
    ts: u64,
    #[serde(rename = "ty")]
    _ty: Text,
    v: u64,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Actor {
    #[serde(rename = "id")]
    _id: Text,
    #[serde(rename = "kind")]
    _kind: Text,
    #[serde(default, rename = "on_behalf_of")]
    _on_behalf_of: Option<Text>,
    #[serde(default, rename = "token")]
    _token: Option<Text>,
}

/// Some text; which one does not matter.
struct Text;

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;
        impl Visitor<'_> for Any {
            type Value = Text;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }
            fn visit_str<E: Error>(self, _: &str) -> Result<Text, E> {
                Ok(Text)
            }
        }
        deserializer.deserialize_str(Any)
    }
}

/// What the numbers of a leaf are.
pub(super) struct Numbered<'a> {
    pub position: u64,
    pub recorded: i64,
    pub stream: &'a str,
    pub version: u64,
    pub timeline: u64,
    pub index: u64,
}

/// Checks all leaves, and remembers what is wrong with their numbers until it is asked for.
pub(super) struct Envelopes {
    tenant: String,
    numbers: Result<Numbers, Failure>,
}

impl Envelopes {
    /// Of this bundle.
    pub fn new(manifest: &Manifest) -> Self {
        let numbers = Ok(Numbers::new(manifest.log.first == 0));
        Self { tenant: manifest.tenant.clone(), numbers }
    }

    /// The next leaf.
    pub fn take(&mut self, index: u64, leaf: &[u8]) -> Result<(), Failure> {
        let wrong = |what: String| Failure::new(Reason::Leaf, format!("leaf {index}{what}"));
        if leaf.len() > MAX_LEAF_BYTES {
            return Err(wrong(format!(" has more than {MAX_LEAF_BYTES} bytes")));
        }
        canonical::verify(leaf).map_err(|error| wrong(format!(": {error}")))?;
        // Both would also be read from arrays.
        if !leaf.starts_with(br#"{"ac":{"#) {
            return Err(wrong(" does not begin with the one who did it".to_string()));
        }
        let wire: Wire<'_> =
            serde_json::from_slice(leaf).map_err(|error| wrong(format!(": {error}")))?;
        let objects = [Some(wire.d), wire.b, wire.s];
        if objects.into_iter().flatten().any(|value| !value.get().starts_with('{')) {
            return Err(wrong(": `b`, `d` or `s` is no object".to_string()));
        }
        if wire.v != LEAF_FORMAT {
            return Err(wrong(format!(" has the format {}", wire.v)));
        }
        if wire.tn != self.tenant {
            return Err(wrong(format!(" is of the tenant {}", shown(&wire.tn))));
        }
        if let Ok(numbers) = &mut self.numbers {
            let numbered = Numbered {
                position: wire.pos,
                recorded: wire.rt,
                stream: &wire.st,
                version: wire.sv,
                timeline: wire.tl,
                index: wire.ts,
            };
            if let Err(failure) = numbers.take(index, &numbered) {
                self.numbers = Err(failure);
            }
        }
        Ok(())
    }

    /// How many streams there are, if their numbers are without a gap.
    pub fn numbers(self) -> Result<usize, Failure> {
        self.numbers.map(|numbers| numbers.streams())
    }
}

/// A stranger's text, as far as it is shown.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_default).collect()
}
