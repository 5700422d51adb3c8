//! The numbers of `/metrics` as OTLP: read from the same text, so that there is one source.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics,
    Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::telemetry::metrics::{Exposed, ExposedFamily, Kind, Point};

/// Sums since the start of the process.
const CUMULATIVE: i32 = 2;

/// The request that carries all that was exposed, and how many families it holds.
pub fn request(
    exposed: &Exposed,
    resource: &[(String, String)],
    began: SystemTime,
    now: SystemTime,
) -> (ExportMetricsServiceRequest, u64) {
    let (began, now) = (nanos(began), nanos(now));
    let families = exposed.families.iter().filter(|family| !family.points.is_empty());
    let metrics: Vec<Metric> = families.map(|family| metric(family, began, now)).collect();
    let count = metrics.len() as u64;
    let scope = InstrumentationScope {
        name: "dagbook".to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        ..InstrumentationScope::default()
    };
    let request = ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            resource: Some(Resource {
                attributes: resource.iter().map(|(k, v)| pair(k, v)).collect(),
                ..Resource::default()
            }),
            scope_metrics: vec![ScopeMetrics {
                scope: Some(scope),
                metrics,
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    };
    (request, count)
}

fn metric(family: &ExposedFamily, began: u64, now: u64) -> Metric {
    let numbers = |start: u64| {
        let point = |point: &Point| NumberDataPoint {
            attributes: labels(point),
            start_time_unix_nano: start,
            time_unix_nano: now,
            value: Some(Number::AsDouble(point.value)),
            ..NumberDataPoint::default()
        };
        family.points.iter().map(point).collect()
    };
    let data = match family.kind {
        Kind::Gauge => Data::Gauge(Gauge { data_points: numbers(0) }),
        Kind::Counter => Data::Sum(Sum {
            data_points: numbers(began),
            aggregation_temporality: CUMULATIVE,
            is_monotonic: true,
        }),
        Kind::Histogram => Data::Histogram(Histogram {
            data_points: family.points.iter().map(|point| histogram(point, began, now)).collect(),
            aggregation_temporality: CUMULATIVE,
        }),
    };
    let unit = match family.name.rsplit('_').next() {
        Some("seconds") => "s",
        Some("bytes") => "By",
        _ => "1",
    };
    Metric {
        name: family.name.clone(),
        description: family.help.clone(),
        unit: unit.to_string(),
        data: Some(data),
        ..Metric::default()
    }
}

fn histogram(point: &Point, began: u64, now: u64) -> HistogramDataPoint {
    HistogramDataPoint {
        attributes: labels(point),
        start_time_unix_nano: began,
        time_unix_nano: now,
        count: point.count,
        sum: Some(point.value),
        bucket_counts: point.buckets.clone(),
        explicit_bounds: point.bounds.clone(),
        ..HistogramDataPoint::default()
    }
}

fn labels(point: &Point) -> Vec<KeyValue> {
    point.labels.iter().map(|(key, value)| pair(key, value)).collect()
}

fn pair(key: &str, value: &str) -> KeyValue {
    KeyValue {
        key: key.to_string(),
        value: Some(AnyValue { value: Some(Value::StringValue(value.to_string())) }),
        ..KeyValue::default()
    }
}

fn nanos(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
