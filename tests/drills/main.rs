//! Drills with whole servers: leaders are killed, stores go away, and what was begun goes on.

mod api;
mod cut;
mod handover;
mod kill;
mod leader;
mod newer;
mod pause;
mod places;
mod rolling;
mod served;
mod ticks;
mod two;

/// The server that some drills start, see there; most start `dagbook serve`.
const PROGRAM: &str = env!("CARGO_BIN_EXE_drill-server");

/// Whether this run takes its time to find what is rare.
fn deep() -> bool {
    std::env::var("DAGBOOK_DEEP").is_ok_and(|value| value == "1")
}

/// How long anything may take that is expected to happen.
const SOON: std::time::Duration = std::time::Duration::from_secs(60);
