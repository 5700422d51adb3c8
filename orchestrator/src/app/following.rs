//! Followers of runs. One tail of the record for each process hands what is new to all who
//! follow; the record is read once for everyone, and not at all once nobody has followed for a
//! while.
//!
//! A follower is entered before it reads what is recorded already, so that nothing falls between
//! the two; what comes twice is told apart by its version.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dagbook_events::ids::{Position, RunId, StreamName, TenantId};
use dagbook_events::ports::{EventStore, Recorded};
use dagbook_events::time::Millis;
use serde_json::Value as Json;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, broadcast, watch};
use tokio::time::Instant;

use super::error::AppError;
use super::reports::{self, EventReport};
use super::services::Services;
use crate::runtime::news::News;
use crate::runtime::record::Recorder;

/// Events that a follower reads at one time while it catches up.
const BACKLOG: usize = 200;
/// Events that a slow follower may be behind before it must read the record again.
const BEHIND: usize = 64;
/// How long one question for news lasts.
const WAIT: Duration = Duration::from_secs(10);
/// How long the tail stands on behind the last who followed, for whoever comes next.
const STAYS: Duration = Duration::from_secs(5);
/// How long to wait after the store did not answer.
const PAUSE: Duration = Duration::from_millis(500);
/// When one who was refused may come again.
const LATER: Millis = Millis(5_000);

/// An event as followers are told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its version in the run's stream.
    pub version: u64,
    /// Its type.
    pub kind: String,
    /// Its report, as JSON.
    pub text: Arc<str>,
}

impl Told {
    /// Whether it says that the run is over.
    pub fn ends(&self) -> bool {
        self.kind == "run.finished"
    }
}

type Followed = (TenantId, StreamName);
type Streams = BTreeMap<Followed, broadcast::Sender<Arc<Told>>>;

/// Hands what is recorded to those who follow. Clones share everything; the tail ends with the
/// last of them.
#[derive(Clone)]
pub struct Following {
    shared: Arc<Shared>,
    _tail: Arc<Tail>,
}

struct Shared {
    store: Arc<dyn EventStore>,
    news: News,
    /// The position up to which nothing is handed out to those who come now. Grows before what
    /// stands there is handed out.
    reached: AtomicU64,
    recorder: Recorder,
    streams: Mutex<Streams>,
    someone: Notify,
    /// Whether the tail stands somewhere, so that what comes from now on is handed out. Changed
    /// under the lock of `streams` alone.
    stands: watch::Sender<bool>,
    places: Arc<Semaphore>,
    of_tenants: Mutex<BTreeMap<TenantId, Arc<Semaphore>>>,
    all: usize,
    per_tenant: usize,
}

struct Tail(tokio::task::JoinHandle<()>);

impl Drop for Tail {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The place of one follower. Given back when it goes.
#[derive(Debug)]
pub struct Place {
    _process: OwnedSemaphorePermit,
    _tenant: OwnedSemaphorePermit,
}

impl Following {
    /// With places for so many, and so many of one tenant. Must be called on a tokio runtime.
    pub fn start(services: &Services, places: usize, per_tenant: usize) -> Self {
        let shared = Arc::new(Shared {
            store: services.store.clone(),
            news: services.news.clone(),
            reached: AtomicU64::new(0),
            recorder: services.recorder.clone(),
            streams: Mutex::default(),
            someone: Notify::new(),
            stands: watch::Sender::new(false),
            places: Arc::new(Semaphore::new(places)),
            of_tenants: Mutex::default(),
            all: places,
            per_tenant,
        });
        let tail = tokio::spawn(follow(shared.clone()));
        Self { shared, _tail: Arc::new(Tail(tail)) }
    }

    /// How many follow now.
    pub fn followers(&self) -> usize {
        self.shared.all.saturating_sub(self.shared.places.available_permits())
    }

    /// A place for one more follower of events or logs.
    ///
    /// # Errors
    /// [`AppError::Exhausted`] when there is none left.
    pub fn enter(&self, tenant: &TenantId) -> Result<Place, AppError> {
        let of_tenant = {
            let mut tenants = lock(&self.shared.of_tenants);
            if tenants.len() >= 1_024 {
                tenants.retain(|_, places| Arc::strong_count(places) > 1);
            }
            let fresh = || Arc::new(Semaphore::new(self.shared.per_tenant));
            tenants.entry(tenant.clone()).or_insert_with(fresh).clone()
        };
        let full = |limit, reason: &str| AppError::Exhausted {
            limit,
            reason: reason.to_string(),
            retry_after: LATER,
        };
        let tenant = of_tenant.try_acquire_owned().map_err(|_| {
            full("tenant_followers", "the tenant has as many followers as it may have here")
        })?;
        let process = self.shared.places.clone().try_acquire_owned().map_err(|_| {
            full("followers", "this server has as many followers as it serves at one time")
        })?;
        Ok(Place { _process: process, _tenant: tenant })
    }

