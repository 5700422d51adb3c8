//! A seeded simulation of everything around the engine, and of all that can go wrong there.
//!
//! One seed owns every choice: the same seed gives the same story on every machine. Safety is
//! checked after every step, liveness at the end, once faults have stopped. A failure names the
//! seed, the step, what is broken, the last things that happened, and the command that shows it
//! again. [`world`] holds the loop; each other file holds one part of the world.

mod chaos;
mod checks;
pub mod coverage;
mod fleet;
mod library;
mod money;
mod people;
pub mod rng;
pub mod scale;
mod shell;
mod store;
mod trace;
mod world;

use std::fmt;

use dagbook::engine::Planted;

pub use coverage::Coverage;
use world::World;

/// What a seed showed.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Steps taken.
    pub steps: u64,
    /// What was visited.
    pub coverage: Coverage,
}

/// A seed that broke something.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed.
    pub seed: u64,
    /// The step at which it was seen.
    pub step: u64,
    /// What is broken.
    pub broken: String,
    /// The last things that happened.
    pub trace: Vec<String>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {} broke at step {}: {}", self.seed, self.step, self.broken)?;
        for line in &self.trace {
            writeln!(f, "  {line}")?;
        }
        write!(f, "again: cargo run -p dagbook-tests --bin sim -- --seed {} --trace", self.seed)
    }
}

/// Plays one seed.
pub fn play(seed: u64, planted: Option<Planted>) -> Result<Outcome, Failure> {
    let mut world = World::new(seed, planted, false);
    match world.run() {
        Ok(()) => Ok(Outcome { steps: world.steps, coverage: world.coverage }),
        // The story is the same the second time, and then it is written down.
        Err(_) => Err(replay(seed, planted, 40)),
    }
}

/// Plays a seed again and keeps the last lines.
fn replay(seed: u64, planted: Option<Planted>, lines: usize) -> Failure {
    let mut world = World::new(seed, planted, true);
    let broken = match world.run() {
        Ok(()) => "it broke the first time and not the second: something is not seeded".into(),
        Err(broken) => broken,
    };
    let trace = world.last_lines(lines).to_vec();
    Failure { seed, step: world.steps, broken, trace }
}

/// Plays a seed and returns everything that happened, line by line, and what broke.
pub fn tell(seed: u64) -> (Vec<String>, Option<String>) {
    let mut world = World::new(seed, None, true);
    let broken = world.run().err();
    (world.last_lines(usize::MAX).to_vec(), broken)
}
