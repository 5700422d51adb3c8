//! Budgets: random histories of starts, ends, readings, crashes and periods, beside a model that
//! only knows what is recorded; and the sentences that people are told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dagbook_events::admission::money::{Money, Shape, Span, Spending, Spent, Terms, ended_cost};
use dagbook_events::aggregate::Aggregate as _;
use dagbook_events::billing::{
    Bill, BillFaults, BillingEvent, BudgetAction, BudgetRemoved, BudgetSet, CardAdopted, Clock,
    Match, Meter, PeriodKind, PeriodOpened, Price, RateCard, Rounding, Step, TierKind, Tiers,
    Whole,
};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{AttemptId, RunId, TenantId};
use dagbook_events::run::{Hold, HoldBasis};
use dagbook_events::step::{Fault, GpuUsage, Requested, Usage, UsageQuality, UsageSource, Used};
use dagbook_events::time::{Millis, Timestamp};
use proptest::prelude::*;
use serde_json::json;

const CORE: u64 = 1_000;

fn tenant() -> TenantId {
    TenantId::new("acme").expect("a slug")
}

fn price(sku: &str, meter: Meter, per: i128, prices: &[(i128, Option<i128>)]) -> Price {
    let steps = prices
        .iter()
        .map(|(nanos, up_to)| Step { price_nanos: Whole(*nanos), up_to: up_to.map(Whole) });
    let kind = if prices.len() == 1 { TierKind::Flat } else { TierKind::Graduated };
    let tiers = Tiers { kind, steps: steps.collect() };
    Price { sku: sku.to_string(), meter, matches: Match::default(), per: Whole(per), tiers }
}

/// One euro for an hour of a core.
fn card(effective_from: i64) -> BillingEvent {
    let hour = 3_600_000_000;
    let mut h200 = price("h200", Meter::GpuMs, 3_600_000, &[(3_790_000_000, None)]);
    h200.matches.gpu_model = Some("H200".to_string());
    let cpu = price("cpu", Meter::CpuMilliMs, hour, &[(1_000_000_000, Some(hour)), (1, None)]);
    let card = RateCard {
        name: "standard".to_string(),
        version: 1,
        currency: "EUR".to_string(),
        exponent: 2,
        bill: Bill::Allocated,
        clock: Clock::Executor,
        bill_faults: BillFaults { infra: false, policy: true, user: true },
        minimum_ms: Millis(1_000),
        increment_ms: Millis(1_000),
        rounding: Rounding::HalfEven,
        prices: vec![cpu, h200],
    };
    let (sha256, source) = (Sha256Digest([0; 32]), String::new());
    let effective_from = Timestamp(effective_from);
    BillingEvent::CardAdopted(CardAdopted { card, effective_from, sha256, source })
}

fn period(name: &str, start: i64, end: i64) -> BillingEvent {
    BillingEvent::PeriodOpened(PeriodOpened {
        period: name.to_string(),
        kind: PeriodKind::Custom,
        start: Timestamp(start),
        end: Timestamp(end),
        zone: "UTC".to_string(),
        grace_ms: Millis(0),
        currency: "EUR".to_string(),
        exponent: 2,
        needs_from: 0,
    })
}

fn budget(cents: i128, on_exceed: BudgetAction) -> BillingEvent {
    let (name, currency) = ("month".to_string(), "EUR".to_string());
    BillingEvent::BudgetSet(BudgetSet { name, minor: Whole(cents), currency, on_exceed })
}

fn terms(events: &[BillingEvent]) -> Arc<Terms> {
    let mut terms = Terms::default();
    for event in events {
        terms.apply(Timestamp(0), event);
    }
    Arc::new(terms)
}

fn shape(cores: u64) -> Shape {
    Shape {
        executor: "local".to_string(),
        class: "local".to_string(),
        requested: Requested { cpu_milli: cores * CORE, ..Requested::default() },
    }
}

fn usage(cores: u64, from: i64, to: i64) -> Usage {
    Usage {
        executor: "local".to_string(),
        class: "local".to_string(),
        node: "n1".to_string(),
        allocated_ms: Timestamp(from),
        released_ms: Timestamp(to),
        started_ms: None,
        requested: shape(cores).requested,
        used: Used::default(),
        source: UsageSource::None,
        quality: UsageQuality::Exact,
        outcome: "succeeded".to_string(),
        fault: Fault::None,
    }
}

fn attempt(n: u128) -> AttemptId {
    AttemptId(uuid::Uuid::from_u128(n))
}

/// What the record holds of an attempt.
#[derive(Debug, Clone)]
struct Recorded {
    hold: i128,
    ended: Option<Usage>,
}

