//! Performing effects, a file for each kind. Nothing here decides; each answers with a wake.

pub(super) mod adopt;
pub(super) mod append;
mod attempt;
mod cache;
mod child;
pub(super) mod elsewhere;
pub(super) mod group;
pub(super) mod load;

use dagbook_events::effect::Effect;
use dagbook_events::run::Ask;
use dagbook_events::step::StopCause;

use super::driver::Driver;

/// Asks the world.
pub(super) fn world(driver: &mut Driver, effect: Effect) {
    match effect {
        Effect::Start(spec) => attempt::start(driver, *spec),
        Effect::Stop(stop) => attempt::stop(driver, stop),
        Effect::Release { executor, attempt } => attempt::release(driver, &executor, attempt),
        Effect::SetTimer { timer, at } => driver.timers.set(timer, at),
        Effect::ClearTimer(timer) => driver.timers.clear(&timer),
        Effect::LookUpCache { run, step, key, not_before } => {
            cache::look_up(driver, run, step, key, not_before);
        }
        Effect::StoreCache { key, at, result } => cache::store(driver, key, at, *result),
        Effect::SubmitChild(child) => child::submit(driver, *child),
        Effect::CancelChild { run, force } => {
            let reason = "the run above it is being cancelled".to_string();
            driver.ask(run, Ask::Cancel { cause: StopCause::User, reason, force }, None, None);
        }
        Effect::NotifyParent { parent, step, run, status, outputs, reason } => {
            let ask = Ask::ChildFinished { step, run, status, outputs, reason };
            driver.ask(parent, ask, None, None);
        }
    }
}
