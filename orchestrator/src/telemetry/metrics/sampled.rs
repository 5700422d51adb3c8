//! Numbers that nobody counts as they change: they are asked for now and then.

use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dagbook_events::journal::GuardState;
use dagbook_events::journal::checkpoints::Turn;
use dagbook_events::journal::relay::{RelayState, RelayStatus};
use dagbook_events::time::Timestamp;

use super::{Metrics, OfPool, OfReason, OfTenantBudget, OfTenantPool, OfTenantState};
use crate::engine::EngineFigures;
use crate::wiring::KeeperStatus;

/// How often it is asked.
const INTERVAL: Duration = Duration::from_secs(2);

/// Without a turn for so long, the signed heads are taken to be behind.
const TURN_OVERDUE: Duration = Duration::from_secs(30);

/// Whoever knows the numbers.
#[async_trait]
pub trait Sample: Send + Sync {
    /// What the engine of this process holds; none: it does not act for the site.
    async fn engine(&self) -> Option<EngineFigures>;
    /// How the copy and the signed heads stand, where this process keeps them.
    fn keeper(&self) -> Option<KeeperStatus>;
    /// What holds back those that wait for a place, by code.
    async fn waiting(&self) -> Vec<(String, u64)>;
    /// How long ago tokens and roles were compared with the record.
    fn directory_age(&self) -> Option<Duration>;
    /// Now.
    fn now(&self) -> Timestamp;
}

/// Asks until the future is dropped.
pub async fn sample_forever(metrics: Metrics, source: impl Sample) {
    let mut kept = Kept::default();
    let mut tick = tokio::time::interval(INTERVAL);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let (engine, waiting) = (source.engine().await, source.waiting().await);
        metrics.take_engine(&engine.unwrap_or_default(), &waiting, source.now());
        if let Some(status) = source.keeper() {
            kept.take(&metrics, &status, Instant::now());
        }
        if let Some(age) = source.directory_age() {
            metrics.directory_age.set(age.as_secs_f64());
        }
    }
}

/// What has to be remembered between two looks at the keeper.
#[derive(Debug, Default)]
struct Kept {
    turn: Option<(Turn, Instant)>,
    failing_since: Option<Instant>,
    unwitnessed_since: Option<Instant>,
}

impl Kept {
    fn take(&mut self, metrics: &Metrics, status: &KeeperStatus, now: Instant) {
        metrics.record_open.set(i64::from(status.guard == GuardState::Open));
        if let Some(relay) = &status.relay {
            metrics.take_relay(relay);
        }
        let turn = &status.turn;
        if self.turn.as_ref().is_none_or(|(last, _)| last != turn) {
            self.turn = Some((turn.clone(), now));
            if turn.cosigned > 0 {
                self.unwitnessed_since = None;
            } else if turn.posted > 0 {
                self.unwitnessed_since.get_or_insert(now);
            }
        }
        let failing = !turn.problems.is_empty();
        let behind = status.relay.as_ref().is_some_and(|relay| relay.head > turn.head);
        let overdue = behind
            && self.turn.as_ref().is_some_and(|(_, at)| now.duration_since(*at) > TURN_OVERDUE);
        match failing || overdue {
            true => drop(self.failing_since.get_or_insert(now)),
            false => self.failing_since = None,
        }
        let age = |since: Option<Instant>| {
            since.map_or(0.0, |since| now.duration_since(since).as_secs_f64())
        };
        metrics.checkpoint_age.set(age(self.failing_since));
        metrics.witness_age.set(age(self.unwitnessed_since));
    }
}

