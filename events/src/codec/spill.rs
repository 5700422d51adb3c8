//! Moves the larger members of an event's data into a blob.

use serde_json::{Map, Value};

use crate::canonical::{self, CanonicalError};

/// Data up to this many bytes stays in the leaf.
pub const SPILL_THRESHOLD: usize = 32 * 1024;

/// What stays in the leaf, and the bytes of the blob if something moved there.
pub type Spilled = (Map<String, Value>, Option<Vec<u8>>);

/// Why a blob does not fit its event.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnspillError {
    /// The blob is not an object.
    #[error("the blob is not a JSON object: {0}")]
    Shape(String),
    /// A member is in both places.
    #[error("the member `{0}` is in the event and in its blob")]
    Twice(String),
}

/// Moves members named by `spillable`, in this order, until the rest has at most `threshold`
/// bytes. Returns what stays, and the blob's canonical bytes if anything moved.
pub fn spill(
    mut data: Map<String, Value>,
    spillable: &[&str],
    threshold: usize,
) -> Result<Spilled, CanonicalError> {
    let mut left = canonical::to_vec(&data)?.len();
    let mut moved = Map::new();
    for name in spillable {
        if left <= threshold {
            break;
        }
        if let Some(value) = data.remove(*name) {
            moved.insert((*name).to_string(), value);
            left = canonical::to_vec(&data)?.len();
        }
    }
    let blob = if moved.is_empty() { None } else { Some(canonical::to_vec(&moved)?) };
    Ok((data, blob))
}

/// Puts the members of a blob back.
pub fn unspill(
    mut data: Map<String, Value>,
    blob: &[u8],
) -> Result<Map<String, Value>, UnspillError> {
    let moved: Map<String, Value> =
        serde_json::from_slice(blob).map_err(|error| UnspillError::Shape(error.to_string()))?;
    for (name, value) in moved {
        if data.contains_key(&name) {
            return Err(UnspillError::Twice(name));
        }
        data.insert(name, value);
    }
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(text: &str) -> Map<String, Value> {
        serde_json::from_str(text).expect("an object")
    }

    #[test]
    fn small_data_stays_whole() {
        let small = data(r#"{"plan":{"a":1},"run":"r"}"#);
        let (kept, blob) = spill(small.clone(), &["plan"], 100).expect("canonical");
        assert_eq!((kept, blob), (small, None));
    }

    #[test]
    fn members_move_in_order_until_the_rest_fits_and_come_back() {
        let long = "x".repeat(200);
        let whole = data(&format!(r#"{{"a":"{long}","b":"{long}","c":"{long}","run":"r"}}"#));
        let (kept, blob) = spill(whole.clone(), &["b", "a", "c"], 300).expect("canonical");
        let blob = blob.expect("two members are too large");
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["c", "run"]);
        assert_eq!(canonical::verify(&blob), Ok(()));
        assert_eq!(unspill(kept, &blob), Ok(whole));
    }

    #[test]
    fn a_blob_that_contradicts_its_event_is_refused() {
        let both = unspill(data(r#"{"plan":1}"#), br#"{"plan":2}"#);
        assert_eq!(both, Err(UnspillError::Twice("plan".to_string())));
        assert!(matches!(unspill(Map::new(), b"[]"), Err(UnspillError::Shape(_))));
    }
}
