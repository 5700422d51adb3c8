//! Random histories of demand, ends, appends, conflicts, changed bounds and crashes.

use dagbook_events::admission::{Capacity, Quota};
use dagbook_events::ids::RunId;
use proptest::prelude::*;

use super::model::{Play, need};

const TENANTS: usize = 4;

#[derive(Debug, Clone)]
enum Op {
    Submit { tenant: usize, priority: i32, is_child: bool, lines: Vec<(usize, u8, u32)> },
    Decide(u8),
    End(u16),
    Send(u16),
    Confirm(u16),
    Conflict(u16),
    Pause(u16),
    Quota(usize, Quota),
    Site(Quota),
    Places(usize, u32),
    Crash,
}

fn quota() -> impl Strategy<Value = Quota> {
    let few = |most: u32| prop::option::weighted(0.4, 0..most);
    (1..5u32, few(4), few(6), few(9), few(5)).prop_map(|(weight, runs, attempts, cpu, gpus)| {
        Quota {
            weight: Some(weight * 100),
            open_runs: None,
            running_runs: runs,
            attempts,
            cpu_milli: cpu.map(|n| u64::from(n) * 1_000),
            memory_bytes: None,
            gpus,
        }
    })
}

fn op() -> impl Strategy<Value = Op> {
    let line = (0..2usize, 0..6u8, 1..4u32);
    let lines = prop::collection::vec(line, 1..4);
    prop_oneof![
        5 => (0..TENANTS, -1..2i32, prop::bool::weighted(0.1), lines).prop_map(
            |(tenant, priority, is_child, lines)| Op::Submit { tenant, priority, is_child, lines }
        ),
        8 => (1..6u8).prop_map(Op::Decide),
        6 => any::<u16>().prop_map(Op::End),
        6 => any::<u16>().prop_map(Op::Send),
        6 => any::<u16>().prop_map(Op::Confirm),
        1 => any::<u16>().prop_map(Op::Conflict),
        1 => any::<u16>().prop_map(Op::Pause),
        1 => (0..TENANTS, quota()).prop_map(|(tenant, quota)| Op::Quota(tenant, quota)),
        1 => quota().prop_map(Op::Site),
        1 => (0..2usize, 0..7u32).prop_map(|(pool, places)| Op::Places(pool, places)),
        1 => Just(Op::Crash),
    ]
}

fn capacities() -> Vec<Capacity> {
    let gpus = [("H200".into(), 4)].into();
    let local = Capacity { places: Some(4), cpu_milli: Some(8_000), ..Capacity::default() };
    vec![local, Capacity { places: Some(6), gpus: Some(gpus), ..Capacity::default() }]
}

fn pick<T: Copy>(of: &[T], which: u16) -> Option<T> {
    (!of.is_empty()).then(|| of[usize::from(which) % of.len()])
}

fn runs_where(play: &Play, is: impl Fn(&super::model::Run) -> bool) -> Vec<RunId> {
    play.world.runs.iter().filter(|(_, run)| is(run)).map(|(id, _)| *id).collect()
}

fn perform(play: &mut Play, op: &Op, is_uniform: bool) {
    match op {
        Op::Submit { tenant, priority, is_child, lines } => {
            let lines: Vec<_> = lines
                .iter()
                .map(|(pool, size, units)| match (is_uniform, pool) {
                    (true, _) => (*pool, need(0, 0), *units),
                    (false, 0) => (0, need(u64::from(*size) * 1_500, 0), *units),
                    (false, _) => (1, need(0, u32::from(*size)), *units),
                })
                .collect();
            play.submit(*tenant, *priority, *is_child, &lines);
        }
        Op::Decide(n) => drop((0..*n).map_while(|_| play.judged(is_uniform)).count()),
        Op::End(which) => {
            let live: Vec<(RunId, usize)> = runs_where(play, |run| run.flight.is_none())
                .into_iter()
                .flat_map(|id| {
                    let live = play.world.runs[&id].live.clone();
                    (0..live.len()).filter(move |line| live[*line] > 0).map(move |l| (id, l))
                })
                .collect();
            if let Some((id, line)) = pick(&live, *which) {
                play.end(id, line);
            }
        }
        Op::Send(which) => {
            let open = runs_where(play, |run| run.flight.is_none() && !run.open.is_empty());
            if let Some(id) = pick(&open, *which) {
                play.send(id);
            }
        }
        Op::Confirm(which) => {
            if let Some(id) = pick(&runs_where(play, |run| run.flight.is_some()), *which) {
                play.confirm(id);
            }
        }
        Op::Conflict(which) => {
            if let Some(id) = pick(&runs_where(play, |run| run.flight.is_some()), *which) {
                play.conflict(id);
            }
        }
        Op::Pause(which) => {
            if let Some(id) = pick(&runs_where(play, |run| run.flight.is_none()), *which) {
                let run = play.world.runs.get_mut(&id).expect("it was picked");
                run.is_paused = !run.is_paused;
                play.tell(id);
            }
        }
        Op::Quota(tenant, quota) => play.set_quota(*tenant, *quota),
        Op::Site(quota) => play.set_site(*quota),
        Op::Places(pool, places) => {
            let capacity =
                Capacity { places: Some(*places), ..play.world.capacities[*pool].clone() };
            play.set_pool(*pool, capacity);
        }
        Op::Crash => play.crash(),
    }
    play.check_sums();
}

