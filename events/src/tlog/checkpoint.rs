//! C2SP checkpoint text: origin, size and root, one a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::Sha256Digest;

/// A text that is not a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint: {0}")]
pub struct InvalidCheckpoint(&'static str);

/// The head of a log, as it is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Name of the log: `<site>/t/<tenant>/<timeline>`.
    pub origin: String,
    /// Leaves.
    pub size: u64,
    /// RFC 6962 root.
    pub root: Sha256Digest,
}

impl Checkpoint {
    /// The text to be signed; ends in a line feed.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.0))
    }

    /// Reads the text. Extension lines are accepted and ignored, as the format wants it.
    pub fn parse(text: &str) -> Result<Self, InvalidCheckpoint> {
        let body = text.strip_suffix('\n').ok_or(InvalidCheckpoint("no line feed at the end"))?;
        let mut lines = body.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty());
        let origin = origin.ok_or(InvalidCheckpoint("the origin is empty"))?;
        let size = lines.next().and_then(decimal);
        let size = size.ok_or(InvalidCheckpoint("the size is not a decimal number"))?;
        let root = lines.next().and_then(|line| STANDARD.decode(line).ok());
        let root = root.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        let root = root.ok_or(InvalidCheckpoint("the root is not the base64 of 32 bytes"))?;
        if lines.any(str::is_empty) {
            return Err(InvalidCheckpoint("an extension line is empty"));
        }
        Ok(Self { origin: origin.to_string(), size, root: Sha256Digest(root) })
    }
}

/// A decimal number without sign or leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let plain = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain && digits { text.parse().ok() } else { None }
}
