//! What of a leaf money follows from, read without building anything.

use std::borrow::Cow;

use serde::Deserialize;

use super::RatingError;
use crate::billing::{BILLING_STREAM, CardAdopted, ContractPublished, PeriodClosed};
use crate::canonical::{Node, NotCanonical, Reader};
use crate::envelope::type_of;
use crate::step::Fault;
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

/// The members of `d.usage` that count.
pub(super) struct Figures<'a> {
    pub executor: Cow<'a, str>,
    pub class: Cow<'a, str>,
    pub allocated: i64,
    pub released: i64,
    pub started: Option<i64>,
    pub requested: Requested<'a>,
    pub egress: u64,
    pub is_lost: bool,
    pub fault: Fault,
}

/// What was asked for.
pub(super) struct Requested<'a> {
    pub cpu_milli: u64,
    pub mem_mib: u64,
    pub disk_mib: u64,
    pub gpu: Node<'a>,
}

/// The same instants by the orchestrator's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Heard {
    pub planned: i64,
    pub started: Option<i64>,
    pub exited: i64,
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

/// Reads what matters of the leaf at this index, if anything does.
pub(super) fn read<'a>(
    index: u64,
    leaf: &'a [u8],
    reader: &'a mut Reader,
) -> Result<Leaf<'a>, RatingError> {
    if type_of(leaf).is_some_and(|kind| Kind::of(kind).is_none()) {
        return Ok(Leaf::Other);
    }
    let broken = |error: NotCanonical| RatingError::Shape {
        index,
        kind: "leaf".to_string(),
        reason: error.to_string(),
    };
    read_parts(index, &LeafParts::of(reader.read(leaf).map_err(broken)?))
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
}

impl<'a> LeafParts<'a> {
    fn of(leaf: Node<'a>) -> Self {
        let mut parts = Self { co: None, d: None, rt: None, st: None, ty: None };
        for (name, value) in leaf.members().into_iter().flatten() {
            match name {
                "co" => parts.co = Some(value),
                "d" => parts.d = Some(value),
                "rt" => parts.rt = Some(value),
                "st" => parts.st = Some(value),
                "ty" => parts.ty = Some(value),
                _ => {}
            }
        }
        parts
    }
}