impl Metrics {
    /// Puts the engine's numbers in place of the former ones.
    pub fn take_engine(&self, engine: &EngineFigures, waiting: &[(String, u64)], now: Timestamp) {
        let _whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        let whole = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        self.runs_active.clear();
        for ((tenant, state), count) in &engine.runs {
            let labels = OfTenantState { tenant: self.tenants.label(tenant.as_str()), state };
            self.runs_active.get_or_create(&labels).inc_by(whole(*count));
        }
        self.queue_depth.clear();
        self.queue_oldest.clear();
        for ((tenant, pool), queue) in &engine.queues {
            let tenant = self.tenants.label(tenant.as_str());
            let labels = OfTenantPool { tenant, pool: self.names.label(pool) };
            self.queue_depth.get_or_create(&labels).inc_by(whole(queue.depth));
            #[allow(clippy::cast_precision_loss, reason = "a wait is far below what is exact")]
            let waited = queue.oldest.map_or(0.0, |since| now.since(since).0 as f64 / 1e3);
            let oldest = self.queue_oldest.get_or_create(&labels);
            oldest.set(oldest.get().max(waited));
        }
        self.budget_used.clear();
        for ((tenant, budget), part) in &engine.budgets {
            let tenant = self.tenants.label(tenant.as_str());
            let labels = OfTenantBudget { tenant, budget: self.names.label(budget) };
            #[allow(clippy::cast_precision_loss, reason = "a part is far below what is exact")]
            self.budget_used.get_or_create(&labels).set(*part as f64 / 1e3);
        }
        self.pool_places.clear();
        self.pool_taken.clear();
        for (pool, (places, taken)) in &engine.pools {
            let labels = OfPool { pool: self.names.label(pool) };
            if let Some(places) = places {
                self.pool_places.get_or_create(&labels).set(i64::from(*places));
            }
            self.pool_taken.get_or_create(&labels).set(whole(*taken));
        }
        // It begins at nothing with every term, as the counters of a process do that restarts.
        self.admission_decisions.inner().store(engine.decisions, Ordering::Relaxed);
        self.admission_waiting.clear();
        for (reason, count) in waiting {
            let labels = OfReason { reason: self.names.label(reason) };
            self.admission_waiting.get_or_create(&labels).inc_by(whole(*count));
        }
    }

    fn take_relay(&self, relay: &RelayStatus) {
        self.relay_lag.set(i64::try_from(relay.lag()).unwrap_or(i64::MAX));
        self.relay_retrying.set(i64::from(relay.state == RelayState::Retrying));
        self.relay_published.inner().store(relay.published, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use dagbook_events::ids::{Position, TenantId};

    use super::super::parse;
    use super::*;
    use crate::engine::QueueFigures;

    fn tenant(name: &str) -> TenantId {
        TenantId::new(name).expect("a slug")
    }

    #[test]
    fn what_waits_no_longer_has_no_series_any_more() {
        let metrics = Metrics::new();
        let mut engine = EngineFigures::default();
        let queue = QueueFigures { depth: 3, oldest: Some(Timestamp(1_000)) };
        engine.queues.insert((tenant("acme"), "local".to_string()), queue);
        engine.runs.insert((tenant("acme"), "running"), 2);
        metrics.take_engine(&engine, &[("pool_full".to_string(), 3)], Timestamp(3_500));
        let seen = parse(&metrics.render()).expect("it parses");
        let labels = [("tenant", "acme"), ("pool", "local")];
        assert_eq!(seen.value("dagbook_queue_depth", &labels), Some(3.0));
        assert_eq!(seen.value("dagbook_queue_oldest_seconds", &labels), Some(2.5));
        assert_eq!(seen.value("dagbook_admission_waiting", &[("reason", "pool_full")]), Some(3.0));
        metrics.take_engine(&EngineFigures::default(), &[], Timestamp(4_000));
        let seen = parse(&metrics.render()).expect("it parses");
        assert_eq!(seen.value("dagbook_queue_depth", &labels), None);
    }

    #[test]
    fn heads_that_cannot_be_signed_grow_old_and_recover() {
        let metrics = Metrics::new();
        let mut kept = Kept::default();
        let began = Instant::now();
        let status = |problems: &[&str], posted, cosigned| KeeperStatus {
            guard: GuardState::Open,
            relay: None,
            turn: Turn {
                head: Position(5),
                posted,
                cosigned,
                problems: problems.iter().map(|p| p.to_string()).collect(),
                ..Turn::default()
            },
        };
        kept.take(&metrics, &status(&["no disk"], 1, 0), began);
        kept.take(&metrics, &status(&["no disk"], 0, 0), began + Duration::from_secs(9));
        assert_eq!((metrics.checkpoint_age.get(), metrics.witness_age.get()), (9.0, 9.0));
        kept.take(&metrics, &status(&[], 0, 1), began + Duration::from_secs(10));
        assert_eq!((metrics.checkpoint_age.get(), metrics.witness_age.get()), (0.0, 0.0));
    }
}
