//! Drills with whole servers: leaders are killed, stores go away, and what was begun goes on.

mod cut;
mod handover;
mod kill;
mod newer;
mod places;
mod two;

/// The server that drills start.
const PROGRAM: &str = env!("CARGO_BIN_EXE_drill-server");

/// Whether this run takes its time to find what is rare.
fn deep() -> bool {
    std::env::var("DAGBOOK_DEEP").is_ok_and(|value| value == "1")
}

/// How long anything may take that is expected to happen.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);
