//! C2SP tlog-tiles: paths and contents.

use std::fmt;
use std::str::FromStr;

use crate::digest::Sha256Digest;

/// Hashes or entries in a full tile.
pub const ENTRY_TILE_WIDTH: u64 = 256;
/// Bytes of a tile of entries at most: each has its length in two bytes.
pub const MAX_ENTRY_TILE: u64 = ENTRY_TILE_WIDTH * (2 + 0xffff);

/// What a tile holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TileLevel {
    /// The leaves themselves.
    Entries,
    /// Hashes of subtrees of 256^level leaves; at most 63.
    Hashes(u8),
}

/// One tile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tile {
    /// What it holds.
    pub level: TileLevel,
    /// Which one of its level, from 0.
    pub index: u64,
    /// How many are in it: 1 to 256.
    pub width: u16,
}

impl Tile {
    /// All tiles of a log of this size: entries, then hashes by level; partial ones last in
    /// their level.
    pub fn of_log(size: u64) -> Vec<Tile> {
        let mut tiles = of_level(TileLevel::Entries, size);
        let (mut level, mut count) = (0, size);
        while count > 0 {
            tiles.extend(of_level(TileLevel::Hashes(level), count));
            count /= ENTRY_TILE_WIDTH;
            level += 1;
        }
        tiles
    }

    /// The leaves that it covers, from the first to behind the last.
    pub fn leaves(&self) -> (u64, u64) {
        let span = self.span();
        // Tiles that no log can have come from strangers' paths; they end at the largest size.
        let start = self.index.saturating_mul(ENTRY_TILE_WIDTH).saturating_mul(span);
        (start, start.saturating_add(u64::from(self.width).saturating_mul(span)))
    }

    /// Leaves below one hash or entry.
    fn span(&self) -> u64 {
        match self.level {
            TileLevel::Entries => 1,
            TileLevel::Hashes(level) => ENTRY_TILE_WIDTH.saturating_pow(u32::from(level)),
        }
    }
}

fn of_level(level: TileLevel, count: u64) -> Vec<Tile> {
    let full = count / ENTRY_TILE_WIDTH;
    // The remainder is below 256.
    let rest = (count % ENTRY_TILE_WIDTH) as u16;
    let mut tiles: Vec<Tile> =
        (0..full).map(|index| Tile { level, index, width: ENTRY_TILE_WIDTH as u16 }).collect();
    if rest > 0 {
        tiles.push(Tile { level, index: full, width: rest });
    }
    tiles
}

/// The path of the tile: `tile/<level>/<index>[.p/<width>]`.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            TileLevel::Entries => f.write_str("tile/entries/")?,
            TileLevel::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = vec![format!("{:03}", self.index % 1_000)];
        let mut rest = self.index / 1_000;
        while rest > 0 {
            groups.push(format!("x{:03}", rest % 1_000));
            rest /= 1_000;
        }
        groups.reverse();
        f.write_str(&groups.join("/"))?;
        if u64::from(self.width) < ENTRY_TILE_WIDTH {
            write!(f, ".p/{}", self.width)?;
        }
        Ok(())
    }
}

/// A path that does not name a tile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not the path of a tile")]
pub struct InvalidTilePath(String);

impl FromStr for Tile {
    type Err = InvalidTilePath;
    fn from_str(path: &str) -> Result<Self, InvalidTilePath> {
        let invalid = || InvalidTilePath(path.chars().take(80).collect());
        let tile = parse_path(path).ok_or_else(invalid)?;
        // Only one spelling is a path: the one that is written.
        if tile.to_string() == path { Ok(tile) } else { Err(invalid()) }
    }
}

fn parse_path(path: &str) -> Option<Tile> {
    let rest = path.strip_prefix("tile/")?;
    let (level, rest) = rest.split_once('/')?;
    let level = match level {
        "entries" => TileLevel::Entries,
        number => TileLevel::Hashes(number.parse().ok().filter(|level| *level < 64)?),
    };
    let (groups, width) = match rest.split_once(".p/") {
        Some((groups, width)) => (groups, width.parse().ok().filter(|w| (1..256).contains(w))?),
        None => (rest, ENTRY_TILE_WIDTH as u16),
    };
    let mut index = 0u64;
    for group in groups.split('/') {
        let digits = group.strip_prefix('x').unwrap_or(group);
        let number: u64 = digits.parse().ok().filter(|_| digits.len() == 3)?;
        index = index.checked_mul(1_000)?.checked_add(number)?;
    }
    Some(Tile { level, index, width })
}

/// Content of a tile of hashes; `range_root` tells the root over a range of leaves.
pub fn hash_tile(tile: &Tile, range_root: impl Fn(u64, u64) -> Sha256Digest) -> Vec<u8> {
    let (start, _) = tile.leaves();
    let span = tile.span();
    (0..u64::from(tile.width))
        .flat_map(|i| range_root(start + i * span, start + (i + 1) * span).0)
        .collect()
}

/// Why the bytes are not a tile of entries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryTileError {
    /// An entry ends behind the end of the bytes.
    #[error("the tile ends within entry {0}")]
    Truncated(usize),
    /// An entry is longer than 65,535 bytes.
    #[error("entry {0} is longer than 65,535 bytes")]
    TooLong(usize),
}

/// Content of a tile of entries: a big-endian 16-bit length before each.
pub fn encode_entries<'a>(
    leaves: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<u8>, EntryTileError> {
    let mut out = Vec::new();
    for (i, leaf) in leaves.into_iter().enumerate() {
        let length = u16::try_from(leaf.len()).map_err(|_| EntryTileError::TooLong(i))?;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(leaf);
    }
    Ok(out)
}

/// Reads a tile of entries.
pub fn parse_entries(tile: &[u8]) -> Result<Vec<&[u8]>, EntryTileError> {
    entries(tile).collect()
}

/// The entries of a tile one by one. Behind an error there are no more.
pub fn entries(tile: &[u8]) -> impl Iterator<Item = Result<&[u8], EntryTileError>> {
    let (mut rest, mut count) = (tile, 0);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let Some((entry, behind)) = split_entry(rest) else {
            rest = &[];
            return Some(Err(EntryTileError::Truncated(count)));
        };
        rest = behind;
        count += 1;
        Some(Ok(entry))
    })
}

fn split_entry(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, behind) = bytes.split_first_chunk::<2>()?;
    behind.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}
