//! Every case of `executors.md`, 9.9, by number.

mod bounds;
mod ending;
mod identity;
mod logs;
mod many;
mod restart;
mod stopping;
mod surroundings;
mod usage;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::world::Factory;

pub(super) use logs::OFFSETS_TEXT;

pub(super) type Running = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
type Run = fn(Arc<dyn Factory>) -> Running;

/// One case.
#[derive(Clone, Copy)]
pub(super) struct Case {
    pub(super) number: u8,
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// How a case is shown.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// By running it, beside others.
    Together(Run),
    /// By running it alone, because it measures.
    Alone(Run),
    /// Not here.
    Elsewhere(&'static str),
}

/// Fails the case with a sentence unless the condition holds.
macro_rules! ensure {
    ($condition:expr, $($sentence:tt)+) => {
        if !$condition {
            return Err(format!($($sentence)+));
        }
    };
}
pub(super) use ensure;

macro_rules! case {
    ($number:literal, $name:literal, $run:path) => {
        Case { number: $number, name: $name, kind: Kind::Together(|f| Box::pin($run(f))) }
    };
    ($number:literal, $name:literal, alone $run:path) => {
        Case { number: $number, name: $name, kind: Kind::Alone(|f| Box::pin($run(f))) }
    };
    ($number:literal, $name:literal, elsewhere $place:expr) => {
        Case { number: $number, name: $name, kind: Kind::Elsewhere($place) }
    };
}

const CORE: &str = "core state: the attempt machine's table and the simulation of the engine";
const PULL: &str = "pulling executors only";
const CLUSTER: &str = "executors on a cluster only";
const GPU: &str = "executors with GPUs only";

/// All of them.
pub(super) const CASES: &[Case] = &[
    case!(1, "a command that exits 0 succeeded", ending::exit_zero),
    case!(2, "exit codes are preserved", ending::exit_codes),
    case!(3, "death by signal is reported as that signal", ending::signals),
    case!(4, "started twice under one id, it runs once", identity::started_twice),
    case!(5, "another spec under the same id is a conflict", identity::conflict),
    case!(6, "a start whose answer is lost is found, not repeated", identity::lost_answer),
    case!(7, "a running attempt survives the orchestrator", restart::adopted),
    case!(8, "an end while nobody looks is told afterwards", restart::ended_meanwhile),
    case!(9, "when its supervisor dies it is truthfully lost", restart::supervisor_killed),
    case!(10, "a step killed by an outsider was signaled, not lost", ending::killed_outside),
    case!(11, "out of memory is told from other kills", bounds::out_of_memory),
    case!(12, "the run timeout asks, waits, kills", stopping::run_timeout),
    case!(13, "start deadline", elsewhere CORE),
    case!(14, "queue deadline", elsewhere CORE),
    case!(15, "cancelled before its start, it has no effect", stopping::cancel_first),
    case!(16, "cancelled during its start, nothing survives", stopping::cancel_race),
    case!(17, "a graceful cancel lets it clean up", stopping::graceful),
    case!(18, "a step that ignores TERM is killed", stopping::forced),
    case!(19, "cancelling again, or after the end, changes nothing", stopping::cancel_again),
    case!(20, "a cancel that races the end gives one end", stopping::one_end),
    case!(21, "a daemon that it leaves is killed and counted", stopping::daemon),
    case!(22, "a fork bomb is bounded", bounds::fork_bomb),
    case!(23, "100 MB of output: capped, marked, never blocked", logs::flood),
    case!(24, "bytes of every kind are kept exactly", logs::binary),
    case!(25, "a log reads the same from every offset", logs::offsets),
    case!(26, "log transport under faults", elsewhere PULL),
    case!(27, "output after the last newline is kept", logs::no_newline),
    case!(28, "secrets are hidden across chunk borders", logs::secrets),
    case!(29, "only the named variables and descriptors reach it", surroundings::environment),
    case!(30, "its folder is its own, and goes", surroundings::folder),
    case!(31, "a lost heartbeat within the lease has no effect", elsewhere PULL),
    case!(32, "lease expiry and return before the fence", elsewhere PULL),
    case!(33, "lease expiry past the fence", elsewhere PULL),
    case!(34, "a stale success is not applied", elsewhere CORE),
    case!(35, "repeated and late reports change nothing", elsewhere CORE),
    case!(36, "a lost claim response", elsewhere PULL),
    case!(37, "two agents race for one offer", elsewhere PULL),
    case!(38, "an agent returns after a week", elsewhere PULL),
    case!(39, "time and CPU are measured right", alone usage::measured),
    case!(40, "usage is told of every kind of end", usage::every_end),
    case!(41, "what it cannot do is not sent to it", elsewhere CORE),
    case!(42, "places are never oversubscribed", many::slots),
    case!(43, "GPU grants", elsewhere GPU),
    case!(44, "gang starts", elsewhere PULL),
    case!(45, "preemption and eviction", elsewhere CLUSTER),
    case!(46, "a missing program is a start error", ending::missing_program),
    case!(47, "a full disk loses log bytes, not the outcome", bounds::disk_full),
    case!(48, "a jump of the clock changes no span", bounds::clock_jump),
    case!(49, "draining finishes what runs and takes nothing", many::drain),
    case!(50, "orphans are listed and strangers left alone", restart::orphans),
    case!(51, "release leaves nothing, and may be repeated", surroundings::release),
    case!(52, "protocol version skew", elsewhere PULL),
    case!(53, "thousands of trivial steps leak nothing", alone many::thousands),
    case!(54, "strange and very long names do no harm", identity::names),
    case!(55, "isolation of tenants", elsewhere "the server's authorisation table"),
    case!(56, "a held poll whose client vanished", elsewhere PULL),
    case!(57, "a client silent while it stops", elsewhere PULL),
    case!(58, "what runs long tells what it used, also after a restart", usage::checkpoints),
];
