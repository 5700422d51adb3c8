//! What a request costs the store, as counts that do not depend on the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use dagbook::app::error::AppError;
use dagbook::app::number::Numbers;
use dagbook::app::operations::{Operations, Readiness};
use dagbook::app::ports::WaitFigures;
use dagbook::app::services::{EngineDoor, Services};
use dagbook::app::tokens;
use dagbook::config::{Config, DataDir, Overrides};
use dagbook::edge::http::{Api, ApiParts, CursorKey, Limits, router};
use dagbook::runtime::news::News;
use dagbook::runtime::{Runtime, start};
use dagbook::wiring::{Installation, Purpose};
use dagbook_events::ids::{Position, RunId, StepKey, StreamName, TenantId};
use dagbook_events::ports::{
    Actor, AppendError, AppendRequest, Appended, EventStore, LogHead, ReadError, Recorded, Shelf,
    ShelfAnswer, ShelfExpected, ShelfItem,
};
use dagbook_events::run::Ask;
use dagbook_events::run::event::Submitted;
use dagbook_events::time::{Millis, Timestamp};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::sync::RwLock;
use tower::ServiceExt as _;

/// Waits for what a test sends it, between two waits that are over at once.
const DAG: &str = r#"
dagbook: v1
name: counted
steps:
  a: { wait: { until: "2000-01-01T00:00:00Z" } }
  b: { needs: a, wait: { event: go } }
  c: { needs: b, wait: { until: "2000-01-01T00:00:00Z" } }
"#;

/// How often a store was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Counts {
    appends: u64,
    of_streams: u64,
    /// Streams that were still in memory.
    of_memory: u64,
    of_names: u64,
    of_heads: u64,
}

#[derive(Default)]
struct Counters {
    appends: AtomicU64,
    of_streams: AtomicU64,
    of_memory: AtomicU64,
    of_news: AtomicU64,
    of_names: AtomicU64,
    of_heads: AtomicU64,
    /// Whoever holds it for writing keeps streams and logs from being read.
    gate: RwLock<()>,
}

impl Counters {
    /// What was counted since it was last asked, without the reading of what is new, of which
    /// there is more or less as appends come together.
    fn take(&self) -> Counts {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::SeqCst);
        Counts {
            appends: take(&self.appends),
            of_streams: take(&self.of_streams),
            of_memory: take(&self.of_memory),
            of_names: take(&self.of_names),
            of_heads: take(&self.of_heads),
        }
    }
}

struct Counted {
    store: Arc<dyn EventStore>,
    counters: Arc<Counters>,
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::SeqCst);
}

#[async_trait]
impl EventStore for Counted {
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        one(&self.counters.appends);
        self.store.append(request).await
    }
    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        one(&self.counters.of_streams);
        drop(self.counters.gate.read().await);
        self.store.read_stream(tenant, stream, from, limit).await
    }
    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        one(&self.counters.of_news);
        self.store.read_after(cursor, limit).await
    }
    fn recent(&self, cursor: Position) -> Vec<Recorded> {
        self.store.recent(cursor)
    }

    fn recent_of(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        reached: Position,
    ) -> Vec<Recorded> {
        if self.counters.gate.try_read().is_err() {
            return Vec::new();
        }
        let found = self.store.recent_of(tenant, stream, from_version, reached);
        if !found.is_empty() {
            one(&self.counters.of_memory);
        }
        found
    }
    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        drop(self.counters.gate.read().await);
        self.store.read_log(tenant, from, limit).await
    }
    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        one(&self.counters.of_names);
        self.store.streams(tenant, prefix, before, limit).await
    }
    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        one(&self.counters.of_names);
        self.store.open_streams(prefix, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        one(&self.counters.of_heads);
        self.store.head().await
    }
    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        self.store.log_head(tenant).await
    }
    async fn log_heads(&self) -> Result<std::collections::BTreeMap<TenantId, LogHead>, ReadError> {
        self.store.log_heads().await
    }
    async fn timeline(&self) -> Result<u64, ReadError> {
        self.store.timeline().await
    }
    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.store.begin_timeline(current).await
    }
    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        self.store.wait_beyond(cursor, timeout).await
    }
}

