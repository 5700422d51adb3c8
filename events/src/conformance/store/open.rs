//! Streams that no event has closed.

use super::subject::{Subject, acme, event, stream, tenant};
use crate::conformance::Verdict;
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::{AppendError, AppendRequest, EventStore, Expected, StreamAppend};

/// Appends events of these types to one stream each.
fn kinds(tenant: &TenantId, streams: &[(&str, &[&str])]) -> AppendRequest {
    let streams = streams.iter().map(|(name, kinds)| StreamAppend {
        stream: stream(name),
        expected: Expected::Any,
        events: kinds.iter().map(|kind| event(kind, "{}")).collect(),
    });
    AppendRequest { tenant: tenant.clone(), key: None, streams: streams.collect(), fence: None }
}

async fn open(
    store: &dyn EventStore,
    prefix: &str,
    after: Option<(&str, &str)>,
    limit: usize,
) -> Vec<String> {
    let after: Option<(TenantId, StreamName)> = after.map(|(t, s)| (tenant(t), stream(s)));
    let after = after.as_ref().map(|(tenant, stream)| (tenant, stream));
    let open = store.open_streams(prefix, after, limit).await.expect("open streams");
    open.iter().map(|(tenant, stream)| format!("{tenant}:{stream}")).collect()
}

pub(super) async fn open_streams_are_those_that_nothing_has_closed(subject: Subject) -> Verdict {
    let (store, zeta) = (&*subject.store, tenant("zeta"));
    let started: &[&str] = &["thing.happened"];
    let append = async |of: &TenantId, streams: &[(&str, &[&str])]| {
        store.append(kinds(of, streams)).await.expect("appended");
    };
    append(&zeta, &[("run/1", started), ("tenant", started)]).await;
    append(&acme(), &[("run/1", started), ("run/2", started), ("agent/x", started)]).await;
    // Made and closed in one append; closed with others that go on; closed, and more after it.
    append(&acme(), &[("run/3", &["thing.happened", "run.finished"])]).await;
    append(&acme(), &[("run/2", &["run.finished"]), ("run/4", started)]).await;
    append(&acme(), &[("run/2", &["report.stale"])]).await;
    assert_eq!(open(store, "run/", None, 10).await, ["zeta:run/1", "acme:run/1", "acme:run/4"]);
    assert_eq!(open(store, "run/4", None, 10).await, ["acme:run/4"]);
    let all = ["acme:agent/x", "zeta:run/1", "acme:run/1", "acme:run/4", "zeta:tenant"];
    assert_eq!(open(store, "", None, 10).await, all, "by kind, and by age within it");
    assert!(open(store, "run/%", None, 10).await.is_empty(), "a prefix is text, not a pattern");
    assert!(open(store, "run/", None, 0).await.is_empty());
    Verdict::Kept
}

pub(super) async fn open_streams_are_paged_behind_a_cursor(subject: Subject) -> Verdict {
    let (store, zeta) = (&*subject.store, tenant("zeta"));
    for (of, name) in [(&zeta, "run/1"), (&acme(), "run/1"), (&acme(), "tenant"), (&zeta, "run/2")]
    {
        store.append(kinds(of, &[(name, &["thing.happened"])])).await.expect("appended");
    }
    assert_eq!(open(store, "run/", None, 2).await, ["zeta:run/1", "acme:run/1"]);
    assert_eq!(open(store, "run/", Some(("acme", "run/1")), 2).await, ["zeta:run/2"]);
    store.append(kinds(&acme(), &[("run/1", &["run.finished"])])).await.expect("closed");
    let behind = open(store, "run/", Some(("acme", "run/1")), 2).await;
    assert_eq!(behind, ["zeta:run/2"], "a cursor may be closed meanwhile");
    let behind = open(store, "", Some(("zeta", "run/1")), 5).await;
    assert_eq!(behind, ["zeta:run/2", "acme:tenant"]);
    for unknown in [("acme", "run/2"), ("nobody", "run/1")] {
        assert!(open(store, "run/", Some(unknown), 2).await.is_empty());
        assert!(open(store, "", Some(unknown), 2).await.is_empty());
    }
    Verdict::Kept
}

pub(super) async fn what_was_refused_closes_nothing(subject: Subject) -> Verdict {
    let store = &*subject.store;
    store.append(kinds(&acme(), &[("run/1", &["thing.happened"])])).await.expect("appended");
    let mut late = kinds(&acme(), &[("run/1", &["run.finished"])]);
    late.streams[0].expected = Expected::Exact(7);
    let refused = store.append(late).await;
    assert!(matches!(refused, Err(AppendError::Conflict { .. })), "{refused:?}");
    // Decided in one batch with an append that is accepted, where the store makes batches.
    let mut late = kinds(&acme(), &[("run/1", &["run.finished"])]);
    late.streams[0].expected = Expected::New;
    let next = kinds(&acme(), &[("run/1", &["thing.happened"])]);
    let (refused, appended) = tokio::join!(store.append(late), store.append(next));
    assert!(refused.is_err() && appended.is_ok());
    assert_eq!(open(store, "run/", None, 5).await, ["acme:run/1"]);
    Verdict::Kept
}

pub(super) async fn what_is_open_outlives_a_kill(subject: Subject) -> Verdict {
    let (open_one, closed) = ("run/1", "run/2");
    let both: &[&str] = &["thing.happened", "run.finished"];
    let request = kinds(&acme(), &[(open_one, &["thing.happened"]), (closed, both)]);
    subject.store.append(request).await.expect("appended");
    drop(subject.store);
    let Some(again) = subject.under_test.reopen().await else {
        return Verdict::NotApplicable("the record ends with its handle");
    };
    let store = again.store();
    assert_eq!(store.head().await, Ok(Position(3)));
    assert_eq!(open(&*store, "run/", None, 5).await, ["acme:run/1"]);
    store.append(kinds(&acme(), &[(open_one, &["run.finished"])])).await.expect("closed");
    assert!(open(&*store, "run/", None, 5).await.is_empty());
    Verdict::Kept
}
