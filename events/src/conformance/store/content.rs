//! Leaf bytes and trees.

use std::sync::Arc;

use uuid::Uuid;

use super::subject::{Subject, acme, event, request, stream, tenant};
use crate::canonical;
use crate::conformance::Verdict;
use crate::digest::Sha256Digest;
use crate::envelope::{Envelope, MAX_LEAF_BYTES};
use crate::ids::EventId;
use crate::ports::{Actor, AppendError, BlobRef, Expected, LogHead};
use crate::tlog::{empty_root, leaf_hash, root};

pub(super) async fn leaves_are_canonical_and_agree_with_their_rows(subject: Subject) -> Verdict {
    for round in 0..5 {
        let streams = [("run/a", Expected::Any, 2), ("pipeline/p", Expected::Any, round)];
        subject.store.append(request(&streams)).await.expect("appended");
    }
    let all = subject.all().await;
    assert_eq!(all.len(), 20);
    for event in all {
        assert_eq!(canonical::verify(&event.leaf), Ok(()));
        let envelope = Envelope::parse(&event.leaf).expect("an envelope");
        assert_eq!(envelope.position, event.position);
        assert_eq!(envelope.tenant, event.tenant);
        assert_eq!(envelope.tenant_sequence, event.tenant_sequence);
        assert_eq!(envelope.stream, event.stream);
        assert_eq!(envelope.version, event.version);
        assert_eq!(envelope.timeline, 1);
        assert_eq!(envelope.to_leaf().expect("canonical"), *event.leaf);
    }
    Verdict::Kept
}

pub(super) async fn everything_given_is_in_the_leaf(subject: Subject) -> Verdict {
    let blob = BlobRef { h: Sha256Digest::of(b"blob"), mt: "application/json".into(), n: 70_000 };
    let mut given = event("odd.\"kind\"\n", r#"{"n":-9007199254740991,"ä":"\u0001\\"}"#);
    given.actor = Arc::new(Actor::new("user", "Zoë \"z\""));
    given.causation = Some(EventId(Uuid::from_u128(7)));
    given.correlation = Some(Arc::from("run 1"));
    given.traceparent = Some(Arc::from("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
    given.blob = Some(blob.clone());
    let mut ask = request(&[("run/a", Expected::New, 1)]);
    ask.streams[0].events = vec![given.clone()];
    subject.store.append(ask).await.expect("appended");
    let leaf = subject.all().await.remove(0).leaf;
    let read = Envelope::parse(&leaf).expect("an envelope");
    assert_eq!((read.id, read.at, read.kind.as_str()), (given.id, given.at, &*given.kind));
    assert_eq!((read.actor.kind, read.actor.id), ("user".into(), "Zoë \"z\"".into()));
    assert_eq!(read.causation, given.causation);
    assert_eq!(read.correlation.as_deref(), given.correlation.as_deref());
    assert_eq!(read.traceparent.as_deref(), given.traceparent.as_deref());
    assert_eq!((read.blob, read.sealed), (Some(blob), None));
    assert_eq!(read.data.as_bytes(), given.data);
    Verdict::Kept
}

pub(super) async fn an_oversize_leaf_is_refused(subject: Subject) -> Verdict {
    let ask = |bytes: usize| {
        let mut ask = request(&[("run/a", Expected::Any, 2)]);
        ask.streams[0].events[1].data = format!("{{\"x\":\"{}\"}}", "x".repeat(bytes)).into_bytes();
        ask
    };
    let refused = subject.store.append(ask(MAX_LEAF_BYTES)).await;
    assert!(matches!(refused, Err(AppendError::Invalid(_))), "{refused:?}");
    assert_eq!(subject.head().await, 0, "its neighbours were not appended either");
    subject.store.append(ask(MAX_LEAF_BYTES - 1_024)).await.expect("appended");
    assert!(subject.all().await.iter().all(|event| event.leaf.len() <= MAX_LEAF_BYTES));
    Verdict::Kept
}

pub(super) async fn data_that_is_not_canonical_is_refused(subject: Subject) -> Verdict {
    let broken: [&[u8]; 8] = [
        br#"{"b":1,"a":2}"#,
        br#"{"a": 1}"#,
        br#"{"a":1.5}"#,
        br#"{"a":null}"#,
        br#"{"a":9007199254740992}"#,
        br#"{"a":1}}"#,
        b"{\"a\":\"\xff\"}",
        b"",
    ];
    for data in broken {
        let mut ask = request(&[("run/a", Expected::Any, 1)]);
        ask.streams[0].events[0].data = data.to_vec();
        let outcome = subject.store.append(ask).await;
        assert!(matches!(outcome, Err(AppendError::Invalid(_))), "{outcome:?} for {data:?}");
    }
    assert_eq!(subject.head().await, 0);
    Verdict::Kept
}

pub(super) async fn the_log_head_is_the_root_over_the_leaves(subject: Subject) -> Verdict {
    let other = tenant("umbrella");
    let empty = LogHead { size: 0, root: empty_root() };
    assert_eq!(subject.store.log_head(&acme()).await, Ok(empty));
    for round in 0..40u64 {
        let mut ask = request(&[("run/a", Expected::Any, 1 + (round % 4) as usize)]);
        if round % 3 == 0 {
            ask.tenant = other.clone();
        }
        subject.store.append(ask).await.expect("appended");
        for tenant in [acme(), other.clone()] {
            let log = subject.store.read_log(&tenant, 0, 1_000).await.expect("the log");
            let hashes: Vec<_> = log.iter().map(|event| leaf_hash(&event.leaf)).collect();
            let expected = LogHead { size: hashes.len() as u64, root: root(&hashes) };
            assert_eq!(subject.store.log_head(&tenant).await, Ok(expected));
        }
    }
    let of_stream = subject.store.read_stream(&acme(), &stream("run/a"), 0, 1_000).await;
    let of_log = subject.store.read_log(&acme(), 0, 1_000).await;
    assert_eq!(of_stream, of_log, "with one stream the log is the stream");
    Verdict::Kept
}