/// An engine in this process.
struct Here(Runtime);

#[async_trait]
impl EngineDoor for Here {
    async fn submit(
        &self,
        submitted: Submitted,
        by: &Actor,
        _traceparent: Option<&str>,
    ) -> Result<Timestamp, AppError> {
        self.0.submit(submitted, by).await.map_err(AppError::unavailable)
    }
    async fn ask(
        &self,
        _tenant: &TenantId,
        run: RunId,
        ask: Ask,
        by: &Actor,
    ) -> Result<(), AppError> {
        self.0.ask(run, ask, by).await.map_err(AppError::unavailable)
    }
    async fn waits(
        &self,
        _: &TenantId,
        _: RunId,
        _: &StepKey,
    ) -> Result<Option<WaitFigures>, AppError> {
        Ok(None)
    }
}

/// Nobody asks how this one is.
struct Nothing;

#[async_trait]
impl Operations for Nothing {
    async fn readiness(&self) -> Readiness {
        Readiness { ready: true, parts: Vec::new() }
    }
    fn metrics(&self) -> String {
        String::new()
    }
}

/// What use cases work with, over a data folder of their own.
async fn services() -> (Services, TempDir) {
    let folder = TempDir::new().expect("a folder");
    let overrides = Overrides { file: None, data: Some(folder.path().to_path_buf()) };
    let config = Config::load(&overrides, |_| None, None).expect("a configuration");
    let data = DataDir::find(&config, None, |_| None).expect("a data folder");
    let opened = Installation::open(&config, &data, Purpose::Append).await;
    let installation = opened.expect("opened");
    (installation.administration().await.expect("read").services, folder)
}

struct Site {
    router: axum::Router,
    token: String,
    store: Arc<dyn EventStore>,
    counters: Arc<Counters>,
    _folder: TempDir,
}

impl Site {
    async fn start() -> Self {
        Self::start_within(Limits::default()).await
    }

    async fn start_within(limits: Limits) -> Self {
        let folder = TempDir::new().expect("a folder");
        let overrides = Overrides { file: None, data: Some(folder.path().to_path_buf()) };
        let config = Config::load(&overrides, |_| None, None).expect("a configuration");
        let data = DataDir::find(&config, None, |_| None).expect("a data folder");
        let opened = Installation::open(&config, &data, Purpose::Append).await;
        let mut installation = opened.expect("opened");
        let counters = Arc::new(Counters::default());
        let store = installation.deps.store.clone();
        let counted = Counted { store: store.clone(), counters: counters.clone() };
        installation.deps.store = Arc::new(counted);
        installation.deps.news = News::of(installation.deps.store.clone());
        let mut administration = installation.administration().await.expect("read");
        let first = tokens::bootstrap(&administration).await.expect("made").expect("the first");
        let engine = start(installation.deps.clone());
        administration.services.engine = Arc::new(Here(engine));
        let api = Api::new(ApiParts {
            services: administration.services.clone(),
            authenticate: Arc::new(administration.directory.clone()),
            operations: Arc::new(Nothing),
            logs: installation.logs(),
            limits,
            cursors: CursorKey::new(&[7; 32]),
        });
        let router = router(api.administered(administration));
        Self { router, token: first.reveal().to_string(), store, counters, _folder: folder }
    }

