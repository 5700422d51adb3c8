//! Large requests: none starves, and none holds others up for ever.

use dagbook_events::admission::{Capacity, ChoiceReason, PASSED_MAX, Quota};
use dagbook_events::ids::RunId;

use super::model::{Play, need};
use super::stories::{all, cpu, ends, play, why};

/// Small ones come and go without end; the large one starts after so many of them.
fn started_before(play: &mut Play, large: RunId, small: RunId) -> u32 {
    for n in 0..200 {
        while let Some(choice) = play.decide() {
            play.send(choice.run);
            play.confirm(choice.run);
            if choice.run == large {
                return n;
            }
        }
        let line = play.world.runs[&small].live.iter().position(|n| *n > 0).expect("one runs");
        ends(play, small, line);
    }
    panic!("the large one never starts: {:?}", play.admission.why(large, 0));
}

#[test]
fn a_large_request_is_passed_so_often_and_then_the_pool_is_kept_for_it() {
    let mut play = play(2, cpu(8, 8_000));
    let small = play.submit(0, 0, false, &[(0, need(1_000, 0), 1_000)]);
    all(&mut play);
    let large = play.submit(1, 0, false, &[(0, need(8_000, 0), 1)]);
    let seen = started_before(&mut play, large, small);
    assert!((PASSED_MAX..=PASSED_MAX + 10).contains(&seen), "after {seen}");
    assert_eq!(play.choices.last().map(|choice| choice.reason), Some(ChoiceReason::Kept));
}

#[test]
fn while_a_pool_is_kept_those_that_wait_hear_for_whom() {
    let mut play = play(1, cpu(8, 8_000));
    let small = play.submit(0, 0, false, &[(0, need(1_000, 0), 1_000)]);
    all(&mut play);
    let large = play.submit(0, 1, false, &[(0, need(8_000, 0), 1)]);
    for _ in 0..PASSED_MAX + 1 {
        ends(&mut play, small, 0);
        all(&mut play);
    }
    let (code, text) = why(&play, small, 0);
    assert_eq!(code, "held_for_larger");
    assert!(text.contains(&large.to_string()), "{text}");
    // Who waits no longer keeps nothing.
    play.world.runs.get_mut(&large).expect("it waits").is_paused = true;
    play.tell(large);
    assert_eq!(all(&mut play), 1);
}

#[test]
fn a_large_request_does_not_starve_under_its_tenants_own_quota() {
    let mut play = play(1, cpu(100, 100_000));
    play.set_quota(0, Quota { cpu_milli: Some(4_000), ..Quota::default() });
    let small = play.submit(0, 0, false, &[(0, need(1_000, 0), 1_000)]);
    all(&mut play);
    let large = play.submit(0, 1, false, &[(0, need(4_000, 0), 1)]);
    let seen = started_before(&mut play, large, small);
    assert!((PASSED_MAX..=PASSED_MAX + 6).contains(&seen), "after {seen}");
}

#[test]
fn a_large_request_does_not_starve_under_the_sites_bounds_across_pools() {
    let mut play = Play::new(2, vec![Capacity::places(100), Capacity::places(100)]);
    play.set_site(Quota { cpu_milli: Some(4_000), ..Quota::default() });
    let small = play.submit(0, 0, false, &[(1, need(1_000, 0), 1_000)]);
    all(&mut play);
    let large = play.submit(1, 0, false, &[(0, need(4_000, 0), 1)]);
    let seen = started_before(&mut play, large, small);
    assert!((PASSED_MAX..=PASSED_MAX + 6).contains(&seen), "after {seen}");
}

#[test]
fn a_run_whose_other_steps_are_recorded_meanwhile_keeps_its_turn() {
    let mut play = play(2, cpu(8, 8_000));
    let small = play.submit(0, 0, false, &[(0, need(1_000, 0), 1_000)]);
    all(&mut play);
    let lines = [(0, need(8_000, 0), 1), (1, need(0, 0), 1_000)];
    let both = play.submit(1, 0, false, &lines);
    for _ in 0..PASSED_MAX + 20 {
        if play.world.runs[&small].live[0] > 0 {
            ends(&mut play, small, 0);
        }
        all(&mut play);
        if play.world.runs[&both].live[0] == 1 {
            return;
        }
        // While an append of its own is on its way the run waits for nothing.
        play.end(both, 1);
        play.send(both);
        all(&mut play);
        play.confirm(both);
        all(&mut play);
    }
    panic!("the large one never starts: {:?}", play.admission.why(both, 0));
}

