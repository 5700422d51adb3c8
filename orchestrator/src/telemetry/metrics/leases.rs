//! Leases, with how long renewing takes, whether one is held, and how often it was taken.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use dagbook_events::ports::{Fence, Lease, LeaseAnswer, Leases, ReadError};
use dagbook_events::time::Millis;

use super::{Metrics, OfError};

/// Leases behind which others stand. Made for the one lease of the engine.
pub struct MeasuredLeases {
    leases: Arc<dyn Leases>,
    metrics: Metrics,
}

impl MeasuredLeases {
    /// Measures leases.
    pub fn around(leases: Arc<dyn Leases>, metrics: Metrics) -> Arc<dyn Leases> {
        Arc::new(Self { leases, metrics })
    }

    fn held(&self, fence: Option<&Fence>) {
        let epoch = fence.map_or(0, |fence| i64::try_from(fence.epoch).unwrap_or(i64::MAX));
        self.metrics.lease_held.set(i64::from(fence.is_some()));
        self.metrics.lease_epoch.set(epoch);
    }

    fn check<T>(
        &self,
        operation: &'static str,
        result: Result<T, ReadError>,
    ) -> Result<T, ReadError> {
        if result.is_err() {
            let error = OfError { operation, error: "unavailable" };
            self.metrics.store_errors.get_or_create(&error).inc();
        }
        result
    }
}

#[async_trait]
impl Leases for MeasuredLeases {
    async fn acquire(
        &self,
        lease: &str,
        holder: &str,
        lasting: Millis,
    ) -> Result<LeaseAnswer, ReadError> {
        let answer = self.leases.acquire(lease, holder, lasting).await;
        match &answer {
            Ok(LeaseAnswer::Held(lease)) => {
                self.metrics.takeovers.inc();
                self.held(Some(&lease.fence));
            }
            Ok(LeaseAnswer::TakenBy(_)) => self.held(None),
            Err(_) => {}
        }
        self.check("lease_acquire", answer)
    }

    async fn renew(&self, held: &Lease, lasting: Millis) -> Result<Option<Lease>, ReadError> {
        let began = Instant::now();
        let renewed = self.leases.renew(held, lasting).await;
        self.metrics.lease_renew.observe(began.elapsed().as_secs_f64());
        if let Ok(lease) = &renewed {
            self.held(lease.as_ref().map(|lease| &lease.fence));
        }
        self.check("lease_renew", renewed)
    }

    async fn release(&self, fence: &Fence) -> Result<(), ReadError> {
        self.held(None);
        self.leases.release(fence).await
    }

    async fn lease(&self, lease: &str) -> Result<Option<Lease>, ReadError> {
        self.leases.lease(lease).await
    }
}
