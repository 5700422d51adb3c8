//! Each leaf is one event of the tenant, in its one spelling.

use super::super::manifest::Manifest;
use super::super::{Failure, Reason};
use super::numbers::Numbers;
use crate::canonical::{Node, Reader, write_string};
use crate::envelope::{LEAF_FORMAT, MAX_LEAF_BYTES};
use crate::rating::LeafParts;

/// What a member must be. The strict types of [`crate::envelope`] are not meant here: whoever
/// wrote a bundle may know kinds of names that this program does not.
#[derive(Debug, Clone, Copy)]
enum Form {
    Object,
    Text,
    Integer,
    Natural,
    Actor,
}

impl Form {
    fn fits(self, value: Node<'_>) -> bool {
        match self {
            Self::Object => value.is_object(),
            Self::Text => value.is_text(),
            Self::Integer => value.is_integer(false),
            Self::Natural => value.is_integer(true),
            Self::Actor => members(value, &ACTOR).is_ok(),
        }
    }
}

/// A member that there may be: its name, what it is, and whether it must be there.
type Member = (&'static str, Form, bool);

/// The members of a leaf, in their order.
const ENVELOPE: [Member; 18] = [
    ("ac", Form::Actor, true),
    ("at", Form::Integer, true),
    ("b", Form::Object, false),
    ("ca", Form::Text, false),
    ("co", Form::Text, false),
    ("d", Form::Object, true),
    ("id", Form::Text, true),
    ("pos", Form::Natural, true),
    ("rt", Form::Integer, true),
    ("s", Form::Object, false),
    ("st", Form::Text, true),
    ("sv", Form::Natural, true),
    ("tl", Form::Natural, true),
    ("tn", Form::Text, true),
    ("tp", Form::Text, false),
    ("ts", Form::Natural, true),
    ("ty", Form::Text, true),
    ("v", Form::Natural, true),
];

/// The members of the one who did it.
const ACTOR: [Member; 4] = [
    ("id", Form::Text, true),
    ("kind", Form::Text, true),
    ("on_behalf_of", Form::Text, false),
    ("token", Form::Text, false),
];

/// The members of an object, which must be these. Both are in order, so both are gone through once.
fn members<'a, const N: usize>(
    object: Node<'a>,
    known: &[Member; N],
) -> Result<[Option<Node<'a>>; N], String> {
    let (mut found, mut at) = ([None; N], 0);
    for (name, value) in object.members().ok_or("it is no object")? {
        let rest = known[at..].iter();
        let may_be = rest.take_while(|(known, _, is_needed)| *known == name || !is_needed);
        let Some(step) = may_be.map(|(known, ..)| *known).position(|known| known == name) else {
            return Err(format!("a member is missing, or `{}` is not known", shown(name)));
        };
        at += step;
        if !known[at].1.fits(value) {
            return Err(format!("`{name}` has another form"));
        }
        found[at] = Some(value);
        at += 1;
    }
    match known[at..].iter().find(|(_, _, is_needed)| *is_needed) {
        Some((missing, ..)) => Err(format!("`{missing}` is missing")),
        None => Ok(found),
    }
}

/// What the numbers of a leaf are.
pub(super) struct Numbered<'a> {
    pub position: u64,
    pub recorded: i64,
    /// As it stands there, between its quotes: there is one spelling.
    pub stream: &'a str,
    pub version: u64,
    pub timeline: u64,
    pub index: u64,
}

/// Checks all leaves, and remembers what is wrong with one until it is asked for.
pub(super) struct Envelopes {
    /// As it is spelled in a leaf, between its quotes.
    tenant: String,
    reader: Reader,
    failed: Option<Failure>,
    numbers: Result<Numbers, Failure>,
}

impl Envelopes {
    /// Of this bundle.
    pub fn new(manifest: &Manifest) -> Self {
        let numbers = Ok(Numbers::new(manifest.log.first == 0));
        let tenant = spelled(&manifest.tenant);
        Self { tenant, reader: Reader::default(), failed: None, numbers }
    }

    /// The next leaf. Nothing where it or one before is no event.
    pub fn take<'a>(&'a mut self, index: u64, leaf: &'a [u8]) -> Option<LeafParts<'a>> {
        if self.failed.is_some() {
            return None;
        }
        let read = read(&mut self.reader, &self.tenant, leaf);
        match read {
            Ok((parts, numbered)) => {
                if let Ok(numbers) = &mut self.numbers
                    && let Err(failure) = numbers.take(index, &numbered)
                {
                    self.numbers = Err(failure);
                }
                Some(parts)
            }
            Err(what) => {
                self.failed = Some(Failure::new(Reason::Leaf, format!("leaf {index}: {what}")));
                None
            }
        }
    }

    /// Whether all leaves were events.
    pub fn judge(&mut self) -> Result<(), Failure> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// How many streams there are, if their numbers are without a gap.
    pub fn numbers(self) -> Result<usize, Failure> {
        self.numbers.map(|numbers| numbers.streams())
    }
}

/// Reads an event of the tenant, or says why it is none.
pub(super) fn read<'a>(
    reader: &'a mut Reader,
    tenant: &str,
    leaf: &'a [u8],
) -> Result<(LeafParts<'a>, Numbered<'a>), String> {
    if leaf.len() > MAX_LEAF_BYTES {
        return Err(format!("it has more than {MAX_LEAF_BYTES} bytes"));
    }
    let node = reader.read(leaf).map_err(|error| error.to_string())?;
    let found = members(node, &ENVELOPE)?;
    let [_, _, _, _, co, d, _, pos, rt, _, st, sv, tl, tn, _, ts, ty, v] = found;
    let integer = |node: Option<Node<'_>>| node.and_then(Node::integer).unwrap_or_default();
    let natural = |node: Option<Node<'_>>| node.and_then(Node::natural).unwrap_or_default();
    let raw = |node: Option<Node<'a>>| node.map_or("", Node::raw);
    if natural(v) != LEAF_FORMAT {
        return Err(format!("it has the format {}", natural(v)));
    }
    if raw(tn) != tenant {
        return Err(format!("it is of the tenant {}", shown(raw(tn))));
    }
    let numbered = Numbered {
        position: natural(pos),
        recorded: integer(rt),
        stream: raw(st),
        version: natural(sv),
        timeline: natural(tl),
        index: natural(ts),
    };
    Ok((LeafParts { co, d, rt, st, ty }, numbered))
}

/// A text as it is spelled in a leaf.
fn spelled(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    write_string(&mut bytes, text);
    String::from_utf8(bytes).unwrap_or_default()
}

/// A stranger's text, as far as it is shown.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(120).flat_map(char::escape_default).collect()
}
