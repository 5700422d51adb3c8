//! Leaf bytes: the golden leaves read for ever, and the writer's short cut writes the same as
//! the general rendering.

use std::sync::Arc;

use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::{
    Draft, Envelope, EnvelopeError, MAX_LEAF_BYTES, Numbers, Principal, SealError, SealedRef,
};
use dagbook_events::ids::{EventId, Position, StreamName, TenantId};
use dagbook_events::ports::{Actor, BlobRef, NewEvent};
use dagbook_events::time::Timestamp;
use dagbook_events::tlog::leaf_hash;
use proptest::prelude::*;

const FULL: &[u8] = include_bytes!("golden/leaf_v1_full.json");
const SMALL: &[u8] = include_bytes!("golden/leaf_v1_small.json");

fn id(text: &str) -> EventId {
    text.parse().expect("an id")
}

fn small() -> Envelope {
    Envelope {
        timeline: 1,
        position: Position(1),
        tenant: TenantId::new("local").expect("a tenant"),
        tenant_sequence: 0,
        stream: StreamName::new("run/0192f0c4-1c5a-7b3e-8d1f-5a9be2c4d6e7").expect("a stream"),
        version: 0,
        id: id("0192f0c4-1c5b-7000-8000-000000000001"),
        kind: "run.submitted".to_string(),
        at: Timestamp(1_795_239_121_000),
        recorded_at: Timestamp(1_795_239_121_004),
        actor: Principal {
            id: "ada".to_string(),
            kind: "user".to_string(),
            on_behalf_of: None,
            token: None,
        },
        causation: None,
        correlation: None,
        traceparent: None,
        data: "{}".to_string(),
        sealed: None,
        blob: None,
    }
}

fn full() -> Envelope {
    let mut envelope = small();
    envelope.timeline = 2;
    envelope.position = Position(9_007_199_254_740_991);
    envelope.tenant_sequence = 41;
    envelope.version = 40;
    envelope.kind = "attempt.exited".to_string();
    envelope.actor.token = Some("tok_7".to_string());
    envelope.actor.on_behalf_of = Some("grace \"g\" é".to_string());
    envelope.causation = Some(id("0192f0c4-1c5b-7000-8000-000000000002"));
    envelope.correlation = Some("0192f0c4-1c5a-7b3e-8d1f-5a9be2c4d6e7".to_string());
    envelope.traceparent =
        Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_string());
    envelope.data = r#"{"a":[1,-2,"x\n"],"b":{"c":true}}"#.to_string();
    envelope.sealed = Some(SealedRef {
        a: "aes-256-gcm".to_string(),
        h: Sha256Digest::of(b"ciphertext"),
        k: "run/1".to_string(),
        n: 10,
    });
    envelope.blob =
        Some(BlobRef { h: Sha256Digest::of(b"blob"), mt: "application/json".to_string(), n: 4 });
    envelope
}

/// The files hold one leaf and a line feed.
fn golden(bytes: &'static [u8]) -> &'static [u8] {
    bytes.strip_suffix(b"\n").expect("a line feed at the end")
}

#[test]
fn golden_leaves_are_read_and_written() {
    for (bytes, envelope) in [(golden(SMALL), small()), (golden(FULL), full())] {
        assert_eq!(canonical::verify(bytes), Ok(()));
        assert_eq!(Envelope::parse(bytes), Ok(envelope.clone()));
        let written = envelope.to_leaf().expect("canonical");
        assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(bytes));
    }
}

#[test]
fn golden_hashes_stand() {
    let hashes = [SMALL, FULL].map(|bytes| leaf_hash(golden(bytes)).to_hex());
    assert_eq!(
        hashes,
        include_str!("golden/leaf_v1.hashes").lines().collect::<Vec<_>>().as_slice()
    );
}

