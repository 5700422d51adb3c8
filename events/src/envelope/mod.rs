//! The envelope: what every event carries beside its data, and the leaf bytes that hold both.
//!
//! A leaf is written once, in canonical form, and never rendered again. The writer uses
//! [`Draft`]; everyone else reads with [`Envelope::parse`].

mod draft;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

pub use draft::{Draft, Numbers, SealError};

use crate::canonical::{self, CanonicalError};
use crate::digest::Sha256Digest;
use crate::ids::{EventId, Position, StreamName, TenantId};
use crate::ports::BlobRef;
use crate::time::Timestamp;

/// The leaf format that is written.
pub const LEAF_FORMAT: u64 = 1;

/// The type of a leaf, from its end: `…,"ty":"…","v":1}` are the last members of every leaf.
///
/// What stands there is at the top level: the last brace closes the outermost object, and a
/// quote inside of text has a backslash before it.
pub fn type_of(leaf: &[u8]) -> Option<&[u8]> {
    let rest = leaf.strip_suffix(br#"","v":1}"#)?;
    let from = rest.iter().rposition(|byte| *byte == b'"')? + 1;
    let (before, kind) = rest.split_at(from);
    (before.ends_with(br#","ty":""#) && !kind.contains(&b'\\')).then_some(kind)
}

/// Types of events behind which nothing more happens in their stream.
const CLOSING: &[&str] = &["run.finished"];

/// Whether an event of this type closes its stream. Reports that come too late may still follow
/// it; nothing is to be done for the stream any more.
pub fn closes_stream(kind: &str) -> bool {
    CLOSING.contains(&kind)
}

/// The largest leaf, in bytes: 60 KiB, so that tiles can prefix it with 16 bits of length.
pub const MAX_LEAF_BYTES: usize = 60 * 1024;

/// Who did it, with the credentials that were used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Principal {
    /// Who.
    pub id: String,
    /// `user`, `system`, `executor` or `schedule`.
    pub kind: String,
    /// For whom it was done, where that is someone else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// Id of the token that was used; never the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// The sealed part of an event: what must be erasable is encrypted elsewhere; only this stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedRef {
    /// Algorithm.
    pub a: String,
    /// SHA-256 of the ciphertext.
    pub h: Sha256Digest,
    /// Key id.
    pub k: String,
    /// Bytes of ciphertext.
    pub n: u64,
}

/// One recorded event, read from its leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// `tl`: from 1; one more after a restore or a fork.
    pub timeline: u64,
    /// `pos`: dense global position, from 1.
    pub position: Position,
    /// `tn`.
    pub tenant: TenantId,
    /// `ts`: index in the tenant's log, from 0.
    pub tenant_sequence: u64,
    /// `st`.
    pub stream: StreamName,
    /// `sv`: version within the stream, from 0.
    pub version: u64,
    /// `id`.
    pub id: EventId,
    /// `ty`: the type, such as `attempt.exited`.
    pub kind: String,
    /// `at`: when it happened.
    pub at: Timestamp,
    /// `rt`: when it was recorded; never decreases within a timeline.
    pub recorded_at: Timestamp,
    /// `ac`.
    pub actor: Principal,
    /// `ca`.
    pub causation: Option<EventId>,
    /// `co`.
    pub correlation: Option<String>,
    /// `tp`.
    pub traceparent: Option<String>,
    /// `d`: the public data, as the JSON text of an object.
    pub data: String,
    /// `s`.
    pub sealed: Option<SealedRef>,
    /// `b`.
    pub blob: Option<BlobRef>,
}

/// Why bytes are not a leaf that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// They are not an envelope.
    #[error("the leaf is not an envelope: {0}")]
    Shape(String),
    /// A later program wrote them.
    #[error("the leaf has format {0}, this program reads format {LEAF_FORMAT}: use a newer one")]
    Format(u64),
}

/// The members of a leaf, in their canonical order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<D> {
    ac: Principal,
    at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    b: Option<BlobRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca: Option<EventId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    co: Option<String>,
    d: D,
    id: EventId,
    pos: Position,
    rt: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    s: Option<SealedRef>,
    st: StreamName,
    sv: u64,
    tl: u64,
    tn: TenantId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tp: Option<String>,
    ts: u64,
    ty: String,
    v: u64,
}

impl Envelope {
    /// Reads a leaf. Unknown members are an error: a reader that ignored them would agree to
    /// something that it has not understood.
    pub fn parse(leaf: &[u8]) -> Result<Self, EnvelopeError> {
        let wire: Wire<&RawValue> = serde_json::from_slice(leaf).map_err(|error| {
            later_format(leaf).unwrap_or_else(|| EnvelopeError::Shape(error.to_string()))
        })?;
        if wire.v != LEAF_FORMAT {
            return Err(EnvelopeError::Format(wire.v));
        }
        if !wire.d.get().starts_with('{') {
            return Err(EnvelopeError::Shape("`d` is not an object".to_string()));
        }
        Ok(Self::from_wire(wire))
    }

    fn from_wire(wire: Wire<&RawValue>) -> Self {
        Self {
            timeline: wire.tl,
            position: wire.pos,
            tenant: wire.tn,
            tenant_sequence: wire.ts,
            stream: wire.st,
            version: wire.sv,
            id: wire.id,
            kind: wire.ty,
            at: wire.at,
            recorded_at: wire.rt,
            actor: wire.ac,
            causation: wire.ca,
            correlation: wire.co,
            traceparent: wire.tp,
            data: wire.d.get().to_string(),
            sealed: wire.s,
            blob: wire.b,
        }
    }

    /// The data as a JSON object.
    pub fn data_object(&self) -> Result<serde_json::Map<String, serde_json::Value>, EnvelopeError> {
        serde_json::from_str(&self.data).map_err(|e| EnvelopeError::Shape(e.to_string()))
    }

    /// Renders the leaf anew, in canonical form. For tests and tools: recorded bytes are kept,
    /// not rendered.
    pub fn to_leaf(&self) -> Result<Vec<u8>, CanonicalError> {
        let data = serde_json::from_str::<serde_json::Value>(&self.data)
            .map_err(serde::ser::Error::custom)?;
        let this = self.clone();
        canonical::to_vec(&Wire {
            ac: this.actor,
            at: this.at,
            b: this.blob,
            ca: this.causation,
            co: this.correlation,
            d: data,
            id: this.id,
            pos: this.position,
            rt: this.recorded_at,
            s: this.sealed,
            st: this.stream,
            sv: this.version,
            tl: this.timeline,
            tn: this.tenant,
            tp: this.traceparent,
            ts: this.tenant_sequence,
            ty: this.kind,
            v: LEAF_FORMAT,
        })
    }
}

/// The format number of a leaf that could not be read, if that explains why.
fn later_format(leaf: &[u8]) -> Option<EnvelopeError> {
    #[derive(Deserialize)]
    struct Format {
        v: u64,
    }
    let Format { v } = serde_json::from_slice(leaf).ok()?;
    (v != LEAF_FORMAT).then_some(EnvelopeError::Format(v))
}
