//! Which files a bundle has, and what stands in those that are not derived from leaves.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::manifest::{FileEntry, MANIFEST_FORMAT, Manifest};
use crate::digest::Sha256Digest;
use crate::tlog::{ENTRY_TILE_WIDTH, Tile, TileLevel, VerifierKey};

/// What holds all other files together.
pub const MANIFEST: &str = "manifest.json";
/// For `sha256sum -c`.
pub const SUMS: &str = "SHA256SUMS";
/// The signed note over the manifest.
pub const MANIFEST_NOTE: &str = "manifest.note";
/// C2SP tlog-policy: the log's key, the witnesses, how many of them must have co-signed.
pub const POLICY: &str = "policy";
/// The signed head at the end.
pub const CHECKPOINT: &str = "checkpoint";
/// The signed head that the log extends.
pub const START_CHECKPOINT: &str = "start.checkpoint";
/// The proof that it does: a hash in base64 a line.
pub const CONSISTENCY_PROOF: &str = "consistency.proof";
/// The facts.
pub const USAGE: &str = "usage.csv";
/// The lines.
pub const LINES: &str = "lines.csv";
/// The invoice.
pub const INVOICE: &str = "invoice.json";
/// FOCUS 1.2.
pub const FOCUS: &str = "focus/cost_and_usage.csv";
/// The second verifier.
pub const PROGRAM: &str = "verify.py";
/// The rule.
pub const RULE: &str = "VERIFY.md";

/// Files that the manifest does not list.
pub const UNLISTED: [&str; 3] = [SUMS, MANIFEST, MANIFEST_NOTE];

/// Bytes of a path at most.
pub const MAX_PATH_BYTES: usize = 512;
/// Hashes in a consistency proof at most.
pub const MAX_PROOF_HASHES: usize = 64;

/// The two files of a rate card: its canonical JSON with a line feed, and its source.
pub fn rate_card(name: &str, version: u32) -> [String; 2] {
    priced("ratecards", name, version)
}

/// The two files of a contract.
pub fn contract(name: &str, version: u32) -> [String; 2] {
    priced("contracts", name, version)
}

fn priced(folder: &str, name: &str, version: u32) -> [String; 2] {
    ["json", "yaml"].map(|end| format!("{folder}/{name}.{version}.{end}"))
}

/// The file of a credit note.
pub fn credit_note(number: &str) -> String {
    format!("credit_notes/{number}.json")
}

/// The file of the proof of a line.
pub fn line_proof(line: &str) -> String {
    format!("proofs/{line}.tlog-proof")
}

/// Files that follow from leaves and money: a bundle of kind `history` has none of them.
pub fn is_of_money(path: &str) -> bool {
    matches!(path, USAGE | LINES | INVOICE)
        || ["ratecards/", "contracts/", "credit_notes/", "focus/", "proofs/"]
            .iter()
            .any(|folder| path.starts_with(folder))
}

/// Whether a bundle may have a file of this path.
pub fn is_path(path: &str) -> bool {
    if path.len() > MAX_PATH_BYTES || !path.bytes().all(is_path_byte) {
        return false;
    }
    match path.split_once('/') {
        None => matches!(
            path,
            MANIFEST
                | SUMS
                | MANIFEST_NOTE
                | POLICY
                | CHECKPOINT
                | START_CHECKPOINT
                | CONSISTENCY_PROOF
                | USAGE
                | LINES
                | INVOICE
                | PROGRAM
                | RULE
        ),
        Some(("tile", _)) => path.parse::<Tile>().is_ok(),
        Some(("ratecards" | "contracts", file)) => is_file(file, ".json") || is_file(file, ".yaml"),
        Some(("credit_notes", file)) => is_file(file, ".json"),
        Some(("focus", file)) => is_file(file, ".csv"),
        Some(("proofs", file)) => is_file(file, ".tlog-proof"),
        Some(_) => false,
    }
}

fn is_path_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+' | b'/')
}

fn is_file(file: &str, end: &str) -> bool {
    file.strip_suffix(end).is_some_and(|stem| !stem.is_empty() && !stem.contains('/'))
}

/// Which part of a log a bundle has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extent {
    /// Leaves of the log.
    pub size: u64,
    /// From this index on, a multiple of 256, every leaf is there.
    pub first: u64,
    /// Numbers of earlier entry tiles that are there as well, ascending.
    pub tiles: Vec<u64>,
}

