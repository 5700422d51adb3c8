//! The standard variables of OpenTelemetry, read once. Without an endpoint nothing is exported.

use std::time::Duration;

use dagbook_events::trace::TraceId;

/// What is exported, where to, and how often.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpSettings {
    /// Where traces go, if anywhere.
    pub traces: Option<Target>,
    /// Where metrics go, if anywhere.
    pub metrics: Option<Target>,
    /// Attributes of this process, `service.name` among them.
    pub resource: Vec<(String, String)>,
    /// Which traces are kept.
    pub sampler: Sampler,
    /// Spans that wait to be sent, at most.
    pub queue: usize,
    /// Spans that are sent at one time, at most.
    pub batch: usize,
    /// How long the first span of a batch waits for others.
    pub delay: Duration,
    /// How often metrics are sent.
    pub interval: Duration,
    /// What was not understood, for the log.
    pub problems: Vec<String>,
}

/// A collector's address for one kind of signal.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The whole URL.
    pub url: String,
    /// Headers; their values may be secrets.
    pub headers: Vec<(String, String)>,
    /// How long one export may take.
    pub timeout: Duration,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        let url = self.url.split(['?', '#']).next().unwrap_or_default();
        let url = url.rsplit_once('@').map_or(url, |(_, rest)| rest);
        f.debug_struct("Target")
            .field("url", &url)
            .field("headers", &names)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Which traces are kept. Whole traces are: the choice depends on the trace alone.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampler {
    /// Whether a submitter's wish is followed where there is one.
    pub follows_parent: bool,
    /// Of the others, so many of 2⁶³ are kept.
    pub below: u64,
}

const ALL: u64 = 1 << 63;

impl Sampler {
    /// Keeps every trace that its submitter does not want dropped.
    pub const DEFAULT: Self = Self { follows_parent: true, below: ALL };

    /// Whether the trace is kept. `asked` is the wish of whoever the trace came from.
    pub fn keeps(&self, trace: TraceId, asked: Option<bool>) -> bool {
        match asked {
            Some(asked) if self.follows_parent => asked,
            _ => {
                let mut low = [0; 8];
                low.copy_from_slice(&trace.0[8..]);
                (u64::from_be_bytes(low) >> 1) < self.below
            }
        }
    }

    fn read(name: &str, argument: Option<String>) -> Option<Self> {
        let (follows_parent, name) = match name.strip_prefix("parentbased_") {
            Some(rest) => (true, rest),
            None => (false, name),
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        #[allow(clippy::cast_precision_loss, reason = "a ratio need not be exact")]
        let below = match name {
            "always_on" => ALL,
            "always_off" => 0,
            "traceidratio" => {
                let ratio: f64 = argument.map_or(Ok(1.0), |text| text.parse()).ok()?;
                if !(0.0..=1.0).contains(&ratio) {
                    return None;
                }
                (ratio * ALL as f64) as u64
            }
            _ => return None,
        };
        Some(Self { follows_parent, below })
    }
}

impl OtlpSettings {
    /// Reads the variables.
    pub fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|text| !text.trim().is_empty());
        let mut problems = Vec::new();
        let disabled = variable("OTEL_SDK_DISABLED")
            .is_some_and(|text| text.trim().eq_ignore_ascii_case("true"));
        let mut target = |signal: &str, path: &str| {
            if disabled {
                return None;
            }
            target(&variable, signal, path, &mut problems)
        };
        let traces = target("TRACES", "v1/traces");
        let metrics = target("METRICS", "v1/metrics");
        let sampler = variable("OTEL_TRACES_SAMPLER").map_or(Some(Sampler::DEFAULT), |name| {
            Sampler::read(name.trim(), variable("OTEL_TRACES_SAMPLER_ARG"))
        });
        if sampler.is_none() {
            problems.push("OTEL_TRACES_SAMPLER or its argument means nothing; all are kept".into());
        }
        let mut number = |name: &str, otherwise: u64, most: u64| match variable(name) {
            None => otherwise,
            Some(text) => match text.trim().parse::<u64>() {
                Ok(n) if (1..=most).contains(&n) => n,
                _ => {
                    problems.push(format!("{name} must be a number from 1 to {most}"));
                    otherwise
                }
            },
        };
        let day = 86_400_000;
        let queue = number("OTEL_BSP_MAX_QUEUE_SIZE", 8_192, 1 << 20);
        let batch = number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512, 8_192);
        let delay = Duration::from_millis(number("OTEL_BSP_SCHEDULE_DELAY", 5_000, day));
        let interval = Duration::from_millis(number("OTEL_METRIC_EXPORT_INTERVAL", 60_000, day));
        Self {
            traces,
            metrics,
            resource: resource(&variable),
            sampler: sampler.unwrap_or(Sampler::DEFAULT),
            queue: usize::try_from(queue).unwrap_or(8_192),
            batch: usize::try_from(batch).unwrap_or(512),
            delay,
            interval,
            problems,
        }
    }

    /// Whether nothing is exported.
    pub fn is_off(&self) -> bool {
        self.traces.is_none() && self.metrics.is_none()
    }
}

