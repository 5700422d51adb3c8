//! What the leaves alone must keep to, whoever wrote them.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::canonical;
use crate::digest::Sha256Digest;
use crate::envelope::{Envelope, EnvelopeError, MAX_LEAF_BYTES};
use crate::ids::TenantId;
use crate::ports::CopiedEvent;

/// Streams whose versions are remembered, twice: those that were seen lately stay.
const MAX_STREAMS: usize = 250_000;

/// What is wrong with a leaf.
#[derive(Debug)]
pub(super) enum Finding {
    /// It is newer than this program.
    TooNew(String),
    /// It is not what it must be.
    Leaf { tenant: Option<TenantId>, reason: String },
}

/// What must be remembered from one leaf to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Checks {
    /// `tl` and `rt` of the last leaf.
    timeline: u64,
    recorded_at: i64,
    #[serde(skip)]
    streams: Streams,
}

/// Next versions of streams, by a hash of their names.
#[derive(Debug)]
struct Streams {
    young: HashMap<[u8; 16], u64>,
    old: HashMap<[u8; 16], u64>,
    /// All streams are known, so an unknown one must be new.
    complete: bool,
}

/// After a restart: nothing is known of streams that began before.
impl Default for Streams {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), complete: false }
    }
}

impl Checks {
    /// From the first leaf on.
    pub(super) fn from_the_first() -> Self {
        let streams = Streams { complete: true, ..Streams::default() };
        Self { streams, ..Self::default() }
    }

    /// What is kept over a restart.
    pub(super) fn without_streams(&self) -> Self {
        Self { streams: Streams::default(), ..*self }
    }

    /// Checks a leaf that stands at the next position; `size` tells the leaves of a tenant.
    pub(super) fn leaf(
        &mut self,
        event: &CopiedEvent,
        hash: Sha256Digest,
        timeline: u64,
        size: impl Fn(&TenantId) -> u64,
    ) -> Result<TenantId, Finding> {
        let anywhere = |reason: String| Finding::Leaf { tenant: None, reason };
        if event.leaf.len() > MAX_LEAF_BYTES {
            return Err(anywhere(format!("the leaf has {} bytes", event.leaf.len())));
        }
        let envelope = match Envelope::parse(&event.leaf) {
            Ok(envelope) => envelope,
            Err(error @ EnvelopeError::Format(_)) => {
                return Err(Finding::TooNew(error.to_string()));
            }
            Err(error) => return Err(anywhere(error.to_string())),
        };
        if envelope.position != event.position {
            return Err(anywhere(format!("the leaf says position {}", envelope.position)));
        }
        let tenant = envelope.tenant.clone();
        match self.envelope(&envelope, event, hash, timeline, size(&tenant)) {
            Ok(()) => Ok(tenant),
            Err(reason) => Err(Finding::Leaf { tenant: Some(tenant), reason }),
        }
    }

    fn envelope(
        &mut self,
        envelope: &Envelope,
        event: &CopiedEvent,
        hash: Sha256Digest,
        timeline: u64,
        size: u64,
    ) -> Result<(), String> {
        let before = (self.timeline, self.recorded_at);
        let now = (envelope.timeline, envelope.recorded_at.0);
        (self.timeline, self.recorded_at) = now.max(before);
        let version = self.streams.next(envelope);
        canonical::verify(&event.leaf).map_err(|error| format!("the leaf is {error}"))?;
        match event.stated_hash {
            Some(stated) if stated == hash => {}
            Some(stated) => {
                return Err(format!("the leaf has the hash {hash}, {stated} stands beside it"));
            }
            None => return Err("no hash stands beside the leaf".to_string()),
        }
        if envelope.timeline == 0 || envelope.timeline > timeline || now.0 < before.0 {
            return Err(format!(
                "the leaf is of timeline {}, behind one of timeline {}",
                now.0, before.0
            ));
        }
        // A new timeline has a clock of its own.
        if now.0 == before.0 && now.1 < before.1 {
            return Err(format!(
                "it was recorded at {}, before the one before it ({})",
                now.1, before.1
            ));
        }
        if envelope.tenant_sequence != size {
            let given = envelope.tenant_sequence;
            return Err(format!("the index in the tenant's log is {given}, {size} was expected"));
        }
        match version {
            Some(expected) if expected != envelope.version => Err(format!(
                "the version in the stream {} is {}, {expected} was expected",
                envelope.stream, envelope.version
            )),
            _ => Ok(()),
        }
    }
}

impl Streams {
    /// The version that the leaf must have, where that is known; the next one is remembered.
    fn next(&mut self, envelope: &Envelope) -> Option<u64> {
        let names = [envelope.tenant.as_str(), envelope.stream.as_str()];
        let name = Sha256Digest::of_parts(&[names[0].as_bytes(), b"\n", names[1].as_bytes()]);
        let mut key = [0; 16];
        key.copy_from_slice(&name.0[..16]);
        let known = self.young.get(&key).or_else(|| self.old.get(&key)).copied();
        self.young.insert(key, envelope.version.saturating_add(1));
        if self.young.len() > MAX_STREAMS {
            self.old = std::mem::take(&mut self.young);
            self.complete = false;
        }
        known.or(self.complete.then_some(0))
    }
}
