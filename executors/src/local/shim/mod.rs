//! The supervisor of one attempt: a process of its own, of one thread, without a runtime.
//!
//! ```text
//! orchestrator ──spawn──▶ shim ──fork──▶ step          launch     the orchestrator's side
//!      ▲  stdin: launch    │ ▲ pipe: stdout + stderr    supervise  the life of an attempt
//!      └── stdout: notices ┘ └── step                   child      from fork to exec
//!                                                       pump, mask the log
//! ```
//!
//! Unsafe code is confined to `child`, `ending`, `launch`, `reap` and `signals`: calls into libc for
//! which no safe wrapper exists, each with its reason.

mod child;
mod control;
pub(crate) mod ending;
pub(crate) mod launch;
mod log;
mod mask;
mod proc;
mod reap;
mod signals;
mod stop;
mod supervise;

use std::path::Path;
use std::process::ExitCode;

/// The whole life of a shim. Call it from `main` when the first argument is `shim`, before
/// anything else is set up, with the attempt's folder; and exit with what it returns.
pub fn shim_main(attempt_dir: &Path) -> ExitCode {
    match supervise::run(attempt_dir) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Standard error is a file in the attempt's folder, quoted if the attempt is lost.
            eprintln!("shim: {error}");
            ExitCode::from(70)
        }
    }
}

pub(crate) use mask::patterns;
pub(crate) use signals::WAKE;