/// A book, and a record that it is made again from after each crash.
struct Play {
    money: Money,
    terms: Arc<Terms>,
    now: i64,
    next: u128,
    /// Decided and not recorded.
    sent: BTreeMap<u128, (u64, i128, i64)>,
    record: BTreeMap<u128, Recorded>,
    live: BTreeMap<u128, (u64, i64, i64)>,
}

impl Play {
    fn new(terms: Arc<Terms>) -> Self {
        let mut play = Self {
            money: Money::default(),
            terms,
            now: 0,
            next: 0,
            sent: BTreeMap::new(),
            record: BTreeMap::new(),
            live: BTreeMap::new(),
        };
        play.crash();
        play
    }

    fn span(&self) -> Span {
        self.terms.span_at(Timestamp(self.now))
    }

    /// What the recorded ends came to in the current period, as a second reader counts.
    fn spent(&self) -> i128 {
        let span = self.span();
        let ends = self.record.values().filter_map(|it| it.ended.as_ref());
        ends.map(|usage| ended_cost(&self.terms, usage, None, &span)).sum()
    }

    fn held(&self) -> i128 {
        let recorded = self.record.values().filter(|it| it.ended.is_none()).map(|it| it.hold);
        recorded.sum::<i128>() + self.sent.values().map(|(_, hold, _)| hold).sum::<i128>()
    }

    fn start(&mut self, cores: u64, timeout: i64, limit: i128) {
        let (now, millis) = (Timestamp(self.now), Millis(timeout.unsigned_abs()));
        let hold = self.money.hold(&tenant(), ("p", "s"), &shape(cores), millis, now);
        let hold = hold.expect("there is a budget");
        if self.money.afford(&tenant(), hold, now).is_err() {
            return;
        }
        assert!(self.spent() + self.held() + hold.nanos.0 <= limit, "more than the budget");
        self.next += 1;
        self.sent.insert(self.next, (cores, hold.nanos.0, timeout));
        self.money.update(RunId(uuid::Uuid::from_u128(self.next)), &tenant(), hold.nanos.0, false);
    }

    fn confirm(&mut self) {
        let Some((n, (cores, hold, timeout))) = self.sent.pop_first() else { return };
        self.record.insert(n, Recorded { hold, ended: None });
        self.live.insert(n, (cores, self.now, timeout));
        self.money.update(RunId(uuid::Uuid::from_u128(n)), &tenant(), hold, true);
    }

    fn end(&mut self, pick: usize, part: i64) {
        let Some(n) = self.live.keys().nth(pick % self.live.len().max(1)).copied() else { return };
        let (cores, from, timeout) = self.live.remove(&n).expect("it was found");
        let to = from + timeout * part / 100;
        self.now = self.now.max(to);
        let usage = usage(cores, from, to);
        let run = RunId(uuid::Uuid::from_u128(n));
        // Decided: nothing is let go before it is recorded.
        let before = self.money.figures(&tenant())[0].held;
        self.money.update(run, &tenant(), 0, false);
        assert_eq!(self.money.figures(&tenant())[0].held, before);
        self.record.get_mut(&n).expect("it is live").ended = Some(usage.clone());
        self.money.ended(&tenant(), attempt(n), &usage, None);
        self.money.update(run, &tenant(), 0, true);
    }

    fn read(&mut self) {
        let seen = self.money.unseen(&tenant());
        let mut spending = Spending::new(Arc::clone(&self.terms), self.span());
        for (n, recorded) in &self.record {
            if let Some(usage) = &recorded.ended {
                let data = json!({"step": "s", "attempt": attempt(*n), "usage": usage});
                spending.take(
                    RunId(uuid::Uuid::from_u128(*n)),
                    "attempt.exited",
                    &data.to_string(),
                );
            }
        }
        let (since, nanos) = (spending.span().start, spending.nanos());
        assert_eq!(nanos, self.spent());
        let spent = Spent { since, nanos, seen, typical: Vec::new() };
        self.money.set_spent(&tenant(), spent, Timestamp(self.now));
    }

    /// What was on its way is gone, and the book is made again from the record.
    fn crash(&mut self) {
        self.sent.clear();
        self.money = Money::default();
        self.money.set_terms(&tenant(), Arc::clone(&self.terms), Timestamp(self.now));
        for (n, recorded) in self.record.iter().filter(|(_, it)| it.ended.is_none()) {
            let run = RunId(uuid::Uuid::from_u128(*n));
            self.money.update(run, &tenant(), recorded.hold, true);
        }
    }

