//! The blob stores.

mod disk;
mod memory;

pub use disk::DiskBlobs;
pub use memory::MemoryBlobs;
