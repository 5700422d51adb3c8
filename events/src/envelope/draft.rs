//! A leaf in the making: all that the caller knows is rendered first, on the caller's thread;
//! the writer only adds the numbers.

use std::sync::Arc;

use super::{LEAF_FORMAT, MAX_LEAF_BYTES};
use crate::canonical::{self, write_integer, write_string};
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::NewEvent;
use crate::time::Timestamp;
use crate::value::MAX_SAFE_INTEGER;

/// Room for five numbers of sixteen digits with their names, and the format.
const NUMBERS_BYTES: usize = 5 * 16 + r#","pos":,"rt":,"sv":,"tl":,"ts":,"v":1}"#.len();

/// Why an event cannot become a leaf.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It is too large, whatever its numbers will be.
    #[error(
        "the event {kind} would take {bytes} bytes, at most {MAX_LEAF_BYTES} are allowed: \
         keep the larger part as a blob"
    )]
    TooLarge {
        /// Type of the event.
        kind: Arc<str>,
        /// Bytes with the widest numbers.
        bytes: usize,
    },
    /// Its data is not canonical.
    #[error("the data of the event {kind} is not a canonical object: {reason}")]
    Data {
        /// Type of the event.
        kind: Arc<str>,
        /// What is wrong.
        reason: String,
    },
}

/// The numbers that a store gives to an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbers {
    /// `tl`.
    pub timeline: u64,
    /// `pos`.
    pub position: Position,
    /// `ts`.
    pub tenant_sequence: u64,
    /// `sv`.
    pub version: u64,
    /// `rt`.
    pub recorded_at: Timestamp,
}

/// An event that lacks only its numbers.
#[derive(Debug)]
pub struct Draft {
    /// Everything up to and including `id`, with room for the rest; the rest, once it has
    /// numbers.
    bytes: Vec<u8>,
    /// Where the rest begins.
    numbers_at: usize,
    kind: Arc<str>,
    traceparent: Option<Arc<str>>,
    /// It was a leaf before, and is none in the making.
    is_recorded: bool,
}

impl Draft {
    /// Checks and renders what is known before the append.
    ///
    /// The limit is applied to the widest numbers, so that whether an event is accepted never
    /// depends on where it would stand.
    pub fn new(event: NewEvent, tenant: &TenantId, stream: &StreamName) -> Result<Self, SealError> {
        check_data(&event)?;
        let tail = rest_len(tenant, stream, &event);
        let mut head = Vec::with_capacity(event.data.len() + 256 + tail);
        write_head(&mut head, &event)?;
        let bytes = head.len() + tail;
        if bytes > MAX_LEAF_BYTES {
            return Err(SealError::TooLarge { kind: event.kind, bytes });
        }
        let numbers_at = head.len();
        let (kind, traceparent) = (event.kind, event.traceparent);
        Ok(Self { bytes: head, numbers_at, kind, traceparent, is_recorded: false })
    }

    /// A leaf that has its numbers already and keeps them.
    pub fn recorded(leaf: &[u8], kind: &str) -> Self {
        let (bytes, numbers_at) = (leaf.to_vec(), leaf.len());
        Self { bytes, numbers_at, kind: Arc::from(kind), traceparent: None, is_recorded: true }
    }

    /// The event's type.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// Bytes without the numbers.
    pub fn len(&self) -> usize {
        self.numbers_at
    }

    /// Never: a draft has at least an id.
    pub fn is_empty(&self) -> bool {
        self.numbers_at == 0
    }

    /// Adds the numbers: the result is the leaf.
    pub fn seal(mut self, tenant: &TenantId, stream: &StreamName, numbers: Numbers) -> Vec<u8> {
        self.number(tenant, stream, numbers);
        self.bytes
    }

    /// The leaf, if it was given numbers.
    pub fn leaf(&self) -> &[u8] {
        &self.bytes
    }

