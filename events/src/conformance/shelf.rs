//! Laws of [`Shelf`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::store::ManualClock;
use super::{Report, Trial, Verdict, try_law};
use crate::ids::TenantId;
use crate::ports::{Clock, SHELF_VALUE_MAX, Shelf, ShelfAnswer, ShelfExpected, ShelfItem};
use crate::time::{Millis, Timestamp};

/// When the laws' clock starts: 2026-01-01T00:00:00Z.
const EPOCH: Timestamp = Timestamp(1_767_225_600_000);
const HOUR: Millis = Millis::seconds(3_600);

/// Makes shelves to be tried.
#[async_trait]
pub trait ShelfFactory: Send + Sync {
    /// A fresh, empty shelf, which goes by this clock unless it has one of its own.
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn ShelfUnderTest>;
}

/// A shelf with what the laws want of it.
#[async_trait]
pub trait ShelfUnderTest: Send + Sync {
    /// The shelf.
    fn shelf(&self) -> Arc<dyn Shelf>;
    /// A further handle on the same shelf, if there can be one.
    async fn second_handle(&self) -> Option<Arc<dyn Shelf>> {
        None
    }
}

struct Subject {
    under_test: Box<dyn ShelfUnderTest>,
    shelf: Arc<dyn Shelf>,
    clock: Arc<ManualClock>,
}

type Law = fn(Subject) -> Trial;

const LAWS: &[(&str, Law)] = &[
    ("what_is_put_is_got", |subject| Box::pin(put_is_got(subject))),
    ("versions_grow_with_every_change", |subject| Box::pin(versions(subject))),
    ("what_is_expected_is_checked", |subject| Box::pin(expected(subject))),
    ("one_of_many_puts_what_is_new", |subject| Box::pin(one_of_many(subject))),
    ("what_has_expired_is_not_there", |subject| Box::pin(expiry(subject))),
    ("sweeping_takes_only_what_has_expired", |subject| Box::pin(sweeping(subject))),
    ("tenants_do_not_see_each_other", |subject| Box::pin(tenants(subject))),
    ("lists_are_ordered_bounded_and_continue", |subject| Box::pin(listing(subject))),
    ("counters_never_give_a_number_twice", |subject| Box::pin(counters(subject))),
    ("keys_and_values_are_bounded", |subject| Box::pin(bounds(subject))),
    ("other_handles_see_it_at_once", |subject| Box::pin(handles(subject))),
];

/// Tries all laws, each on a fresh shelf.
pub async fn run_all(factory: &dyn ShelfFactory) -> Report {
    let mut results = Vec::new();
    for (name, law) in LAWS {
        let clock = Arc::new(ManualClock::new(EPOCH));
        let under_test = factory.fresh(Arc::clone(&clock) as _).await;
        let shelf = under_test.shelf();
        results.push((*name, try_law(law(Subject { under_test, shelf, clock })).await));
    }
    Report(results)
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant")
}

fn acme() -> TenantId {
    tenant("acme")
}

impl Subject {
    async fn put(&self, key: &str, value: &[u8], expected: ShelfExpected) -> ShelfAnswer {
        self.shelf.put(&acme(), key, value, expected, None).await.expect("an answer")
    }

    async fn get(&self, key: &str) -> Option<ShelfItem> {
        self.shelf.get(&acme(), key).await.expect("an answer")
    }

    async fn keys(&self, prefix: &str, after: Option<&str>, limit: usize) -> Vec<String> {
        let items = self.shelf.list(&acme(), prefix, after, limit).await.expect("a list");
        items.into_iter().map(|item| item.key).collect()
    }

