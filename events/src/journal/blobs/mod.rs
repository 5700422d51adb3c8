//! The blob stores.

mod disk;
mod memory;
mod recent;

pub use disk::DiskBlobs;
pub use memory::MemoryBlobs;
pub use recent::RecentBlobs;
