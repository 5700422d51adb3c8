//! The record's store, with how long its answers take and which it does not give.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dagbook_events::ids::{Position, StreamName, TenantId};
use dagbook_events::ports::{
    AppendError, AppendRequest, Appended, EventStore, LogHead, ReadError, Recorded,
};

use super::{Metrics, OfError};

/// A store behind which another one stands.
pub struct MeasuredStore {
    store: Arc<dyn EventStore>,
    metrics: Metrics,
}

impl MeasuredStore {
    /// Measures a store.
    pub fn around(store: Arc<dyn EventStore>, metrics: Metrics) -> Arc<dyn EventStore> {
        Arc::new(Self { store, metrics })
    }

    fn read<T>(
        &self,
        operation: &'static str,
        began: Instant,
        result: Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        self.metrics.read_seconds.observe(began.elapsed().as_secs_f64());
        if let Err(error) = &result {
            let error = match error {
                ReadError::Unavailable(_) => "unavailable",
                ReadError::Corrupt { .. } => "corrupt",
            };
            self.failed(operation, error);
        }
        result
    }

    fn failed(&self, operation: &'static str, error: &'static str) {
        self.metrics.store_errors.get_or_create(&OfError { operation, error }).inc();
    }
}

/// Ends with the append, however that ends.
struct InFlight<'a>(&'a Metrics);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.appends_in_flight.dec();
    }
}

#[async_trait]
impl EventStore for MeasuredStore {
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        let events: usize = request.streams.iter().map(|stream| stream.events.len()).sum();
        self.metrics.appends_in_flight.inc();
        let in_flight = InFlight(&self.metrics);
        let began = Instant::now();
        let result = self.store.append(request).await;
        drop(in_flight);
        match &result {
            Ok(_) => {
                self.metrics.append_seconds.observe(began.elapsed().as_secs_f64());
                #[allow(clippy::cast_precision_loss, reason = "appends are bounded")]
                self.metrics.append_events.observe(events as f64);
            }
            Err(error) => self.failed("append", word(error)),
        }
        result
    }

    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let began = Instant::now();
        let result = self.store.read_stream(tenant, stream, from_version, limit).await;
        self.read("read_stream", began, result)
    }

    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let began = Instant::now();
        let result = self.store.read_after(cursor, limit).await;
        self.read("read_after", began, result)
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
        self.store.recent_of(tenant, stream, from_version, reached)
    }

    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let began = Instant::now();
        let result = self.store.read_log(tenant, from, limit).await;
        self.read("read_log", began, result)
    }

    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        let began = Instant::now();
        let result = self.store.streams(tenant, prefix, before, limit).await;
        self.read("streams", began, result)
    }

    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        let began = Instant::now();
        let result = self.store.open_streams(prefix, after, limit).await;
        self.read("open_streams", began, result)
    }

    async fn head(&self) -> Result<Position, ReadError> {
        let began = Instant::now();
        let result = self.store.head().await;
        self.read("head", began, result)
    }

    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        let began = Instant::now();
        let result = self.store.log_head(tenant).await;
        self.read("log_head", began, result)
    }

    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        let began = Instant::now();
        let result = self.store.log_heads().await;
        self.read("log_heads", began, result)
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
        // It waits on purpose: how long says nothing of the store.
        let result = self.store.wait_beyond(cursor, timeout).await;
        if let Err(ReadError::Unavailable(_)) = &result {
            self.failed("wait_beyond", "unavailable");
        }
        result
    }
}

fn word(error: &AppendError) -> &'static str {
    match error {
        AppendError::Conflict { .. } => "conflict",
        AppendError::KeyReused(_) => "key_reused",
        AppendError::Invalid(_) => "invalid",
        AppendError::Unavailable(_) => "unavailable",
        AppendError::Busy { .. } => "busy",
        AppendError::Unknown(_) => "unknown",
        AppendError::Fenced { .. } => "fenced",
        AppendError::Halted(_) => "halted",
        AppendError::Corrupt(_) => "corrupt",
    }
}
