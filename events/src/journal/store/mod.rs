//! The event stores.

mod memory;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod migrating;
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

pub use memory::MemoryStore;
#[cfg(feature = "sqlite")]
pub use sqlite::{
    OpenError, SqliteHealth, SqliteOptions, SqliteSchema, SqliteStore, health, sqlite_schema,
};