    async fn ask(&self, method: &str, path: &str, body: Option<Json>) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header(header::AUTHORIZATION, format!("Bearer {}", self.token));
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        let request = request.body(body).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.expect("a body");
        (parts.status, String::from_utf8_lossy(&body).into_owned())
    }

    /// Submits; says the run.
    async fn submit(&self) -> String {
        let (status, body) = self.ask("POST", "/api/v1/runs", Some(json!({ "dag": DAG }))).await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let body: Json = serde_json::from_str(&body).expect("JSON");
        body["run"].as_str().expect("a run").to_string()
    }

    /// Returns when the run has so many events. The counts are not touched.
    async fn grown(&self, run: &str, events: u64) {
        let stream = StreamName::run(run.parse().expect("a run"));
        let tenant = TenantId::new("local").expect("a slug");
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        loop {
            let read = self.store.read_stream(&tenant, &stream, 0, 100).await.expect("read");
            match read.len() as u64 {
                n if n == events => return,
                n => assert!(n < events && tokio::time::Instant::now() < deadline, "{n} events"),
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_taken_in_shown_and_followed_with_one_read_each() {
    let site = Site::start().await;
    let first = site.submit().await;
    // The first looks behind which number it comes; whoever follows knows.
    site.grown(&first, 4).await;
    site.counters.take();

    let run = site.submit().await;
    site.grown(&run, 4).await;
    let appends_alone = Counts { appends: 2, ..Counts::default() };
    assert_eq!(
        site.counters.take(),
        appends_alone,
        "accepted with its first step; then the second"
    );

    let path = format!("/api/v1/runs/{run}/signal");
    let (status, body) = site.ask("POST", &path, Some(json!({ "name": "go" }))).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    site.grown(&run, 8).await;
    let counts = site.counters.take();
    let whose_and_row = Counts { of_streams: 2, ..appends_alone };
    assert_eq!(counts, whose_and_row, "told with what it makes ready; then the end");

    let (status, told) = site.ask("GET", &format!("/api/v1/runs/{run}/events/stream"), None).await;
    assert_eq!(status, StatusCode::OK, "{told}");
    assert!(told.ends_with("event: end\ndata: {\"reason\":\"finished\"}\n\n"), "{told}");
    assert_eq!(told.matches("\nevent: ").count(), 9, "{told}");
    let counts = site.counters.take();
    // The head, from which on it would be told; and the run, which is forgotten after a second.
    let Counts { of_memory, of_streams, .. } = counts;
    assert_eq!(of_memory + of_streams, 1, "{counts:?}");
    assert_eq!(counts, Counts { of_memory, of_streams, of_heads: 1, ..Counts::default() });

    let (status, listed) = site.ask("GET", &format!("/api/v1/runs/{run}/events"), None).await;
    assert_eq!(status, StatusCode::OK, "{listed}");
    let listed: Json = serde_json::from_str(&listed).expect("JSON");
    let data = told.lines().filter_map(|line| line.strip_prefix("data: "));
    let mut told: Vec<Json> = data.map(|data| serde_json::from_str(data).expect("JSON")).collect();
    told.truncate(8);
    assert_eq!(listed["items"], Json::Array(told), "one event is the same in both");
    site.counters.take();

    let (status, body) = site.ask("GET", "/api/v1/runs", None).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    let counts = site.counters.take();
    assert_eq!(counts, Counts { of_names: 1, of_streams: 4, ..Counts::default() });
}

/// A shelf whose counter takes its time.
struct SlowCounter {
    shelf: Arc<dyn Shelf>,
    asked: AtomicU64,
}

#[async_trait]
impl Shelf for SlowCounter {
    async fn get(&self, tenant: &TenantId, key: &str) -> Result<Option<ShelfItem>, ReadError> {
        self.shelf.get(tenant, key).await
    }
    async fn put(
        &self,
        tenant: &TenantId,
        key: &str,
        value: &[u8],
        expected: ShelfExpected,
        lasting: Option<Millis>,
    ) -> Result<ShelfAnswer, ReadError> {
        self.shelf.put(tenant, key, value, expected, lasting).await
    }
    async fn remove(&self, tenant: &TenantId, key: &str) -> Result<bool, ReadError> {
        self.shelf.remove(tenant, key).await
    }
    async fn list(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ShelfItem>, ReadError> {
        self.shelf.list(tenant, prefix, after, limit).await
    }
    async fn count(
        &self,
        tenant: &TenantId,
        key: &str,
        by: u64,
        at_least: u64,
    ) -> Result<u64, ReadError> {
        one(&self.asked);
        // All who can come have come meanwhile: there is one thread.
        for _ in 0..1_000 {
            tokio::task::yield_now().await;
        }
        self.shelf.count(tenant, key, by, at_least).await
    }
    async fn sweep(&self, limit: usize) -> Result<usize, ReadError> {
        self.shelf.sweep(limit).await
    }
}

#[tokio::test]
async fn numbers_for_runs_that_come_at_once_are_asked_for_together() {
    let (services, _folder) = services().await;
    let numbers = Numbers::default();
    let shelf = Arc::new(SlowCounter { shelf: services.shelf.clone(), asked: AtomicU64::new(0) });
    let next = async |tenant: &'static str| {
        let tenant = TenantId::new(tenant).expect("a slug");
        numbers.next(&services.recorder, shelf.as_ref(), &tenant).await.expect("a number")
    };
    let all = futures_util::future::join_all((0..40).map(|_| next("acme"))).await;
    assert_eq!(all, (1..=40).collect::<Vec<_>>(), "in the order in which they came");
    let asked = shelf.asked.swap(0, Ordering::SeqCst);
    assert!((1..=2).contains(&asked), "for the first, and for the rest: {asked}");
    assert_eq!(next("other").await, 1, "each tenant has its own");
    assert_eq!((next("acme").await, shelf.asked.swap(0, Ordering::SeqCst)), (41, 2));

    // Who goes away leaves a gap at most: nobody waits for ever, and no number comes twice.
    let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(next("acme"))).collect();
    for waits in &mut waiting {
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
    }
    let last = waiting.pop().expect("three");
    drop(waiting);
    let number = last.await;
    assert!(number > 41, "{number}");
    assert!(next("acme").await > number);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_may_take_longer_than_other_requests_and_waits_for_its_place() {
    let request = Duration::from_millis(300);
    let rating = Duration::from_secs(60);
    let site =
        Site::start_within(Limits { request, rating, ratings: 1, ..Limits::default() }).await;
    let run = site.submit().await;
    site.grown(&run, 4).await;
    let gate = site.counters.gate.write().await;
    site.counters.take();
    let usage = || site.ask("GET", "/api/v1/usage", None);
    let others = async {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
        let mut begun = 0;
        while begun == 0 && tokio::time::Instant::now() < deadline {
            begun += site.counters.take().of_streams;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // The time of a request is over for all three when this is answered.
        let (status, body) = site.ask("GET", &format!("/api/v1/runs/{run}"), None).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
        begun += site.counters.take().of_streams;
        assert_eq!(begun, 2, "the run, and one of the two that are rated: the other waits");
        drop(gate);
    };
    let (one, two, ()) = tokio::join!(usage(), usage(), others);
    assert_eq!((one.0, two.0), (StatusCode::OK, StatusCode::OK), "{} {}", one.1, two.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rating_that_never_ends_is_given_up_and_the_answer_says_what_helps() {
    let (request, rating) = (Duration::from_millis(50), Duration::from_millis(400));
    let site = Site::start_within(Limits { request, rating, ..Limits::default() }).await;
    let gate = site.counters.gate.write().await;
    let begun = tokio::time::Instant::now();
    let (status, body) = site.ask("GET", "/api/v1/usage", None).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    assert!(begun.elapsed() >= rating, "{:?}", begun.elapsed());
    assert!(body.contains("data folder"), "{body}");
    drop(gate);
    let (status, body) = site.ask("GET", "/api/v1/usage", None).await;
    assert_eq!(status, StatusCode::OK, "{body}");
}
