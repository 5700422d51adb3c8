//! Events as messages: subject, headers and body, there and back.
//!
//! The subject is `dagbook.ev.<timeline>.<tenant>.<kind>`. The timeline stands in it because no
//! two streams may take the same subjects, and the copy of an older timeline stays beside the
//! new one; who does not care writes `dagbook.ev.*.<tenant>.<kind>`. The kind is that of the
//! stream of events (`run`, `pipeline`, `schedule`, …): there are few, as each subject costs
//! the server memory. What an event means stands in its leaf alone: subject and headers are for
//! finding it.

use std::borrow::Cow;
use std::sync::Arc;

use async_nats::Subject;
use async_nats::header::{HeaderMap, HeaderValue};
use serde::Deserialize;

use crate::digest::Sha256Digest;
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::{CopiedEvent, Recorded};
use crate::tlog::leaf_hash;

/// The hash of the leaf, hexadecimal.
pub(super) const LEAF: &str = "Dagbook-Leaf";
/// The run that the event belongs to.
const RUN: &str = "Dagbook-Run";
/// The step that the event is about.
const STEP: &str = "Dagbook-Step";
/// Where the stream must end for the message to be taken.
pub(super) const EXPECTED_LAST: &str = "Nats-Expected-Last-Sequence";

/// Longer names do not become headers.
const LONGEST_HEADER: usize = 256;

/// The stream that copies a timeline.
pub(super) fn stream_name(timeline: u64) -> String {
    format!("DAGBOOK_EVENTS_t{timeline}")
}

/// The subjects of a timeline.
pub(super) fn all_subjects(timeline: u64) -> String {
    format!("dagbook.ev.{timeline}.>")
}

/// The subjects of one tenant.
pub(super) fn tenant_subjects(timeline: u64, tenant: &TenantId) -> String {
    format!("dagbook.ev.{timeline}.{tenant}.>")
}

fn subject(timeline: u64, event: &Recorded) -> Subject {
    format!("dagbook.ev.{timeline}.{}.{}", event.tenant, kind(&event.stream)).into()
}

/// The kind of a stream, as one token of a subject.
fn kind(stream: &StreamName) -> &str {
    let kind = stream.as_str().split('/').next().unwrap_or_default();
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
    match !kind.is_empty() && kind.len() <= 24 && kind.bytes().all(plain) {
        true => kind,
        false => "other",
    }
}

/// What of a leaf becomes headers.
#[derive(Deserialize)]
struct Glance<'a> {
    #[serde(borrow)]
    co: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    d: GlanceData<'a>,
}

#[derive(Deserialize, Default)]
struct GlanceData<'a> {
    #[serde(borrow)]
    step: Option<Step<'a>>,
}

/// A step's name, where `step` is one.
#[derive(Deserialize)]
#[serde(untagged)]
enum Step<'a> {
    Name(#[serde(borrow)] Cow<'a, str>),
    Else(serde::de::IgnoredAny),
}

/// An event, ready to be published.
pub(super) struct Outgoing {
    pub(super) subject: Subject,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

pub(super) fn outgoing(timeline: u64, event: &Recorded) -> Outgoing {
    let mut headers = HeaderMap::new();
    headers.insert(LEAF, leaf_hash(&event.leaf).to_hex());
    if let Ok(glance) = serde_json::from_slice::<Glance<'_>>(&event.leaf) {
        let step = match &glance.d.step {
            Some(Step::Name(step)) => Some(step),
            Some(Step::Else(_)) | None => None,
        };
        for (name, value) in [(RUN, glance.co.as_ref()), (STEP, step)] {
            let fits = value.filter(|value| value.len() <= LONGEST_HEADER);
            // Line feeds in a name would end the header.
            if let Some(Ok(value)) = fits.map(|value| value.parse::<HeaderValue>()) {
                headers.insert(name, value);
            }
        }
    }
    Outgoing { subject: subject(timeline, event), headers, body: event.leaf.to_vec() }
}

/// An event as a message carries it; nothing is believed.
pub(super) fn copied(position: Position, headers: Option<&HeaderMap>, body: &[u8]) -> CopiedEvent {
    let stated = headers.and_then(|headers| headers.get(LEAF));
    let stated_hash = stated.and_then(|hash| hash.as_str().parse::<Sha256Digest>().ok());
    CopiedEvent { position, leaf: Arc::from(body), stated_hash }
}

/// Headers as the API hands them out: the block's bytes.
pub(super) fn header_of<'a>(block: &'a [u8], name: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(block).ok()?;
    let mut lines = text.split("\r\n").skip(1);
    lines.find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recorded(stream: &str, leaf: &str) -> Recorded {
        Recorded {
            position: Position(7),
            tenant: TenantId::new("acme").expect("a tenant"),
            tenant_sequence: 0,
            stream: StreamName::new(stream).expect("a stream"),
            version: 0,
            leaf: Arc::from(leaf.as_bytes()),
        }
    }

    #[test]
    fn a_message_is_found_by_tenant_kind_run_and_step() {
        let leaf = r#"{"co":"r-1","d":{"n":1,"step":"train"},"v":1}"#;
        let message = outgoing(2, &recorded("run/r-1", leaf));
        assert_eq!(message.subject.as_str(), "dagbook.ev.2.acme.run");
        let header = |name: &str| message.headers.get(name).map(ToString::to_string);
        assert_eq!(header(RUN).as_deref(), Some("r-1"));
        assert_eq!(header(STEP).as_deref(), Some("train"));
        assert_eq!(header(LEAF), Some(leaf_hash(leaf.as_bytes()).to_hex()));
        assert_eq!(message.body, leaf.as_bytes());
    }

    #[test]
    fn names_that_no_header_or_subject_can_carry_are_left_out() {
        for leaf in [
            r#"{"co":"a\nNats-Rollup: all","d":{"step":"a\r\nb"}}"#,
            r#"{"d":{"step":{"deep":1}}}"#,
            r#"{"d":{}}"#,
            "not a leaf",
        ] {
            let message = outgoing(1, &recorded("Odd*Name/x", leaf));
            assert_eq!(message.subject.as_str(), "dagbook.ev.1.acme.other", "{leaf}");
            assert_eq!(message.headers.len(), 1, "{leaf}: {:?}", message.headers);
        }
        let escaped = outgoing(1, &recorded("run/1", r#"{"co":"caf\u00e9","d":{}}"#));
        assert_eq!(escaped.headers.get(RUN).map(|v| v.as_str()), Some("café"));
    }

    #[test]
    fn headers_are_read_from_a_block() {
        let block = b"NATS/1.0\r\nA: 1\r\nDagbook-Leaf:  ff \r\n\r\n";
        assert_eq!(header_of(block, LEAF), Some("ff"));
        assert_eq!(header_of(block, "B"), None);
        assert_eq!(header_of(b"\xff", "B"), None);
    }
}