#[test]
fn what_is_not_a_leaf_says_why() {
    let text = String::from_utf8(golden(SMALL).to_vec()).expect("UTF-8");
    let later = text.replace("\"v\":1}", "\"v\":2,\"w\":0}");
    assert_eq!(Envelope::parse(later.as_bytes()), Err(EnvelopeError::Format(2)));
    let unknown = text.replace("\"v\":1}", "\"v\":1,\"w\":0}");
    assert!(matches!(Envelope::parse(unknown.as_bytes()), Err(EnvelopeError::Shape(_))));
    let list = text.replace("\"d\":{}", "\"d\":[]");
    assert!(matches!(Envelope::parse(list.as_bytes()), Err(EnvelopeError::Shape(_))));
    assert!(matches!(Envelope::parse(b"\xff"), Err(EnvelopeError::Shape(_))));
}

fn new_event(envelope: &Envelope) -> NewEvent {
    NewEvent {
        id: envelope.id,
        kind: Arc::from(envelope.kind.as_str()),
        at: envelope.at,
        actor: Arc::new(Actor {
            kind: envelope.actor.kind.clone(),
            id: envelope.actor.id.clone(),
            on_behalf_of: envelope.actor.on_behalf_of.clone(),
            token: envelope.actor.token.clone(),
        }),
        causation: envelope.causation,
        correlation: envelope.correlation.as_deref().map(Arc::from),
        traceparent: envelope.traceparent.as_deref().map(Arc::from),
        data: envelope.data.clone().into_bytes(),
        blob: envelope.blob.clone(),
    }
}

fn seal(envelope: &Envelope) -> Vec<u8> {
    let (tenant, stream) = (&envelope.tenant, &envelope.stream);
    let draft = Draft::new(new_event(envelope), tenant, stream).expect("it fits");
    let numbers = Numbers {
        timeline: envelope.timeline,
        position: envelope.position,
        tenant_sequence: envelope.tenant_sequence,
        version: envelope.version,
        recorded_at: envelope.recorded_at,
    };
    draft.seal(tenant, stream, numbers)
}

proptest! {
    #[test]
    fn the_short_cut_writes_the_same_bytes(
        kind in ".{1,20}", actor in ".{0,12}", text in ".{0,30}", trace in proptest::option::of(".{0,8}"),
        correlation in proptest::option::of(".{0,8}"), caused in any::<bool>(), blob in any::<bool>(),
        position in 1u64..9_007_199_254_740_991, at in -9_007_199_254_740_991i64..9_007_199_254_740_991,
    ) {
        let mut envelope = full();
        envelope.sealed = None;
        envelope.actor = Principal { id: actor, kind: "user".into(), on_behalf_of: None, token: None };
        envelope.kind = kind;
        envelope.traceparent = trace;
        envelope.correlation = correlation;
        envelope.position = Position(position);
        envelope.at = Timestamp(at);
        envelope.data = String::from_utf8(
            canonical::to_vec(&serde_json::json!({"text": text})).expect("canonical"),
        ).expect("UTF-8");
        if !caused { envelope.causation = None; }
        if !blob { envelope.blob = None; }
        let leaf = seal(&envelope);
        prop_assert_eq!(canonical::verify(&leaf), Ok(()));
        prop_assert_eq!(&leaf, &envelope.to_leaf().expect("canonical"));
        prop_assert_eq!(Envelope::parse(&leaf), Ok(envelope));
    }
}

#[test]
fn the_limit_does_not_depend_on_the_numbers() {
    let sized = |bytes: usize| {
        let mut event = new_event(&small());
        event.data = format!("{{\"x\":\"{}\"}}", "x".repeat(bytes)).into_bytes();
        Draft::new(event, &small().tenant, &small().stream)
    };
    let largest = (0..MAX_LEAF_BYTES).rev().find(|bytes| sized(*bytes).is_ok()).expect("some fit");
    let widest = Numbers {
        timeline: 9_007_199_254_740_991,
        position: Position(9_007_199_254_740_991),
        tenant_sequence: 9_007_199_254_740_991,
        version: 9_007_199_254_740_991,
        recorded_at: Timestamp(9_007_199_254_740_991),
    };
    let leaf = sized(largest).expect("it fits").seal(&small().tenant, &small().stream, widest);
    assert_eq!(leaf.len(), MAX_LEAF_BYTES);
    assert!(matches!(sized(largest + 1), Err(SealError::TooLarge { .. })));
}