    /// Puts something that is over before it is looked at, by whichever clock the shelf has.
    async fn put_expired(&self, key: &str) {
        let lasting = Some(Millis(1));
        self.shelf.put(&acme(), key, b"old", ShelfExpected::Any, lasting).await.expect("kept");
        self.clock.set(self.clock.now() + Millis(1));
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.get(key).await.is_some() {
            assert!(Instant::now() < deadline, "it ran out long ago");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn put_is_got(subject: Subject) -> Verdict {
    assert_eq!(subject.get("a").await, None);
    for value in [b"".as_slice(), b"\0\xff\n", &[7; SHELF_VALUE_MAX]] {
        subject.put("a", value, ShelfExpected::Any).await;
        let item = subject.get("a").await.expect("it is there");
        assert_eq!((item.key.as_str(), item.value.as_slice()), ("a", value));
        assert!(item.at >= EPOCH, "{:?}", item.at);
    }
    assert_eq!(subject.shelf.remove(&acme(), "a").await, Ok(true));
    assert_eq!(subject.shelf.remove(&acme(), "a").await, Ok(false));
    assert_eq!(subject.get("a").await, None);
    Verdict::Kept
}

async fn versions(subject: Subject) -> Verdict {
    for version in 1..=3 {
        let answer = subject.put("a", b"same", ShelfExpected::Any).await;
        assert_eq!(answer, ShelfAnswer::Kept(version));
        assert_eq!(subject.get("a").await.map(|item| item.version), Some(version));
    }
    assert_eq!(subject.put("b", b"", ShelfExpected::Any).await, ShelfAnswer::Kept(1));
    Verdict::Kept
}

async fn expected(subject: Subject) -> Verdict {
    let missing = subject.put("a", b"1", ShelfExpected::Version(1)).await;
    assert_eq!(missing, ShelfAnswer::Differs(None));
    assert_eq!(subject.put("a", b"1", ShelfExpected::New).await, ShelfAnswer::Kept(1));
    let there = subject.get("a").await;
    for expected in [ShelfExpected::New, ShelfExpected::Version(2)] {
        let answer = subject.put("a", b"2", expected).await;
        assert_eq!(answer, ShelfAnswer::Differs(there.clone()), "{expected:?}");
    }
    assert_eq!(subject.put("a", b"2", ShelfExpected::Version(1)).await, ShelfAnswer::Kept(2));
    assert_eq!(subject.get("a").await.map(|item| item.value), Some(b"2".to_vec()));
    Verdict::Kept
}

async fn one_of_many(subject: Subject) -> Verdict {
    let mut askers = tokio::task::JoinSet::new();
    for asker in 0..8u8 {
        let shelf = Arc::clone(&subject.shelf);
        askers.spawn(async move {
            shelf.put(&acme(), "a", &[asker], ShelfExpected::New, Some(HOUR)).await
        });
    }
    let mut won = 0;
    while let Some(answer) = askers.join_next().await {
        match answer.expect("no panic").expect("an answer") {
            ShelfAnswer::Kept(version) => {
                assert_eq!(version, 1);
                won += 1;
            }
            ShelfAnswer::Differs(there) => assert!(there.is_some()),
        }
    }
    assert_eq!(won, 1);
    Verdict::Kept
}

async fn expiry(subject: Subject) -> Verdict {
    subject.put_expired("a").await;
    assert_eq!(subject.keys("", None, 10).await, Vec::<String>::new());
    assert_eq!(subject.shelf.remove(&acme(), "a").await, Ok(false));
    subject.put_expired("a").await;
    let expected = ShelfExpected::Version(1);
    assert_eq!(subject.put("a", b"", expected).await, ShelfAnswer::Differs(None));
    let ShelfAnswer::Kept(version) = subject.put("a", b"new", ShelfExpected::New).await else {
        panic!("what has expired stands in the way");
    };
    assert!(version >= 1);
    assert_eq!(subject.get("a").await.map(|item| item.value), Some(b"new".to_vec()));
    Verdict::Kept
}

async fn sweeping(subject: Subject) -> Verdict {
    for key in ["a", "b", "c"] {
        subject.put_expired(key).await;
    }
    subject.put("d", b"", ShelfExpected::Any).await;
    let lasting = Some(HOUR);
    subject.shelf.put(&acme(), "e", b"", ShelfExpected::Any, lasting).await.expect("kept");
    assert_eq!(subject.shelf.sweep(2).await, Ok(2));
    assert_eq!(subject.shelf.sweep(10).await, Ok(1));
    assert_eq!(subject.shelf.sweep(10).await, Ok(0));
    assert_eq!(subject.keys("", None, 10).await, ["d", "e"]);
    Verdict::Kept
}

async fn tenants(subject: Subject) -> Verdict {
    let other = tenant("acme-2");
    subject.put("a", b"mine", ShelfExpected::Any).await;
    assert_eq!(subject.shelf.get(&other, "a").await, Ok(None));
    assert_eq!(subject.shelf.list(&other, "", None, 10).await, Ok(Vec::new()));
    assert_eq!(subject.shelf.remove(&other, "a").await, Ok(false));
    subject.shelf.put(&other, "a", b"", ShelfExpected::New, None).await.expect("kept");
    assert_eq!(subject.shelf.count(&other, "n", 1, 0).await, Ok(1));
    assert_eq!(subject.shelf.count(&acme(), "n", 1, 0).await, Ok(1));
    assert_eq!(subject.get("a").await.map(|item| item.value), Some(b"mine".to_vec()));
    Verdict::Kept
}

async fn listing(subject: Subject) -> Verdict {
    for key in ["x/b", "x/a", "x/B", "y", "x", "x~", "x/~z", "x/a b"] {
        subject.put(key, key.as_bytes(), ShelfExpected::Any).await;
    }
    let all = ["x/B", "x/a", "x/a b", "x/b", "x/~z"];
    assert_eq!(subject.keys("x/", None, 10).await, all);
    assert_eq!(subject.keys("x/", None, 2).await, all[..2]);
    assert_eq!(subject.keys("x/", Some("x/a"), 2).await, all[2..4]);
    assert_eq!(subject.keys("x/", Some("x/~z"), 2).await, Vec::<String>::new());
    assert_eq!(subject.keys("x/", Some("a"), 1).await, all[..1], "before the prefix");
    assert_eq!(subject.keys("", None, 10).await.len(), 8);
    assert_eq!(subject.keys("x/", None, 0).await, Vec::<String>::new());
    Verdict::Kept
}

async fn counters(subject: Subject) -> Verdict {
    let shelf = &subject.shelf;
    assert_eq!(shelf.count(&acme(), "n", 1, 0).await, Ok(1));
    assert_eq!(shelf.count(&acme(), "n", 5, 0).await, Ok(6));
    assert_eq!(shelf.count(&acme(), "n", 1, 3).await, Ok(7), "it is beyond 3 already");
    assert_eq!(shelf.count(&acme(), "n", 1, 100).await, Ok(101));
    assert_eq!(shelf.count(&acme(), "m", 2, 40).await, Ok(42));
    assert_eq!(subject.get("n").await, None, "a counter is no thing");
    let mut askers = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let shelf = Arc::clone(shelf);
        askers.spawn(async move { shelf.count(&acme(), "many", 1, 0).await });
    }
    let mut given = std::collections::BTreeSet::new();
    while let Some(answer) = askers.join_next().await {
        assert!(given.insert(answer.expect("no panic").expect("a number")));
    }
    assert_eq!(given.into_iter().collect::<Vec<_>>(), (1..=16).collect::<Vec<u64>>());
    Verdict::Kept
}

async fn bounds(subject: Subject) -> Verdict {
    let (any, shelf) = (ShelfExpected::Any, &subject.shelf);
    for key in ["", "a\n", "ä", "a\0", &"k".repeat(201)] {
        assert!(shelf.put(&acme(), key, b"", any, None).await.is_err(), "{key:?}");
        assert!(shelf.get(&acme(), key).await.is_err(), "{key:?}");
    }
    assert!(shelf.put(&acme(), "a", &vec![0; SHELF_VALUE_MAX + 1], any, None).await.is_err());
    assert_eq!(subject.keys("", None, 10).await, Vec::<String>::new());
    subject.put(&"k".repeat(200), b"", any).await;
    shelf.put(&acme(), "a", b"", any, Some(Millis(u64::MAX))).await.expect("for long");
    assert_eq!(subject.keys("", None, 10).await.len(), 2);
    Verdict::Kept
}

async fn handles(subject: Subject) -> Verdict {
    let Some(other) = subject.under_test.second_handle().await else {
        return Verdict::NotApplicable("there is one handle only");
    };
    subject.put("a", b"1", ShelfExpected::Any).await;
    let seen = other.get(&acme(), "a").await.expect("an answer").expect("it is there");
    assert_eq!(seen.value, b"1");
    let put = other.put(&acme(), "a", b"2", ShelfExpected::Version(seen.version), None).await;
    assert_eq!(put, Ok(ShelfAnswer::Kept(2)));
    assert_eq!(subject.get("a").await.map(|item| item.value), Some(b"2".to_vec()));
    assert_eq!(subject.shelf.count(&acme(), "n", 1, 0).await, Ok(1));
    assert_eq!(other.count(&acme(), "n", 1, 0).await, Ok(2));
    Verdict::Kept
}
