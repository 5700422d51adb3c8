//! Leases, and what they keep from being appended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::subject::{EPOCH, Subject, acme, request, stream};
use crate::conformance::Verdict;
use crate::ports::{AppendError, AppendRequest, Expected, Fence, Lease, LeaseAnswer, Leases};
use crate::time::Millis;

const NO_LEASES: Verdict = Verdict::NotApplicable("the store keeps no leases");
const HOUR: Millis = Millis::seconds(3_600);

fn held(answer: LeaseAnswer) -> Lease {
    match answer {
        LeaseAnswer::Held(lease) => lease,
        LeaseAnswer::TakenBy(lease) => panic!("it is free, and not held by {lease:?}"),
    }
}

async fn take(leases: &Arc<dyn Leases>, name: &str, holder: &str, lasting: Millis) -> Lease {
    held(leases.acquire(name, holder, lasting).await.expect("an answer"))
}

fn fenced(fence: &Fence, mut request: AppendRequest) -> AppendRequest {
    request.fence = Some(fence.clone());
    request
}

pub(super) async fn a_lease_is_held_by_one_at_a_time(subject: Subject) -> Verdict {
    let Some(leases) = subject.under_test.leases() else { return NO_LEASES };
    assert_eq!(leases.lease("engine").await, Ok(None), "nobody ever held it");
    let first = take(&leases, "engine", "a", HOUR).await;
    assert_eq!((&*first.fence.lease, &*first.holder), ("engine", "a"));
    assert!(first.fence.epoch >= 1);
    let other = leases.acquire("engine", "b", HOUR).await.expect("an answer");
    assert_eq!(other, LeaseAnswer::TakenBy(first.clone()));
    assert_eq!(leases.lease("engine").await, Ok(Some(first.clone())), "asking changes nothing");
    let another = take(&leases, "relay", "b", HOUR).await;
    assert_eq!((&*another.fence.lease, &*another.holder), ("relay", "b"), "a lease by itself");

    let other = Lease { holder: "b".to_string(), ..first.clone() };
    assert_eq!(leases.renew(&other, HOUR).await, Ok(None), "the epoch alone is not enough");
    let renewed = leases.renew(&first, Millis::seconds(7_200)).await.expect("an answer");
    let renewed = renewed.expect("it is still held");
    assert_eq!(renewed.fence, first.fence, "to renew it is no change of hands");
    assert!(renewed.expires_at > first.expires_at);
    leases.release(&first.fence).await.expect("released");
    let next = take(&leases, "engine", "b", HOUR).await;
    assert!(next.fence.epoch > first.fence.epoch, "{next:?}");
    assert_eq!(next.holder, "b");
    assert_eq!(leases.renew(&first, HOUR).await, Ok(None), "it was lost");
    leases.release(&first.fence).await.expect("no harm done");
    assert_eq!(leases.lease("engine").await, Ok(Some(next)));
    for (lease, holder) in [("", "a"), ("engine", ""), ("e\0", "a"), (&"e".repeat(257), "a")] {
        assert!(leases.acquire(lease, holder, HOUR).await.is_err(), "{lease:?} {holder:?}");
    }
    Verdict::Kept
}

/// A store that goes back to a state from before an epoch was given out does not give it out
/// again, because the clock does not go back with it.
pub(super) async fn an_epoch_is_never_behind_the_clock(subject: Subject) -> Verdict {
    let Some(leases) = subject.under_test.leases() else { return NO_LEASES };
    let instant = u64::try_from(EPOCH.0).expect("after 1970");
    let first = take(&leases, "engine", "a", HOUR).await.fence.epoch;
    // The store's clock is either ours or one that runs by itself, later.
    assert!(first >= instant, "{first}");
    subject.clock.set(EPOCH + HOUR);
    let second = take(&leases, "engine", "a", HOUR).await.fence.epoch;
    assert!(second > first, "{second}");
    Verdict::Kept
}

pub(super) async fn a_lease_that_ran_out_goes_to_the_next(subject: Subject) -> Verdict {
    let Some(leases) = subject.under_test.leases() else { return NO_LEASES };
    let first = take(&leases, "engine", "a", HOUR).await;
    let short = leases.renew(&first, Millis(1)).await.expect("an answer");
    assert_eq!(short.expect("still held").fence, first.fence);
    // The store's clock is either ours or one that runs by itself.
    subject.clock.set(EPOCH + Millis(1));
    let deadline = Instant::now() + Duration::from_secs(30);
    let next = loop {
        match leases.acquire("engine", "b", HOUR).await.expect("an answer") {
            LeaseAnswer::Held(lease) => break lease,
            LeaseAnswer::TakenBy(lease) => assert_eq!(lease.fence, first.fence),
        }
        assert!(Instant::now() < deadline, "it ran out long ago");
        tokio::time::sleep(Duration::from_millis(2)).await;
    };
    assert!(next.fence.epoch > first.fence.epoch, "{next:?}");
    assert_eq!(leases.renew(&first, HOUR).await, Ok(None));
    Verdict::Kept
}