#[test]
fn what_the_site_can_never_take_holds_nobody_up() {
    let mut play = play(2, cpu(8, 8_000));
    play.set_site(Quota { cpu_milli: Some(4_000), ..Quota::default() });
    let large = play.submit(0, 5, false, &[(0, need(5_000, 0), 1)]);
    let small = play.submit(1, 0, false, &[(0, need(1_000, 0), 1_000)]);
    all(&mut play);
    for _ in 0..3 * PASSED_MAX {
        ends(&mut play, small, 0);
        assert_eq!(all(&mut play), 1);
    }
    assert_eq!(why(&play, large, 0).0, "site_cpu");
}

#[test]
fn a_bound_that_is_lowered_below_the_one_that_all_is_kept_for_sets_the_others_free() {
    let mut play = Play::new(2, vec![Capacity::places(100), Capacity::places(100)]);
    let site = |cpu_milli| Quota { cpu_milli: Some(cpu_milli), ..Quota::default() };
    play.set_site(site(4_000));
    let small = play.submit(0, 0, false, &[(1, need(1_000, 0), 1_000)]);
    all(&mut play);
    let large = play.submit(1, 0, false, &[(0, need(4_000, 0), 1)]);
    while why(&play, small, 0).0 != "held_for_larger" {
        ends(&mut play, small, 0);
        all(&mut play);
    }
    play.set_site(site(3_000));
    assert_eq!(why(&play, large, 0).0, "site_cpu");
    for _ in 0..3 * PASSED_MAX {
        while play.world.runs[&small].live[0] > 2 {
            ends(&mut play, small, 0);
        }
        assert_eq!(all(&mut play), 1);
    }
}

#[test]
fn a_quota_keeps_nothing_for_what_its_pool_can_never_hold() {
    let mut play = play(1, cpu(100, 3_500));
    play.set_quota(0, Quota { cpu_milli: Some(4_000), ..Quota::default() });
    let small = play.submit(0, 0, false, &[(0, need(1_000, 0), 1_000)]);
    all(&mut play);
    play.submit(0, 1, false, &[(0, need(4_000, 0), 1)]);
    for _ in 0..3 * PASSED_MAX {
        ends(&mut play, small, 0);
        assert_eq!(all(&mut play), 1);
    }
}

#[test]
fn a_quota_keeps_nothing_for_a_run_that_may_not_begin_before_others_end() {
    let mut play = play(1, cpu(100, 100_000));
    let quota = Quota { cpu_milli: Some(4_000), running_runs: Some(1), ..Quota::default() };
    play.set_quota(0, quota);
    let small = play.submit(0, 0, false, &[(0, need(1_000, 0), 3 * PASSED_MAX)]);
    all(&mut play);
    let large = play.submit(0, 1, false, &[(0, need(4_000, 0), 1)]);
    while play.world.runs.contains_key(&small) {
        ends(&mut play, small, 0);
        all(&mut play);
    }
    assert_eq!(play.world.runs[&large].live, [1]);
}

#[test]
fn one_that_was_passed_often_enough_is_not_passed_by_runs_that_begin_before_it() {
    let mut play = play(2, cpu(8, 8_000));
    play.set_site(Quota { running_runs: Some(2), ..Quota::default() });
    let mut small: Vec<RunId> = Vec::new();
    for _ in 0..2 {
        small.push(play.submit(0, 0, false, &[(0, need(1_000, 0), 1)]));
    }
    all(&mut play);
    let large = play.submit(1, 0, false, &[(0, need(8_000, 0), 1)]);
    for n in 0..4 * PASSED_MAX {
        small.push(play.submit(0, 0, false, &[(0, need(1_000, 0), 1)]));
        let running = |run: &RunId| play.world.runs.get(run).is_some_and(|run| run.live[0] > 0);
        let Some(oldest) = small.iter().copied().find(running) else { break };
        ends(&mut play, oldest, 0);
        all(&mut play);
        if play.world.runs[&large].live[0] > 0 {
            assert!(n >= PASSED_MAX, "it was passed {n} times");
            return;
        }
    }
    panic!("the large one never starts: {:?}", play.admission.why(large, 0));
}