fn target(
    variable: &impl Fn(&str) -> Option<String>,
    signal: &str,
    path: &str,
    problems: &mut Vec<String>,
) -> Option<Target> {
    let of_signal = |rest: &str| {
        variable(&format!("OTEL_EXPORTER_OTLP_{signal}_{rest}"))
            .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{rest}")))
    };
    if variable(&format!("OTEL_{signal}_EXPORTER")).is_some_and(|text| text.trim() == "none") {
        return None;
    }
    let url = match variable(&format!("OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")) {
        Some(url) => url.trim().to_string(),
        None => {
            let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            format!("{}/{path}", base.trim().trim_end_matches('/'))
        }
    };
    let is_http = url::Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
    if !is_http {
        problems.push(format!(
            "the endpoint of {} must begin with `http://` or `https://`; they go nowhere",
            signal.to_lowercase()
        ));
        return None;
    }
    if let Some(protocol) = of_signal("PROTOCOL").filter(|text| text.trim() != "http/protobuf") {
        problems.push(format!(
            "OTEL_EXPORTER_OTLP_PROTOCOL is `{}`; {} go out as `http/protobuf` only, so they go \
             nowhere",
            protocol.trim(),
            signal.to_lowercase()
        ));
        return None;
    }
    let timeout = of_signal("TIMEOUT").map_or(Some(10_000), |text| text.trim().parse().ok());
    if timeout.is_none() {
        problems.push("OTEL_EXPORTER_OTLP_TIMEOUT must be a number of milliseconds".to_string());
    }
    Some(Target {
        url,
        headers: of_signal("HEADERS").map(|text| pairs(&text)).unwrap_or_default(),
        timeout: Duration::from_millis(timeout.unwrap_or(10_000).clamp(1, 600_000)),
    })
}

fn resource(variable: &impl Fn(&str) -> Option<String>) -> Vec<(String, String)> {
    let mut resource =
        variable("OTEL_RESOURCE_ATTRIBUTES").map(|text| pairs(&text)).unwrap_or_default();
    if let Some(name) = variable("OTEL_SERVICE_NAME") {
        resource.retain(|(key, _)| key != "service.name");
        resource.push(("service.name".to_string(), name));
    }
    let own = [
        ("service.name", "dagbook".to_string()),
        ("service.version", env!("CARGO_PKG_VERSION").to_string()),
        ("service.instance.id", format!("{}-{}", crate::telemetry::host(), std::process::id())),
    ];
    for (key, value) in own {
        if resource.iter().all(|(given, _)| given != key) {
            resource.push((key.to_string(), value));
        }
    }
    resource
}

/// `key=value,key=value`, where values may hold `%20` and the like.
fn pairs(text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.trim().to_string(), decoded(value.trim())))
        .filter(|(key, _)| !key.is_empty())
        .collect()
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let pair = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match pair.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) if bytes[at] == b'%' => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> OtlpSettings {
        OtlpSettings::read(|name| {
            variables.iter().find(|(k, _)| *k == name).map(|(_, v)| v.to_string())
        })
    }

    fn value<'a>(settings: &'a OtlpSettings, key: &str) -> Option<&'a str> {
        let mut found = settings.resource.iter().filter(|(k, _)| k == key);
        let (_, value) = found.next()?;
        assert!(found.next().is_none(), "{key} twice");
        Some(value)
    }

    #[test]
    fn without_an_endpoint_nothing_is_exported() {
        assert!(read(&[]).is_off());
        assert!(read(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]).is_off());
        let disabled =
            [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"), ("OTEL_SDK_DISABLED", "TRUE")];
        assert!(read(&disabled).is_off());
    }

    #[test]
    fn one_endpoint_serves_both_signals_and_each_may_have_its_own() {
        let settings = read(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318/base/"),
            ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://m/push"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20hunter2, x=1"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ]);
        let traces = settings.traces.clone().expect("traces go out");
        assert_eq!(traces.url, "http://c:4318/base/v1/traces");
        assert_eq!(traces.headers[0], ("authorization".into(), "Bearer hunter2".into()));
        assert_eq!(traces.timeout, Duration::from_millis(2_500));
        assert_eq!(settings.metrics.clone().expect("metrics go out").url, "https://m/push");
        assert!(!format!("{settings:?}").contains("hunter2"));
    }

    #[test]
    fn what_cannot_be_done_is_said_and_never_fatal() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "c:4317"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "many"),
        ] {
            let settings =
                read(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://c/x"), (name, value)]);
            assert!(!settings.problems.is_empty(), "{name}");
        }
    }

    #[test]
    fn the_service_has_the_name_that_it_is_given() {
        assert_eq!(value(&read(&[]), "service.name"), Some("dagbook"));
        let settings = read(&[
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=one,team=a%2Cb"),
            ("OTEL_SERVICE_NAME", "two"),
        ]);
        assert_eq!(value(&settings, "service.name"), Some("two"));
        assert_eq!(value(&settings, "team"), Some("a,b"));
    }

    #[test]
    fn a_submitters_wish_counts_where_the_sampler_follows_it() {
        let trace = TraceId([0x80; 16]);
        let sampler = |name: &str, argument: Option<&str>| {
            Sampler::read(name, argument.map(str::to_string)).expect("a sampler")
        };
        assert!(!Sampler::DEFAULT.keeps(trace, Some(false)));
        assert!(Sampler::DEFAULT.keeps(trace, None));
        assert!(sampler("always_on", None).keeps(trace, Some(false)));
        assert!(!sampler("parentbased_always_off", None).keeps(trace, None));
        let half = sampler("traceidratio", Some("0.5"));
        assert!(!half.keeps(trace, None) && half.keeps(TraceId([0x7f; 16]), None));
        assert_eq!(Sampler::read("traceidratio", Some("2".to_string())), None);
    }
}
