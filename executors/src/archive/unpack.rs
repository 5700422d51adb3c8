//! An archive made a folder again.

use std::fs;
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use super::{ArchiveError, ArchiveLimits, Contents, Kind, read};

/// Unpacks into a folder that is there and empty. Blocks.
pub fn unpack(
    source: impl Read,
    folder: &Path,
    limits: &ArchiveLimits,
) -> Result<Contents, ArchiveError> {
    let make = |path: &Path| fs::DirBuilder::new().mode(0o755).recursive(true).create(path);
    // Links last: until then every name in the folder is one that was made here.
    let mut links = Vec::new();
    let contents = read(source, limits, |entry| {
        let path = folder.join(entry.path);
        match entry.kind {
            Kind::Folder => make(&path)?,
            Kind::Link { target } => links.push((path, target)),
            Kind::File { is_executable } => {
                if let Some(parent) = path.parent() {
                    make(parent)?;
                }
                write(&path, entry.content, if is_executable { 0o755 } else { 0o644 })?;
            }
        }
        Ok(())
    })?;
    for (path, target) in links {
        if let Some(parent) = path.parent() {
            make(parent)?;
        }
        std::os::unix::fs::symlink(target, path)?;
    }
    Ok(contents)
}

fn write(path: &Path, content: &mut dyn Read, mode: u32) -> io::Result<()> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    io::copy(content, &mut file)?;
    file.flush()?;
    // Whatever the umask of this process is.
    file.set_permissions(fs::Permissions::from_mode(mode))
}