impl Extent {
    /// The tiles of entries, ascending.
    pub fn entry_tiles(&self) -> impl Iterator<Item = Tile> + '_ {
        self.tiles_of(TileLevel::Entries)
    }

    /// The tiles that hold the hashes of these leaves, ascending.
    pub fn leaf_hash_tiles(&self) -> impl Iterator<Item = Tile> + '_ {
        self.tiles_of(TileLevel::Hashes(0))
    }

    fn tiles_of(&self, level: TileLevel) -> impl Iterator<Item = Tile> + '_ {
        let behind = self.first / ENTRY_TILE_WIDTH..self.size.div_ceil(ENTRY_TILE_WIDTH);
        self.tiles.iter().copied().chain(behind).map(move |index| of_level(level, index, self.size))
    }

    /// The hash tiles of all higher levels of the whole log.
    pub fn upper_tiles(&self) -> impl Iterator<Item = Tile> {
        let counts = std::iter::successors(Some(self.size), |count| Some(count / ENTRY_TILE_WIDTH));
        (0u8..).zip(counts).skip(1).take_while(|(_, count)| *count > 0).flat_map(
            |(level, count)| {
                (0..count.div_ceil(ENTRY_TILE_WIDTH))
                    .map(move |index| of_level(TileLevel::Hashes(level), index, count))
            },
        )
    }

    /// All tiles that must be there; there are no others.
    pub fn all_tiles(&self) -> impl Iterator<Item = Tile> + '_ {
        self.entry_tiles().chain(self.leaf_hash_tiles()).chain(self.upper_tiles())
    }

    /// Leaves that are there.
    pub fn events(&self) -> u64 {
        let earlier = (self.tiles.len() as u64).saturating_mul(ENTRY_TILE_WIDTH);
        earlier.saturating_add(self.size.saturating_sub(self.first))
    }
}

/// The tile of a level that has `count` hashes or entries.
fn of_level(level: TileLevel, index: u64, count: u64) -> Tile {
    let start = index.saturating_mul(ENTRY_TILE_WIDTH);
    // At most 256.
    let width = count.saturating_sub(start).min(ENTRY_TILE_WIDTH) as u16;
    Tile { level, index, width }
}

/// The text of `manifest.note`, over the bytes of `manifest.json`.
pub fn note_text(tenant: &str, manifest: &[u8]) -> String {
    format!("{MANIFEST_FORMAT}\n{tenant}\n{}\n", Sha256Digest::of(manifest))
}

/// `SHA256SUMS`: every file but itself. `manifest` and `note` are the bytes of the two files that
/// the manifest does not list.
pub fn sums_text(manifest: &Manifest, manifest_bytes: &[u8], note: &[u8]) -> String {
    let unlisted = [(MANIFEST, manifest_bytes), (MANIFEST_NOTE, note)];
    let unlisted = unlisted.map(|(path, bytes)| FileEntry::of(path, bytes));
    let mut files: Vec<&FileEntry> = manifest.files.iter().chain(&unlisted).collect();
    files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    let mut text = String::with_capacity(files.len() * 100);
    for file in files {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}  {}", file.sha256, file.path);
    }
    text
}

/// `policy`: one log, and all of these witnesses; none at all is `quorum none`.
pub fn policy_text(log: &VerifierKey, witnesses: &[VerifierKey]) -> String {
    let mut text = format!("log {}\n", log.to_text());
    for (i, witness) in witnesses.iter().enumerate() {
        let _ = writeln!(text, "witness w{i} {}", witness.to_text());
    }
    if witnesses.is_empty() {
        return text + "quorum none\n";
    }
    text.push_str("group all all");
    for i in 0..witnesses.len() {
        let _ = write!(text, " w{i}");
    }
    text + "\nquorum all\n"
}

/// `consistency.proof`: a hash in base64 a line, in the order of the proof.
pub fn proof_text(proof: &[Sha256Digest]) -> String {
    proof.iter().map(|hash| STANDARD.encode(hash.0) + "\n").collect()
}

/// Reads what [`proof_text`] wrote; nothing else.
pub fn parse_proof(text: &[u8]) -> Option<Vec<Sha256Digest>> {
    let text = std::str::from_utf8(text).ok()?;
    if text.is_empty() {
        return Some(Vec::new());
    }
    let lines: Vec<&str> = text.strip_suffix('\n')?.split('\n').collect();
    if lines.len() > MAX_PROOF_HASHES {
        return None;
    }
    let hash = |line: &&str| <[u8; 32]>::try_from(STANDARD.decode(line).ok()?).ok();
    lines.iter().map(|line| hash(line).map(Sha256Digest)).collect()
}