pub(super) async fn one_of_many_takes_a_lease(subject: Subject) -> Verdict {
    let Some(leases) = subject.under_test.leases() else { return NO_LEASES };
    let mut askers = tokio::task::JoinSet::new();
    for asker in 0..8 {
        let leases = Arc::clone(&leases);
        askers.spawn(async move { leases.acquire("engine", &asker.to_string(), HOUR).await });
    }
    let mut won = Vec::new();
    while let Some(answer) = askers.join_next().await {
        // Whoever comes in the same instant may be told to come back.
        if let Ok(LeaseAnswer::Held(lease)) = answer.expect("no panic") {
            won.push(lease);
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(leases.lease("engine").await, Ok(won.pop()));
    Verdict::Kept
}

pub(super) async fn an_append_under_an_old_epoch_changes_nothing(subject: Subject) -> Verdict {
    let Some(leases) = subject.under_test.leases() else { return NO_LEASES };
    let store = &subject.store;
    let ask = |fence: &Fence, expected| fenced(fence, request(&[("run/a", expected, 1)]));
    let nobody = Fence { lease: Arc::from("engine"), epoch: 1 };
    let refusal =
        |held, current| Err(AppendError::Fenced { lease: Arc::from("engine"), held, current });
    assert_eq!(store.append(ask(&nobody, Expected::New)).await, refusal(1, 0));
    let first = take(&leases, "engine", "a", HOUR).await.fence;
    for round in 0..4 {
        store.append(ask(&first, Expected::Exact(round))).await.expect("it is held");
    }
    // Under its own name, as after a restart that was quicker than the lease.
    let second = take(&leases, "engine", "a", HOUR).await.fence;
    assert!(second.epoch > first.epoch);
    let (old, new) = (first.epoch, second.epoch);
    let mut keyed = ask(&first, Expected::Any);
    keyed.key = Some("k".to_string());
    keyed.streams[0].stream = stream("run/new");
    assert_eq!(store.append(keyed.clone()).await, refusal(old, new));
    assert_eq!(store.append(ask(&first, Expected::Exact(4))).await, refusal(old, new));
    let ahead = Fence { lease: Arc::from("engine"), epoch: new + 1 };
    assert_eq!(store.append(ask(&ahead, Expected::Any)).await, refusal(new + 1, new));
    assert_eq!(subject.head().await, 4);
    let names = store.streams(&acme(), "run/", None, 10).await.expect("names");
    assert_eq!(names.len(), 1, "no stream is left behind");
    keyed.fence = Some(second.clone());
    let appended = store.append(keyed).await.expect("its key was not used up");
    assert_eq!((appended.first.0, appended.duplicate), (5, false));
    leases.release(&second).await.expect("released");
    store.append(ask(&second, Expected::Any)).await.expect("nobody else holds it");
    Verdict::Kept
}

/// However quickly the writer's handle works from what it remembers.
pub(super) async fn a_takeover_fences_other_handles_at_once(subject: Subject) -> Verdict {
    let Some(leases) = subject.under_test.leases() else { return NO_LEASES };
    let writer = subject.under_test.second_handle().await.unwrap_or(Arc::clone(&subject.store));
    let mut epoch = take(&leases, "engine", "a", HOUR).await.fence;
    let mut events = 0;
    for round in 0..10 {
        for _ in 0..=round % 3 {
            let ask = fenced(&epoch, request(&[("run/a", Expected::Exact(events), 1)]));
            writer.append(ask).await.expect("it is held");
            events += 1;
        }
        let old = std::mem::replace(&mut epoch, take(&leases, "engine", "a", HOUR).await.fence);
        let ask = fenced(&old, request(&[("run/a", Expected::Exact(events), 1)]));
        let outcome = writer.append(ask).await;
        assert!(matches!(outcome, Err(AppendError::Fenced { .. })), "{round}: {outcome:?}");
    }
    assert_eq!(subject.head().await, events);
    Verdict::Kept
}
