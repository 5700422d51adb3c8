//! A server for drills, driven by lines on standard input: real in everything but its listeners.
//! For drills about what `dagbook serve` has no words for: runs under ids of the drill's choice, a
//! shorter patience with other places, each change of who leads as it comes, and a process that
//! has no address yet because it waits for its store. All others start the program itself.
//! As `drill-server shim DIR` it is the supervisor of one attempt.

use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["shim", dir] => dagbook_executors::local::shim_main(std::path::Path::new(dir)),
        [] => dagbook_tests::drill::host::run(),
        _ => ExitCode::from(64),
    }
}
