//! A figure of an attempt, as a leaf has it: where it stands in the leaves of a form, and what it is.

use std::borrow::Cow;

use super::leaf::LeafParts;
use crate::canonical::{Memo, Node};
use crate::step::Fault;

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

/// Where leaves of a form have their usage.
pub(super) type UsageForms = Memo<UsageMembers>;

/// Which values of the data of a leaf are those of its usage.
#[derive(Debug, Clone, Copy)]
pub(super) struct UsageMembers {
    attempt: Option<usize>,
    heard: Option<HeardMembers>,
    step: Option<usize>,
    usage: Option<(usize, FigureMembers)>,
}

#[derive(Debug, Clone, Copy)]
struct HeardMembers {
    exited: Option<usize>,
    planned: Option<usize>,
    started: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct FigureMembers {
    allocated: Option<usize>,
    class: Option<usize>,
    executor: Option<usize>,
    fault: Option<usize>,
    outcome: Option<usize>,
    released: Option<usize>,
    requested: Option<RequestedMembers>,
    started: Option<usize>,
    egress: Option<usize>,
}

#[derive(Debug, Clone, Copy)]
struct RequestedMembers {
    cpu: Option<usize>,
    disk: Option<usize>,
    gpu: Option<usize>,
    mem: Option<usize>,
}

impl UsageMembers {
    pub(super) fn of(data: Node<'_>) -> Result<Self, String> {
        let names = ["attempt", "heard", "step", "usage"];
        let [attempt, heard, step, usage] = places(data, "d", names)?;
        let heard = heard.map(|place| HeardMembers::of(data.at(place))).transpose()?;
        let figures = |place| Ok::<_, String>((place, FigureMembers::of(data.at(place))?));
        Ok(Self { attempt, heard, step, usage: usage.map(figures).transpose()? })
    }

    /// The usage of a leaf that has these. Of the truth about an attempt there may be none.
    pub(super) fn read<'a>(
        self,
        sort: Sort,
        leaf: &LeafParts<'a>,
        data: Node<'a>,
    ) -> Result<Option<Usage<'a>>, String> {
        let attempt = needed(data.at_some(self.attempt), "d.attempt", Node::text)?;
        let step = needed(data.at_some(self.step), "d.step", Node::text)?;
        let heard = self.heard.map(|members| members.read(data)).transpose()?;
        let Some((usage, figures)) = self.usage else {
            return match sort {
                Sort::Truth => Ok(None),
                Sort::End | Sort::Checkpoint => Err("it has no `d.usage`".to_string()),
            };
        };
        let run = needed(leaf.co, "co", Node::text)?;
        let rt = needed(leaf.rt, "rt", Node::integer)?;
        let (text, figures) = (data.at(usage).raw(), figures.read(data)?);
        Ok(Some(Usage { sort, run, step, attempt, rt, text, figures, heard }))
    }
}

impl HeardMembers {
    fn of(heard: Node<'_>) -> Result<Self, String> {
        let names = ["exited", "planned", "started"];
        let [exited, planned, started] = places(heard, "d.heard", names)?;
        Ok(Self { exited, planned, started })
    }

    fn read(self, data: Node<'_>) -> Result<Heard, String> {
        Ok(Heard {
            planned: needed(data.at_some(self.planned), "d.heard.planned", Node::integer)?,
            started: perhaps(data.at_some(self.started), "d.heard.started", Node::integer)?,
            exited: needed(data.at_some(self.exited), "d.heard.exited", Node::integer)?,
        })
    }
}

impl FigureMembers {
    fn of(usage: Node<'_>) -> Result<Self, String> {
        let names = [
            "allocated_ms",
            "class",
            "executor",
            "fault",
            "outcome",
            "released_ms",
            "requested",
            "started_ms",
            "used",
        ];
        let found = places(usage, "d.usage", names)?;
        let [allocated, class, executor, fault, outcome, released, requested, started, used] =
            found;
        let requested = requested.map(|place| RequestedMembers::of(usage.at(place))).transpose()?;
        let egress = match used {
            Some(used) => places(usage.at(used), "d.usage.used", ["egress_bytes"])?[0],
            None => None,
        };
        Ok(Self {
            allocated,
            class,
            executor,
            fault,
            outcome,
            released,
            requested,
            started,
            egress,
        })
    }

    fn read(self, data: Node<'_>) -> Result<Figures<'_>, String> {
        let requested = self.requested.ok_or("`d.usage.requested` is missing")?;
        let egress =
            perhaps(data.at_some(self.egress), "d.usage.used.egress_bytes", Node::natural)?;
        let outcome = needed(data.at_some(self.outcome), "d.usage.outcome", Node::text)?;
        Ok(Figures {
            executor: needed(data.at_some(self.executor), "d.usage.executor", Node::text)?,
            class: needed(data.at_some(self.class), "d.usage.class", Node::text)?,
            allocated: needed(data.at_some(self.allocated), "d.usage.allocated_ms", Node::integer)?,
            released: needed(data.at_some(self.released), "d.usage.released_ms", Node::integer)?,
            started: perhaps(data.at_some(self.started), "d.usage.started_ms", Node::integer)?,
            requested: requested.read(data)?,
            egress: egress.unwrap_or_default(),
            is_lost: outcome == "lost",
            fault: needed(data.at_some(self.fault), "d.usage.fault", read_fault)?,
        })
    }
}

impl RequestedMembers {
    fn of(requested: Node<'_>) -> Result<Self, String> {
        let names = ["cpu_milli", "disk_mib", "gpu", "mem_mib"];
        let [cpu, disk, gpu, mem] = places(requested, "d.usage.requested", names)?;
        Ok(Self { cpu, disk, gpu, mem })
    }

    fn read(self, data: Node<'_>) -> Result<Requested<'_>, String> {
        Ok(Requested {
            cpu_milli: needed(
                data.at_some(self.cpu),
                "d.usage.requested.cpu_milli",
                Node::natural,
            )?,
            mem_mib: needed(data.at_some(self.mem), "d.usage.requested.mem_mib", Node::natural)?,
            disk_mib: needed(data.at_some(self.disk), "d.usage.requested.disk_mib", Node::natural)?,
            gpu: needed(data.at_some(self.gpu), "d.usage.requested.gpu", Some)?,
        })
    }
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

/// Where an object has these members, whose names are in order, or which one it should be.
pub(super) fn places<const N: usize>(
    node: Node<'_>,
    name: &str,
    wanted: [&str; N],
) -> Result<[Option<usize>; N], String> {
    let (mut found, mut at) = ([None; N], 0);
    for (name, value) in node.members().ok_or_else(|| format!("`{name}` is no object"))? {
        if let Some(step) = wanted[at..].iter().position(|wanted| *wanted == name) {
            at += step;
            found[at] = Some(value.place());
            at += 1;
        }
    }
    Ok(found)
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
