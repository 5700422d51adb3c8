//! Laws of periods, whatever is asked in whatever order: they follow each other without a gap,
//! are closed once and in order, and invoices are numbered without a gap.

use dagbook_events::aggregate::Aggregate;
use dagbook_events::billing::{Billing, Opening, Period};
use dagbook_events::tenant::Refusal;
use dagbook_events::time::{Millis, Timestamp};
use proptest::prelude::*;

use crate::support::{closing, conflict, custom, take};

fn eur(grace: u64) -> Opening {
    let currency = Some("EUR".to_string());
    Opening { currency, grace: Some(Millis(grace)), needs_from: 0 }
}

#[test]
fn a_period_is_closed_when_its_grace_is_over_or_by_force_with_a_reason() {
    let mut state = Billing::default();
    let events = state.open(&custom("a", 0, 10_000), &eur(5_000));
    take(&mut state, events);
    let close = |state: &Billing, now: i64, forced: Option<&str>| {
        state.close("acme", closing("a", "acme-000001", 0), Timestamp(now), forced)
    };
    assert!(conflict(close(&state, 15_000, None)).contains("behind `a` must be open"));
    let next = state.next_due(Timestamp(10_000)).expect("a next one").expect("it is due");
    assert_eq!(next.start, Timestamp(10_000));
    assert_eq!(state.next_due(Timestamp(9_999)), Ok(None));
    let events = state.open(&next, &Opening::default());
    take(&mut state, events);
    assert_eq!(state.periods[1].opened.grace_ms, Millis(5_000), "the grace of the one before");
    assert!(conflict(close(&state, 9_999, Some("now"))).contains("goes on until"));
    assert!(conflict(close(&state, 14_999, None)).contains("waited for until"));
    assert!(matches!(close(&state, 12_000, Some(" ")), Err(Refusal::Invalid(_))));
    assert_eq!(close(&state, 15_000, Some("not needed")).expect("closed").len(), 1);
    let events = close(&state, 12_000, Some("the tenant leaves"));
    assert_eq!(take(&mut state, events), 2);
    assert_eq!(state.periods[0].waived.as_deref(), Some("the tenant leaves"));
    assert_eq!(close(&state, 12_000, None), Ok(Vec::new()), "closed is closed");
}

#[test]
fn another_grace_name_or_end_is_refused_where_it_contradicts() {
    let mut state = Billing::default();
    let none = state.open(&custom("a", 0, 10_000), &Opening::default());
    assert!(matches!(none, Err(Refusal::Invalid(text)) if text.contains("--currency")));
    let events = state.open(&custom("a", 0, 10_000), &eur(0));
    take(&mut state, events);
    assert_eq!(state.open(&custom("a", 0, 10_000), &eur(0)), Ok(Vec::new()));
    assert!(conflict(state.open(&custom("a", 0, 11_000), &eur(0))).contains("was opened from"));
    assert!(conflict(state.open(&custom("b", 9_000, 20_000), &eur(0))).contains("begins there"));
    for bad in
        [custom("b", 10_000, 10_500), custom("b c", 10_000, 20_000), custom("b", 10_000, i64::MAX)]
    {
        assert!(matches!(state.open(&bad, &eur(0)), Err(Refusal::Invalid(_))), "{bad:?}");
    }
    let usd = Opening { currency: Some("USD".to_string()), ..Opening::default() };
    assert!(conflict(state.open(&custom("b", 10_000, 20_000), &usd)).contains("EUR"));
    let long = eur(63 * 86_400_000);
    assert!(matches!(state.open(&custom("b", 10_000, 20_000), &long), Err(Refusal::Invalid(_))));
}

#[derive(Debug, Clone)]
enum Step {
    Open { gap: i64, length: i64 },
    Next,
    Close { which: usize, forced: bool },
    Wait(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (prop_oneof![Just(0_i64), -5_i64..5], 1_000..100_000_i64)
            .prop_map(|(gap, length)| Step::Open { gap, length }),
        Just(Step::Next),
        (0..6_usize, any::<bool>()).prop_map(|(which, forced)| Step::Close { which, forced }),
        (0..200_000_i64).prop_map(Step::Wait),
    ]
}

fn apply(state: &mut Billing, now: &mut i64, number: usize, step: &Step) {
    let at = Timestamp(*now);
    let decided = match step {
        Step::Wait(ms) => {
            *now += ms;
            return;
        }
        Step::Open { gap, length } => {
            let start = state.periods.last().map_or(1_000, |last| last.opened.end.0) + gap;
            state.open(&custom(&format!("p{number}"), start, start + length), &eur(7_000))
        }
        Step::Next => match state.next_due(at) {
            Ok(Some(cut)) => state.open(&cut, &Opening::default()),
            _ => return,
        },
        Step::Close { which, forced } => {
            let Some(period) = state.periods.get(*which) else { return };
            let name = period.opened.period.clone();
            let number = state.next_invoice("acme");
            let forced = forced.then_some("because");
            state.close("acme", closing(&name, &number, 1), at, forced)
        }
    };
    for event in decided.into_iter().flatten() {
        state.apply(at, &event);
    }
}

proptest! {
    #[test]
    fn numbers_and_periods_have_no_gap_and_what_is_closed_never_changes(
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let (mut state, mut now) = (Billing::default(), 0);
        let mut closed: Vec<Period> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            apply(&mut state, &mut now, number, step);
            for pair in state.periods.windows(2) {
                prop_assert_eq!(pair[0].opened.end, pair[1].opened.start);
                prop_assert!(pair[0].closed.is_some() || pair[1].closed.is_none());
            }
            let so_far = closed.len();
            prop_assert_eq!(&state.periods[..so_far], &closed[..]);
            closed = state.periods.iter().filter(|it| it.closed.is_some()).cloned().collect();
            for (n, period) in closed.iter().enumerate() {
                let number = &period.closed.as_ref().expect("closed").number;
                prop_assert_eq!(number, &format!("acme-{:06}", n + 1));
                let at = period.closed_at.expect("closed");
                prop_assert!(at >= period.opened.end);
                prop_assert!(at >= period.due() || period.waived.is_some());
            }
            prop_assert!(closed.is_empty() || state.periods.len() > closed.len());
            let mut names: Vec<&str> =
                state.periods.iter().map(|it| it.opened.period.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            prop_assert_eq!(names.len(), state.periods.len());
        }
    }
}
