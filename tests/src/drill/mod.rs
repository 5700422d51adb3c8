//! Drills with whole servers as processes: killed, cut off, handed over. What they did is judged
//! from the record and from the marks that each attempt leaves behind when it runs.

pub mod host;
mod judge;
mod process;
mod shares;
mod shims;
mod site;

pub use judge::{Report, judge};
pub use process::ServerProcess;
pub use shares::{Shares, shares};
pub use shims::reconcile_with_shims;
pub use site::{DAG, Site, folders};
