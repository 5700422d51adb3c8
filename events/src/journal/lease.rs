//! What is the same for the leases of all stores.

use super::request::{MAX_LEASE_BYTES, is_lease_name};
use crate::ports::ReadError;

/// # Errors
/// Where a name is not one that every database can keep.
pub(super) fn check_names(lease: &str, holder: &str) -> Result<(), ReadError> {
    match is_lease_name(lease) && is_lease_name(holder) {
        true => Ok(()),
        false => Err(ReadError::Unavailable(format!(
            "a lease and its holder have names of 1 to {MAX_LEASE_BYTES} bytes"
        ))),
    }
}
