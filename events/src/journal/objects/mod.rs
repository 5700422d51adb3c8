//! Adapters of [`Objects`](crate::ports::Objects): what is published for others to fetch.

mod disk;
mod memory;
#[cfg(feature = "objects")]
mod s3;
#[cfg(feature = "objects")]
mod url;

pub use disk::FsObjects;
pub use memory::MemoryObjects;
#[cfg(feature = "objects")]
pub use s3::{S3Credentials, S3Objects, S3Options};
#[cfg(feature = "objects")]
pub use url::{ObjectsUrlError, objects_from_url};

use crate::ports::ObjectError;

/// Bytes of a path at most.
const MAX_PATH_BYTES: usize = 900;

/// Bytes of one name in a path at most, so that every file system can hold it.
const MAX_NAME_BYTES: usize = 200;

/// Accepts paths of names of plain characters: `[A-Za-z0-9._-]`, none of which begins with a
/// dot. So no path leads elsewhere, and names that begin with a dot are free for the adapters.
fn check_path(path: &str) -> Result<(), ObjectError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let name = |name: &str| {
        !name.is_empty()
            && name.len() <= MAX_NAME_BYTES
            && !name.starts_with('.')
            && name.bytes().all(plain)
    };
    match path.len() <= MAX_PATH_BYTES && path.split('/').all(name) {
        true => Ok(()),
        false => Err(ObjectError::Path(path.chars().take(120).collect())),
    }
}

/// The same for a folder; the empty one is the whole store.
fn check_folder(folder: &str) -> Result<(), ObjectError> {
    if folder.is_empty() { Ok(()) } else { check_path(folder) }
}

/// Whether the object lies below the folder.
fn is_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}
