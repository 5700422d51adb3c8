//! What a witness keeps in its folder: `witness.json` (what it pinned and whom it refuses) and
//! `timeline-<n>.json` (its trees). The second can be lost: then the copy is read again.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::check::Checks;
use super::tree::{Known, Tree};
use super::{Refusal, WitnessError};
use crate::digest::Sha256Digest;
use crate::ids::{Position, TenantId};
use crate::tlog::Frontier;

/// Refusals that are kept at most; each is of another log.
const MAX_REFUSALS: usize = 10_000;

/// What must never be lost.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Kept {
    pub(super) log_key: String,
    pub(super) site: String,
    pub(super) timeline: u64,
    pub(super) refusals: Vec<Refusal>,
}

impl Kept {
    /// Whether a log is refused; `None`: whether all of this timeline are.
    pub(super) fn refused(&self, origin: Option<&str>) -> bool {
        self.refusals.iter().any(|refusal| match (&refusal.origin, origin) {
            (None, _) => refusal.timeline == self.timeline,
            (Some(refused), Some(origin)) => refused == origin,
            (Some(_), None) => false,
        })
    }

    /// Adds a refusal, unless the log is refused already: the first reason stays.
    pub(super) fn refuse(&mut self, refusal: Refusal) -> bool {
        let known = match &refusal.origin {
            Some(origin) => self.refused(Some(origin)),
            None => self.refused(None),
        };
        let new = !known && self.refusals.len() < MAX_REFUSALS;
        if new {
            self.refusals.push(refusal);
        }
        new
    }
}

/// Where a witness stands in the copy of one timeline.
pub(super) struct Standing {
    pub(super) position: Position,
    pub(super) last_leaf: Option<Sha256Digest>,
    pub(super) checks: Checks,
    pub(super) trees: BTreeMap<TenantId, Tree>,
}

#[derive(Serialize, Deserialize)]
struct StandingFile {
    position: Position,
    last_leaf: Option<Sha256Digest>,
    checks: Checks,
    trees: BTreeMap<TenantId, TreeFile>,
}

#[derive(Serialize, Deserialize)]
struct TreeFile {
    base: KnownFile,
    current: KnownFile,
}

#[derive(Serialize, Deserialize)]
struct KnownFile {
    size: u64,
    position: Position,
    peaks: Vec<Sha256Digest>,
}

impl From<&Known> for KnownFile {
    fn from(known: &Known) -> Self {
        let peaks = known.frontier.peaks().to_vec();
        Self { size: known.frontier.size(), position: known.position, peaks }
    }
}

impl KnownFile {
    fn known(self) -> Option<Known> {
        let frontier = Frontier::from_peaks(self.size, self.peaks)?;
        Some(Known { frontier, position: self.position })
    }
}

/// The folder, locked.
pub(super) struct Keeper {
    folder: PathBuf,
    _lock: File,
}

impl Keeper {
    /// Makes the folder if need be, and keeps other witnesses out of it.
    pub(super) fn lock(folder: &Path) -> Result<Self, WitnessError> {
        let locked = DirBuilder::new().recursive(true).mode(0o700).create(folder).and_then(|()| {
            let lock = File::create(folder.join(".lock"))?;
            lock.try_lock().map_err(|_| {
                io::Error::new(io::ErrorKind::WouldBlock, "another witness works in it")
            })?;
            Ok(lock)
        });
        let lock = locked.map_err(|error| unusable(folder, error.to_string()))?;
        Ok(Self { folder: folder.to_path_buf(), _lock: lock })
    }

    pub(super) fn kept(&self) -> Result<Kept, WitnessError> {
        let none = || Kept {
            log_key: String::new(),
            site: String::new(),
            timeline: 1,
            refusals: Vec::new(),
        };
        Ok(self.read("witness.json")?.unwrap_or_else(none))
    }

    pub(super) fn keep(&self, kept: &Kept) -> Result<(), WitnessError> {
        self.write("witness.json", kept)
    }

    pub(super) fn standing(&self, timeline: u64) -> Result<Standing, WitnessError> {
        let name = format!("timeline-{timeline}.json");
        let Some(file) = self.read::<StandingFile>(&name)? else {
            return Ok(Standing {
                position: Position(0),
                last_leaf: None,
                checks: Checks::from_the_first(),
                trees: BTreeMap::new(),
            });
        };
        let mut trees = BTreeMap::new();
        for (tenant, tree) in file.trees {
            let (Some(base), Some(current)) = (tree.base.known(), tree.current.known()) else {
                let reason = format!("the tree of {tenant} is not one; {AGAIN}");
                return Err(unusable(&self.folder.join(name), reason));
            };
            trees.insert(tenant, Tree::at(base, current));
        }
        let StandingFile { position, last_leaf, checks, .. } = file;
        Ok(Standing { position, last_leaf, checks, trees })
    }

    pub(super) fn keep_standing(
        &self,
        timeline: u64,
        (position, last_leaf): (Position, Option<Sha256Digest>),
        checks: &Checks,
        trees: &BTreeMap<TenantId, Tree>,
    ) -> Result<(), WitnessError> {
        let trees = trees.iter().map(|(tenant, tree)| {
            let file = TreeFile { base: tree.base().into(), current: tree.current().into() };
            (tenant.clone(), file)
        });
        let checks = checks.without_streams();
        let file = StandingFile { position, last_leaf, checks, trees: trees.collect() };
        self.write(&format!("timeline-{timeline}.json"), &file)
    }

    fn read<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, WitnessError> {
        let path = self.folder.join(name);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&path, error.to_string())),
        };
        let read = serde_json::from_slice(&bytes);
        let hint = if name.starts_with("timeline-") { AGAIN } else { "restore it from a backup" };
        read.map(Some).map_err(|error| unusable(&path, format!("{error}; {hint}")))
    }

    /// Writes a file whole, or not at all, and makes it last.
    fn write<T: Serialize>(&self, name: &str, value: &T) -> Result<(), WitnessError> {
        let path = self.folder.join(name);
        let temporary = self.folder.join(format!("{name}.new"));
        let written = serde_json::to_vec(value).map_err(io::Error::from).and_then(|bytes| {
            let mut options = OpenOptions::new();
            let options = options.write(true).create(true).truncate(true).mode(0o600);
            let mut file = options.open(&temporary)?;
            file.write_all(&bytes)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.folder)?.sync_all()
        });
        written.map_err(|error| unusable(&path, error.to_string()))
    }
}

const AGAIN: &str = "remove the file to have the copy read again from its beginning";

fn unusable(path: &Path, reason: String) -> WitnessError {
    WitnessError::Folder { path: path.to_path_buf(), reason }
}
