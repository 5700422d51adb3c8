//! The shelf: small things that change, kept beside the record and never decided from. Sealed
//! secrets, answers kept for idempotency keys, when a token was last used, numbers for people.

use async_trait::async_trait;

use super::ReadError;
use crate::ids::TenantId;
use crate::time::{Millis, Timestamp};

/// The longest value that is kept.
pub const SHELF_VALUE_MAX: usize = 256 << 10;

/// One thing on the shelf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShelfItem {
    /// What it is called, such as `secret/db-password`: at most 200 printable ASCII characters.
    pub key: String,
    /// The bytes.
    pub value: Vec<u8>,
    /// Grows with every change, from 1.
    pub version: u64,
    /// When it was put there, by the store's clock.
    pub at: Timestamp,
}

/// What must be there for a thing to be put in its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShelfExpected {
    /// Whatever is there.
    Any,
    /// Nothing (or what has expired).
    New,
    /// This version.
    Version(u64),
}

/// What became of putting a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShelfAnswer {
    /// It is there, in this version.
    Kept(u64),
    /// Something else is there; nothing was changed.
    Differs(Option<ShelfItem>),
}

/// Keeps small things by tenant and key. Durable and shared like the store.
#[async_trait]
pub trait Shelf: Send + Sync {
    /// The thing, if it is there and has not expired.
    async fn get(&self, tenant: &TenantId, key: &str) -> Result<Option<ShelfItem>, ReadError>;
    /// Puts a thing there, for so long (none: for good).
    async fn put(
        &self,
        tenant: &TenantId,
        key: &str,
        value: &[u8],
        expected: ShelfExpected,
        lasting: Option<Millis>,
    ) -> Result<ShelfAnswer, ReadError>;
    /// Takes it away; says whether it was there.
    async fn remove(&self, tenant: &TenantId, key: &str) -> Result<bool, ReadError>;
    /// Things whose keys begin with the prefix, in the order of their keys, behind `after`.
    async fn list(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ShelfItem>, ReadError>;
    /// Adds to a counter that begins at 0, and answers its new value. The counter is never below
    /// `at_least` before the addition. It is as durable as whatever is appended after it: a value
    /// in no event may be answered again after the machine of the store has failed.
    async fn count(
        &self,
        tenant: &TenantId,
        key: &str,
        by: u64,
        at_least: u64,
    ) -> Result<u64, ReadError>;
    /// Takes away what has expired, at most so many things; says how many.
    async fn sweep(&self, limit: usize) -> Result<usize, ReadError>;
}