    /// Follows a run from a version on. The run must be there.
    pub fn run(&self, tenant: &TenantId, run: RunId, from: u64) -> Follower {
        let stream = StreamName::run(run);
        let live = self.shared.subscribe(tenant, &stream);
        Follower {
            shared: self.shared.clone(),
            tenant: tenant.clone(),
            stream,
            live,
            next: from,
            ready: VecDeque::new(),
            caught_up: false,
        }
    }
}

/// One who follows a run.
pub struct Follower {
    shared: Arc<Shared>,
    tenant: TenantId,
    stream: StreamName,
    live: broadcast::Receiver<Arc<Told>>,
    next: u64,
    ready: VecDeque<Arc<Told>>,
    caught_up: bool,
}

impl Follower {
    /// The next event, in order, without a gap and without a repetition; waits for it. Dropping
    /// the future loses nothing.
    pub async fn next(&mut self) -> Result<Arc<Told>, AppError> {
        loop {
            if let Some(told) = self.ready.pop_front() {
                self.next = told.version + 1;
                return Ok(told);
            }
            if !self.caught_up {
                self.catch_up().await?;
                continue;
            }
            match self.live.recv().await {
                Ok(told) if told.version < self.next => {}
                Ok(told) if told.version == self.next => self.ready.push_back(told),
                // Too slow, or something is missing: the record has it all.
                Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => self.caught_up = false,
                Err(broadcast::error::RecvError::Closed) => {
                    self.live = self.shared.subscribe(&self.tenant, &self.stream);
                    self.caught_up = false;
                }
            }
        }
    }

    /// What is recorded now and was not handed out, without waiting; none: nothing.
    pub async fn recorded(&mut self) -> Result<Option<Arc<Told>>, AppError> {
        if self.ready.is_empty() {
            self.catch_up().await?;
        }
        let told = self.ready.pop_front();
        if let Some(told) = &told {
            self.next = told.version + 1;
        }
        Ok(told)
    }

    /// What stands behind the end of the run that was told last, as far as it was read or handed
    /// out with it. The end of a run is seldom followed by anything: it is not asked for.
    pub async fn behind_the_end(&mut self) -> Result<Option<Arc<Told>>, AppError> {
        if self.ready.is_empty() && !self.caught_up {
            self.catch_up().await?;
        }
        if self.ready.is_empty() {
            // What came with the end is handed out under the lock.
            let _streams = lock(&self.shared.streams);
            while let Ok(told) = self.live.try_recv() {
                self.ready.push_back(told);
            }
        }
        self.ready.retain(|told| told.version >= self.next);
        let next = self.next;
        let told = self.ready.pop_front_if(|told| told.version == next);
        self.next += u64::from(told.is_some());
        Ok(told)
    }

    async fn catch_up(&mut self) -> Result<(), AppError> {
        // What is recorded before the tail stands is read here, what comes after is handed out.
        let mut stands = self.shared.stands.subscribe();
        let _ = stands.wait_for(|stands| *stands).await;
        let reached = Position(self.shared.reached.load(Ordering::SeqCst));
        let of = (&self.tenant, &self.stream);
        let page = self.shared.news.of_stream(of, (self.next, BACKLOG), reached).await?;
        self.caught_up = page.len() < BACKLOG;
        let mut told = VecDeque::with_capacity(page.len());
        for recorded in &page {
            told.push_back(Arc::new(self.shared.tell(recorded).await?));
        }
        self.ready = told;
        Ok(())
    }
}

impl Shared {
    fn subscribe(&self, tenant: &TenantId, stream: &StreamName) -> broadcast::Receiver<Arc<Told>> {
        let mut streams = lock(&self.streams);
        let key = (tenant.clone(), stream.clone());
        let live = streams.entry(key).or_insert_with(|| broadcast::channel(BEHIND).0).subscribe();
        drop(streams);
        self.someone.notify_one();
        live
    }

