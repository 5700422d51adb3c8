//! Buses and blob stores keep their law books.

use std::sync::Arc;

use dagbook_events::conformance::blobs::{BlobFactory, BlobsUnderTest};
use dagbook_events::conformance::{blobs, bus};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::journal::blobs::{DiskBlobs, MemoryBlobs};
use dagbook_events::journal::bus::InProcessBus;
use dagbook_events::ports::Blobs;
use tempfile::TempDir;

#[tokio::test(flavor = "multi_thread")]
async fn the_in_process_bus_keeps_the_law_book() {
    let report = bus::run_all(&|| Arc::new(InProcessBus::new())).await;
    report.assert_kept();
    assert!(report.not_applicable().is_empty());
}

struct Memory;
struct MemorySubject(Arc<MemoryBlobs>);

impl BlobFactory for Memory {
    fn fresh(&self) -> Arc<dyn BlobsUnderTest> {
        Arc::new(MemorySubject(Arc::default()))
    }
}

impl BlobsUnderTest for MemorySubject {
    fn blobs(&self) -> Arc<dyn Blobs> {
        self.0.clone()
    }
    fn damage(&self, _: &Sha256Digest) -> bool {
        false
    }
}

struct Disk;
struct DiskSubject(TempDir, DiskBlobs);

impl BlobFactory for Disk {
    fn fresh(&self) -> Arc<dyn BlobsUnderTest> {
        let folder = TempDir::new().expect("a folder");
        let blobs = DiskBlobs::open(folder.path().join("blobs")).expect("opened");
        Arc::new(DiskSubject(folder, blobs))
    }
}

impl BlobsUnderTest for DiskSubject {
    fn blobs(&self) -> Arc<dyn Blobs> {
        Arc::new(self.1.clone())
    }
    fn damage(&self, hash: &Sha256Digest) -> bool {
        let path = self.1.path(hash);
        assert!(path.starts_with(self.0.path()));
        let mut bytes = std::fs::read(&path).expect("read");
        bytes[0] ^= 1;
        std::fs::write(&path, bytes).expect("written");
        true
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_blobs_keep_the_law_book() {
    let report = blobs::run_all(&Memory).await;
    report.assert_kept();
    assert_eq!(report.not_applicable(), ["a_damaged_blob_is_never_served"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_blobs_keep_the_law_book() {
    let report = blobs::run_all(&Disk).await;
    report.assert_kept();
    assert!(report.not_applicable().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_kept_by_its_content_and_nothing_is_left_over() {
    let folder = TempDir::new().expect("a folder");
    let blobs = DiskBlobs::open(folder.path().join("blobs")).expect("opened");
    let source = folder.path().join("source");
    let bytes: Vec<u8> = (0..400_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&source, &bytes).expect("written");
    for _ in 0..2 {
        let kept = blobs.put_file(&source).await.expect("kept");
        assert_eq!(kept, (Sha256Digest::of(&bytes), 400_000));
    }
    assert_eq!(blobs.get(&Sha256Digest::of(&bytes)).await.expect("there"), bytes);
    let left = std::fs::read_dir(folder.path().join("blobs/tmp")).expect("a folder").count();
    assert_eq!(left, 0, "temporary files are removed");
    let error = blobs.put_file(&folder.path().join("missing")).await.expect_err("refused");
    assert!(error.to_string().contains("missing"), "{error}");
}
