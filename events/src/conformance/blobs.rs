//! Laws of [`Blobs`](crate::ports::Blobs).

use std::sync::Arc;

use async_trait::async_trait;

use super::{Report, Trial, Verdict, try_law};
use crate::digest::Sha256Digest;
use crate::ports::{BlobError, Blobs};

/// Makes blob stores to be tried.
#[async_trait]
pub trait BlobFactory: Send + Sync {
    /// A fresh store.
    fn fresh(&self) -> Arc<dyn BlobsUnderTest>;
}

/// A blob store that can be hurt.
#[async_trait]
pub trait BlobsUnderTest: Send + Sync {
    /// The store.
    fn blobs(&self) -> Arc<dyn Blobs>;
    /// Changes a byte of a blob behind the store's back; `false` if that cannot be done.
    fn damage(&self, hash: &Sha256Digest) -> bool;
}

type Law = fn(Arc<dyn BlobsUnderTest>) -> Trial;

const LAWS: &[(&str, Law)] = &[
    ("what_is_put_is_got", |subject| Box::pin(put_is_got(subject))),
    ("the_name_is_the_sha_256", |subject| Box::pin(named_by_hash(subject))),
    ("putting_twice_is_a_no_op", |subject| Box::pin(twice(subject))),
    ("concurrent_puts_of_the_same_bytes_agree", |subject| Box::pin(concurrent(subject))),
    ("what_is_missing_is_named", |subject| Box::pin(missing(subject))),
    ("a_damaged_blob_is_never_served", |subject| Box::pin(damaged(subject))),
];

/// Tries all laws, each on a fresh store.
pub async fn run_all(factory: &dyn BlobFactory) -> Report {
    let mut results = Vec::new();
    for (name, law) in LAWS {
        results.push((*name, try_law(law(factory.fresh())).await));
    }
    Report(results)
}

async fn put_is_got(subject: Arc<dyn BlobsUnderTest>) -> Verdict {
    let blobs = subject.blobs();
    let large: Vec<u8> = (0..1_000_000u32).flat_map(|n| n.to_le_bytes()).collect();
    for bytes in [b"".as_slice(), b"a", b"\0\n\xff", &large] {
        let hash = blobs.put(bytes).await.expect("kept");
        assert!(blobs.has(&hash).await.expect("known"));
        assert_eq!(blobs.get(&hash).await.expect("there"), bytes);
    }
    Verdict::Kept
}

async fn named_by_hash(subject: Arc<dyn BlobsUnderTest>) -> Verdict {
    let hash = subject.blobs().put(b"abc").await.expect("kept");
    assert_eq!(hash.to_hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    Verdict::Kept
}

async fn twice(subject: Arc<dyn BlobsUnderTest>) -> Verdict {
    let blobs = subject.blobs();
    let first = blobs.put(b"again").await.expect("kept");
    assert_eq!(blobs.put(b"again").await.expect("kept"), first);
    assert_eq!(blobs.get(&first).await.expect("there"), b"again");
    Verdict::Kept
}

async fn concurrent(subject: Arc<dyn BlobsUnderTest>) -> Verdict {
    let puts: Vec<_> = (0..16)
        .map(|_| {
            let blobs = subject.blobs();
            tokio::spawn(async move { blobs.put(&[7; 100_000]).await.expect("kept") })
        })
        .collect();
    for put in puts {
        assert_eq!(put.await.expect("no panic"), Sha256Digest::of(&[7; 100_000]));
    }
    let hash = Sha256Digest::of(&[7; 100_000]);
    assert_eq!(subject.blobs().get(&hash).await.expect("there"), [7; 100_000]);
    Verdict::Kept
}

async fn missing(subject: Arc<dyn BlobsUnderTest>) -> Verdict {
    let hash = Sha256Digest::of(b"never put");
    assert!(!subject.blobs().has(&hash).await.expect("known"));
    match subject.blobs().get(&hash).await {
        Err(BlobError::Missing(named)) => assert_eq!(named, hash),
        other => panic!("a missing blob was answered with {other:?}"),
    }
    Verdict::Kept
}

async fn damaged(subject: Arc<dyn BlobsUnderTest>) -> Verdict {
    let hash = subject.blobs().put(b"some bytes").await.expect("kept");
    if !subject.damage(&hash) {
        return Verdict::NotApplicable("nothing outside the store can reach its bytes");
    }
    match subject.blobs().get(&hash).await {
        Err(BlobError::Damaged(named)) => assert_eq!(named, hash),
        other => panic!("a damaged blob was answered with {other:?}"),
    }
    Verdict::Kept
}
