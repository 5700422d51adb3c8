//! What is the same for the shelves of all stores.

use crate::ids::TenantId;
use crate::ports::{ReadError, SHELF_VALUE_MAX, ShelfExpected};
use crate::time::Millis;

/// The longest key, in characters.
const MAX_KEY: usize = 200;
/// The longest that a thing lasts, a hundred years, so that sums with instants stay in range.
const LONGEST: u64 = 100 * 365 * 24 * 3_600 * 1_000;

/// # Errors
/// Where a key is not one that every database can keep in the same order.
pub(super) fn check_key(key: &str) -> Result<(), ReadError> {
    let fits = !key.is_empty() && key.len() <= MAX_KEY;
    match fits && key.bytes().all(|c| (b' '..=b'~').contains(&c)) {
        true => Ok(()),
        false => Err(ReadError::Unavailable(format!(
            "a key on the shelf has 1 to {MAX_KEY} printable ASCII characters"
        ))),
    }
}

/// # Errors
/// Where the value is longer than what is kept.
pub(super) fn check_value(tenant: &TenantId, key: &str, value: &[u8]) -> Result<(), ReadError> {
    check_key(key)?;
    match value.len() <= SHELF_VALUE_MAX {
        true => Ok(()),
        false => Err(ReadError::Unavailable(format!(
            "`{key}` of {tenant} has {} bytes, and the shelf keeps {SHELF_VALUE_MAX} at most",
            value.len()
        ))),
    }
}

/// A span that a database can add to an instant.
pub(super) fn bounded(lasting: Millis) -> i64 {
    i64::try_from(lasting.0.min(LONGEST)).unwrap_or(0)
}

/// A number as databases keep it.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// What a statement that puts a thing is told: -1 for whatever is there, 0 for nothing.
pub(super) fn mode(expected: ShelfExpected) -> i64 {
    match expected {
        ShelfExpected::Any => -1,
        ShelfExpected::New => 0,
        ShelfExpected::Version(version) => signed(version),
    }
}