    /// What the book says is what the record says.
    fn check(&self) {
        let figures = self.money.figures(&tenant());
        assert_eq!(figures[0].held, self.held(), "a hold is leaked, or lost");
        if let Some(spent) = figures[0].spent.filter(|_| figures[0].span == self.span()) {
            assert_eq!(spent, self.spent(), "something is counted twice, or not at all");
        }
        let holding: BTreeSet<RunId> = self.money.held_by_run().map(|(run, ..)| run).collect();
        let open = self.record.iter().filter(|(_, it)| it.ended.is_none()).map(|(n, _)| n);
        let open = open.chain(self.sent.keys()).map(|n| RunId(uuid::Uuid::from_u128(*n)));
        assert_eq!(holding, open.collect(), "each open attempt has a hold, and no other");
    }
}

#[derive(Debug, Clone)]
enum Op {
    Start(u64, i64),
    Confirm,
    End(usize, i64),
    Read,
    Wait(i64),
    Crash,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..9u64, 1_000..7_200_000i64).prop_map(|(cores, ms)| Op::Start(cores, ms)),
        6 => Just(Op::Confirm),
        4 => (any::<usize>(), 0..101i64).prop_map(|(pick, part)| Op::End(pick, part)),
        4 => Just(Op::Read),
        1 => (0..20_000_000i64).prop_map(Op::Wait),
        1 => Just(Op::Crash),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_spent_and_held_never_exceeds_a_budget_and_no_hold_is_leaked(
        ops in prop::collection::vec(op(), 1..80),
        cents in 100..6_000i128,
    ) {
        let day = 86_400_000;
        let terms = terms(&[
            card(0),
            period("one", 0, day),
            period("two", day, 2 * day),
            budget(cents, BudgetAction::HoldNew),
        ]);
        let mut play = Play::new(terms);
        for op in ops {
            match op {
                Op::Start(cores, ms) => play.start(cores, ms, cents * 10_000_000),
                Op::Confirm => play.confirm(),
                Op::End(pick, part) => play.end(pick, part),
                Op::Read => play.read(),
                Op::Wait(ms) => play.now += ms,
                Op::Crash => play.crash(),
            }
            play.check();
        }
    }
}

fn hold(terms: &Arc<Terms>, shape: &Shape, ms: u64) -> Hold {
    let mut money = Money::default();
    money.set_terms(&tenant(), Arc::clone(terms), Timestamp(0));
    money.hold(&tenant(), ("p", "s"), shape, Millis(ms), Timestamp(0)).expect("a budget")
}

#[test]
fn a_hold_is_the_request_for_its_timeout_at_the_price_of_the_first_step() {
    let terms = terms(&[card(0), budget(1, BudgetAction::HoldNew)]);
    let own = hold(&terms, &shape(4), 3_600_000);
    assert_eq!(own.nanos, Whole(4_000_000_000), "four cores for an hour; later steps are cheaper");
    assert_eq!((own.ms, own.basis), (Millis(3_600_000), HoldBasis::Timeout));
    assert_eq!(hold(&terms, &shape(1), 1).nanos, Whole(277_778), "a second at least, rounded up");
    let gpu =
        |model: &str| GpuUsage { model: model.to_string(), mode: "exclusive".into(), count: 2 };
    let mut with = shape(0);
    with.requested.gpu = vec![gpu("H200"), gpu("A2")];
    assert_eq!(hold(&terms, &with, 3_600_000).nanos, Whole(7_580_000_000), "only what has a price");
}

