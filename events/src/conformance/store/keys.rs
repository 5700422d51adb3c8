//! Idempotency keys.

use super::subject::{EPOCH, Subject, keyed, request, tenant};
use crate::conformance::Verdict;
use crate::ports::{AppendError, Expected};
use crate::time::Millis;

pub(super) async fn the_same_request_under_a_key_is_answered_again(subject: Subject) -> Verdict {
    let ask = || keyed("k", request(&[("run/a", Expected::New, 2), ("run/b", Expected::Any, 1)]));
    let first = subject.store.append(ask()).await.expect("appended");
    assert!(!first.duplicate);
    subject.append("run/c", Expected::New, 1).await.expect("appended");
    subject.clock.set(EPOCH + Millis::seconds(9));
    let again = subject.store.append(ask()).await.expect("answered");
    assert!(again.duplicate);
    assert_eq!((again.first, again.last), (first.first, first.last));
    assert_eq!(again.recorded_at, first.recorded_at);
    assert_eq!(subject.head().await, 4);
    Verdict::Kept
}

pub(super) async fn another_request_under_a_key_is_refused(subject: Subject) -> Verdict {
    let first = keyed("k", request(&[("run/a", Expected::New, 2)]));
    subject.store.append(first).await.expect("appended");
    let fewer = keyed("k", request(&[("run/a", Expected::Any, 1)]));
    let elsewhere = keyed("k", request(&[("run/b", Expected::Any, 2)]));
    let mut renamed = keyed("k", request(&[("run/a", Expected::Any, 2)]));
    renamed.streams[0].events[1].kind = "thing.undone".into();
    let mut changed = keyed("k", request(&[("run/a", Expected::Any, 2)]));
    changed.streams[0].events[1].data = br#"{"n":7}"#.to_vec();
    for other in [fewer, elsewhere, renamed, changed] {
        let outcome = subject.store.append(other).await;
        assert_eq!(outcome, Err(AppendError::KeyReused("k".to_string())));
    }
    assert_eq!(subject.head().await, 2);
    Verdict::Kept
}

/// Asking again after a success must not fail because the success changed the version.
pub(super) async fn a_key_is_checked_before_versions(subject: Subject) -> Verdict {
    let ask = || keyed("k", request(&[("run/a", Expected::Exact(0), 1)]));
    subject.store.append(ask()).await.expect("appended");
    subject.append("run/a", Expected::Exact(1), 1).await.expect("appended");
    assert!(subject.store.append(ask()).await.expect("answered").duplicate);
    Verdict::Kept
}

pub(super) async fn keys_belong_to_tenants(subject: Subject) -> Verdict {
    for name in ["acme", "umbrella"] {
        let mut ask = keyed("k", request(&[("run/a", Expected::New, 1)]));
        ask.tenant = tenant(name);
        assert!(!subject.store.append(ask).await.expect("appended").duplicate);
    }
    assert_eq!(subject.head().await, 2);
    Verdict::Kept
}

pub(super) async fn a_rejected_request_does_not_use_up_its_key(subject: Subject) -> Verdict {
    let ask = || keyed("k", request(&[("run/a", Expected::Exact(1), 1)]));
    assert!(subject.store.append(ask()).await.is_err());
    subject.append("run/a", Expected::New, 1).await.expect("appended");
    let second = subject.store.append(ask()).await.expect("appended");
    assert!(!second.duplicate);
    assert_eq!(second.first.0, 2);
    Verdict::Kept
}
