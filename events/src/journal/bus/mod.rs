//! The buses.

mod in_process;
#[cfg(feature = "jetstream")]
pub mod jetstream;

pub use in_process::InProcessBus;
