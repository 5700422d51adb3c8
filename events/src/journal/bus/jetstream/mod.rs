//! NATS JetStream: the second copy of the record, the notes beside it, and wake-ups between
//! processes.
//!
//! Reading order: [`options`](NatsOptions) and [`connect`](Nats); `message` and `stream` say
//! what lies where; `publish` and `scan` move it; `copy`, `notes` and `bus` keep the ports.
//! Servers from 2.9 on will do: what one of them can is seen in its answers, never guessed
//! from its version.

mod api;
mod bus;
mod connect;
mod copy;
mod facts;
mod message;
mod notes;
mod options;
mod publish;
mod scan;
mod stream;
mod tls;

pub use bus::{JetStreamBus, WAKE_SUBJECT};
pub use connect::Nats;
pub use copy::JetStreamCopy;
pub use facts::{CopyFacts, NatsFacts, SyncInterval};
pub use notes::JetStreamNotes;
pub use options::{NatsAuth, NatsOptions, NatsOptionsError};
