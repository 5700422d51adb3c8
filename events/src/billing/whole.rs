//! Whole numbers of any size.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A whole number, in the record a decimal string: quantities and amounts of money go beyond what
/// every reader of JSON keeps exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Whole(pub i128);

impl fmt::Display for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Whole {
    type Err = String;

    /// Only the one way in which it is written is read: no sign `+`, no leading zeros.
    fn from_str(text: &str) -> Result<Self, String> {
        let number: i128 = text.parse().map_err(|_| format!("`{text}` is no whole number"))?;
        if number.to_string() != text {
            return Err(format!("`{text}` is not how {number} is written"));
        }
        Ok(Self(number))
    }
}

impl Serialize for Whole {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
