//! Kept files put in place before a step starts: below `$DAGBOOK_INPUTS` always, and in the
//! working folder where that is a fresh one. The author's own folder is left alone: two runs
//! may need different content at one path, and nobody wants their sources littered.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use dagbook_events::ports::{BlobError, Blobs};
use dagbook_events::step::{InputFile, StartErrorKind, Workspace};

use super::artifacts::ManifestEntry;
use super::place::{make_parents, relative};
use crate::port::StartError;

/// A file to place.
pub(crate) struct Fetched {
    path: PathBuf,
    bytes: Vec<u8>,
    mode: u32,
}

/// Fetches the content of all inputs.
pub(crate) async fn fetch(
    blobs: &dyn Blobs,
    inputs: &[InputFile],
) -> Result<Vec<Fetched>, StartError> {
    let mut fetched = Vec::new();
    for input in inputs {
        let path = relative(&input.path).map_err(config)?;
        let sha256 = input.artifact.sha256;
        let bytes = blobs.get(&sha256).await.map_err(|e| blob_problem(&input.path, &e))?;
        if !input.artifact.manifest {
            fetched.push(Fetched { path, bytes, mode: 0o644 });
            continue;
        }
        let entries: Vec<ManifestEntry> = serde_json::from_slice(&bytes)
            .map_err(|e| config(format!("input {}: its manifest is damaged: {e}", input.path)))?;
        for entry in entries {
            let bytes =
                blobs.get(&entry.sha256).await.map_err(|e| blob_problem(&entry.path, &e))?;
            let mode = u32::from_str_radix(&entry.mode, 8).unwrap_or(0o644) & 0o777;
            let path = path.join(relative(&entry.path).map_err(config)?);
            fetched.push(Fetched { path, bytes, mode });
        }
    }
    Ok(fetched)
}

/// Puts them below `$DAGBOOK_INPUTS` (`inputs`), and below a fresh working folder.
pub(crate) fn put(
    fetched: &[Fetched],
    inputs: &Path,
    workspace: &Workspace,
    work: &Path,
) -> Result<(), StartError> {
    for file in fetched {
        fs::create_dir_all(inputs).map_err(|e| config(format!("{}: {e}", inputs.display())))?;
        write_new(&make_parents(inputs, &file.path).map_err(config)?, file)?;
        if *workspace == Workspace::Empty {
            write_new(&make_parents(work, &file.path).map_err(config)?, file)?;
        }
    }
    Ok(())
}

fn write_new(path: &Path, file: &Fetched) -> Result<(), StartError> {
    let write = || -> std::io::Result<()> {
        let mut out = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(file.mode)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path)?;
        out.write_all(&file.bytes)?;
        out.set_permissions(fs::Permissions::from_mode(file.mode))
    };
    write().map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            config(format!("two inputs belong at {}", path.display()))
        }
        _ => io_problem(path, &error),
    })
}

fn config(message: String) -> StartError {
    StartError::Invalid { kind: StartErrorKind::Config, message }
}

fn io_problem(path: &Path, error: &std::io::Error) -> StartError {
    let message = format!("{}: {error}", path.display());
    StartError::Invalid { kind: StartErrorKind::Io, message }
}

fn blob_problem(path: &str, error: &BlobError) -> StartError {
    let kind = match error {
        BlobError::Unavailable(_) => StartErrorKind::Io,
        BlobError::Missing(_) | BlobError::Damaged(_) => StartErrorKind::Config,
    };
    StartError::Invalid { kind, message: format!("input {path}: {error}") }
}
