//! What the core asks of the world: narrow, object-safe, plain data.

mod archive;
mod blobs;
mod bus;
mod clock;
mod copy;
mod lease;
mod objects;
mod restore;
mod shelf;
mod signer;
mod store;

pub use archive::{Archive, ArchivedLog, ArchivedRange, ArchivedStream, NewRange, Segment, Upkeep};
pub use blobs::{BlobError, Blobs};
pub use bus::{BusError, EventBus, Wake};
pub use clock::{Clock, Rng};
pub use copy::{Board, CopiedEvent, CopyError, CopyScan, Notes, PostedNote, RecordCopy};
pub use lease::{Fence, Lease, LeaseAnswer, Leases};
pub use objects::{ObjectError, Objects};
pub use restore::Restore;
pub use shelf::{SHELF_VALUE_MAX, Shelf, ShelfAnswer, ShelfExpected, ShelfItem};
pub use signer::{SignError, Signer};
pub use store::{
    Actor, AppendError, AppendRequest, Appended, BlobRef, EventStore, Expected, LogHead, NewEvent,
    ReadError, Recorded, StreamAppend,
};
