//! The notes on disk: `<folder>/<tenant>/<size>.note`, and the frontier of the newest.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::CheckpointError;
use crate::ids::TenantId;
use crate::journal::keys::verify_note;
use crate::journal::verify::SignedHead;
use crate::tlog::{Checkpoint, Frontier, Note, VerifierKey};

/// A checkpoint with its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The note.
    pub note: Note,
}

/// All checkpoints that were signed with one key.
#[derive(Debug, Clone)]
pub struct History {
    folder: PathBuf,
    key: VerifierKey,
}

impl History {
    /// The history under a folder, which is made when something is added.
    pub fn new(folder: impl Into<PathBuf>, key: VerifierKey) -> Self {
        Self { folder: folder.into(), key }
    }

    /// The newest checkpoint of a tenant; its signature was checked.
    pub fn latest(&self, tenant: &TenantId) -> Result<Option<SignedCheckpoint>, CheckpointError> {
        match self.notes(tenant)?.last() {
            Some(path) => self.read(path).map(Some),
            None => Ok(None),
        }
    }

    /// All checkpoints of a tenant, smallest first; their signatures were checked.
    pub fn all(&self, tenant: &TenantId) -> Result<Vec<SignedCheckpoint>, CheckpointError> {
        self.notes(tenant)?.iter().map(|path| self.read(path)).collect()
    }

    /// The roots of all tenants' checkpoints, for [`crate::journal::verify::verify`].
    pub fn signed_heads(&self) -> Result<Vec<SignedHead>, CheckpointError> {
        let mut heads = Vec::new();
        for folder in entries(&self.folder)? {
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Ok(tenant) = TenantId::new(name) else { continue };
            for signed in self.all(&tenant)? {
                let Checkpoint { size, root, .. } = signed.checkpoint;
                heads.push(SignedHead { tenant: tenant.clone(), size, root });
            }
        }
        Ok(heads)
    }

    /// Keeps other processes from writing until the file is dropped.
    pub(super) async fn lock(&self) -> Result<File, CheckpointError> {
        let folder = self.folder.clone();
        let lock = move || {
            fs::create_dir_all(&folder)?;
            let lock = File::create(folder.join(".lock"))?;
            lock.lock()?;
            Ok::<_, io::Error>(lock)
        };
        match tokio::task::spawn_blocking(lock).await {
            Ok(Ok(lock)) => Ok(lock),
            Ok(Err(error)) => Err(unusable(&self.folder, error.to_string())),
            Err(error) => Err(unusable(&self.folder, error.to_string())),
        }
    }

    pub(super) fn add(
        &self,
        tenant: &TenantId,
        signed: &SignedCheckpoint,
        frontier: &Frontier,
    ) -> Result<(), CheckpointError> {
        let folder = self.folder.join(tenant.as_str());
        let note = folder.join(format!("{:016}.note", signed.checkpoint.size));
        let written = fs::create_dir_all(&folder)
            .and_then(|()| replace(&note, signed.note.encode().as_bytes()))
            .and_then(|()| replace(&folder.join("frontier"), &frontier.to_bytes()));
        written.map_err(|error| unusable(&note, error.to_string()))
    }

    /// The frontier of a checkpoint, where it is kept and has the signed root.
    pub(super) fn frontier(&self, tenant: &TenantId, of: &Checkpoint) -> Option<Frontier> {
        let bytes = fs::read(self.folder.join(tenant.as_str()).join("frontier")).ok()?;
        let frontier = Frontier::from_bytes(of.size, &bytes).ok()?;
        (frontier.root() == of.root).then_some(frontier)
    }

    fn notes(&self, tenant: &TenantId) -> Result<Vec<PathBuf>, CheckpointError> {
        let mut notes = entries(&self.folder.join(tenant.as_str()))?;
        notes.retain(|path| path.extension().is_some_and(|extension| extension == "note"));
        notes.sort();
        Ok(notes)
    }

    fn read(&self, path: &Path) -> Result<SignedCheckpoint, CheckpointError> {
        let bytes = fs::read(path).map_err(|error| unusable(path, error.to_string()))?;
        let note = Note::parse(&bytes).map_err(|error| unusable(path, error.to_string()))?;
        verify_note(&note, &self.key).map_err(|error| unusable(path, error.to_string()))?;
        let checkpoint =
            Checkpoint::parse(&note.text).map_err(|error| unusable(path, error.to_string()))?;
        Ok(SignedCheckpoint { checkpoint, note })
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, CheckpointError> {
    let listed = fs::read_dir(folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>());
    match listed {
        Ok(paths) => Ok(paths),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(unusable(folder, error.to_string())),
    }
}

/// Writes a file whole, or not at all.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn unusable(path: &Path, reason: String) -> CheckpointError {
    CheckpointError::History { path: path.to_path_buf(), reason }
}
