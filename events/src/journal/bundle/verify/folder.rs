//! The files of a bundle: those that the manifest lists, and no others, with their digests.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::super::layout::{MANIFEST, MANIFEST_NOTE, SUMS, UNLISTED, sums_text};
use super::super::manifest::{MAX_MANIFEST_BYTES, Manifest};
use super::super::{Failure, Reason};
use super::billing::Billing;
use crate::digest::Sha256Digest;
use crate::tlog::{MAX_ENTRY_TILE, MAX_NOTE_BYTES, Tile, TileLevel, entries};

/// Bytes that are read at a time.
const PART: usize = 1 << 20;

/// A folder whose files are what its manifest says.
pub(super) struct Folder<'a> {
    path: &'a Path,
    /// The bytes of `manifest.json`.
    pub manifest: Vec<u8>,
    /// The bytes of `manifest.note`.
    pub note: Vec<u8>,
    /// Tiles with leaves that may be of the stream `billing`.
    billing: BTreeSet<u64>,
}

impl<'a> Folder<'a> {
    /// Reads the manifest, and compares every file with it. Says what it found.
    pub fn open(
        path: &'a Path,
        heard: &mut dyn FnMut(Reason, u64, u64),
    ) -> Result<(Self, Manifest, String), Failure> {
        let mut this =
            Self { path, manifest: Vec::new(), note: Vec::new(), billing: BTreeSet::new() };
        let on_disk = below(path).map_err(wrong)?;
        if let Some(missing) = UNLISTED.iter().find(|path| !on_disk.contains(**path)) {
            return Err(wrong(format!("{missing} is missing")));
        }
        this.manifest = this.read(Reason::Manifest, MANIFEST, MAX_MANIFEST_BYTES)?;
        let manifest = Manifest::parse(&this.manifest)
            .map_err(|error| wrong(format!("{MANIFEST}: {error}")))?;
        let unlisted = |path: &&String| !UNLISTED.contains(&path.as_str()) && !manifest.has(path);
        if let Some(extra) = on_disk.iter().find(unlisted) {
            return Err(wrong(format!("{} is not in {MANIFEST}", super::leaves::shown(extra))));
        }
        let total = manifest.files.iter().map(|file| file.bytes).fold(0, u64::saturating_add);
        let (mut done, mut bytes) = (0, Vec::new());
        for file in &manifest.files {
            if !on_disk.contains(&file.path) {
                return Err(wrong(format!("{} is missing", file.path)));
            }
            let digest = this.digest(&file.path, file.bytes, &mut bytes)?;
            if digest != file.sha256 {
                return Err(wrong(format!("{} has another digest", file.path)));
            }
            done += file.bytes;
            heard(Reason::Manifest, done, total);
        }
        this.note = this.read(Reason::Manifest, MANIFEST_NOTE, MAX_NOTE_BYTES as u64)?;
        let sums = sums_text(&manifest, &this.manifest, &this.note);
        if this.read(Reason::Manifest, SUMS, sums.len() as u64)? != sums.as_bytes() {
            return Err(wrong(format!("{SUMS} is not what follows from the files")));
        }
        let found = format!("{} files, {done} bytes: sizes, digests, {SUMS}", manifest.files.len());
        Ok((this, manifest, found))
    }

    /// Where a file is.
    pub fn at(&self, path: &str) -> PathBuf {
        self.path.join(path)
    }

    /// A whole file of at most so many bytes.
    pub fn read(&self, reason: Reason, path: &str, limit: u64) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        self.read_into(reason, path, limit, &mut bytes)?;
        Ok(bytes)
    }

    /// The same, in the place of what was read before.
    pub fn read_into(
        &self,
        reason: Reason,
        path: &str,
        limit: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        bytes.clear();
        let file = File::open(self.at(path)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Failure::new(reason, format!("{path} is missing")),
            _ => unreadable(reason, path, &error),
        })?;
        let read = file.take(limit + 1).read_to_end(bytes);
        read.map_err(|error| unreadable(reason, path, &error))?;
        match bytes.len() as u64 > limit {
            true => Err(Failure::new(reason, format!("{path} is longer than {limit} bytes"))),
            false => Ok(()),
        }
    }

    /// Whether a tile of entries has leaves that may be of the stream `billing`.
    pub fn has_billing(&self, tile: u64) -> bool {
        self.billing.contains(&tile)
    }

    fn digest(
        &mut self,
        path: &str,
        size: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<Sha256Digest, Failure> {
        match path.parse::<Tile>() {
            Ok(tile) if tile.level == TileLevel::Entries && size <= MAX_ENTRY_TILE => {
                self.read_into(Reason::Manifest, path, size, bytes)?;
                if entries(bytes).flatten().any(Billing::may_be) {
                    self.billing.insert(tile.index);
                }
                match bytes.len() as u64 == size {
                    true => Ok(Sha256Digest::of(bytes)),
                    false => Err(other_size(path, size)),
                }
            }
            _ => self.digest_in_parts(path, size, bytes),
        }
    }

    fn digest_in_parts(
        &self,
        path: &str,
        size: u64,
        part: &mut Vec<u8>,
    ) -> Result<Sha256Digest, Failure> {
        let broken = |error: std::io::Error| unreadable(Reason::Manifest, path, &error);
        let mut file = File::open(self.at(path)).map_err(broken)?;
        let (mut hasher, mut done) = (Sha256::new(), 0u64);
        loop {
            part.clear();
            let read = (&mut file).take(PART as u64).read_to_end(part).map_err(broken)?;
            if read == 0 || done > size {
                break;
            }
            hasher.update(&part);
            done += read as u64;
        }
        match done == size {
            true => Ok(Sha256Digest(hasher.finalize().into())),
            false => Err(other_size(path, size)),
        }
    }
}

fn other_size(path: &str, size: u64) -> Failure {
    wrong(format!("{path} does not have {size} bytes"))
}

fn wrong(what: String) -> Failure {
    Failure::new(Reason::Manifest, what)
}

pub(super) fn unreadable(reason: Reason, path: &str, error: &std::io::Error) -> Failure {
    Failure::new(reason, format!("{path} cannot be read: {error}"))
}

/// Paths of all plain files below a folder; anything else but folders is refused.
fn below(folder: &Path) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![(folder.to_path_buf(), String::new())];
    while let Some((place, prefix)) = waiting.pop() {
        let failed = |error: std::io::Error| format!("{} cannot be read: {error}", place.display());
        for entry in fs::read_dir(&place).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            let path = format!("{prefix}{}", name.to_string_lossy());
            let kind = entry.file_type().map_err(failed)?;
            if kind.is_dir() {
                waiting.push((entry.path(), path + "/"));
            } else if kind.is_file() && name.to_str().is_some() {
                found.insert(path);
            } else {
                return Err(format!("{} is no plain file", super::leaves::shown(&path)));
            }
        }
    }
    Ok(found)
}
