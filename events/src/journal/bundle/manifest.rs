//! `manifest.json`: what a bundle is, and every file that it has.

use serde::{Deserialize, Serialize};

use super::layout::{Extent, UNLISTED, is_of_money, is_path};
use crate::canonical::{self, CanonicalError};
use crate::digest::Sha256Digest;
use crate::time::Timestamp;
use crate::tlog::ENTRY_TILE_WIDTH;

/// What `format` says.
pub const MANIFEST_FORMAT: &str = "dagbook.bundle/1";

/// The version of the rule from leaves to money.
pub const RATING: u32 = 1;

/// Bytes of a manifest that are read at most.
pub const MAX_MANIFEST_BYTES: u64 = 256 * 1024 * 1024;

/// What a bundle is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A closed period and its invoice.
    Invoice,
    /// A part of the log, and nothing of money.
    History,
}

/// The manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Totals that are compared with what was found.
    pub control: Control,
    /// Every file but three, sorted by the bytes of their paths.
    pub files: Vec<FileEntry>,
    /// [`MANIFEST_FORMAT`].
    pub format: String,
    /// What it is of.
    pub kind: Kind,
    /// Which part of which log.
    pub log: LogPart,
    /// Which period; none for a history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodPart>,
    /// The program that wrote it.
    pub program: String,
    /// [`RATING`].
    pub rating: u32,
    /// Whose it is.
    pub tenant: String,
}

/// Totals. A history has only `events`, an invoice all.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Control {
    /// ISO 4217.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<String>,
    /// Leaves in the bundle.
    pub events: u64,
    /// Rows of `usage.csv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<u64>,
    /// Rows of `lines.csv`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lines: Option<u64>,
    /// What is to be paid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_minor: Option<String>,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileEntry {
    /// How long it is.
    pub bytes: u64,
    /// Relative, with `/`.
    pub path: String,
    /// Of its bytes.
    pub sha256: Sha256Digest,
}

impl FileEntry {
    /// The entry of a file with this content.
    pub fn of(path: &str, content: &[u8]) -> Self {
        let sha256 = Sha256Digest::of(content);
        Self { bytes: content.len() as u64, path: path.to_string(), sha256 }
    }
}

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPart {
    /// The signed head at the end.
    pub end: Head,
    /// From this index on every leaf is there.
    pub first: u64,
    /// Name of the log.
    pub origin: String,
    /// The signed head that the log extends; the empty tree where there is none.
    pub start: Head,
    /// Numbers of earlier entry tiles that are there as well.
    pub tiles: Vec<u64>,
}

impl LogPart {
    /// Which tiles that makes.
    pub fn extent(&self) -> Extent {
        Extent { size: self.end.size, first: self.first, tiles: self.tiles.clone() }
    }
}

/// A head of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// RFC 6962 root.
    pub root: Sha256Digest,
    /// Leaves.
    pub size: u64,
}

/// A period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodPart {
    /// To before this instant.
    pub end: Timestamp,
    /// What it is called.
    pub name: String,
    /// From this instant on.
    pub start: Timestamp,
    /// The zone that its instants were computed in.
    pub zone: String,
}

impl Manifest {
    /// The bytes of `manifest.json`: canonical, with a line feed.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CanonicalError> {
        let mut bytes = canonical::to_vec(self)?;
        bytes.push(b'\n');
        Ok(bytes)
    }

    /// Reads `manifest.json`, and checks all that can be checked without the other files. The
    /// error is a sentence.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let body = bytes.strip_suffix(b"\n").ok_or("it does not end in a line feed")?;
        canonical::verify(body).map_err(|error| error.to_string())?;
        let this: Self = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        // Only one spelling is a manifest: digests in capitals and arrays for objects are none.
        if this.to_bytes().ok().as_deref() != Some(bytes) {
            return Err("it has a member in another form".to_string());
        }
        this.check()?;
        Ok(this)
    }

    /// The entry of a path.
    pub fn file(&self, path: &str) -> Option<&FileEntry> {
        let found = self.files.binary_search_by(|file| file.path.as_bytes().cmp(path.as_bytes()));
        found.ok().map(|at| &self.files[at])
    }

    /// Whether it lists a path.
    pub fn has(&self, path: &str) -> bool {
        self.file(path).is_some()
    }

    fn check(&self) -> Result<(), String> {
        if self.format != MANIFEST_FORMAT {
            return Err(format!("its format is not {MANIFEST_FORMAT}"));
        }
        if self.rating != RATING {
            return Err(format!("its rating is {}, not {RATING}", self.rating));
        }
        let control = &self.control;
        let of_money =
            [control.currency.is_some(), control.facts.is_some(), control.lines.is_some()]
                .into_iter()
                .chain([control.total_minor.is_some(), self.period.is_some()]);
        let wanted = self.kind == Kind::Invoice;
        if of_money.into_iter().any(|there| there != wanted) {
            let kind = if wanted { "an invoice" } else { "a history" };
            return Err(format!("its period and control are not those of {kind}"));
        }
        self.check_log()?;
        self.check_files()
    }

    fn check_log(&self) -> Result<(), String> {
        let log = &self.log;
        if !log.first.is_multiple_of(ENTRY_TILE_WIDTH) || log.first > log.end.size {
            return Err(format!("`log.first` is {}", log.first));
        }
        let ascending = log.tiles.is_sorted_by(|a, b| a < b);
        let before = log.tiles.last().is_none_or(|last| *last < log.first / ENTRY_TILE_WIDTH);
        if !ascending || !before {
            return Err("`log.tiles` are not earlier tiles in ascending order".to_string());
        }
        Ok(())
    }

    fn check_files(&self) -> Result<(), String> {
        if !self.files.is_sorted_by(|a, b| a.path.as_bytes() < b.path.as_bytes()) {
            return Err("its files are not in order".to_string());
        }
        for file in &self.files {
            let path = &file.path;
            if !is_path(path) || UNLISTED.contains(&path.as_str()) {
                return Err(format!("it lists `{}`, which no bundle has", shown(path)));
            }
            if self.kind == Kind::History && is_of_money(path) {
                return Err(format!("it lists `{path}`, which no history has"));
            }
        }
        match [super::layout::RULE, super::layout::PROGRAM].iter().find(|path| !self.has(path)) {
            Some(missing) => Err(format!("it does not list `{missing}`")),
            None => Ok(()),
        }
    }
}

/// A stranger's text, as far as it is shown.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_default).collect()
}
