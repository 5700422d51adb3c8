//! Laws of [`EventBus`](crate::ports::EventBus).

use std::sync::Arc;
use std::time::Duration;

use super::{Report, Trial, Verdict, try_law};
use crate::ids::{Position, TenantId};
use crate::ports::{EventBus, Wake};

type Law = fn(Arc<dyn EventBus>) -> Trial;

const LAWS: &[(&str, Law)] = &[
    ("a_hint_that_was_given_before_is_known", |bus| Box::pin(known_before(bus))),
    ("a_waiter_is_woken", |bus| Box::pin(woken(bus))),
    ("every_waiter_is_woken", |bus| Box::pin(all_woken(bus))),
    ("the_head_never_goes_back", |bus| Box::pin(never_back(bus))),
    ("a_waiter_that_is_up_to_date_keeps_waiting", |bus| Box::pin(keeps_waiting(bus))),
];

/// Tries all laws, each on a fresh bus.
pub async fn run_all(factory: &dyn Fn() -> Arc<dyn EventBus>) -> Report {
    let mut results = Vec::new();
    for (name, law) in LAWS {
        results.push((*name, try_law(law(factory())).await));
    }
    Report(results)
}

async fn publish(bus: &dyn EventBus, head: u64) {
    let tenant = TenantId::new("acme").expect("a tenant");
    bus.publish(Wake { tenant, head: Position(head) }).await.expect("published");
}

async fn wait(bus: &dyn EventBus, seen: u64) -> u64 {
    let waiting = bus.wait_beyond(Position(seen));
    let head = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    head.expect("woken in time").expect("the bus works").0
}

async fn known_before(bus: Arc<dyn EventBus>) -> Verdict {
    publish(&*bus, 3).await;
    assert_eq!(wait(&*bus, 0).await, 3);
    assert_eq!(wait(&*bus, 2).await, 3);
    Verdict::Kept
}

async fn woken(bus: Arc<dyn EventBus>) -> Verdict {
    let (waited, ()) = tokio::join!(wait(&*bus, 4), publish(&*bus, 5));
    assert_eq!(waited, 5);
    Verdict::Kept
}

async fn all_woken(bus: Arc<dyn EventBus>) -> Verdict {
    let waiters: Vec<_> = (0..20)
        .map(|_| {
            let bus = Arc::clone(&bus);
            tokio::spawn(async move { wait(&*bus, 0).await })
        })
        .collect();
    publish(&*bus, 1).await;
    for waiter in waiters {
        assert_eq!(waiter.await.expect("no panic"), 1);
    }
    Verdict::Kept
}

async fn never_back(bus: Arc<dyn EventBus>) -> Verdict {
    publish(&*bus, 7).await;
    publish(&*bus, 2).await;
    assert_eq!(wait(&*bus, 0).await, 7, "an old hint must not hide a newer one");
    Verdict::Kept
}

async fn keeps_waiting(bus: Arc<dyn EventBus>) -> Verdict {
    publish(&*bus, 2).await;
    let mut waiting = bus.wait_beyond(Position(2));
    let early = std::future::poll_fn(|context| {
        std::task::Poll::Ready(waiting.as_mut().poll(context).is_ready())
    });
    assert!(!early.await, "nothing came after position 2");
    publish(&*bus, 3).await;
    let head = tokio::time::timeout(Duration::from_secs(10), waiting).await;
    assert_eq!(head.expect("woken in time").expect("the bus works"), Position(3));
    Verdict::Kept
}

/// A law of buses between processes: whoever tells one handle wakes those who wait at another.
///
/// # Panics
/// Where it is broken.
pub async fn handles_wake_each_other(one: &dyn EventBus, other: &dyn EventBus) {
    // A hint that is told before the other one listens may be lost, so it is told until heard.
    for (from, to, head) in [(one, other, 11), (other, one, 12), (one, other, 13)] {
        let told = async {
            loop {
                publish(from, head).await;
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            heard = wait(to, head - 1) => assert_eq!(heard, head),
            () = told => {}
        }
    }
}
