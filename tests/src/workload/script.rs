//! What a caller asks for, one request after the other.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{EventId, StreamName, TenantId};
use dagbook_events::ports::{Actor, AppendRequest, Expected, Fence, NewEvent, StreamAppend};
use dagbook_events::time::Timestamp;
use serde::Deserialize;
use uuid::Uuid;

use crate::sim::rng::Rng;

/// When the callers' events happened, at the earliest.
const EPOCH: i64 = 1_795_239_121_000;
/// Streams of each caller in each tenant.
const OWN_STREAMS: u64 = 3;
/// Streams of each tenant to which all callers add.
const SHARED_STREAMS: u64 = 4;
/// Requests in a hundred that expect a version which the stream does not have.
const WRONG: u64 = 3;

/// The requests of one caller. A request is determined by the seed, the caller and its number.
#[derive(Debug, Clone)]
pub struct Script {
    caller: u64,
    next: u64,
    rng: Rng,
    tenants: u64,
    /// Events in the caller's own streams: only it writes them, so it knows.
    versions: BTreeMap<(u64, u64), u64>,
}

/// One request and what must become of it.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Whose it is.
    pub caller: u64,
    /// Its number, from 0.
    pub request: u64,
    /// What to ask for.
    pub append: AppendRequest,
    /// It expects a wrong version: it must be refused and leave no trace.
    pub refused: bool,
}

/// What an event says about the request that it is part of.
#[derive(Debug, Deserialize)]
pub(super) struct Label {
    pub caller: u64,
    pub request: u64,
    pub part: u64,
    pub parts: u64,
}

impl Script {
    /// Of one caller among others with the same seed, from its first request.
    pub fn new(seed: u64, caller: u64, tenants: u64) -> Self {
        let rng = Rng::stream(seed, &format!("caller {caller}"));
        Self { caller, next: 0, rng, tenants, versions: BTreeMap::new() }
    }

    /// Passes over the requests before this one.
    pub fn skip_to(&mut self, request: u64) {
        while self.next < request {
            self.plan();
        }
    }

    /// The next request.
    pub fn plan(&mut self) -> Planned {
        let (caller, request) = (self.caller, self.next);
        self.next += 1;
        let tenant = self.rng.below(self.tenants);
        let refused = self.rng.percent(WRONG);
        let own = self.rng.below(OWN_STREAMS);
        let events = match self.rng.below(100) {
            0..70 => 1,
            70..95 => self.rng.between(2, 5),
            _ => self.rng.between(6, 20),
        };
        let shared = self.rng.percent(30).then(|| self.rng.below(SHARED_STREAMS));
        let of_shared = if shared.is_some() { events / 2 } else { 0 };
        let mut parts = 0;
        let mut event = || {
            parts += 1;
            self.event(request, parts - 1, events)
        };
        let own_events: Vec<_> = (of_shared..events).map(|_| event()).collect();
        let shared_events: Vec<_> = (0..of_shared).map(|_| event()).collect();

        let version = self.versions.entry((tenant, own)).or_default();
        let expected = match (refused, *version) {
            (true, version) => Expected::Exact(version + 7),
            (false, 0) => Expected::New,
            (false, version) => Expected::Exact(version),
        };
        if !refused {
            *version += own_events.len() as u64;
        }
        let stream = |name: String| StreamName::new(&name).expect("a stream's name");
        let mut streams = vec![StreamAppend {
            stream: stream(format!("run/caller-{caller}-{own}")),
            expected,
            events: own_events,
        }];
        if let Some(shared) = shared {
            streams.push(StreamAppend {
                stream: stream(format!("pipeline/shared-{shared}")),
                expected: Expected::Any,
                events: shared_events,
            });
        }
        let append = AppendRequest {
            tenant: TenantId::new(&format!("tenant-{tenant}")).expect("a slug"),
            key: Some(format!("caller-{caller}/{request}")),
            streams,
            fence: None,
        };
        Planned { caller, request, append, refused }
    }

    fn event(&mut self, request: u64, part: u64, parts: u64) -> NewEvent {
        let caller = self.caller;
        let length = usize::try_from(self.rng.between(20, 300)).expect("a length");
        let text = "0123456789abcdef".repeat(length / 16 + 1);
        let data = format!(
            r#"{{"caller":{caller},"part":{part},"parts":{parts},"request":{request},"text":"{}"}}"#,
            &text[..length]
        );
        let at = EPOCH + i64::try_from(request).expect("a request");
        let chance = u128::from(self.rng.below(1 << 30));
        let id = u128::try_from(at).expect("after 1970") << 80
            | 7 << 76
            | (u128::from(part) & 0xfff) << 64
            | 2 << 62
            | (u128::from(caller) & 0xffff_ffff) << 30
            | chance;
        NewEvent {
            id: EventId(Uuid::from_u128(id)),
            kind: Arc::from(if part == 0 { "attempt.started" } else { "attempt.exited" }),
            at: Timestamp(at),
            actor: Arc::new(Actor::new("system", &format!("caller-{caller}"))),
            causation: None,
            correlation: None,
            traceparent: None,
            data: data.into_bytes(),
            blob: None,
        }
    }
}

impl Planned {
    /// Under a lease.
    pub fn fenced(mut self, fence: Option<&Fence>) -> Self {
        self.append.fence = fence.cloned();
        self
    }

    /// Events that it adds.
    pub fn events(&self) -> u64 {
        self.append.streams.iter().map(|stream| stream.events.len() as u64).sum()
    }

    /// Digest of all that the record must repeat: streams, ids, types, instants and data.
    pub fn digest(&self) -> Sha256Digest {
        let mut digest = Sha256Digest([0; 32]);
        for stream in &self.append.streams {
            for event in &stream.events {
                let (kind, data) = (&event.kind, &event.data);
                digest = fold(digest, &stream.stream, event.id, kind, event.at, data);
            }
        }
        digest
    }
}

/// The digest of one event more.
pub(super) fn fold_recorded(digest: Sha256Digest, event: &Envelope) -> Sha256Digest {
    fold(digest, &event.stream, event.id, &event.kind, event.at, event.data.as_bytes())
}

fn fold(
    before: Sha256Digest,
    stream: &StreamName,
    id: EventId,
    kind: &str,
    at: Timestamp,
    data: &[u8],
) -> Sha256Digest {
    let (id, at) = (id.0.into_bytes(), at.0.to_be_bytes());
    let parts =
        [&before.0, stream.as_str().as_bytes(), &[0], &id, kind.as_bytes(), &[0], &at, data];
    Sha256Digest::of_parts(&parts)
}
