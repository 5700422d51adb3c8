//! Small blobs that were used a moment ago, in memory: what describes a run is read again and
//! again while the run is young.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;

use crate::digest::Sha256Digest;
use crate::ports::{BlobError, Blobs};

/// How long a blob is remembered. Far shorter than what is unused must be old before it is
/// removed.
const KEPT_FOR: Duration = Duration::from_secs(2);
/// Bytes of the largest that is remembered.
const LARGEST: usize = 64 * 1024;
/// How many are remembered.
const KEPT: usize = 1_024;
/// Bytes of all of them.
const KEPT_BYTES: usize = 1 << 20;

/// Remembers what was used of a store of blobs.
pub struct RecentBlobs {
    inner: Arc<dyn Blobs>,
    recent: Mutex<Recent>,
}

#[derive(Default)]
struct Recent {
    blobs: HashMap<Sha256Digest, Known>,
    /// In the order in which they came.
    order: VecDeque<(Instant, Sha256Digest)>,
    bytes: usize,
}

struct Known {
    bytes: Arc<[u8]>,
    /// Somebody put it or asked for it, which the store has noted: it is not removed now.
    is_wanted: bool,
}

impl RecentBlobs {
    /// Over a store.
    pub fn over(inner: Arc<dyn Blobs>) -> Self {
        Self { inner, recent: Mutex::default() }
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.forget(Instant::now());
        recent
    }
}

impl Recent {
    fn add(&mut self, hash: Sha256Digest, bytes: &[u8], is_wanted: bool, now: Instant) {
        if let Some(known) = self.blobs.get_mut(&hash) {
            known.is_wanted |= is_wanted;
            return;
        }
        if bytes.len() > LARGEST {
            return;
        }
        while self.bytes + bytes.len() > KEPT_BYTES || self.order.len() >= KEPT {
            self.drop_first();
        }
        self.bytes += bytes.len();
        self.order.push_back((now, hash));
        self.blobs.insert(hash, Known { bytes: Arc::from(bytes), is_wanted });
    }

    fn forget(&mut self, now: Instant) {
        while self.order.front().is_some_and(|(came, _)| now - *came > KEPT_FOR) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        let first = self.order.pop_front().and_then(|(_, hash)| self.blobs.remove(&hash));
        self.bytes -= first.map_or(0, |known| known.bytes.len());
    }
}

#[async_trait]
impl Blobs for RecentBlobs {
    async fn put(&self, bytes: &[u8]) -> Result<Sha256Digest, BlobError> {
        let hash = self.inner.put(bytes).await?;
        self.recent().add(hash, bytes, true, Instant::now());
        Ok(hash)
    }

    async fn get(&self, hash: &Sha256Digest) -> Result<Vec<u8>, BlobError> {
        if let Some(known) = self.recent().blobs.get(hash) {
            return Ok(known.bytes.to_vec());
        }
        let bytes = self.inner.get(hash).await?;
        self.recent().add(*hash, &bytes, false, Instant::now());
        Ok(bytes)
    }

    async fn has(&self, hash: &Sha256Digest) -> Result<bool, BlobError> {
        if self.recent().blobs.get(hash).is_some_and(|known| known.is_wanted) {
            return Ok(true);
        }
        let has = self.inner.has(hash).await?;
        if has && let Some(known) = self.recent().blobs.get_mut(hash) {
            known.is_wanted = true;
        }
        Ok(has)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::journal::blobs::MemoryBlobs;

    #[derive(Default)]
    struct Counted {
        memory: MemoryBlobs,
        asked: AtomicU64,
    }

    #[async_trait]
    impl Blobs for Counted {
        async fn put(&self, bytes: &[u8]) -> Result<Sha256Digest, BlobError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.memory.put(bytes).await
        }
        async fn get(&self, hash: &Sha256Digest) -> Result<Vec<u8>, BlobError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.memory.get(hash).await
        }
        async fn has(&self, hash: &Sha256Digest) -> Result<bool, BlobError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            self.memory.has(hash).await
        }
    }

    #[tokio::test]
    async fn what_was_read_is_read_once_and_what_was_put_is_known_to_be_there() {
        let store = Arc::new(Counted::default());
        let asked = || store.asked.swap(0, Ordering::SeqCst);
        let hash = store.memory.put(b"source").await.expect("kept");
        let recent = RecentBlobs::over(store.clone());
        for wanted in [1, 0, 0] {
            assert_eq!(recent.get(&hash).await.expect("read"), b"source");
            assert_eq!(asked(), wanted);
        }
        // Who asks whether it is there wants it to stay, which the store must hear, once.
        for wanted in [1, 0] {
            assert!(recent.has(&hash).await.expect("asked"));
            assert_eq!(asked(), wanted);
        }
        let other = recent.put(b"other").await.expect("kept");
        assert_eq!((recent.has(&other).await.expect("asked"), asked()), (true, 1));
        let missing = Sha256Digest::of(b"another");
        assert!(matches!(recent.get(&missing).await, Err(BlobError::Missing(_))));
        assert!(!recent.has(&missing).await.expect("asked"));
        assert_eq!(asked(), 2, "that something is missing is not remembered");
    }

    #[test]
    fn what_is_old_large_or_too_much_is_not_remembered() {
        let (mut recent, now) = (Recent::default(), Instant::now());
        recent.add(Sha256Digest::of(b"large"), &[0; LARGEST + 1], true, now);
        assert!(recent.blobs.is_empty());
        for number in 0..40u8 {
            recent.add(Sha256Digest::of(&[number]), &[number; LARGEST], true, now);
        }
        assert_eq!((recent.blobs.len(), recent.bytes), (16, KEPT_BYTES));
        assert!(recent.blobs.contains_key(&Sha256Digest::of(&[39])));
        recent.forget(now + KEPT_FOR + Duration::from_millis(1));
        assert_eq!((recent.blobs.len(), recent.bytes), (0, 0));
        for number in 0..2_000u32 {
            let bytes = number.to_be_bytes();
            recent.add(Sha256Digest::of(&bytes), &bytes, true, now);
        }
        assert_eq!((recent.blobs.len(), recent.bytes), (KEPT, KEPT * 4));
    }
}
