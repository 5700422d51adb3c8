//! The notes on disk: `<folder>/<tenant>/<size>.note`, and the frontier of the newest. Those
//! of a later timeline lie one folder deeper: `<folder>/<tenant>/<timeline>/<size>.note`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::CheckpointError;
use crate::ids::TenantId;
use crate::journal::keys::verify_note;
use crate::journal::verify::SignedHead;
use crate::tlog::{Checkpoint, Frontier, Note, VerifierKey};

/// Notes of a log that are kept at most. Then every second one of the older half goes: what it
/// says follows from the tiles and any later note.
const MAX_NOTES: usize = 256;

/// A checkpoint with its signatures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The note.
    pub note: Note,
}

/// Checkpoints of one timeline that were signed with one key.
#[derive(Debug, Clone)]
pub struct History {
    folder: PathBuf,
    key: VerifierKey,
    timeline: u64,
}

impl History {
    /// The history of the first timeline under a folder, which is made when something is
    /// added.
    pub fn new(folder: impl Into<PathBuf>, key: VerifierKey) -> Self {
        Self { folder: folder.into(), key, timeline: 1 }
    }

    /// The history of another timeline under the same folder.
    pub fn on(&self, timeline: u64) -> Self {
        Self { timeline, ..self.clone() }
    }

    /// The key that signed it.
    pub fn key(&self) -> &VerifierKey {
        &self.key
    }

    fn folder_of(&self, tenant: &TenantId) -> PathBuf {
        let folder = self.folder.join(tenant.as_str());
        match self.timeline {
            1 => folder,
            later => folder.join(later.to_string()),
        }
    }

    fn note_path(&self, tenant: &TenantId, size: u64) -> PathBuf {
        self.folder_of(tenant).join(format!("{size:016}.note"))
    }

    /// The checkpoint over this many leaves, where it is kept; the site's signature was checked.
    pub fn at(
        &self,
        tenant: &TenantId,
        size: u64,
    ) -> Result<Option<SignedCheckpoint>, CheckpointError> {
        let path = self.note_path(tenant, size);
        if path.exists() { self.read(&path).map(Some) } else { Ok(None) }
    }

    /// Keeps a note with further signatures in the place of the one that is kept.
    pub(super) fn replace_note(
        &self,
        tenant: &TenantId,
        signed: &SignedCheckpoint,
    ) -> Result<(), CheckpointError> {
        let path = self.note_path(tenant, signed.checkpoint.size);
        replace(&path, signed.note.encode().as_bytes())
            .map_err(|error| unusable(&path, error.to_string()))
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
        let folder = self.folder_of(tenant);
        let note = self.note_path(tenant, signed.checkpoint.size);
        let written = make_folder(&folder)
            .and_then(|()| replace(&note, signed.note.encode().as_bytes()))
            .and_then(|()| replace(&folder.join("frontier"), &frontier.to_bytes()));
        written.map_err(|error| unusable(&note, error.to_string()))?;
        self.thin(tenant)
    }

    fn thin(&self, tenant: &TenantId) -> Result<(), CheckpointError> {
        let notes = self.notes(tenant)?;
        if notes.len() <= MAX_NOTES {
            return Ok(());
        }
        // The first one stays, as does the newer half.
        let older = &notes[..notes.len() / 2];
        for path in older.iter().skip(1).step_by(2) {
            fs::remove_file(path).map_err(|error| unusable(path, error.to_string()))?;
        }
        Ok(())
    }

    /// The frontier of a checkpoint, where it is kept and has the signed root.
    pub(super) fn frontier(&self, tenant: &TenantId, of: &Checkpoint) -> Option<Frontier> {
        let bytes = fs::read(self.folder_of(tenant).join("frontier")).ok()?;
        let frontier = Frontier::from_bytes(of.size, &bytes).ok()?;
        (frontier.root() == of.root).then_some(frontier)
    }

    fn notes(&self, tenant: &TenantId) -> Result<Vec<PathBuf>, CheckpointError> {
        let mut notes = entries(&self.folder_of(tenant))?;
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

/// Makes a folder and those above it, and makes their names last.
fn make_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let Some(above) = folder.parent().filter(|above| !above.as_os_str().is_empty()) else {
        return fs::create_dir_all(folder);
    };
    make_folder(above)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(above)?.sync_all()
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
