//! Kept files put in place before a step starts.
//!
//! Every input lies below `$DAGBOOK_INPUTS` for sure. It also lies at its path below the
//! working folder: in a fresh folder always; in the author's own folder where nothing is there,
//! or where what is there came from us and was not changed since. A file of the author's is
//! never replaced.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ports::{BlobError, Blobs};
use dagbook_events::step::{InputFile, StartErrorKind, Workspace};

use super::artifacts::ManifestEntry;
use super::place::{make_parents, relative};
use crate::port::StartError;

/// A file to place.
pub(crate) struct Fetched {
    path: PathBuf,
    bytes: Vec<u8>,
    sha256: Sha256Digest,
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
            fetched.push(Fetched { path, bytes, sha256, mode: 0o644 });
            continue;
        }
        let entries: Vec<ManifestEntry> = serde_json::from_slice(&bytes)
            .map_err(|e| config(format!("input {}: its manifest is damaged: {e}", input.path)))?;
        for entry in entries {
            let bytes =
                blobs.get(&entry.sha256).await.map_err(|e| blob_problem(&entry.path, &e))?;
            let mode = u32::from_str_radix(&entry.mode, 8).unwrap_or(0o644) & 0o777;
            let path = path.join(relative(&entry.path).map_err(config)?);
            fetched.push(Fetched { path, bytes, sha256: entry.sha256, mode });
        }
    }
    Ok(fetched)
}

/// Puts them below `$DAGBOOK_INPUTS` (`inputs`) and below the working folder. `placed` is where
/// it is remembered which files of the author's folder are ours.
pub(crate) fn put(
    fetched: &[Fetched],
    inputs: &Path,
    workspace: &Workspace,
    work: &Path,
    placed: &Path,
) -> Result<(), StartError> {
    for file in fetched {
        fs::create_dir_all(inputs).map_err(|e| config(format!("{}: {e}", inputs.display())))?;
        let aside = make_parents(inputs, &file.path).map_err(config)?;
        write_new(&aside, file)?;
        let target = make_parents(work, &file.path).map_err(config)?;
        match workspace {
            Workspace::Empty => write_new(&target, file)?,
            Workspace::Folder { .. } => put_into_folder(&target, file, placed)?,
        }
    }
    Ok(())
}

fn put_into_folder(target: &Path, file: &Fetched, placed: &Path) -> Result<(), StartError> {
    let name = Sha256Digest::of(target.as_os_str().as_encoded_bytes()).to_hex();
    let marker = placed.join(name);
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_file() => {
            let present = fs::read(target).map_err(|e| io_problem(target, &e))?;
            let present = Sha256Digest::of(&present);
            if present == file.sha256 {
                return Ok(());
            }
            let ours = fs::read_to_string(&marker).is_ok_and(|text| text == present.to_hex());
            if !ours {
                return Err(in_the_way(target));
            }
        }
        Ok(_) => return Err(in_the_way(target)),
        Err(_) => {}
    }
    fs::create_dir_all(placed).map_err(|e| io_problem(placed, &e))?;
    fs::write(&marker, file.sha256.to_hex()).map_err(|e| io_problem(&marker, &e))?;
    // Another step may be reading the old one: it keeps what it has open.
    let tmp = target.with_file_name(format!(".dagbook-{}", uuid::Uuid::now_v7().simple()));
    write_new(&tmp, file)?;
    fs::rename(&tmp, target).map_err(|e| io_problem(target, &e))
}

fn in_the_way(target: &Path) -> StartError {
    config(format!(
        "an input belongs at {}, but another file is there and would be lost; move it away, \
         choose another path under `inputs`, or use `workspace: empty`",
        target.display()
    ))
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
