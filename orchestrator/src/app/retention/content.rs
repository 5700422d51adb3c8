//! Content that nothing refers to any more.
//!
//! What is old enough to go is listed first. Then the whole record is read, and everything that a
//! kept event, a kept result or the spilled part of a kept event names is taken off the list: any
//! 64 hexadecimal digits count as a name, so nothing depends on which field holds it. What stays
//! on the list goes, unless somebody has kept it or asked for it meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::{Envelope, closes_stream};
use dagbook_events::ids::{Position, RunId, TenantId};
use dagbook_events::ports::{BlobError, ReadError, Recorded};
use dagbook_events::retention::blob_may_go;
use dagbook_events::time::{Millis, Timestamp};

use super::{Keeping, Policies, unavailable};
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
    let old = keeping.files.old_blobs(than, *cursor, LOOKED_AT).await.map_err(no_blobs)?;
    *cursor = if old.len() < LOOKED_AT { None } else { old.last().copied() };
    let mut left: BTreeSet<[u8; 32]> = old.into_iter().map(|hash| hash.0).collect();
    if left.is_empty() {
        return Ok(Gone::default());
    }
    for text in keeping.files.cached_texts().await.map_err(|error| unavailable(&error))? {
        strike(&mut left, &text);
    }
    let ends = ends(keeping).await?;
    each_event(keeping, async |recorded: &Recorded| {
        if is_kept(policies, &ends, recorded, now) {
            strike(&mut left, &recorded.leaf);
            strike_spilled(keeping, &mut left, recorded).await?;
        }
        Ok(())
    })
    .await?;
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

async fn each_event(
    keeping: &Keeping,
    mut see: impl AsyncFnMut(&Recorded) -> Result<(), AppError>,
) -> Result<(), AppError> {
    let mut cursor = Position(0);
    loop {
        let page = keeping.store.read_after(cursor, PAGE).await?;
        let Some(last) = page.last() else { return Ok(()) };
        cursor = last.position;
        for recorded in &page {
            see(recorded).await?;
        }
        // Others are to have their turn between pages.
        tokio::task::yield_now().await;
    }
}

/// When each run ended.
async fn ends(keeping: &Keeping) -> Result<Ends, AppError> {
    let mut ends = Ends::new();
    each_event(keeping, async |recorded: &Recorded| {
        if let Some(run) = recorded.stream.as_run() {
            let envelope = read(recorded)?;
            if closes_stream(&envelope.kind) {
                ends.insert((recorded.tenant.clone(), run), envelope.at);
            }
        }
        Ok(())
    })
    .await?;
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

/// The larger part of an event is content itself, and names other content.
async fn strike_spilled(
    keeping: &Keeping,
    left: &mut BTreeSet<[u8; 32]>,
    recorded: &Recorded,
) -> Result<(), AppError> {
    let Some(blob) = read(recorded)?.blob else { return Ok(()) };
    match keeping.blobs.get(&blob.h).await {
        Ok(bytes) => strike(left, &bytes),
        Err(BlobError::Missing(_)) => {}
        Err(error) => return Err(no_blobs(error)),
    }
    Ok(())
}

/// Takes off the list every hash that the bytes name.
fn strike(left: &mut BTreeSet<[u8; 32]>, bytes: &[u8]) {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    for digits in bytes.split(|byte| !is_digit(byte)) {
        for window in digits.windows(64) {
            let hash = std::str::from_utf8(window).ok().and_then(|text| text.parse().ok());
            if let Some(Sha256Digest(hash)) = hash {
                left.remove(&hash);
            }
        }
    }
}