    /// Whether someone follows; forgets what nobody does any more.
    fn is_followed(&self) -> bool {
        let mut streams = lock(&self.streams);
        streams.retain(|_, live| live.receiver_count() > 0);
        !streams.is_empty()
    }

    /// Gives up where the tail stands, unless somebody has come.
    fn gives_up(&self) -> bool {
        let streams = lock(&self.streams);
        if streams.is_empty() {
            self.stands.send_replace(false);
        }
        streams.is_empty()
    }

    async fn tell(&self, recorded: &Recorded) -> Result<Told, AppError> {
        let (read, beside) = self.recorder.read_whole(recorded).await?;
        let text = reports::events::event_text(&read, &recorded.leaf, beside.as_deref());
        let text = text.map_err(|error| damaged(recorded, &error))?;
        let version = read.envelope.version;
        Ok(Told { version, kind: read.envelope.kind, text: Arc::from(text) })
    }

    /// Tells what is followed. What one of them is told of a page is there at once.
    async fn hand_out(&self, page: &[Recorded]) {
        let mut told: Vec<(Followed, Option<Arc<Told>>)> = Vec::new();
        for recorded in page {
            let key = (recorded.tenant.clone(), recorded.stream.clone());
            if !lock(&self.streams).contains_key(&key) {
                continue;
            }
            let telling = self.tell(recorded).await.inspect_err(|error| {
                let position = recorded.position.0;
                tracing::warn!(position, %error, "an event cannot be told to its followers");
            });
            told.push((key, telling.ok().map(Arc::new)));
        }
        let mut streams = lock(&self.streams);
        for (key, told) in told {
            match told {
                // That nobody is there any more is no error.
                Some(told) => drop(streams.get(&key).map(|live| live.send(told))),
                // Sent away, they read the record themselves and say what they meet.
                None => drop(streams.remove(&key)),
            }
        }
    }
}

/// One recorded event of a run in the shape that is sent.
pub async fn report(recorder: &Recorder, recorded: &Recorded) -> Result<EventReport, AppError> {
    let (fact, beside) = recorder.read_whole(recorded).await?;
    let parsed = |bytes| serde_json::from_slice::<Json>(bytes).map_err(|e| damaged(recorded, &e));
    let leaf = parsed(&recorded.leaf)?;
    let beside = beside.as_deref().map(parsed).transpose()?;
    Ok(reports::events::event(&fact, leaf, beside))
}

fn damaged(recorded: &Recorded, error: &serde_json::Error) -> AppError {
    AppError::Damaged(format!("{}: {error}", recorded.position))
}

/// Events of a run from a version on, at most `limit`.
pub async fn events(
    services: &Services,
    tenant: &TenantId,
    run: RunId,
    (from, limit): (u64, usize),
) -> Result<Vec<EventReport>, AppError> {
    let stream = StreamName::run(run);
    let page = services.store.read_stream(tenant, &stream, from, limit).await?;
    let mut reports = Vec::with_capacity(page.len());
    for recorded in &page {
        reports.push(report(&services.recorder, recorded).await?);
    }
    Ok(reports)
}

/// Reads what is new, as long as someone follows.
async fn follow(shared: Arc<Shared>) {
    let mut cursor: Option<Position> = None;
    let mut followed = Instant::now();
    loop {
        if shared.is_followed() {
            followed = Instant::now();
        } else if cursor.is_none() || followed.elapsed() >= STAYS {
            if shared.gives_up() {
                // Whoever comes next reads for itself what is recorded until then.
                cursor = None;
                shared.someone.notified().await;
            }
            continue;
        }
        match advance(&shared, cursor).await {
            Ok(reached) => cursor = Some(reached),
            Err(error) => {
                tracing::debug!(%error, "the tail of the record waits for the store");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn advance(shared: &Shared, cursor: Option<Position>) -> Result<Position, AppError> {
    let Some(mut cursor) = cursor else {
        let head = shared.store.head().await?;
        shared.reached.store(head.0, Ordering::SeqCst);
        let _streams = lock(&shared.streams);
        shared.stands.send_replace(true);
        return Ok(head);
    };
    let head = shared.news.wait_beyond(cursor, WAIT).await?;
    while cursor < head {
        let page = shared.news.after(cursor).await?;
        let Some(last) = page.last() else { break };
        cursor = last.position;
        shared.reached.store(cursor.0, Ordering::SeqCst);
        shared.hand_out(&page).await;
    }
    Ok(cursor)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
