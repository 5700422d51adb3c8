//! Short stories: what waits and why, in words and numbers.

use std::collections::BTreeMap;

use dagbook_events::admission::{Capacity, Need, Quota, TooManyRuns, accepts, demands_of};
use dagbook_events::dag::{self, Action, PlanFacts, SourceBundle};
use dagbook_events::ids::{RunId, TenantId};

use super::model::{Play, need};

pub fn play(tenants: usize, capacity: Capacity) -> Play {
    Play::new(tenants, vec![capacity, Capacity::places(1)])
}

pub fn cpu(places: u32, cpu_milli: u64) -> Capacity {
    Capacity { places: Some(places), cpu_milli: Some(cpu_milli), ..Capacity::default() }
}

pub fn all(play: &mut Play) -> usize {
    let mut n = 0;
    while let Some(choice) = play.decide() {
        play.send(choice.run);
        play.confirm(choice.run);
        n += 1;
    }
    n
}

pub fn ends(play: &mut Play, run: RunId, line: usize) {
    play.end(run, line);
    play.send(run);
    play.confirm(run);
}

pub fn why(play: &Play, run: RunId, demand: u16) -> (&'static str, String) {
    let wait = play.admission.why(run, demand).expect("it waits");
    (wait.code, wait.text)
}

#[test]
fn a_full_pool_says_how_full_and_whose() {
    let mut play = play(2, Capacity::places(2));
    let run = play.submit(0, 0, false, &[(0, need(0, 0), 3)]);
    all(&mut play);
    let (code, text) = why(&play, run, 0);
    assert_eq!(code, "pool_full");
    assert_eq!(
        text,
        "2 of the 2 places of pool `local` are taken; its tenant holds 2, 0 other tenants the \
         rest, and it is first in line"
    );
    let figures = play.admission.why(run, 0).expect("it waits").figures;
    assert_eq!((figures["taken"], figures["pool_has"], figures["tenant_held"]), (2, 2, 2));
    assert_eq!((figures["share_ppm"], figures["ahead_in_tenant"]), (1_000_000, 0));
}

#[test]
fn one_that_has_its_share_is_told_so() {
    let mut play = play(2, Capacity::places(4));
    let greedy = play.submit(0, 0, false, &[(0, need(0, 0), 9)]);
    all(&mut play);
    play.submit(1, 0, false, &[(0, need(0, 0), 9)]);
    let (code, text) = why(&play, greedy, 0);
    assert_eq!(code, "fair_share");
    assert_eq!(
        text,
        "4 of the 4 places of pool `local` are taken; its tenant has 100.0 % of it and a fair \
         share of 50.0 %, and 1 other tenant may go before it"
    );
}

#[test]
fn one_behind_its_own_tenants_runs_is_told_how_many() {
    let mut play = play(1, Capacity::places(1));
    play.submit(0, 0, false, &[(0, need(0, 0), 2)]);
    all(&mut play);
    let low = play.submit(0, -1, false, &[(0, need(0, 0), 1)]);
    let (code, text) = why(&play, low, 0);
    assert_eq!(code, "priority");
    assert!(text.ends_with("of its own tenant 1 waits with higher priority or longer there"));
    assert_eq!(play.admission.why(low, 0).expect("it waits").figures["ahead_in_tenant"], 1);
}

#[test]
fn a_higher_priority_goes_first_and_then_the_older_run() {
    let mut play = play(1, Capacity::places(1));
    let old = play.submit(0, 0, false, &[(0, need(0, 0), 2)]);
    let young = play.submit(0, 0, false, &[(0, need(0, 0), 1)]);
    let urgent = play.submit(0, 5, false, &[(0, need(0, 0), 1)]);
    let mut order = Vec::new();
    while let Some(choice) = play.decide() {
        order.push(choice.run);
        play.end(choice.run, 0);
        play.send(choice.run);
        play.confirm(choice.run);
    }
    assert_eq!(order, [urgent, old, old, young]);
}

#[test]
fn each_quota_is_named_with_its_numbers() {
    let quota = |set: fn(&mut Quota)| {
        let mut quota = Quota::default();
        set(&mut quota);
        quota
    };
    for (quota, code, said) in [
        (
            quota(|q| q.attempts = Some(1)),
            "tenant_attempts",
            "has 1 attempts under way and may have 1",
        ),
        (
            quota(|q| q.cpu_milli = Some(3_000)),
            "tenant_cpu",
            "uses 2000 of 3000 thousandths of a core and this asks for 2000 more",
        ),
        (
            quota(|q| q.memory_bytes = Some(2_000_000)),
            "tenant_memory",
            "uses 2000000 of 2000000 bytes of memory and this asks for 2000000 more",
        ),
        (quota(|q| q.gpus = Some(1)), "tenant_gpu", "uses 1 of 1 GPUs and this asks for 1 more"),
    ] {
        let mut play = play(1, Capacity::places(9));
        play.set_quota(0, quota);
        let run = play.submit(0, 0, false, &[(0, need(2_000, 1), 2)]);
        assert_eq!(all(&mut play), 1, "{code}");
        assert_eq!(why(&play, run, 0), (code, format!("tenant `t0` {said}")));
        play.set_quota(0, Quota::default());
        assert_eq!(all(&mut play), 1, "{code} was lifted");
    }
}

