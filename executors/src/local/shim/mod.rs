//! The supervisor of one attempt: a process of its own, of one thread, without a runtime.
//!
//! ```text
//! orchestrator ─asks─▶ nursery ─fork─▶ shim ─fork─▶ step   launch     the orchestrator's side
//!      ▲  stdin: launch                │ ▲ pipe:            births     its dealings with the nursery
//!      └── stdout: notices ────────────┘ └── stdout, stderr nursery    the process that forks
//!                                                           supervise  the life of an attempt
//!                                                           child      from fork to exec
//!                                                           log, mask  the log
//! ```
//!
//! Where there is no nursery the orchestrator starts the shim itself, as a program.
//!
//! Unsafe code is confined to `child`, `ending`, `launch`, `nursery`, `reap` and `signals`: calls
//! into libc for which no safe wrapper exists, each with its reason.

mod births;
mod child;
mod control;
pub(crate) mod ending;
pub(crate) mod launch;
mod log;
mod mask;
mod nursery;
mod proc;
mod reap;
mod signals;
mod stop;
mod supervise;

use std::path::Path;
use std::process::ExitCode;

use self::nursery::Role;

/// The whole life of a shim. Call it from `main` when the first argument is `shim`, before
/// anything else is set up, with the word behind it, an attempt's folder or `nursery`; and exit
/// with what it returns.
pub fn shim_main(attempt_dir: &Path) -> ExitCode {
    let ran = match attempt_dir == Path::new(nursery::WORD) {
        false => supervise::run(attempt_dir),
        true => nursery::run().and_then(|role| match role {
            Role::Over => Ok(()),
            Role::Shim(folder) => supervise::run(&folder),
        }),
    };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is a file in the attempt's folder, quoted if the attempt is lost.
            eprintln!("shim: {error}");
            ExitCode::from(70)
        }
    }
}

pub(crate) use births::Nursery;
pub(crate) use mask::patterns;
pub(crate) use signals::WAKE;
