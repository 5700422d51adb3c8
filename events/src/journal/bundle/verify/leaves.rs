//! Each leaf is one event of the tenant, in its one spelling.

use super::super::manifest::Manifest;
use super::super::{Failure, Reason};
use super::numbers::Numbers;
use crate::canonical::{Memo, Node, Reader, write_string};
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

/// Which values of a leaf are those that are asked for.
#[derive(Debug, Clone, Copy)]
struct Members {
    co: Option<usize>,
    d: usize,
    pos: usize,
    rt: usize,
    st: usize,
    sv: usize,
    tl: usize,
    tn: usize,
    ts: usize,
    ty: usize,
    v: usize,
}

impl Members {
    /// Of a leaf, which must have the members of one.
    fn of(leaf: Node<'_>) -> Result<Self, String> {
        let found = members(leaf, &ENVELOPE)?.map(|node| node.map(Node::place));
        let [_, _, _, _, co, d, _, pos, rt, _, st, sv, tl, tn, _, ts, ty, v] = found;
        // All others were there.
        let at = Option::unwrap_or_default;
        Ok(Self {
            co,
            d: at(d),
            pos: at(pos),
            rt: at(rt),
            st: at(st),
            sv: at(sv),
            tl: at(tl),
            tn: at(tn),
            ts: at(ts),
            ty: at(ty),
            v: at(v),
        })
    }
}

/// Reads leaves, and remembers which members the leaves of a form have.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    reader: Reader,
    members: Memo<Members>,
}

impl Leaves {
    /// Reads an event of the tenant, or says why it is none.
    pub(super) fn read<'a>(
        &'a mut self,
        tenant: &str,
        leaf: &'a [u8],
    ) -> Result<(LeafParts<'a>, Numbered<'a>), String> {
        if leaf.len() > MAX_LEAF_BYTES {
            return Err(format!("it has more than {MAX_LEAF_BYTES} bytes"));
        }
        let read = self.reader.read_formed(leaf);
        let (node, form) = read.map_err(|error| error.to_string())?;
        // What a value is (a text, an object, a number, and whether it is below zero) is the same in
        // all leaves of a form.
        let members = self.members.get(form, || Members::of(node))?;
        let natural = |place| node.at(place).natural().unwrap_or_default();
        let raw = |place| node.at(place).raw();
        if natural(members.v) != LEAF_FORMAT {
            return Err(format!("it has the format {}", natural(members.v)));
        }
        if raw(members.tn) != tenant {
            return Err(format!("it is of the tenant {}", shown(raw(members.tn))));
        }
        let numbered = Numbered {
            position: natural(members.pos),
            recorded: node.at(members.rt).integer().unwrap_or_default(),
            stream: raw(members.st),
            version: natural(members.sv),
            timeline: natural(members.tl),
            index: natural(members.ts),
        };
        let parts = LeafParts {
            co: node.at_some(members.co),
            d: Some(node.at(members.d)),
            rt: Some(node.at(members.rt)),
            st: Some(node.at(members.st)),
            ty: Some(node.at(members.ty)),
            form,
        };
        Ok((parts, numbered))
    }
}

/// Checks all leaves, and remembers what is wrong with one until it is asked for.
pub(super) struct Envelopes {
    /// As it is spelled in a leaf, between its quotes.
    tenant: String,
    leaves: Leaves,
    failed: Option<Failure>,
    numbers: Result<Numbers, Failure>,
}

impl Envelopes {
    /// Of this bundle.
    pub fn new(manifest: &Manifest) -> Self {
        let numbers = Ok(Numbers::new(manifest.log.first == 0));
        let tenant = spelled(&manifest.tenant);
        Self { tenant, leaves: Leaves::default(), failed: None, numbers }
    }

    /// The next leaf. Nothing where it or one before is no event.
    pub fn take<'a>(&'a mut self, index: u64, leaf: &'a [u8]) -> Option<LeafParts<'a>> {
        if self.failed.is_some() {
            return None;
        }
        match self.leaves.read(&self.tenant, leaf) {
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
