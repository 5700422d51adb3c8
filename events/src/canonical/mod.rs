//! Canonical JSON: the one form in which data is hashed and kept.
//!
//! RFC 8785 restricted to strings, integers of |x| ≤ 2^53 − 1, booleans, arrays and objects.
//! There is no null: a member without a value is left out. There are no floats: RFC 8785
//! defines them by IEEE 754 and so changes large integers silently.

mod document;
mod error;
mod form;
mod scan;
mod serializer;
mod text;

use serde::Serialize;

pub use document::{Node, Reader, verify};
pub use error::{CanonicalError, Problem};
pub(crate) use form::{FormId, Memo};
pub use scan::NotCanonical;
pub(crate) use text::{write_integer, write_string};

/// Renders a value in canonical form.
///
/// Members that are `None` or `()` are left out; member order does not depend on the order of
/// the fields. Fails on what the form cannot hold, and says where.
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, CanonicalError> {
    let mut out = Vec::with_capacity(256);
    write(&mut out, value)?;
    Ok(out)
}

/// Renders a value in canonical form behind what `out` already holds.
pub fn write<T: Serialize + ?Sized>(out: &mut Vec<u8>, value: &T) -> Result<(), CanonicalError> {
    serializer::Serializer::new(out).run(value)
}
