//! Control groups: what this machine allows, and one leaf per attempt.
//!
//! Three kinds of machine occur: pure v2, hybrid (v1 controllers beside a v2 tree that has no
//! memory controller) and none. A leaf is therefore up to three folders: one in the v2 tree
//! (CPU time, kill, events), and one each in the v1 memory and pids trees where those exist.

mod detect;
mod leaf;

pub use detect::Trees;
pub(crate) use leaf::Joins;
pub use leaf::Leaf;
