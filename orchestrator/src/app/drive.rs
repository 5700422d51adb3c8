//! Driving one run to its end in this process: the main job of `dagbook run`, and what a cancel
//! or an answer needs when nobody else drives the run.

use std::time::Duration;

use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::ports::{Actor, Clock};
use dagbook_events::run::{Ask, RunFact, RunState, evolve, fold};
use dagbook_events::step::StopCause;
use tokio::sync::mpsc;

use crate::runtime::record::{RecordError, Recorder};
use crate::runtime::{Runtime, Watch};

/// How often a display hears that time passed.
const TICK: Duration = Duration::from_millis(100);

/// What a display is told.
pub enum Seen<'a> {
    /// Facts became durable; the state is the one after them.
    Facts(&'a RunState, &'a [RunFact]),
    /// Time passed.
    Tick(&'a RunState),
    /// The store does not answer.
    Trouble(&'a str),
    /// A person asked to stop: the how-manieth time.
    Interrupt(u32),
}

/// How the watching ended.
pub enum Ended {
    /// The run is over.
    Finished(Box<RunState>),
    /// The person went away while it was still stopping.
    Abandoned(Box<RunState>),
    /// The orchestrator stopped.
    Stopped,
}

/// Watches the run until it is over. Each item of `interrupts` is a person asking to stop:
/// first gracefully, then by force; after that nobody waits any longer.
pub async fn drive(
    runtime: &Runtime,
    recorder: &Recorder,
    clock: &dyn Clock,
    (tenant, run): (&TenantId, RunId),
    person: &Actor,
    (mut watch, mut interrupts): (mpsc::UnboundedReceiver<Watch>, mpsc::UnboundedReceiver<()>),
    mut show: impl FnMut(Seen<'_>, dagbook_events::time::Timestamp),
) -> Result<Ended, RecordError> {
    // What was recorded before this process took over.
    let history = recorder.facts(tenant, run).await?;
    let mut state = fold(&history);
    show(Seen::Facts(&state, &history), clock.now());
    let mut asked_to_stop = 0;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !state.is_finished() {
        tokio::select! {
            biased;
            Some(()) = interrupts.recv() => {
                asked_to_stop += 1;
                show(Seen::Interrupt(asked_to_stop), clock.now());
                if asked_to_stop > 2 {
                    return Ok(Ended::Abandoned(Box::new(state)));
                }
                let (runtime, force) = (runtime.clone(), asked_to_stop > 1);
                let person = person.clone();
                tokio::spawn(async move {
                    let reason = "interrupted".to_string();
                    let ask = Ask::Cancel { cause: StopCause::User, reason, force };
                    // Refused only when the run is over, which the watch tells as well.
                    let _ = runtime.ask(run, ask, &person).await;
                });
            }
            seen = watch.recv() => match seen {
                None => return Ok(Ended::Stopped),
                Some(Watch::StoreTrouble { reason, .. }) => {
                    show(Seen::Trouble(&reason), clock.now());
                }
                Some(Watch::Recorded { run: of, from, facts, .. }) if of == run => {
                    let fresh = advance(&mut state, from, &facts);
                    show(Seen::Facts(&state, &facts[fresh..]), clock.now());
                }
                Some(Watch::Recorded { .. }) => {}
            },
            _ = tick.tick() => show(Seen::Tick(&state), clock.now()),
        }
    }
    Ok(Ended::Finished(Box::new(state)))
}

/// Folds the facts that the state does not have yet; says how many it had.
fn advance(state: &mut RunState, from: u64, facts: &[RunFact]) -> usize {
    let known = usize::try_from(state.version.saturating_sub(from)).unwrap_or(usize::MAX);
    let known = known.min(facts.len());
    for fact in &facts[known..] {
        let before = std::mem::replace(state, RunState::unborn());
        *state = evolve(before, fact);
    }
    known
}
