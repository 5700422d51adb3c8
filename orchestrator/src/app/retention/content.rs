//! Content that nothing refers to any more.
//!
//! What is old enough to go is listed first. Then the whole record is read, and everything that a
//! kept event or a kept result names is taken off the list, and so is what that names in turn,
//! for content that is text may itself name content: the spilled part of an event, the manifest
//! of a folder. Any 64 hexadecimal digits count as a name, so nothing depends on which field
//! holds it. What stays on the list goes, unless somebody has kept it or asked for it meanwhile,
//! or wants something else to be kept than when the turn began.

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::{Envelope, closes_stream};
use dagbook_events::ids::{Position, RunId, TenantId};
use dagbook_events::ports::{BlobError, ReadError, Recorded};
use dagbook_events::retention::blob_may_go;
use dagbook_events::time::{Millis, Timestamp};

use super::{Keeping, Policies, load, unavailable};
use crate::app::error::AppError;

/// Blobs that are looked at in one turn.
const LOOKED_AT: usize = 10_000;
/// Events read at a time.
const PAGE: usize = 1_000;
/// How long content is kept whatever the policy: its event may still be on its way.
const GRACE: Millis = Millis(24 * 3_600 * 1_000);

type Ends = BTreeMap<(TenantId, RunId), Timestamp>;

/// What went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Gone {
    pub(super) count: u64,
    pub(super) bytes: u64,
}

/// Lets content go, from the blob behind `cursor` on.
pub(super) async fn sweep(
    keeping: &Keeping,
    policies: &Policies,
    cursor: &mut Option<Sha256Digest>,
    now: Timestamp,
    count_only: bool,
) -> Result<Gone, AppError> {
    let shortest = policies.tenants.keys().filter_map(|tenant| policies.of(tenant).0.blobs()).min();
    let Some(shortest) = shortest else { return Ok(Gone::default()) };
    let than = now - shortest.max(GRACE);
    let from = *cursor;
    let old = keeping.files.old_blobs(than, from, LOOKED_AT).await.map_err(no_blobs)?;
    *cursor = if old.len() < LOOKED_AT { None } else { old.last().copied() };
    let hashes: BTreeSet<[u8; 32]> = old.into_iter().map(|hash| hash.0).collect();
    if hashes.is_empty() {
        return Ok(Gone::default());
    }
    let mut left = Left { keeping, hashes, seen: BTreeSet::new() };
    for text in keeping.files.cached_texts().await.map_err(|error| unavailable(&error))? {
        left.strike(&text).await?;
    }
    let ends = ends(keeping).await?;
    let mut pages = Pages::of(keeping);
    while let Some(page) = pages.next().await? {
        for recorded in page.iter().filter(|it| is_kept(policies, &ends, it, now)) {
            left.strike(&recorded.leaf).await?;
        }
    }
    // Reading the record takes a while, in which somebody may have held something.
    let left = match load(keeping.store.as_ref()).await?.wants_the_same(policies) {
        true => left.hashes,
        false => {
            *cursor = from;
            return Ok(Gone::default());
        }
    };
    let mut gone = Gone::default();
    for hash in left.into_iter().map(Sha256Digest) {
        let bytes = match count_only {
            true => keeping.files.blob_bytes(&hash),
            false => keeping.files.remove_blob(&hash, than).await.map_err(no_blobs)?,
        };
        if let Some(bytes) = bytes {
            gone.count += 1;
            gone.bytes += bytes;
        }
    }
    Ok(gone)
}

fn no_blobs(error: BlobError) -> AppError {
    AppError::Internal(error.to_string())
}

/// The record from its beginning to its head.
struct Pages<'a> {
    keeping: &'a Keeping,
    cursor: Position,
}

impl<'a> Pages<'a> {
    fn of(keeping: &'a Keeping) -> Self {
        Self { keeping, cursor: Position(0) }
    }

    /// The next events; none at the head.
    async fn next(&mut self) -> Result<Option<Vec<Recorded>>, AppError> {
        // Others are to have their turn between pages.
        tokio::task::yield_now().await;
        let page = self.keeping.store.read_after(self.cursor, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        self.cursor = last.position;
        Ok(Some(page))
    }
}

/// When each run ended.
async fn ends(keeping: &Keeping) -> Result<Ends, AppError> {
    let mut ends = Ends::new();
    let mut pages = Pages::of(keeping);
    while let Some(page) = pages.next().await? {
        for recorded in &page {
            let Some(run) = recorded.stream.as_run() else { continue };
            let envelope = read(recorded)?;
            if closes_stream(&envelope.kind) {
                ends.insert((recorded.tenant.clone(), run), envelope.at);
            }
        }
    }
    Ok(ends)
}

fn read(recorded: &Recorded) -> Result<Envelope, AppError> {
    Envelope::parse(&recorded.leaf).map_err(|error| {
        let (position, detail) = (recorded.position, error.to_string());
        ReadError::Corrupt { position, detail }.into()
    })
}

/// Whether what an event names is kept. What belongs to no run is always.
fn is_kept(policies: &Policies, ends: &Ends, recorded: &Recorded, now: Timestamp) -> bool {
    let Some(run) = recorded.stream.as_run() else { return true };
    let (policy, own) = policies.of(&recorded.tenant);
    let end = ends.get(&(recorded.tenant.clone(), run)).copied();
    blob_may_go(&policy, &own, run, end, now).is_err()
}

/// What may go, as far as was looked.
struct Left<'a> {
    keeping: &'a Keeping,
    hashes: BTreeSet<[u8; 32]>,
    /// Content whose own text was looked at.
    seen: BTreeSet<[u8; 32]>,
}

impl Left<'_> {
    /// Takes off the list every hash that the bytes name, and what that names.
    async fn strike(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let mut named = Vec::new();
        for digits in bytes.split(|byte| !is_digit(byte)) {
            for window in digits.windows(64) {
                if let Some(hash) = hash(window) {
                    self.hashes.remove(&hash.0);
                    // Digits in a longer row are somebody's data, and lead nowhere.
                    named.extend((digits.len() == 64).then_some(hash));
                }
            }
        }
        while let Some(hash) = named.pop() {
            self.hashes.remove(&hash.0);
            if self.seen.insert(hash.0) {
                let names = self.keeping.files.named_in(hash).await;
                named.extend(names.map_err(|error| unavailable(&error))?);
            }
        }
        Ok(())
    }
}

fn hash(digits: &[u8]) -> Option<Sha256Digest> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}
