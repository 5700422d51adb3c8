//! A line of the log, for people or as one JSON object.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use indexmap::IndexMap;
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::repeats::Repeats;

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people.
    #[default]
    Pretty,
    /// One JSON object a line.
    Json,
}

/// There is no such format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`log_format` must be `pretty` or `json`, not `{0}`")]
pub struct UnknownLogFormat(String);

impl FromStr for LogFormat {
    type Err = UnknownLogFormat;
    fn from_str(text: &str) -> Result<Self, UnknownLogFormat> {
        match text {
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            other => Err(UnknownLogFormat(other.chars().take(40).collect())),
        }
    }
}

/// Writes lines.
pub(super) struct Lines {
    format: LogFormat,
    repeats: Arc<Repeats>,
}

impl Lines {
    pub(super) fn new(format: LogFormat, repeats: Arc<Repeats>) -> Self {
        Self { format, repeats }
    }
}

/// Fields in the order in which they were given.
type Fields = IndexMap<String, Value>;

/// What an event says; the message apart.
#[derive(Default)]
struct Said {
    message: String,
    fields: Fields,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, Value::String(format!("{value:?}")));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, Value::String(value.to_string()));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }
}

impl Said {
    fn put(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => drop(self.fields.insert(name.to_string(), value)),
        }
    }
}

impl<S> FormatEvent<S, JsonFields> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, JsonFields>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        // What surrounds the event comes first; what the event says itself wins.
        for span in ctx.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let Some(fields) = extensions.get::<FormattedFields<JsonFields>>() else { continue };
            if let Ok(fields) = serde_json::from_str::<Fields>(&fields.fields) {
                said.fields.extend(fields);
            }
        }
        event.record(&mut said);
        let metadata = event.metadata();
        match self.repeats.take_withheld(&metadata.callsite()) {
            0 => {}
            n => drop(said.fields.insert("withheld".to_string(), n.into())),
        }
        let level = metadata.level();
        match self.format {
            LogFormat::Json => json(writer, level, metadata.target(), said),
            LogFormat::Pretty => pretty(writer, level, said),
        }
    }
}

fn json(mut writer: Writer<'_>, level: &tracing::Level, target: &str, said: Said) -> fmt::Result {
    let mut line = Fields::new();
    line.insert("at".to_string(), now().into());
    line.insert("level".to_string(), level.as_str().to_lowercase().into());
    line.insert("message".to_string(), said.message.into());
    line.insert("target".to_string(), target.into());
    for (name, value) in said.fields {
        line.entry(name).or_insert(value);
    }
    writeln!(writer, "{}", serde_json::to_string(&line).map_err(|_| fmt::Error)?)
}

fn pretty(mut writer: Writer<'_>, level: &tracing::Level, said: Said) -> fmt::Result {
    write!(writer, "{} {:>5} {}", now(), level.as_str(), said.message)?;
    for (name, value) in &said.fields {
        match value {
            // Control characters could draw over a person's terminal.
            Value::String(text) if text.is_empty() => continue,
            Value::String(text) if is_plain(text) => write!(writer, " {name}={text}")?,
            other => write!(writer, " {name}={other}")?,
        }
    }
    writeln!(writer)
}

fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'=')
}

fn now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let millis = now.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX));
    dagbook_events::time::Timestamp(millis).to_rfc3339()
}

/// Fields are formatted by the layer itself.
const _: fn() = || {
    fn formats<T: for<'a> FormatFields<'a>>() {}
    formats::<JsonFields>();
};

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Mutex;

    use super::*;
    use crate::telemetry::Metrics;
    use crate::telemetry::logs::subscriber;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("nobody panicked").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(level: &str, format: LogFormat, say: impl FnOnce()) -> Vec<String> {
        let kept = Kept::default();
        let writer = {
            let kept = kept.clone();
            move || kept.clone()
        };
        let subscriber = subscriber(level, format, &Metrics::new(), writer);
        tracing::subscriber::with_default(subscriber, say);
        let bytes = kept.0.lock().expect("nobody panicked").clone();
        String::from_utf8(bytes).expect("text").lines().map(str::to_string).collect()
    }

    #[test]
    fn a_json_line_has_the_fields_of_the_event_and_of_what_surrounds_it() {
        let lines = written("info", LogFormat::Json, || {
            let span = tracing::info_span!("request", request_id = "r1", tenant = "acme");
            let _inside = span.enter();
            tracing::info!(
                run = "0192",
                step = "train",
                number = 2,
                tenant = "other",
                "attempt ended"
            );
        });
        assert_eq!(lines.len(), 1, "{lines:?}");
        let line: Value = serde_json::from_str(&lines[0]).expect("JSON");
        for (field, wanted) in [
            ("message", Value::from("attempt ended")),
            ("level", "info".into()),
            ("request_id", "r1".into()),
            ("tenant", "other".into()),
            ("run", "0192".into()),
            ("step", "train".into()),
            ("number", 2.into()),
        ] {
            assert_eq!(line[field], wanted, "{field}");
        }
        assert!(line["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
    }

    #[test]
    fn a_line_for_people_keeps_control_characters_to_itself() {
        let lines = written("info", LogFormat::Pretty, || {
            tracing::info!(step = "train", reason = "a \u{1b}[2J b", empty = "", "it failed");
        });
        assert!(
            lines[0].ends_with(r#"  INFO it failed step=train reason="a \u001b[2J b""#),
            "{lines:?}"
        );
    }

    #[test]
    fn the_filter_decides_what_is_written() {
        let say = || {
            tracing::info!("quiet");
            tracing::warn!("loud");
        };
        assert_eq!(written("warn", LogFormat::Json, say).len(), 1);
        assert_eq!(written("not a (filter", LogFormat::Json, say).len(), 1);
        assert_eq!(written("info", LogFormat::Json, say).len(), 2);
    }

    #[test]
    fn the_same_warning_is_written_ten_times_a_minute_and_no_more() {
        let lines = written("warn", LogFormat::Json, || {
            for number in 0..50 {
                tracing::warn!(number, "the store does not answer");
            }
        });
        assert_eq!(lines.len(), 10);
    }
}
