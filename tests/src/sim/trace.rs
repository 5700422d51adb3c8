//! Inputs and effects in a line each.

use dagbook::engine::{EngineEffect, Input, Outgoing, StreamPart};
use dagbook_events::effect::Effect;
use dagbook_events::run::{Ask, RunFact};

pub(super) fn input(input: &Input) -> String {
    match input {
        Input::Command { run, command, .. } => format!("{} {}", run.short(), ask(&command.ask)),
        Input::Loaded { run, facts, .. } => format!("loaded {} {}", run.short(), facts.len()),
        Input::Adopt { run, facts, .. } => format!("adopt {} {}", run.short(), facts.len()),
        Input::Foreign { run, from, facts, .. } => {
            format!("foreign {} from {from}: {}", run.short(), kinds(facts))
        }
        other => cut(format!("{other:?}")),
    }
}

fn ask(ask: &Ask) -> String {
    match ask {
        Ask::Submit(it) => format!("submit {}", it.pipeline),
        Ask::Observe(report) => {
            let body = cut(format!("{:?}", report.body));
            format!(
                "report {} {} epoch {} {body}",
                report.step,
                report.attempt.short(),
                report.epoch
            )
        }
        other => cut(format!("{other:?}")),
    }
}

pub(super) fn effect(effect: &EngineEffect) -> String {
    match effect {
        EngineEffect::Append { append, parts, .. } => {
            let parts: Vec<String> = parts.iter().map(part).collect();
            format!("append {} {}", append.0, parts.join(" + "))
        }
        EngineEffect::Recorded { run, facts, .. } => {
            format!("recorded {} {}", run.short(), facts.len())
        }
        EngineEffect::World(Effect::Start(spec)) => {
            format!("start {} {} {}", spec.run.short(), spec.step, spec.attempt.short())
        }
        other => cut(format!("{other:?}")),
    }
}

fn part(part: &StreamPart) -> String {
    match &part.outgoing {
        Outgoing::Run(run, groups) => {
            let groups: Vec<String> = groups.iter().map(|group| kinds(&group.facts)).collect();
            format!("{} {:?} [{}]", run.short(), part.expected, groups.join(" | "))
        }
        Outgoing::Take { group, run, .. } => format!("take {group} {}", run.short()),
        Outgoing::Give { group, run, .. } => format!("give {group} {}", run.short()),
    }
}

pub(super) fn kinds(facts: &[RunFact]) -> String {
    facts.iter().map(|fact| fact.event.kind()).collect::<Vec<_>>().join(", ")
}

fn cut(text: String) -> String {
    text.chars().take(220).collect()
}
