//! What of a leaf money follows from, read without building anything.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::RatingError;
use crate::billing::{BILLING_STREAM, CardAdopted, ContractPublished, PeriodClosed, PeriodOpened};
use crate::step::Fault;

/// What a leaf is to a bill.
pub(super) enum Leaf<'a> {
    /// Prices, contracts and periods.
    Billing(Billing),
    /// A figure of an attempt.
    Usage(Box<Usage<'a>>),
    /// Nothing.
    Other,
}

/// A leaf of the stream `billing` that counts.
pub(super) enum Billing {
    Card(Box<CardAdopted>),
    Contract(Box<ContractPublished>),
    Opened(Box<PeriodOpened>),
    Closed(Box<PeriodClosed>),
}

/// Which of the three a usage leaf is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sort {
    End,
    Checkpoint,
    Truth,
}

/// A figure of an attempt.
pub(super) struct Usage<'a> {
    pub sort: Sort,
    pub run: Cow<'a, str>,
    pub step: Cow<'a, str>,
    pub attempt: Cow<'a, str>,
    pub rt: i64,
    /// `d.usage` as it stands there.
    pub text: &'a str,
    pub figures: Figures<'a>,
    pub heard: Option<Heard>,
}

#[derive(Deserialize)]
pub(super) struct Figures<'a> {
    #[serde(borrow)]
    pub executor: Cow<'a, str>,
    #[serde(borrow)]
    pub class: Cow<'a, str>,
    pub allocated_ms: i64,
    pub released_ms: i64,
    #[serde(default)]
    pub started_ms: Option<i64>,
    #[serde(borrow)]
    pub requested: &'a RawValue,
    #[serde(default)]
    pub used: Used,
    #[serde(borrow)]
    pub outcome: Cow<'a, str>,
    pub fault: Fault,
}

#[derive(Default, Deserialize)]
pub(super) struct Used {
    #[serde(default)]
    pub egress_bytes: u64,
}

/// The same instants by the orchestrator's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(super) struct Heard {
    pub planned: i64,
    #[serde(default)]
    pub started: Option<i64>,
    pub exited: i64,
}

/// Reads what matters of the leaf at this index.
pub(super) fn read(index: u64, leaf: &[u8]) -> Result<Leaf<'_>, RatingError> {
    let kind = match kind(leaf) {
        Some(kind) => Cow::Borrowed(kind),
        None => Cow::Owned(slow_kind(index, leaf)?),
    };
    let failed = |error: serde_json::Error| RatingError::Shape {
        index,
        kind: String::from_utf8_lossy(&kind).into_owned(),
        reason: error.to_string(),
    };
    Ok(match &*kind {
        b"attempt.exited" => usage(Sort::End, leaf).map_err(failed)?,
        b"usage.checkpoint" => usage(Sort::Checkpoint, leaf).map_err(failed)?,
        b"report.stale" => usage(Sort::Truth, leaf).map_err(failed)?,
        b"rate_card.adopted" => billing(leaf, Billing::Card).map_err(failed)?,
        b"contract.published" => billing(leaf, Billing::Contract).map_err(failed)?,
        b"period.opened" => billing(leaf, Billing::Opened).map_err(failed)?,
        b"period.closed" => billing(leaf, Billing::Closed).map_err(failed)?,
        _ => Leaf::Other,
    })
}

/// The type of a leaf, from its end: `…,"ty":"…","v":1}` are the last members of every leaf.
///
/// What stands there is at the top level: the last brace closes the outermost object, and a
/// quote inside of text has a backslash before it.
fn kind(leaf: &[u8]) -> Option<&[u8]> {
    let rest = leaf.strip_suffix(br#"","v":1}"#)?;
    let from = rest.iter().rposition(|byte| *byte == b'"')? + 1;
    let (before, kind) = rest.split_at(from);
    (before.ends_with(br#","ty":""#) && !kind.contains(&b'\\')).then_some(kind)
}

fn slow_kind(index: u64, leaf: &[u8]) -> Result<Vec<u8>, RatingError> {
    #[derive(Deserialize)]
    struct Typed {
        ty: String,
    }
    let typed: Typed = serde_json::from_slice(leaf).map_err(|error| RatingError::Shape {
        index,
        kind: "leaf".to_string(),
        reason: error.to_string(),
    })?;
    Ok(typed.ty.into_bytes())
}

fn billing<'a, D: Deserialize<'a>>(
    leaf: &'a [u8],
    make: impl FnOnce(Box<D>) -> Billing,
) -> Result<Leaf<'a>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow)]
        d: &'a RawValue,
        #[serde(borrow)]
        st: Cow<'a, str>,
    }
    let wire: Wire<'a> = serde_json::from_slice(leaf)?;
    if wire.st != BILLING_STREAM {
        return Ok(Leaf::Other);
    }
    Ok(Leaf::Billing(make(Box::new(serde_json::from_str(wire.d.get())?))))
}

fn usage(sort: Sort, leaf: &[u8]) -> Result<Leaf<'_>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Wire<'a> {
        #[serde(borrow, default)]
        co: Option<Cow<'a, str>>,
        #[serde(borrow)]
        d: Data<'a>,
        rt: i64,
        #[serde(borrow)]
        st: Cow<'a, str>,
    }
    #[derive(Deserialize)]
    struct Data<'a> {
        #[serde(borrow)]
        attempt: Cow<'a, str>,
        #[serde(default)]
        heard: Option<Heard>,
        #[serde(borrow)]
        step: Cow<'a, str>,
        #[serde(borrow, default)]
        usage: Option<&'a RawValue>,
    }
    let Wire { co, d, rt, st } = serde_json::from_slice(leaf)?;
    if st == BILLING_STREAM {
        return Ok(Leaf::Other);
    }
    let Some(raw) = d.usage else {
        return match sort {
            Sort::Truth => Ok(Leaf::Other),
            Sort::End | Sort::Checkpoint => Err(missing("it has no `d.usage`")),
        };
    };
    let run = co.ok_or_else(|| missing("it has no `co`, so it belongs to no run"))?;
    let text = raw.get();
    let figures: Figures<'_> = serde_json::from_str(text)?;
    Ok(Leaf::Usage(Box::new(Usage {
        sort,
        run,
        step: d.step,
        attempt: d.attempt,
        rt,
        text,
        figures,
        heard: d.heard,
    })))
}

fn missing(what: &str) -> serde_json::Error {
    serde::de::Error::custom(what)
}
