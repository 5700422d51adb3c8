//! Topological order and levels. Among steps that could come next the author's order decides.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use crate::dag::plan::{Section, StepIndex};
use crate::dag::spec::StepSpec;

/// By place in the spec: place in the plan, needs as places in the plan, level.
pub(super) struct Arrangement {
    pub place: Vec<StepIndex>,
    pub needs: Vec<Vec<StepIndex>>,
    pub level: Vec<u32>,
}

/// Orders steps that are known to be free of circles: main steps, then `finally`. The first
/// level of `finally` lies one below the last of the main part.
pub(super) fn arrange(steps: &[StepSpec]) -> Arrangement {
    let index: BTreeMap<&str, usize> =
        steps.iter().enumerate().map(|(at, step)| (step.name.as_str(), at)).collect();
    let needs: Vec<Vec<usize>> = steps
        .iter()
        .map(|step| step.needs.iter().filter_map(|n| index.get(n.name.as_str()).copied()).collect())
        .collect();
    let mut order = Order::new(&needs);
    let main = |at: &usize| steps[*at].section == Section::Main;
    order.run(&needs, (0..steps.len()).filter(main).collect(), 0);
    let below = order.level.iter().max().map_or(0, |deepest| deepest + 1);
    order.run(&needs, (0..steps.len()).filter(|at| !main(at)).collect(), below);
    let place: Vec<StepIndex> =
        order.place.iter().map(|at| StepIndex(u32::try_from(*at).unwrap_or(u32::MAX))).collect();
    let needs = needs.iter().map(|of| of.iter().map(|at| place[*at]).collect()).collect();
    Arrangement { place, needs, level: order.level }
}

struct Order {
    place: Vec<usize>,
    level: Vec<u32>,
    missing: Vec<usize>,
    dependents: Vec<Vec<usize>>,
    next: usize,
}

impl Order {
    fn new(needs: &[Vec<usize>]) -> Self {
        let mut dependents = vec![Vec::new(); needs.len()];
        for (at, of) in needs.iter().enumerate() {
            for need in of {
                dependents[*need].push(at);
            }
        }
        Self {
            place: vec![0; needs.len()],
            level: vec![0; needs.len()],
            missing: needs.iter().map(Vec::len).collect(),
            dependents,
            next: 0,
        }
    }

    fn run(&mut self, needs: &[Vec<usize>], part: Vec<usize>, lowest: u32) {
        let inside: BTreeSet<usize> = part.iter().copied().collect();
        let ready = part.into_iter().filter(|at| self.missing[*at] == 0).map(Reverse);
        let mut ready: BinaryHeap<Reverse<usize>> = ready.collect();
        while let Some(Reverse(at)) = ready.pop() {
            self.place[at] = self.next;
            self.next += 1;
            let above = needs[at].iter().map(|need| self.level[*need] + 1).max().unwrap_or(0);
            self.level[at] = above.max(lowest);
            for dependent in std::mem::take(&mut self.dependents[at]) {
                self.missing[dependent] -= 1;
                // A step of `finally` that needs a main step still waits for its own turn.
                if self.missing[dependent] == 0 && inside.contains(&dependent) {
                    ready.push(Reverse(dependent));
                }
            }
        }
    }
}