/// Everything that runs ends and is recorded, and what can start does, until nothing moves. Then
/// nothing that could start may still wait, for whatever reason: nothing runs that would change it.
fn run_dry(play: &mut Play, is_uniform: bool) {
    for _ in 0..4_000 {
        while play.judged(is_uniform).is_some() {}
        play.check_nothing_idle();
        if runs_where(play, |run| !run.is_settled() || run.live.iter().any(|n| *n > 0)).is_empty() {
            let startable = play.world.startable();
            assert!(startable.is_empty(), "nothing moves, and these wait: {startable:?}");
            return;
        }
        for id in runs_where(play, |run| run.flight.is_none()) {
            let live = play.world.runs[&id].live.clone();
            for (line, n) in live.into_iter().enumerate().filter(|(_, n)| *n > 0) {
                for _ in 0..n {
                    play.end(id, line);
                }
            }
        }
        for id in runs_where(play, |run| run.flight.is_none() && !run.open.is_empty()) {
            play.send(id);
        }
        for id in runs_where(play, |run| run.flight.is_some()) {
            play.confirm(id);
        }
    }
    panic!("it never ends: {:?}", play.world.runs);
}

/// Everything runs as far as the bounds let it, and then to its end under generous ones: no
/// place, no quota and no reservation is left behind.
fn run_out(play: &mut Play, is_uniform: bool) {
    for id in runs_where(play, |run| run.is_paused) {
        play.world.runs.get_mut(&id).expect("it is there").is_paused = false;
        play.tell(id);
    }
    run_dry(play, is_uniform);
    for tenant in 0..TENANTS {
        play.set_quota(tenant, Quota::default());
    }
    play.set_site(Quota::default());
    for (pool, capacity) in capacities().into_iter().enumerate() {
        play.set_pool(pool, capacity);
    }
    run_dry(play, is_uniform);
    for pool in play.admission.pool_figures() {
        assert_eq!(pool.taken.attempts, 0, "a place of {} is leaked", pool.name);
    }
    for (id, run) in &play.world.runs {
        for line in (0..run.demands.len()).filter(|line| run.left[*line] > 0) {
            let why = play.admission.why(*id, u16::try_from(line).expect("few"));
            let text = why.expect("it waits").text;
            assert!(text.contains("in all"), "starved: {text}");
        }
    }
}

fn story(ops: &[Op], is_uniform: bool) -> Vec<(RunId, u16)> {
    let mut play = Play::new(TENANTS, capacities());
    for op in ops {
        perform(&mut play, op, is_uniform);
        if matches!(op, Op::Decide(5)) {
            while play.judged(is_uniform).is_some() {}
            play.check_nothing_idle();
        }
    }
    run_out(&mut play, is_uniform);
    play.choices.iter().map(|choice| (choice.run, choice.demand)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_and_nothing_leaks_or_starves_whatever_the_sizes(
        ops in prop::collection::vec(op(), 1..120)
    ) {
        story(&ops, false);
    }

    #[test]
    fn shares_priorities_and_order_are_those_of_the_model_where_sizes_are_one(
        ops in prop::collection::vec(op(), 1..120)
    ) {
        story(&ops, true);
    }

    #[test]
    fn the_same_history_gives_the_same_decisions(
        ops in prop::collection::vec(op(), 1..60)
    ) {
        prop_assert_eq!(story(&ops, false), story(&ops, false));
    }
}