/// Reads what matters of a leaf that was gone through.
pub(super) fn read_parts<'a>(index: u64, leaf: &LeafParts<'a>) -> Result<Leaf<'a>, RatingError> {
    let shape =
        |kind: &str, reason: String| RatingError::Shape { index, kind: kind.to_string(), reason };
    let name = needed(leaf.ty, "ty", Node::text).map_err(|reason| shape("leaf", reason))?;
    let Some(kind) = Kind::of(name.as_bytes()) else { return Ok(Leaf::Other) };
    let failed = |reason: String| shape(&name, reason);
    let is_billing = needed(leaf.st, "st", Node::text).map_err(failed)? == BILLING_STREAM;
    let data = || needed(leaf.d, "d", Some).map_err(failed);
    Ok(match (kind, is_billing) {
        (Kind::Usage(sort), false) => {
            let usage = usage(sort, leaf).map_err(failed)?;
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

fn usage<'a>(sort: Sort, leaf: &LeafParts<'a>) -> Result<Option<Usage<'a>>, String> {
    let data = needed(leaf.d, "d", Some)?;
    let (mut attempt, mut heard, mut step, mut usage) = (None, None, None, None);
    for (name, value) in members(data, "d")? {
        match name {
            "attempt" => attempt = Some(value),
            "heard" => heard = Some(value),
            "step" => step = Some(value),
            "usage" => usage = Some(value),
            _ => {}
        }
    }
    let attempt = needed(attempt, "d.attempt", Node::text)?;
    let step = needed(step, "d.step", Node::text)?;
    let heard = heard.map(read_heard).transpose()?;
    let Some(usage) = usage else {
        return match sort {
            Sort::Truth => Ok(None),
            Sort::End | Sort::Checkpoint => Err("it has no `d.usage`".to_string()),
        };
    };
    let run = needed(leaf.co, "co", Node::text)?;
    let rt = needed(leaf.rt, "rt", Node::integer)?;
    let figures = figures(usage)?;
    Ok(Some(Usage { sort, run, step, attempt, rt, text: usage.raw(), figures, heard }))
}

fn read_heard(heard: Node<'_>) -> Result<Heard, String> {
    let (mut planned, mut started, mut exited) = (None, None, None);
    for (name, value) in members(heard, "d.heard")? {
        match name {
            "exited" => exited = Some(value),
            "planned" => planned = Some(value),
            "started" => started = Some(value),
            _ => {}
        }
    }
    Ok(Heard {
        planned: needed(planned, "d.heard.planned", Node::integer)?,
        started: perhaps(started, "d.heard.started", Node::integer)?,
        exited: needed(exited, "d.heard.exited", Node::integer)?,
    })
}

fn figures(usage: Node<'_>) -> Result<Figures<'_>, String> {
    let (mut allocated, mut released, mut started) = (None, None, None);
    let (mut executor, mut class, mut requested) = (None, None, None);
    let (mut outcome, mut fault, mut used) = (None, None, None);
    for (name, value) in members(usage, "d.usage")? {
        let place = match name {
            "allocated_ms" => &mut allocated,
            "class" => &mut class,
            "executor" => &mut executor,
            "fault" => &mut fault,
            "outcome" => &mut outcome,
            "released_ms" => &mut released,
            "requested" => &mut requested,
            "started_ms" => &mut started,
            "used" => &mut used,
            _ => continue,
        };
        *place = Some(value);
    }
    let egress = match used {
        Some(used) => {
            let found = members(used, "d.usage.used")?.find(|(name, _)| *name == "egress_bytes");
            let egress = found.map(|(_, value)| value);
            perhaps(egress, "d.usage.used.egress_bytes", Node::natural)?
        }
        None => None,
    };
    Ok(Figures {
        executor: needed(executor, "d.usage.executor", Node::text)?,
        class: needed(class, "d.usage.class", Node::text)?,
        allocated: needed(allocated, "d.usage.allocated_ms", Node::integer)?,
        released: needed(released, "d.usage.released_ms", Node::integer)?,
        started: perhaps(started, "d.usage.started_ms", Node::integer)?,
        requested: read_requested(needed(requested, "d.usage.requested", Some)?)?,
        egress: egress.unwrap_or_default(),
        is_lost: needed(outcome, "d.usage.outcome", Node::text)? == "lost",
        fault: needed(fault, "d.usage.fault", read_fault)?,
    })
}

fn read_fault(fault: Node<'_>) -> Option<Fault> {
    Some(match fault.raw() {
        r#""none""# => Fault::None,
        r#""user""# => Fault::User,
        r#""policy""# => Fault::Policy,
        r#""infra""# => Fault::Infra,
        _ => return None,
    })
}

fn read_requested(requested: Node<'_>) -> Result<Requested<'_>, String> {
    let (mut cpu, mut mem, mut disk, mut gpu) = (None, None, None, None);
    for (name, value) in members(requested, "d.usage.requested")? {
        match name {
            "cpu_milli" => cpu = Some(value),
            "disk_mib" => disk = Some(value),
            "gpu" => gpu = Some(value),
            "mem_mib" => mem = Some(value),
            _ => {}
        }
    }
    Ok(Requested {
        cpu_milli: needed(cpu, "d.usage.requested.cpu_milli", Node::natural)?,
        mem_mib: needed(mem, "d.usage.requested.mem_mib", Node::natural)?,
        disk_mib: needed(disk, "d.usage.requested.disk_mib", Node::natural)?,
        gpu: needed(gpu, "d.usage.requested.gpu", Some)?,
    })
}

/// The members of an object, or which one it should be.
fn members<'a>(
    node: Node<'a>,
    name: &str,
) -> Result<impl Iterator<Item = (&'a str, Node<'a>)>, String> {
    node.members().ok_or_else(|| format!("`{name}` is no object"))
}

/// What a member is, or that it is missing or has another form.
pub(super) fn needed<'a, T>(
    node: Option<Node<'a>>,
    name: &str,
    read: impl FnOnce(Node<'a>) -> Option<T>,
) -> Result<T, String> {
    perhaps(node, name, read)?.ok_or_else(|| format!("`{name}` is missing"))
}

fn perhaps<'a, T>(
    node: Option<Node<'a>>,
    name: &str,
    read: impl FnOnce(Node<'a>) -> Option<T>,
) -> Result<Option<T>, String> {
    let Some(node) = node else { return Ok(None) };
    read(node).map(Some).ok_or_else(|| format!("`{name}` has another form"))
}
