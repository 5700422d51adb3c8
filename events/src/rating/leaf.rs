//! What of a leaf money follows from, read without building anything.

use serde::Deserialize;

use super::RatingError;
use super::usage::{Sort, Usage, UsageForms, UsageMembers, needed, places};
use crate::billing::{BILLING_STREAM, CardAdopted, ContractPublished, PeriodClosed};
use crate::canonical::{FormId, Memo, Node, NotCanonical, Reader};
use crate::envelope::type_of;
use crate::time::Timestamp;

/// What a leaf is to a bill. It is looked at where it is made, and moves nowhere.
#[expect(clippy::large_enum_variant)]
pub(super) enum Leaf<'a> {
    /// Prices, contracts and periods.
    Billing(Billing),
    /// A figure of an attempt.
    Usage(Usage<'a>),
    /// Nothing.
    Other,
}

/// A leaf of the stream `billing` that counts.
pub(super) enum Billing {
    Card(Box<CardAdopted>),
    Contract(Box<ContractPublished>),
    Opened(Box<Opened>),
    Closed(Box<PeriodClosed>),
}

/// The members of a `period.opened` that are used; what else it has may have any form.
#[derive(Deserialize)]
pub(super) struct Opened {
    pub period: String,
    pub start: Timestamp,
    pub end: Timestamp,
    pub zone: String,
    pub currency: String,
    pub exponent: u8,
}

/// Which types are of any concern.
#[derive(Clone, Copy)]
enum Kind {
    Usage(Sort),
    Card,
    Contract,
    Opened,
    Closed,
}

impl Kind {
    fn of(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"attempt.exited" => Self::Usage(Sort::End),
            b"usage.checkpoint" => Self::Usage(Sort::Checkpoint),
            b"report.stale" => Self::Usage(Sort::Truth),
            b"rate_card.adopted" => Self::Card,
            b"contract.published" => Self::Contract,
            b"period.opened" => Self::Opened,
            b"period.closed" => Self::Closed,
            _ => return None,
        })
    }
}

/// Reads leaves, and remembers where the leaves of a form have what matters.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    reader: Reader,
    members: Memo<LeafMembers>,
    usage: UsageForms,
}

impl Leaves {
    /// Reads what matters of the leaf at this index, if anything does.
    pub(super) fn read<'a>(
        &'a mut self,
        index: u64,
        leaf: &'a [u8],
    ) -> Result<Leaf<'a>, RatingError> {
        let kind = type_of(leaf);
        if kind.is_some_and(|kind| Kind::of(kind).is_none()) {
            return Ok(Leaf::Other);
        }
        let broken =
            |reason: String| RatingError::Shape { index, kind: "leaf".to_string(), reason };
        let read = self.reader.read_formed(leaf);
        let (node, form) = read.map_err(|error: NotCanonical| broken(error.to_string()))?;
        let members = self.members.get(form, || LeafMembers::of(node)).map_err(broken)?;
        read_parts(index, &members.parts(node, form), &mut self.usage)
    }

    /// The same of a leaf that was gone through by somebody else.
    pub(super) fn read_parts<'a>(
        &mut self,
        index: u64,
        leaf: &LeafParts<'a>,
    ) -> Result<Leaf<'a>, RatingError> {
        read_parts(index, leaf, &mut self.usage)
    }
}

/// The members of a leaf that money follows from, where it has them.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs)]
pub struct LeafParts<'a> {
    pub co: Option<Node<'a>>,
    pub d: Option<Node<'a>>,
    pub rt: Option<Node<'a>>,
    pub st: Option<Node<'a>>,
    pub ty: Option<Node<'a>>,
    pub(crate) form: Option<FormId>,
}

/// Which values of a leaf these are.
#[derive(Debug, Clone, Copy)]
struct LeafMembers {
    co: Option<usize>,
    d: Option<usize>,
    rt: Option<usize>,
    st: Option<usize>,
    ty: Option<usize>,
}

impl LeafMembers {
    fn of(leaf: Node<'_>) -> Result<Self, String> {
        let [co, d, rt, st, ty] = places(leaf, "leaf", ["co", "d", "rt", "st", "ty"])?;
        Ok(Self { co, d, rt, st, ty })
    }

    fn parts(self, leaf: Node<'_>, form: Option<FormId>) -> LeafParts<'_> {
        let places = [self.co, self.d, self.rt, self.st, self.ty];
        let [co, d, rt, st, ty] = places.map(|place| leaf.at_some(place));
        LeafParts { co, d, rt, st, ty, form }
    }
}

/// Reads what matters of a leaf that was gone through.
fn read_parts<'a>(
    index: u64,
    leaf: &LeafParts<'a>,
    forms: &mut UsageForms,
) -> Result<Leaf<'a>, RatingError> {
    let shape =
        |kind: &str, reason: String| RatingError::Shape { index, kind: kind.to_string(), reason };
    let name = needed(leaf.ty, "ty", Node::text).map_err(|reason| shape("leaf", reason))?;
    let Some(kind) = Kind::of(name.as_bytes()) else { return Ok(Leaf::Other) };
    let failed = |reason: String| shape(&name, reason);
    let is_billing = needed(leaf.st, "st", Node::text).map_err(failed)? == BILLING_STREAM;
    let data = || needed(leaf.d, "d", Some).map_err(failed);
    Ok(match (kind, is_billing) {
        (Kind::Usage(sort), false) => {
            let data = data()?;
            let members = forms.get(leaf.form, || UsageMembers::of(data)).map_err(failed)?;
            let usage = members.read(sort, leaf, data).map_err(failed)?;
            usage.map_or(Leaf::Other, Leaf::Usage)
        }
        (Kind::Card, true) => Leaf::Billing(Billing::Card(event(data()?).map_err(failed)?)),
        (Kind::Contract, true) => Leaf::Billing(Billing::Contract(event(data()?).map_err(failed)?)),
        (Kind::Opened, true) => Leaf::Billing(Billing::Opened(event(data()?).map_err(failed)?)),
        (Kind::Closed, true) => Leaf::Billing(Billing::Closed(event(data()?).map_err(failed)?)),
        _ => Leaf::Other,
    })
}

fn event<'a, D: Deserialize<'a>>(data: Node<'a>) -> Result<Box<D>, String> {
    serde_json::from_str(data.raw()).map(Box::new).map_err(|error| error.to_string())
}
