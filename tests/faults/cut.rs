//! Connections to the database are cut: after a commit was sent and before its answer came, and
//! after any number of bytes, which is at each step of an append.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ports::{AppendError, EventStore};
use dagbook_tests::servers::{Postgres, PostgresVersion, Proxy, eventually};
use dagbook_tests::workload::{Acknowledged, Entry, Ledger, Load, Script, Tail};

use crate::support::{SOON, assert_sound, chance, deep, open};

/// A database behind a proxy: the store's connections can be cut, the tests' own cannot.
struct Site {
    server: Postgres,
    proxy: Proxy,
}

impl Site {
    fn new() -> (Self, String) {
        let server = Postgres::start(PostgresVersion::Debian);
        let proxy = Proxy::to(server.port());
        let address = proxy.through(&server.database("record"));
        (Self { server, proxy }, address)
    }
}

/// Throws the answers from here on away. To be called before what is to be lost is asked for: an
/// answer may come at once.
fn begin_to_lose(proxy: &Proxy) -> impl Future<Output = ()> {
    let before = proxy.swallowed();
    proxy.drop_replies();
    eventually("an answer to be lost", SOON, move || async move {
        (proxy.swallowed() > before).then_some(())
    })
}

/// Throws the answers to what is under way and then the connections away.
async fn lose_answers(proxy: &Proxy) {
    begin_to_lose(proxy).await;
    proxy.cut();
    proxy.pass();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_whose_answer_was_lost_is_found_and_answered() {
    let (site, address) = Site::new();
    let store = open(&address).await;
    let ledger = Arc::new(Ledger::default());
    let mut script = Script::new(1, 0, 2);
    let (mut rounds, mut found) = (0, 0);
    while found < 10 {
        let planned = std::iter::repeat_with(|| script.plan()).find(|planned| !planned.refused);
        let planned = planned.expect("most are not refused");
        let lost = (rounds > 0).then(|| begin_to_lose(&site.proxy));
        let (answer, ()) = tokio::join!(store.append(planned.append.clone()), async {
            if let Some(lost) = lost {
                lost.await;
                site.proxy.cut();
                site.proxy.pass();
            }
        });
        let answer = match answer {
            Ok(answer) => {
                found += 1;
                answer
            }
            // The write was answered in vain and the server had not read the COMMIT behind it yet:
            // nothing stands, as is said, and the same is taken as if it came for the first time.
            Err(AppendError::Unavailable(_)) => {
                let again = store.append(planned.append.clone()).await;
                again.expect("nothing is in the way")
            }
            Err(error) => panic!("the store finds out by itself: {error}"),
        };
        assert!(!answer.duplicate);
        ledger.enter(Entry::Acknowledged(Acknowledged::new(&planned, &answer)));
        rounds += 1;
        assert!(rounds < 200, "{found} of {rounds} lost answers were found");
    }
    assert_sound(store.as_ref(), &ledger, None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_append_of_which_nobody_knows_is_asked_for_again_under_its_key() {
    let (site, address) = Site::new();
    let store = open(&address).await;
    let ledger = Arc::new(Ledger::default());
    let mut script = Script::new(2, 0, 1);
    // Once its streams are known, an append is a single round trip: its answer is the commit's.
    for planned in (0..40).map(|_| script.plan()).filter(|planned| !planned.refused) {
        let answer = store.append(planned.append.clone()).await.expect("nothing is in the way");
        ledger.enter(Entry::Acknowledged(Acknowledged::new(&planned, &answer)));
    }
    let second = std::iter::repeat_with(|| script.plan()).find(|planned| !planned.refused);
    let second = second.expect("most are not refused");
    let lost = begin_to_lose(&site.proxy);
    let (answer, ()) = tokio::join!(store.append(second.append.clone()), async {
        lost.await;
        // And nobody can be asked what became of it.
        site.proxy.down();
    });
    let error = answer.expect_err("nobody can know");
    assert!(matches!(error, AppendError::Unknown(_)), "{error:?}");
    site.proxy.pass();
    let again = || async {
        match store.append(second.append.clone()).await {
            Ok(answer) => Some(answer),
            Err(AppendError::Unavailable(_) | AppendError::Unknown(_)) => None,
            Err(error) => panic!("{error}"),
        }
    };
    let answer = eventually("an answer", SOON, again).await;
    assert!(answer.duplicate, "it was recorded the first time");
    ledger.enter(Entry::Acknowledged(Acknowledged::new(&second, &answer)));
    assert_sound(store.as_ref(), &ledger, None).await;
    assert!(site.server.id().is_some(), "the server never stopped");
}

/// Cuts connections again and again under a load.
async fn under_load(rounds: u64, mut cut: impl AsyncFnMut(&Proxy, u64)) {
    let (seed, _) = chance("cut");
    let (site, address) = Site::new();
    let store = open(&address).await;
    let shared: Arc<dyn EventStore> = Arc::clone(&store) as _;
    let ledger = Arc::new(Ledger::default());
    let tail = Tail::start(Arc::clone(&shared));
    let load = Load { events: u64::MAX, ..Load::new(seed, 16, 0) };
    let callers = {
        let (shared, ledger, load) = (Arc::clone(&shared), Arc::clone(&ledger), load.clone());
        tokio::spawn(async move { load.run(shared, ledger).await })
    };
    for round in 0..rounds {
        ledger.reached(ledger.events() + 40).await;
        cut(&site.proxy, round).await;
    }
    ledger.reached(ledger.events() + 100).await;
    ledger.enough();
    callers.await.expect("the callers");
    let seen = tail.finish(store.head().await.expect("a head")).await;
    assert_sound(store.as_ref(), &ledger, Some(&seen)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_lost_under_load() {
    let rounds = if deep() { 200 } else { 15 };
    under_load(rounds, async |proxy, _| lose_answers(proxy).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_cut_at_each_step_of_an_append() {
    let (_, mut chance) = chance("bytes");
    let rounds = if deep() { 400 } else { 30 };
    under_load(rounds, async |proxy, round| {
        let before = proxy.cuts();
        // From within the first statement to beyond a whole batch.
        proxy.cut_after(1 + round % 10 + chance.below(12_000));
        eventually("a cut", SOON, || async { (proxy.cuts() > before).then_some(()) }).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_falls_silent_is_given_up_and_asked_again() {
    under_load(if deep() { 10 } else { 2 }, async |proxy, _| {
        proxy.hold();
        tokio::time::sleep(Duration::from_millis(300)).await;
        proxy.cut();
        proxy.pass();
    })
    .await;
}
