//! What an operator at three in the morning needs to see, as numbers: one registry, read by
//! `/metrics` and exported by OTLP. The core knows nothing of it: what is counted here is seen
//! at the seams, by decorators around ports and by whoever watches what becomes durable.

mod families;
mod labels;
mod leases;
mod process;
mod sampled;
mod store;
mod text;

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::{Family as Series, MetricConstructor};
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

pub use families::{FAMILIES, Family, Kind, family};
pub use labels::*;
pub use leases::MeasuredLeases;
pub use sampled::{Sample, sample_forever};
pub use store::MeasuredStore;
pub use text::{Exposed, ExposedFamily, Point, parse};

/// Tenants with series of their own.
const MOST_TENANTS: usize = 200;
/// Executors, pools and reasons with series of their own.
const MOST_NAMES: usize = 64;
/// Routes with series of their own.
const MOST_ROUTES: usize = 256;

/// What `/metrics` answers with.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics of a process. A copy is a handle to the same ones.
#[derive(Debug, Clone)]
pub struct Metrics(Arc<All>);

impl std::ops::Deref for Metrics {
    type Target = All;
    fn deref(&self) -> &All {
        &self.0
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// A gauge of a number that need not be whole.
pub type Real = Gauge<f64, AtomicU64>;

/// Durations in buckets from a tenth of a millisecond to a day.
#[derive(Debug, Clone, Copy)]
pub struct Durations(&'static [f64]);

impl MetricConstructor<Histogram> for Durations {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

const QUICK: Durations =
    Durations(&[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0]);
const LONG: Durations = Durations(&[
    0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0,
]);
const SIZES: Durations = Durations(&[1.0, 2.0, 4.0, 8.0, 16.0, 64.0, 256.0, 1_024.0]);

/// Every family. What each says stands in [`FAMILIES`] under the same name.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct All {
    registry: Registry,
    /// While sampled series are put in place of the former ones, nobody reads.
    whole: Mutex<()>,
    pub tenants: Names,
    pub names: Names,
    pub routes: Names,

    pub runs_submitted: Series<OfTenant, Counter>,
    pub runs_finished: Series<OfTenantStatus, Counter>,
    pub run_seconds: Series<OfStatus, Histogram, Durations>,
    pub runs_active: Series<OfTenantState, Gauge>,
    pub queue_depth: Series<OfTenantPool, Gauge>,
    pub queue_oldest: Series<OfTenantPool, Real>,
    pub pool_places: Series<OfPool, Gauge>,
    pub pool_taken: Series<OfPool, Gauge>,
    pub admission_decisions: Counter,
    pub admission_waiting: Series<OfReason, Gauge>,
    pub budget_used: Series<OfTenantBudget, Real>,
    pub attempts_planned: Series<OfExecutor, Counter>,
    pub attempts_ended: Series<OfOutcome, Counter>,
    pub attempts_retried: Series<OfFault, Counter>,
    pub attempt_seconds: Series<OfExecutor, Histogram, Durations>,
    pub schedule_fired: Series<OfTenant, Counter>,
    pub schedule_lateness: Histogram,
    pub append_seconds: Histogram,
    pub append_events: Histogram,
    pub appends_in_flight: Gauge,
    pub read_seconds: Histogram,
    pub store_errors: Series<OfError, Counter>,
    pub record_open: Gauge,
    pub relay_lag: Gauge,
    pub relay_published: Counter,
    pub relay_retrying: Gauge,
    pub checkpoint_age: Real,
    pub witness_age: Real,
    pub lease_held: Gauge,
    pub lease_epoch: Gauge,
    pub lease_renew: Histogram,
    pub takeovers: Counter,
    pub retention_gone: Series<OfWhat, Counter>,
    pub retention_problems: Counter,
    pub retention_seconds: Histogram,
    pub reconciliation_findings: Series<OfComparison, Gauge>,
    pub reconciliation_failures: Counter,
    pub billing_done: Series<OfWhat, Counter>,
    pub billing_overdue: Gauge,
    pub billing_problems: Counter,
    pub billing_seconds: Histogram,
    pub directory_age: Real,
    pub http_requests: Series<OfRequest, Counter>,
    pub http_seconds: Series<OfRoute, Histogram, Durations>,
    pub http_in_flight: Gauge,
    pub http_followers: Gauge,
    pub http_rate_limited: Counter,
    pub http_shed: Counter,
    pub otlp_exported: Series<OfSignal, Counter>,
    pub otlp_dropped: Series<OfSignal, Counter>,
    pub otlp_failures: Series<OfSignal, Counter>,
    pub log_lines_withheld: Counter,
}

/// Registers metrics under names of the table.
struct Book(Registry);

impl Book {
    fn keep<M: Metric + Clone>(&mut self, name: &'static str, metric: M) -> M {
        let family = family(name).unwrap_or_else(|| panic!("`{name}` is not in the table"));
        self.0.register(family.name, family.help, metric.clone());
        metric
    }

    fn counter(&mut self, name: &'static str) -> Counter {
        self.keep(name, Counter::default())
    }

    fn gauge(&mut self, name: &'static str) -> Gauge {
        self.keep(name, Gauge::default())
    }

    fn real(&mut self, name: &'static str) -> Real {
        self.keep(name, Real::default())
    }

    fn series<S, M>(&mut self, name: &'static str) -> Series<S, M>
    where
        Series<S, M>: Metric + Clone + Default,
    {
        self.keep(name, Series::default())
    }

    fn histogram(&mut self, name: &'static str, bounds: Durations) -> Histogram {
        self.keep(name, bounds.new_metric())
    }

    fn histograms<S>(
        &mut self,
        name: &'static str,
        bounds: Durations,
    ) -> Series<S, Histogram, Durations>
    where
        S: Clone + std::hash::Hash + Eq,
        Series<S, Histogram, Durations>: Metric + Clone,
    {
        self.keep(name, Series::new_with_constructor(bounds))
    }
}

impl Metrics {
    /// All of them at nothing.
    pub fn new() -> Self {
        let mut book = Book(Registry::default());
        let build: Series<OfVersion, Gauge> = book.series("dagbook_build_info");
        build.get_or_create(&OfVersion { version: env!("CARGO_PKG_VERSION") }).set(1);
        book.0.register_collector(Box::new(process::Process));
        let b = &mut book;
        let all = All {
            whole: Mutex::new(()),
            tenants: Names::at_most(MOST_TENANTS),
            names: Names::at_most(MOST_NAMES),
            routes: Names::at_most(MOST_ROUTES),
            runs_submitted: b.series("dagbook_runs_submitted"),
            runs_finished: b.series("dagbook_runs_finished"),
            run_seconds: b.histograms("dagbook_run_seconds", LONG),
            runs_active: b.series("dagbook_runs_active"),
            queue_depth: b.series("dagbook_queue_depth"),
            queue_oldest: b.series("dagbook_queue_oldest_seconds"),
            pool_places: b.series("dagbook_pool_places"),
            pool_taken: b.series("dagbook_pool_taken"),
            admission_decisions: b.counter("dagbook_admission_decisions"),
            admission_waiting: b.series("dagbook_admission_waiting"),
            budget_used: b.series("dagbook_budget_used_ratio"),
            attempts_planned: b.series("dagbook_attempts_planned"),
            attempts_ended: b.series("dagbook_attempts_ended"),
            attempts_retried: b.series("dagbook_attempts_retried"),
            attempt_seconds: b.histograms("dagbook_attempt_seconds", LONG),
            schedule_fired: b.series("dagbook_schedule_fired"),
            schedule_lateness: b.histogram("dagbook_schedule_lateness_seconds", LONG),
            append_seconds: b.histogram("dagbook_store_append_seconds", QUICK),
            append_events: b.histogram("dagbook_store_append_events", SIZES),
            appends_in_flight: b.gauge("dagbook_store_appends_in_flight"),
            read_seconds: b.histogram("dagbook_store_read_seconds", QUICK),
            store_errors: b.series("dagbook_store_errors"),
            record_open: b.gauge("dagbook_record_open"),
            relay_lag: b.gauge("dagbook_relay_lag_events"),
            relay_published: b.counter("dagbook_relay_published"),
            relay_retrying: b.gauge("dagbook_relay_retrying"),
            checkpoint_age: b.real("dagbook_checkpoint_age_seconds"),
            witness_age: b.real("dagbook_witness_age_seconds"),
            lease_held: b.gauge("dagbook_lease_held"),
            lease_epoch: b.gauge("dagbook_lease_epoch"),
            lease_renew: b.histogram("dagbook_lease_renew_seconds", QUICK),
            takeovers: b.counter("dagbook_takeovers"),
            retention_gone: b.series("dagbook_retention_gone"),
            retention_problems: b.counter("dagbook_retention_problems"),
            retention_seconds: b.histogram("dagbook_retention_turn_seconds", LONG),
            reconciliation_findings: b.series("dagbook_reconciliation_findings"),
            reconciliation_failures: b.counter("dagbook_reconciliation_failures"),
            billing_done: b.series("dagbook_billing_done"),
            billing_overdue: b.gauge("dagbook_billing_overdue"),
            billing_problems: b.counter("dagbook_billing_problems"),
            billing_seconds: b.histogram("dagbook_billing_turn_seconds", LONG),
            directory_age: b.real("dagbook_directory_age_seconds"),
            http_requests: b.series("dagbook_http_requests"),
            http_seconds: b.histograms("dagbook_http_request_seconds", QUICK),
            http_in_flight: b.gauge("dagbook_http_in_flight"),
            http_followers: b.gauge("dagbook_http_followers"),
            http_rate_limited: b.counter("dagbook_http_rate_limited"),
            http_shed: b.counter("dagbook_http_shed"),
            otlp_exported: b.series("dagbook_otlp_exported"),
            otlp_dropped: b.series("dagbook_otlp_dropped"),
            otlp_failures: b.series("dagbook_otlp_failures"),
            log_lines_withheld: b.counter("dagbook_log_lines_withheld"),
            registry: book.0,
        };
        all.record_open.set(1);
        Self(Arc::new(all))
    }

    /// All families as text, in the form that [`CONTENT_TYPE`] names. Families of which nothing
    /// was seen yet are named as well, so that a reader knows that they exist.
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1024);
        {
            let _whole = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
            // Writing into a string does not fail.
            let _ = encode_registry(&mut text, &self.registry);
        }
        for family in FAMILIES {
            let title = format!("# TYPE {} {}\n", family.name, family.kind.as_str());
            if !text.contains(&title) {
                let _ = write!(text, "# HELP {} {}.\n{title}", family.name, family.help);
            }
        }
        let _ = encode_eof(&mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_rendered_holds_every_family_of_the_table_and_no_other() {
        let metrics = Metrics::new();
        let tenant = metrics.tenants.label("acme");
        metrics.runs_submitted.get_or_create(&OfTenant { tenant }).inc();
        metrics.append_seconds.observe(0.002);
        let exposed = parse(&metrics.render()).expect("it parses");
        let names: Vec<&str> = exposed.families.iter().map(|family| family.name.as_str()).collect();
        for family in FAMILIES {
            let found = exposed.family(family.name).unwrap_or_else(|| panic!("{}", family.name));
            assert_eq!(found.kind, family.kind, "{}", family.name);
            for point in &found.points {
                let mut labels: Vec<&str> = point.labels.iter().map(|(k, _)| k.as_str()).collect();
                labels.sort_unstable();
                let mut wanted = family.labels.to_vec();
                wanted.sort_unstable();
                assert_eq!(labels, wanted, "{}", family.name);
            }
        }
        assert_eq!(names.len(), FAMILIES.len(), "{names:?}");
        let runs = exposed.family("dagbook_runs_submitted").expect("it is there");
        assert_eq!(runs.points[0].labels, [("tenant".to_string(), "acme".to_string())]);
        assert_eq!(runs.points[0].value, 1.0);
    }
}