#[test]
fn runs_that_would_begin_wait_for_those_that_have_and_children_belong_to_their_parents() {
    let mut play = play(2, Capacity::places(9));
    play.set_quota(0, Quota { running_runs: Some(1), ..Quota::default() });
    let first = play.submit(0, 0, false, &[(0, need(0, 0), 1), (1, need(0, 0), 1)]);
    let second = play.submit(0, 9, false, &[(0, need(0, 0), 1)]);
    assert_eq!(play.decide().map(|choice| choice.run), Some(second), "by priority");
    while play.decide().is_some() {}
    assert_eq!(play.world.runs[&first].live, [0, 0]);
    let (code, text) = why(&play, first, 0);
    assert_eq!(
        (code, text.as_str()),
        ("tenant_runs", "tenant `t0` has 1 runs running and may have 1")
    );
    let child = play.submit(0, 0, true, &[(0, need(0, 0), 1)]);
    assert_eq!(play.decide().map(|choice| choice.run), Some(child));
    play.send(second);
    play.confirm(second);
    ends(&mut play, second, 0);
    assert_eq!(all(&mut play), 2, "the first run now has both of its places");
}

#[test]
fn the_sites_bounds_are_named_too() {
    let mut play = play(2, Capacity::places(9));
    play.set_site(Quota { running_runs: Some(1), attempts: Some(2), ..Quota::default() });
    let first = play.submit(0, 0, false, &[(0, need(0, 0), 3)]);
    let other = play.submit(1, 0, false, &[(0, need(0, 0), 1)]);
    assert_eq!(all(&mut play), 2);
    assert_eq!(why(&play, first, 0).0, "site_attempts");
    assert_eq!(why(&play, other, 0).0, "site_runs");
}

#[test]
fn what_no_pool_can_hold_is_told_so_and_holds_nobody_up() {
    let mut play = play(1, cpu(8, 4_000));
    let large = play.submit(0, 5, false, &[(0, need(5_000, 0), 1)]);
    play.submit(0, 0, false, &[(0, need(1_000, 0), 100)]);
    assert_eq!(all(&mut play), 4);
    let (code, text) = why(&play, large, 0);
    assert_eq!(code, "pool_full");
    assert_eq!(text, "it asks for 5000 thousandths of a core and pool `local` has 4000 in all");
}

#[test]
fn gpus_are_counted_by_model() {
    let gpus = [("H200".into(), 2), ("L4".into(), 1)].into();
    let capacity = Capacity { places: Some(9), gpus: Some(gpus), ..Capacity::default() };
    let mut play = play(1, capacity);
    let of = |model: Option<&str>, gpus| Need {
        gpus,
        gpu_model: model.map(Into::into),
        ..Need::default()
    };
    let run = play.submit(
        0,
        0,
        false,
        &[(0, of(Some("H200"), 2), 2), (0, of(None, 1), 2), (0, of(Some("A1"), 1), 1)],
    );
    all(&mut play);
    assert_eq!(play.world.runs[&run].live, [1, 1, 0]);
    assert!(why(&play, run, 2).1.contains("has 0 in all"));
}

#[test]
fn a_submission_over_a_limit_is_refused_with_the_numbers() {
    let acme = TenantId::new("acme").expect("a slug");
    let ten = Quota { open_runs: Some(10), ..Quota::default() };
    assert_eq!(accepts(&acme, &ten, &Quota::default(), 9, 500), Ok(()));
    let refused = accepts(&acme, &ten, &Quota::default(), 10, 500).expect_err("it is full");
    assert_eq!(
        refused.to_string(),
        "tenant `acme` has 10 runs that are not over, and its limit is 10; submit again when \
         one has ended, or cancel one"
    );
    let refused: TooManyRuns = accepts(&acme, &Quota::default(), &ten, 0, 10).expect_err("full");
    assert_eq!((refused.code, refused.open, refused.limit), ("site_open_runs", 10, 10));
}

#[test]
fn a_plan_with_more_sizes_than_are_told_apart_is_counted_at_its_largest() {
    let steps: String = (1..=400)
        .map(|n| format!("  s{n}: {{ run: 'true', resources: {{ cpu: {n}m }} }}\n"))
        .collect();
    let text = format!("dagbook: v1\nname: t\nsteps:\n{steps}");
    let files = [("dag.yaml".to_string(), text)].into();
    let bundle = SourceBundle { entry: "dag.yaml".to_string(), files };
    let plan = dag::plan(&bundle, &BTreeMap::new(), &PlanFacts::default())
        .unwrap_or_else(|findings| panic!("{findings:#?}"));
    let (demands, of_step) = demands_of(&plan);
    assert_eq!((demands.len(), of_step.len()), (257, 400));
    for (planned, demand) in plan.steps.iter().zip(of_step) {
        let Action::Task(task) = &planned.action else { panic!("every step is a task") };
        let counted = demands[usize::from(demand)].need.cpu_milli;
        assert!(counted >= task.resources.cpu_milli, "{} is counted as {counted}", planned.name);
    }
}