#[test]
fn enough_earlier_attempts_say_how_long_the_next_one_takes() {
    let terms = terms(&[card(0), budget(1_000, BudgetAction::HoldNew)]);
    let mut spending = Spending::new(Arc::clone(&terms), terms.span_at(Timestamp(0)));
    let run = RunId(uuid::Uuid::from_u128(1));
    spending.take(run, "run.submitted", r#"{"pipeline":"p"}"#);
    let mut money = Money::default();
    money.set_terms(&tenant(), Arc::clone(&terms), Timestamp(0));
    for n in 1..=20u32 {
        let usage = usage(1, 0, i64::from(n) * 1_000);
        let data = json!({"step": "s[1]", "attempt": attempt(n.into()), "usage": usage});
        spending.take(run, "attempt.exited", &data.to_string());
        let typical = spending.take_typical();
        assert_eq!(typical[0].2.known, n);
        let spent = Spent { typical, ..Spent::default() };
        money.set_spent(&tenant(), spent, Timestamp(0));
        let hour = Millis(3_600_000);
        let hold = money.hold(&tenant(), ("p", "s"), &shape(1), hour, Timestamp(0));
        let hold = hold.expect("there is a budget");
        match n {
            0..5 => assert_eq!((hold.ms, hold.basis), (hour, HoldBasis::Timeout), "{n}"),
            5..20 => assert_eq!(hold.basis, HoldBasis::Recorded),
            _ => assert_eq!(hold.ms, Millis(19_000), "of twenty all but one"),
        }
        let short = money.hold(&tenant(), ("p", "s"), &shape(1), Millis(500), Timestamp(0));
        assert_eq!(short.map(|it| it.basis), Some(HoldBasis::Timeout), "never above the timeout");
    }
}

#[test]
fn until_the_record_is_read_a_budget_that_holds_back_does_and_says_so() {
    let mut money = Money::default();
    let agreed =
        terms(&[card(0), period("2026-11", 0, 1_000_000), budget(150, BudgetAction::Stop)]);
    money.set_terms(&tenant(), Arc::clone(&agreed), Timestamp(0));
    let small = hold(&agreed, &shape(1), 3_600_000);
    assert!(money.afford(&tenant(), small, Timestamp(0)).is_err());
    let why = money.why(&tenant(), &small).expect("it waits");
    assert_eq!(why.code, "budget_unknown");
    assert!(why.text.contains("`month`"), "{}", why.text);
    money.set_spent(&tenant(), Spent::default(), Timestamp(0));
    assert_eq!(money.afford(&tenant(), small, Timestamp(0)), Ok(()));
    assert_eq!(money.why(&tenant(), &small), None);
    let large = hold(&agreed, &shape(2), 3_600_000);
    assert!(money.afford(&tenant(), large, Timestamp(0)).is_err());
    let why = money.why(&tenant(), &large).expect("it waits");
    assert_eq!(
        why.text,
        "budget `month` has 1.50 EUR: 0.00 EUR spent, 0.00 EUR held for what runs, and this step \
         may come to 2.00 EUR (1h00m at most, its timeout); the period `2026-11` ends at \
         1970-01-01T00:16:40.000Z"
    );
    assert_eq!((why.figures["budget_minor"], why.figures["hold_minor"]), (150, 200));
    // A budget that only warns holds nothing back.
    let warn = terms(&[card(0), budget(1, BudgetAction::Warn)]);
    money.set_terms(&tenant(), warn, Timestamp(0));
    assert_eq!(money.afford(&tenant(), large, Timestamp(0)), Ok(()));
    // Without one nothing is known of the tenant.
    let removed = BillingEvent::BudgetRemoved(BudgetRemoved { name: "month".to_string() });
    let none = terms(&[card(0), budget(1, BudgetAction::Warn), removed]);
    money.set_terms(&tenant(), none, Timestamp(0));
    assert!(money.is_empty() && !money.watches(&tenant()));
}

#[test]
fn one_that_runs_longer_than_it_was_taken_to_stops_what_runs() {
    let mut money = Money::default();
    let agreed = terms(&[card(0), budget(150, BudgetAction::Stop)]);
    money.set_terms(&tenant(), agreed, Timestamp(0));
    money.set_spent(&tenant(), Spent::default(), Timestamp(0));
    let run = RunId(uuid::Uuid::from_u128(1));
    money.update(run, &tenant(), 1_000_000_000, true);
    assert_eq!(money.must_stop(&tenant()), None);
    money.update(run, &tenant(), 1_600_000_000, true);
    let figures = money.must_stop(&tenant()).expect("too much is held");
    assert_eq!(
        (figures.name.as_str(), figures.words(figures.held).as_str()),
        ("month", "1.60 EUR")
    );
}

#[test]
fn of_a_lost_attempt_counts_what_was_measured_and_then_its_late_truth() {
    let agreed = terms(&[card(0), budget(1_000, BudgetAction::HoldNew)]);
    let mut spending = Spending::new(Arc::clone(&agreed), agreed.span_at(Timestamp(0)));
    let run = RunId(uuid::Uuid::from_u128(1));
    let mut tell = |kind: &str, usage: &Usage| {
        let data = json!({"step": "s", "attempt": attempt(1), "usage": usage});
        spending.take(run, kind, &data.to_string());
        spending.nanos()
    };
    let hour = 3_600_000;
    let running = Usage { outcome: "running".to_string(), ..usage(1, 0, hour) };
    assert_eq!(tell("usage.checkpoint", &running), 0, "it runs: that is held, not spent");
    let (outcome, fault) = ("lost".to_string(), Fault::Infra);
    let lost = Usage { outcome, fault, ..usage(1, 0, 5 * hour) };
    assert_eq!(tell("attempt.exited", &lost), 0, "the card does not bill the platform's faults");
    assert_eq!(tell("report.stale", &usage(1, 0, 2 * hour)), 2_000_000_000, "it had succeeded");
    assert_eq!(tell("report.stale", &usage(1, 0, 9 * hour)), 2_000_000_000, "said once");
}
