//! Numbers without gaps (section 4).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher, RandomState};

use super::super::{Failure, Reason};
use super::leaves::{Numbered, shown};

/// The stream of which every leaf is there, as it is spelled in a leaf.
const SPELLED: &str = r#""billing""#;

/// Takes the first half of a key, which is a hash already.
#[derive(Default)]
struct FirstHalf(Option<u64>);

impl Hasher for FirstHalf {
    fn write(&mut self, _: &[u8]) {}

    fn write_u64(&mut self, half: u64) {
        self.0.get_or_insert(half);
    }

    fn finish(&self) -> u64 {
        self.0.unwrap_or_default()
    }
}

/// Follows the numbers of all leaves. A stream takes 32 bytes and its share of a table that is half
/// empty at times, whatever its name is: it is kept under two hashes of 64 bits whose keys nobody
/// knows.
pub(super) struct Numbers {
    /// Every leaf of the log is there.
    is_whole: bool,
    keys: (RandomState, RandomState),
    streams: HashMap<(u64, u64), (u64, u32), BuildHasherDefault<FirstHalf>>,
    last: Option<Last>,
    /// Grows where leaves are missing.
    piece: u32,
}

struct Last {
    position: u64,
    recorded: i64,
    timeline: u64,
    index: u64,
}

impl Numbers {
    pub fn new(is_whole: bool) -> Self {
        let keys = (RandomState::new(), RandomState::new());
        Self { is_whole, keys, streams: HashMap::default(), last: None, piece: 0 }
    }

    /// Streams so far.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The leaf at this index.
    pub fn take(&mut self, index: u64, leaf: &Numbered<'_>) -> Result<(), Failure> {
        let wrong = |what: String| Failure::new(Reason::Sequence, format!("leaf {index}: {what}"));
        if leaf.index != index {
            return Err(wrong(format!("`ts` is {}", leaf.index)));
        }
        if let Some(last) = &self.last {
            if leaf.position <= last.position {
                return Err(wrong(format!("`pos` is {} behind {}", leaf.position, last.position)));
            }
            if leaf.recorded < last.recorded || leaf.timeline < last.timeline {
                return Err(wrong("`rt` or `tl` descends".to_string()));
            }
            self.piece += u32::from(index != last.index + 1);
        }
        self.last = Some(Last {
            position: leaf.position,
            recorded: leaf.recorded,
            timeline: leaf.timeline,
            index,
        });
        self.version(leaf).map_err(wrong)
    }

    fn version(&mut self, leaf: &Numbered<'_>) -> Result<(), String> {
        let Numbered { stream, version, .. } = *leaf;
        let key = (self.keys.0.hash_one(stream), self.keys.1.hash_one(stream));
        let is_dense = self.is_whole || stream == SPELLED;
        let before = self.streams.insert(key, (version, self.piece));
        let fits = match before {
            Some((before, piece)) if is_dense || piece == self.piece => before + 1 == version,
            Some((before, _)) => version > before,
            None => version == 0 || !is_dense,
        };
        match fits {
            true => Ok(()),
            false => {
                let before = before.map_or("nothing".to_string(), |(before, _)| before.to_string());
                Err(format!("`sv` of {} is {version} behind {before}", shown(stream)))
            }
        }
    }
}
