//! The one binary. As `dagbook shim DIR` it is the supervisor of one attempt, and then it must
//! be small and have no threads: nothing else runs before that is known.

use std::process::ExitCode;

/// Many small facts live long beside many that do not: an allocator for that keeps the cost of
/// a step flat in the size of the run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_some_and(|word| word == "shim") {
        return shim(words.next());
    }
    dagbook::edge::cli::main()
}

fn shim(folder: Option<std::ffi::OsString>) -> ExitCode {
    match folder {
        Some(folder) => dagbook_executors::local::shim_main(folder.as_ref()),
        None => {
            eprintln!("error: the shim is started by `dagbook run`, never by hand");
            ExitCode::from(2)
        }
    }
}
