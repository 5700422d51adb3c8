//! Objects in a bucket keep the law book: SeaweedFS behind the S3 protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dagbook_events::conformance::objects::{ObjectsFactory, ObjectsUnderTest, run_all};
use dagbook_events::journal::objects::{S3Credentials, objects_from_url};
use dagbook_events::ports::Objects;
use dagbook_tests::servers::SeaweedFs;

struct Buckets {
    server: SeaweedFs,
    next: AtomicUsize,
    prefix: &'static str,
}

struct Bucket(String);

fn open(url: &str) -> Arc<dyn Objects> {
    let keys = S3Credentials {
        access_key_id: "any".into(),
        secret_access_key: "any".into(),
        session_token: None,
    };
    objects_from_url(url, Some(keys)).expect("an address")
}

#[async_trait]
impl ObjectsFactory for Buckets {
    async fn fresh(&self) -> Arc<dyn ObjectsUnderTest> {
        let bucket = format!("laws-{}", self.next.fetch_add(1, Ordering::Relaxed));
        self.server.create_bucket(&bucket);
        let (prefix, endpoint) = (self.prefix, self.server.endpoint());
        Arc::new(Bucket(format!(
            "s3://{bucket}{prefix}?endpoint={endpoint}&region=us-east-1&allow_http=true"
        )))
    }
}

#[async_trait]
impl ObjectsUnderTest for Bucket {
    fn objects(&self) -> Arc<dyn Objects> {
        open(&self.0)
    }
    async fn second_handle(&self) -> Option<Arc<dyn Objects>> {
        Some(open(&self.0))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_in_a_bucket_keep_the_law_book() {
    for prefix in ["", "/some/folder"] {
        let buckets = Buckets { server: SeaweedFs::start(), next: AtomicUsize::new(0), prefix };
        let report = run_all(&buckets).await;
        report.assert_kept();
        assert!(report.not_applicable().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_an_error_with_its_name() {
    let server = SeaweedFs::start();
    server.create_bucket("here");
    let url = format!("s3://nowhere?endpoint={}&allow_http=true", server.endpoint());
    let error = open(&url).put("a", vec![1]).await.expect_err("refused").to_string();
    assert!(error.contains("bucket nowhere at http://127.0.0.1"), "{error}");
}
