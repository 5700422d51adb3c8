//! Bills of a part of the log are those of the whole: random histories, rated by the use cases
//! and by one fold from the first leaf on.

use std::sync::Arc;

use dagbook::app::billing::{self, Accounts, By, InvoiceAsk};
use dagbook::app::principal::Principal;
use dagbook_events::access::Role;
use dagbook_events::billing::{PeriodClosed, PeriodOpened};
use dagbook_events::conformance::store::ManualClock;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::Actor;
use dagbook_events::rating::Statement;
use dagbook_events::time::Timestamp;
use dagbook_tests::books::{Leaves, accounts};
use dagbook_tests::bundles::{Dice, History, TENANT, data, ledger};
use serde_json::Value as Json;

const SITE: &str = "books.example";
const SECOND: &str = "2026-12";

fn is_deep() -> bool {
    std::env::var("DAGBOOK_DEEP").is_ok_and(|value| value == "1")
}

/// A record, and billing over it.
struct Books {
    store: Arc<Leaves>,
    accounts: Accounts,
    by: Principal,
}

impl Books {
    fn of(leaves: &[Vec<u8>]) -> Self {
        let store = Arc::new(Leaves::of(leaves));
        let tenant = TenantId::new(TENANT).expect("a slug");
        let clock = Arc::new(ManualClock::new(Timestamp(1_800_000_000_000)));
        let accounts = accounts(store.clone(), clock, &tenant, SITE);
        let by = Principal::whole(Actor::new("user", "ada"), tenant, Role::Owner, false);
        Self { store, accounts, by }
    }

    /// `invoice.json`, `lines.csv` and `usage.csv` of a period.
    async fn documents(&self, period: &str) -> [String; 3] {
        let period = period.to_string();
        let ask = InvoiceAsk { documents: true, period: period.clone(), ..InvoiceAsk::default() };
        let invoice = billing::invoice(&self.accounts, &self.by, &ask).await.expect("an invoice");
        let usage = billing::usage(&self.accounts, &self.by, Some(&period), (By::Sku, true));
        let usage = usage.await.expect("usage");
        [invoice.invoice_json, invoice.lines_csv, usage.usage_csv].map(|it| it.expect("asked for"))
    }
}

/// The same of a statement.
fn documents(statement: &Statement, root: Sha256Digest) -> [String; 3] {
    let usage = statement.usage_csv();
    let closed = statement.closing(root, Sha256Digest::of(&usage)).expect("documents");
    [closed.invoice_json, closed.lines_csv, usage].map(|it| String::from_utf8(it).expect("text"))
}

fn find(leaves: &[Vec<u8>], kind: &str, period: &str) -> (u64, Json) {
    let of_it = |(at, leaf): (u64, &Vec<u8>)| match data(leaf) {
        (_, found, data) if found == kind && data["period"] == period => Some((at, data)),
        _ => None,
    };
    (0..).zip(leaves).find_map(of_it).unwrap_or_else(|| panic!("no {kind} of {period}"))
}

fn timeline(leaf: &[u8]) -> u64 {
    let leaf: Json = serde_json::from_slice(leaf).expect("JSON");
    leaf["tl"].as_u64().expect("a timeline")
}

/// All that is closed, and the second month while it was open.
async fn compare(seed: u64, history: &History) -> (u64, u64) {
    let leaves = &history.leaves;
    let books = Books::of(leaves);
    for period in ["2026-11", SECOND] {
        let (at, closing) = find(leaves, "period.closed", period);
        let closing: PeriodClosed = serde_json::from_value(closing).expect("a closing");
        let on = timeline(&leaves[at as usize]);
        let whole =
            ledger(leaves, closing.size, on).statement(period, closing.size).expect("rated");
        let found = books.documents(period).await;
        assert_eq!(found, documents(&whole, closing.root), "seed {seed}, {period}");
        assert_eq!(Sha256Digest::of(found[2].as_bytes()), closing.usage, "seed {seed}, {period}");
    }
    let (opened_at, opened) = find(leaves, "period.opened", SECOND);
    let opened: PeriodOpened = serde_json::from_value(opened).expect("an opening");
    let (closed_at, _) = find(leaves, "period.closed", SECOND);
    let mut dice = Dice::new(seed ^ 0xd4af);
    let mut least_read = 0;
    for _ in 0..3 {
        let size = opened_at + 1 + dice.below(closed_at - opened_at);
        let part = &leaves[..size as usize];
        let books = Books::of(part);
        let on = timeline(part.last().expect("a leaf"));
        let whole = ledger(part, size, on).statement(SECOND, size).expect("rated");
        let head = dagbook_events::ports::EventStore::log_head(&*books.store, &books.by.tenant);
        let root = head.await.expect("a head").root;
        let found = books.documents(SECOND).await;
        assert_eq!(found, documents(&whole, root), "seed {seed}, a draft of {size} leaves");
        let since = whole.since;
        let read = books.store.take_read();
        let first = read.first().copied().unwrap_or(size);
        let from = opened.needs_from.min(since);
        assert!(first >= from, "seed {seed}: leaf {first} was read, {from} is the first of need");
        least_read = least_read.max(first);
    }
    (opened.needs_from, least_read)
}

#[tokio::test]
async fn a_bill_of_what_matters_of_a_log_is_that_of_all_of_it() {
    let count = if is_deep() { 500 } else { 12 };
    let mut trimmed = 0;
    for seed in 0..count {
        compare(seed, &History::random(seed)).await;
        compare(seed, &History::late(seed)).await;
        let (needs_from, first) = compare(seed, &History::calm(seed)).await;
        trimmed += u64::from(needs_from > 10 && first > 10);
    }
    assert!(trimmed * 2 > count, "only {trimmed} of {count} histories were rated in part");
}

#[tokio::test]
async fn a_draft_of_the_second_month_reads_none_of_the_first_but_its_last_day() {
    let history = History::long(7, 1_500);
    let leaves = &history.leaves;
    let (opened_at, opened) = find(leaves, "period.opened", SECOND);
    let opened: PeriodOpened = serde_json::from_value(opened).expect("an opening");
    assert!(opened.needs_from > 3_000 && opened_at > 4_000, "{opened:?} at {opened_at}");
    let books = Books::of(leaves);
    let found = books.documents(SECOND).await;
    let size = leaves.len() as u64;
    let whole = ledger(leaves, size, timeline(&leaves[0])).statement(SECOND, size).expect("rated");
    assert_eq!(found[1..], documents(&whole, Sha256Digest([0; 32]))[1..]);
    let read = books.store.take_read();
    let of_first = read.range(..opened_at).count();
    let rt = |index: &u64| {
        let leaf: Json = serde_json::from_slice(&leaves[*index as usize]).expect("JSON");
        leaf["rt"].as_i64().expect("an instant")
    };
    // One leaf at a time where the beginning is looked for, by halves.
    let day_before = opened.start.0 - 86_400_000;
    let looked_at = read.iter().filter(|index| rt(index) < day_before).count();
    assert!(looked_at <= 14, "{looked_at} leaves from before the last day were read");
    assert!(read.iter().all(|index| *index >= opened.needs_from), "{:?}", read.first());
    assert!((1..500).contains(&of_first), "{of_first} of {opened_at} leaves of the first month");
}
