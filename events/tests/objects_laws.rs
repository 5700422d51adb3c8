//! Objects in memory and on disk keep the law book, and addresses of objects are understood.

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::conformance::objects::{ObjectsFactory, ObjectsUnderTest, run_all};
use dagbook_events::journal::objects::{
    FsObjects, MemoryObjects, ObjectsUrlError, S3Credentials, S3Objects, S3Options,
    objects_from_url,
};
use dagbook_events::ports::Objects;
use tempfile::TempDir;

struct Memory;
struct MemorySubject(Arc<MemoryObjects>);

#[async_trait]
impl ObjectsFactory for Memory {
    async fn fresh(&self) -> Arc<dyn ObjectsUnderTest> {
        Arc::new(MemorySubject(Arc::default()))
    }
}

#[async_trait]
impl ObjectsUnderTest for MemorySubject {
    fn objects(&self) -> Arc<dyn Objects> {
        self.0.clone()
    }
    async fn second_handle(&self) -> Option<Arc<dyn Objects>> {
        None
    }
}

struct Disk;
struct DiskSubject(TempDir, FsObjects);

#[async_trait]
impl ObjectsFactory for Disk {
    async fn fresh(&self) -> Arc<dyn ObjectsUnderTest> {
        let folder = TempDir::new().expect("a folder");
        let objects = FsObjects::open(folder.path().join("objects")).expect("opened");
        Arc::new(DiskSubject(folder, objects))
    }
}

#[async_trait]
impl ObjectsUnderTest for DiskSubject {
    fn objects(&self) -> Arc<dyn Objects> {
        Arc::new(self.1.clone())
    }
    async fn second_handle(&self) -> Option<Arc<dyn Objects>> {
        let url = format!("file://{}", self.0.path().join("objects").display());
        Some(objects_from_url(&url, None).expect("opened"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_objects_keep_the_law_book() {
    let report = run_all(&Memory).await;
    report.assert_kept();
    assert_eq!(report.not_applicable(), ["another_handle_sees_the_same"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn disk_objects_keep_the_law_book() {
    let report = run_all(&Disk).await;
    report.assert_kept();
    assert!(report.not_applicable().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_on_disk_are_plain_files_and_nothing_is_left_over() {
    let folder = TempDir::new().expect("a folder");
    let objects = FsObjects::open(folder.path()).expect("opened");
    objects.put("t/acme/1/tile/0/000.p/7", b"hashes".to_vec()).await.expect("kept");
    let file = folder.path().join("t/acme/1/tile/0/000.p/7");
    assert_eq!(std::fs::read(&file).expect("a file"), b"hashes");
    objects.remove("t/acme/1/tile/0/000.p/7").await.expect("removed");
    assert!(!file.parent().expect("a folder").exists(), "an empty folder is no object");
    let left = std::fs::read_dir(folder.path().join(".new")).expect("a folder").count();
    assert_eq!(left, 0, "temporary files are removed");
    // A folder that cannot be written to is said, with its path.
    std::fs::write(folder.path().join("blocked"), b"").expect("written");
    let error = objects.put("blocked/a", vec![]).await.expect_err("refused").to_string();
    assert!(error.contains("blocked/a"), "{error}");
}

#[test]
fn addresses_of_objects_are_understood_or_refused_with_a_reason() {
    let refused = |url: &str| objects_from_url(url, None).err().expect("refused");
    assert_eq!(refused("http://example.com"), ObjectsUrlError::Scheme);
    assert_eq!(refused("file://relative/folder"), ObjectsUrlError::Folder);
    assert_eq!(refused("s3:///prefix"), ObjectsUrlError::Bucket);
    assert_eq!(refused("s3://bu cket"), ObjectsUrlError::Bucket);
    let secret = "s3://AKIA:hush-hush@bucket/prefix";
    assert_eq!(refused(secret), ObjectsUrlError::Credentials);
    assert_eq!(refused("s3://b?endpoint=http://a:hush@h"), ObjectsUrlError::Credentials);
    assert!(!refused(secret).to_string().contains("hush"));
    assert_eq!(refused("s3://b?regoin=x"), ObjectsUrlError::Parameter("regoin".into()));
    assert_eq!(refused("s3://b?allow_http=yes"), ObjectsUrlError::Value("allow_http".into()));
    assert_eq!(refused("s3://b?endpoint=%zz"), ObjectsUrlError::Value("endpoint".into()));
    assert!(matches!(refused("s3://b/../c"), ObjectsUrlError::Open(_)));
    let good = "s3://bucket/a/b?endpoint=http%3A%2F%2F127.0.0.1:1&region=eu-1&allow_http=true";
    assert!(objects_from_url(good, Some(credentials())).is_ok());
}

fn credentials() -> S3Credentials {
    S3Credentials {
        access_key_id: "AKIA-SHOWN".into(),
        secret_access_key: "hush-hush".into(),
        session_token: Some("hush-token".into()),
    }
}

#[tokio::test]
async fn secrets_of_a_bucket_are_never_shown() {
    let options = S3Options {
        bucket: "bucket".into(),
        prefix: String::new(),
        endpoint: Some("http://127.0.0.1:1".into()),
        region: Some("eu-1".into()),
        path_style: true,
        allow_http: false,
        anonymous: false,
        credentials: Some(credentials()),
    };
    let shown = format!("{options:?}");
    assert!(!shown.contains("hush") && !shown.contains("AKIA"), "{shown}");
    // Without allow_http nothing goes out over a plain connection.
    let objects = S3Objects::open(options).expect("opened");
    let shown = format!("{objects:?}");
    assert!(shown.contains("bucket") && !shown.contains("hush"), "{shown}");
    let error = objects.get("a").await.expect_err("refused").to_string();
    assert!(error.contains("bucket bucket at http://127.0.0.1:1"), "{error}");
    assert!(!error.contains("hush") && !error.contains("AKIA"), "{error}");
}

/// Several parts of a process keep objects in one folder, each by a handle of its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_two_handles_write_at_the_same_time_is_not_mixed() {
    let folder = TempDir::new().expect("a folder");
    let put = |handle: u32| {
        let objects = FsObjects::open(folder.path()).expect("it opens");
        tokio::spawn(async move {
            for number in 0..200 {
                let text = format!("{handle}/{number}");
                let content = text.repeat(1 + 97 * (handle as usize)).into_bytes();
                objects.put(&text, content.clone()).await.expect("written");
                let read = objects.get(&text).await.expect("read");
                assert_eq!(read.as_deref(), Some(&content[..]), "{text}");
            }
        })
    };
    let handles: Vec<_> = (0..4).map(put).collect();
    for handle in handles {
        handle.await.expect("each reads what it wrote");
    }
}
