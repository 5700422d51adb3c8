//! Shares over time: tenants that always want more, attempts that last, and places that free up
//! one by one.

use std::collections::BTreeSet;

use dagbook_events::admission::{Capacity, Need, Quota};
use dagbook_events::ids::RunId;

use super::model::{Play, need};

struct Wanting {
    weight: u32,
    need: Need,
    /// How long its attempts last, in ticks.
    lasts: u64,
}

fn wanting(weight: u32, lasts: u64) -> Wanting {
    Wanting { weight, need: need(0, 0), lasts }
}

/// Place-ticks by tenant, after the first tenth of the time.
fn held(capacity: Capacity, tenants: &[Wanting], until: u64) -> Vec<u64> {
    let mut play = Play::new(tenants.len(), vec![capacity, Capacity::default()]);
    let mut of_run: Vec<RunId> = Vec::new();
    for (at, tenant) in tenants.iter().enumerate() {
        let quota = Quota { weight: Some(tenant.weight), ..Quota::default() };
        play.set_quota(at, quota);
        of_run.push(play.submit(at, 0, false, &[(0, tenant.need.clone(), u32::MAX / 2)]));
    }
    let mut ends: BTreeSet<(u64, u64, usize)> = BTreeSet::new();
    let mut held = vec![0u64; tenants.len()];
    let (mut now, mut made) = (0, 0);
    while now < until {
        while let Some(choice) = play.decide() {
            let tenant = of_run.iter().position(|run| *run == choice.run).expect("a tenant");
            made += 1;
            // Spread a little, so that they do not all end together.
            ends.insert((now + tenants[tenant].lasts * 10 + made % 7, made, tenant));
        }
        for run in &of_run {
            if !play.world.runs[run].open.is_empty() {
                play.send(*run);
                play.confirm(*run);
            }
        }
        let (next, _, tenant) = ends.pop_first().expect("something runs");
        if now > until / 10 {
            for (held, run) in held.iter_mut().zip(&of_run) {
                *held += u64::from(play.world.runs[run].live[0]) * (next - now);
            }
        }
        now = next;
        play.end(of_run[tenant], 0);
        play.send(of_run[tenant]);
        play.confirm(of_run[tenant]);
    }
    held
}

/// Every part of the whole is within 5 % of what the weights say.
fn is_fair(held: &[u64], weights: &[u32]) {
    let (all, weight): (u64, u32) = (held.iter().sum(), weights.iter().sum());
    for (held, own) in held.iter().zip(weights) {
        let fair = all * u64::from(*own) / u64::from(weight);
        let off = held.abs_diff(fair) * 1_000 / fair;
        assert!(off <= 50, "{held} of {all} instead of {fair} ({off} ‰ off)");
    }
}

#[test]
fn tenants_of_one_weight_have_the_same_however_long_their_attempts_last() {
    let tenants = [wanting(100, 1), wanting(100, 7), wanting(100, 20), wanting(100, 3)];
    is_fair(&held(Capacity::places(40), &tenants, 40_000), &[1, 1, 1, 1]);
}

#[test]
fn weights_are_kept_with_many_places() {
    let tenants = [wanting(100, 5), wanting(200, 5), wanting(500, 2)];
    is_fair(&held(Capacity::places(80), &tenants, 40_000), &[1, 2, 5]);
}

#[test]
fn weights_are_kept_where_a_share_is_less_than_a_place() {
    let tenants: Vec<Wanting> = (0..30).map(|n| wanting(100 * (1 + n % 3), 4)).collect();
    let weights: Vec<u32> = tenants.iter().map(|tenant| tenant.weight).collect();
    is_fair(&held(Capacity::places(7), &tenants, 60_000), &weights);
}

#[test]
fn weights_are_kept_where_a_share_is_one_place_and_a_half() {
    let tenants = [wanting(100, 4), wanting(300, 4)];
    is_fair(&held(Capacity::places(2), &tenants, 40_000), &[1, 3]);
}

#[test]
fn what_counts_is_the_resource_of_which_a_tenant_has_most() {
    let capacity = Capacity {
        places: Some(1_000),
        cpu_milli: Some(90_000),
        memory_bytes: Some(180_000_000),
        ..Capacity::default()
    };
    let of = |cpu_milli, memory_bytes| Need { cpu_milli, memory_bytes, ..Need::default() };
    let tenants = [
        Wanting { weight: 100, need: of(1_000, 4_000_000), lasts: 5 },
        Wanting { weight: 100, need: of(3_000, 1_000_000), lasts: 5 },
    ];
    // The example of the paper on dominant resource fairness, ten times as large: 30 attempts
    // of the first and 20 of the second, two thirds of the memory and of the cores.
    let held = held(capacity, &tenants, 20_000);
    let ratio = held[0] * 1_000 / held[1];
    assert!((1_425..=1_575).contains(&ratio), "{ratio} ‰ instead of 1500: {held:?}");
}

#[test]
fn who_comes_late_gets_its_share_and_no_more() {
    let mut play = Play::new(2, vec![Capacity::places(10), Capacity::default()]);
    let first = play.submit(0, 0, false, &[(0, need(0, 0), 10_000)]);
    let turn = |play: &mut Play, run: RunId| {
        play.end(run, 0);
        play.send(run);
        play.confirm(run);
        while let Some(choice) = play.decide() {
            play.send(choice.run);
            play.confirm(choice.run);
        }
    };
    while let Some(choice) = play.decide() {
        play.send(choice.run);
        play.confirm(choice.run);
    }
    for _ in 0..500 {
        turn(&mut play, first);
    }
    let late = play.submit(1, 0, false, &[(0, need(0, 0), 10_000)]);
    for _ in 0..5 {
        turn(&mut play, first);
    }
    assert_eq!((play.world.runs[&first].live[0], play.world.runs[&late].live[0]), (5, 5));
    for n in 0..100 {
        turn(&mut play, if n % 2 == 0 { first } else { late });
        let live = (play.world.runs[&first].live[0], play.world.runs[&late].live[0]);
        assert_eq!(live, (5, 5));
    }
}

#[test]
fn what_others_do_not_want_is_nobodys_loss() {
    let mut play = Play::new(3, vec![Capacity::places(9), Capacity::default()]);
    let few = play.submit(0, 0, false, &[(0, need(0, 0), 1)]);
    let many = play.submit(1, 0, false, &[(0, need(0, 0), 100)]);
    let more = play.submit(2, 0, false, &[(0, need(0, 0), 100)]);
    while play.decide().is_some() {}
    let live = |run| play.world.runs[&run].live[0];
    assert_eq!((live(few), live(many), live(more)), (1, 4, 4));
}
