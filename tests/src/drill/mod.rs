//! Drills with whole servers as processes: killed, cut off, handed over. What they did is judged
//! from the record and from the marks that each attempt leaves behind when it runs.

pub mod host;
mod judge;
mod process;
mod site;

pub use judge::{Report, judge};
pub use process::ServerProcess;
pub use site::{DAG, Site};