    /// Gives it numbers, in place of those that it may have, and returns the leaf.
    pub fn number(&mut self, tenant: &TenantId, stream: &StreamName, numbers: Numbers) -> &[u8] {
        if self.is_recorded {
            return &self.bytes;
        }
        self.bytes.truncate(self.numbers_at);
        let out = &mut self.bytes;
        let number = |out: &mut Vec<u8>, name: &[u8], value: u64| {
            out.extend_from_slice(name);
            write_integer(out, i64::try_from(value).unwrap_or(i64::MAX));
        };
        number(out, br#","pos":"#, numbers.position.0);
        out.extend_from_slice(br#","rt":"#);
        write_integer(out, numbers.recorded_at.0);
        text(out, br#","st":"#, stream.as_str());
        number(out, br#","sv":"#, numbers.version);
        number(out, br#","tl":"#, numbers.timeline);
        text(out, br#","tn":"#, tenant.as_str());
        if let Some(traceparent) = &self.traceparent {
            text(out, br#","tp":"#, traceparent);
        }
        number(out, br#","ts":"#, numbers.tenant_sequence);
        text(out, br#","ty":"#, &self.kind);
        number(out, br#","v":"#, LEAF_FORMAT);
        out.push(b'}');
        out
    }
}

fn text(out: &mut Vec<u8>, name: &[u8], value: &str) {
    out.extend_from_slice(name);
    write_string(out, value);
}

fn check_data(event: &NewEvent) -> Result<(), SealError> {
    let refuse = |reason| SealError::Data { kind: Arc::clone(&event.kind), reason };
    if event.data.first() != Some(&b'{') {
        return Err(refuse("an object is expected".to_string()));
    }
    if event.at.0.unsigned_abs() > MAX_SAFE_INTEGER.unsigned_abs() {
        return Err(refuse(format!("the instant {} ms is out of range", event.at.0)));
    }
    canonical::verify(&event.data).map_err(|error| refuse(error.to_string()))
}

/// The longest that [`Draft::seal`] adds.
fn rest_len(tenant: &TenantId, stream: &StreamName, event: &NewEvent) -> usize {
    let mut scratch = Vec::with_capacity(256);
    text(&mut scratch, br#","st":"#, stream.as_str());
    text(&mut scratch, br#","tn":"#, tenant.as_str());
    text(&mut scratch, br#","ty":"#, &event.kind);
    if let Some(traceparent) = &event.traceparent {
        text(&mut scratch, br#","tp":"#, traceparent);
    }
    scratch.len() + NUMBERS_BYTES
}

fn write_head(out: &mut Vec<u8>, event: &NewEvent) -> Result<(), SealError> {
    text(out, br#"{"ac":{"id":"#, &event.actor.id);
    text(out, br#","kind":"#, &event.actor.kind);
    if let Some(person) = &event.actor.on_behalf_of {
        text(out, br#","on_behalf_of":"#, person);
    }
    if let Some(token) = &event.actor.token {
        text(out, br#","token":"#, token);
    }
    out.extend_from_slice(br#"},"at":"#);
    write_integer(out, event.at.0);
    if let Some(blob) = &event.blob {
        out.extend_from_slice(br#","b":"#);
        canonical::write(out, blob).map_err(|error| SealError::Data {
            kind: Arc::clone(&event.kind),
            reason: error.to_string(),
        })?;
    }
    if let Some(causation) = &event.causation {
        id(out, br#","ca":""#, causation.0);
    }
    if let Some(correlation) = &event.correlation {
        text(out, br#","co":"#, correlation);
    }
    out.extend_from_slice(br#","d":"#);
    out.extend_from_slice(&event.data);
    id(out, br#","id":""#, event.id.0);
    Ok(())
}

fn id(out: &mut Vec<u8>, name: &[u8], value: uuid::Uuid) {
    out.extend_from_slice(name);
    let mut buffer = uuid::Uuid::encode_buffer();
    out.extend_from_slice(value.hyphenated().encode_lower(&mut buffer).as_bytes());
    out.push(b'"');
}
