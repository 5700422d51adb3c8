//! Needs: known, in the right section, without circles.

use std::collections::BTreeMap;

use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

use crate::dag::codes;
use crate::dag::plan::Section;
use crate::dag::read::Reader;
use crate::dag::spec::Spec;

/// Who needs whom, by place in the spec.
pub(crate) struct Needs {
    pub index: BTreeMap<String, usize>,
    pub of: Vec<Vec<usize>>,
}

pub(crate) fn check(reader: &mut Reader<'_, '_>, spec: &Spec) -> Needs {
    let mut index = BTreeMap::new();
    for (at, step) in spec.steps.iter().enumerate() {
        index.entry(step.name.as_str().to_string()).or_insert(at);
    }
    let mut needs = Needs { index, of: Vec::with_capacity(spec.steps.len()) };
    for step in &spec.steps {
        let mut of = Vec::with_capacity(step.needs.len());
        for need in &step.needs {
            match needs.index.get(&need.name) {
                Some(&target) => {
                    let later = spec.steps[target].section == Section::Finally;
                    if step.section == Section::Main && later {
                        let message = format!(
                            "`{}` is in `finally`, which starts when all steps have ended",
                            need.name
                        );
                        reader.report.add(&codes::NEEDS_FINALLY, need.span, message);
                    } else {
                        of.push(target);
                    }
                }
                None if reader.written_steps.contains(&need.name) => {}
                None if reader.report.is_full() => {}
                None => {
                    let shown: String = need.name.chars().take(60).collect();
                    let message = format!("there is no step `{shown}`");
                    let known = spec.steps.iter().map(|step| step.name.as_str());
                    let hint = reader.report.suggest(&need.name, known);
                    reader.report.add(&codes::UNKNOWN_NEED, need.span, message).maybe_hint(hint);
                }
            }
        }
        needs.of.push(of);
    }
    cycles(reader, spec, &needs);
    needs
}

fn cycles(reader: &mut Reader<'_, '_>, spec: &Spec, needs: &Needs) {
    let mut graph: DiGraph<(), (), u32> = DiGraph::with_capacity(needs.of.len(), needs.of.len());
    let nodes: Vec<NodeIndex> = needs.of.iter().map(|_| graph.add_node(())).collect();
    for (at, of) in needs.of.iter().enumerate() {
        for target in of {
            graph.add_edge(nodes[at], nodes[*target], ());
        }
    }
    let mut circles: Vec<Vec<usize>> = kosaraju_scc(&graph)
        .into_iter()
        .map(|part| part.into_iter().map(NodeIndex::index).collect::<Vec<_>>())
        .filter(|part| part.len() > 1 || needs.of[part[0]].contains(&part[0]))
        .collect();
    circles.iter_mut().for_each(|part| part.sort_unstable());
    circles.sort();
    for part in circles {
        report_cycle(reader, spec, needs, &part);
    }
}

fn report_cycle(reader: &mut Reader<'_, '_>, spec: &Spec, needs: &Needs, part: &[usize]) {
    let path = shortest_cycle(needs, part);
    let name = |at: usize| spec.steps[at].name.as_str();
    let mut words: Vec<&str> = path.iter().map(|at| name(*at)).collect();
    words.push(name(path[0]));
    if words.len() > 12 {
        words.splice(6..words.len() - 5, ["…"]);
    }
    let first = &spec.steps[path[0]];
    let next = name(*path.get(1).unwrap_or(&path[0]));
    let at = first.needs.iter().find(|need| need.name == next).map_or(first.span, |need| need.span);
    let message = match path.len() {
        1 => format!("`{}` needs itself", name(path[0])),
        _ => format!("steps need each other in a circle: {}", words.join(" → ")),
    };
    reader.report.add(&codes::CYCLE, at, message).hint("take one of these `needs` away");
}

/// The shortest way from the first step of a strongly connected part back to itself.
fn shortest_cycle(needs: &Needs, part: &[usize]) -> Vec<usize> {
    let start = part[0];
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(at) = queue.pop_front() {
        for &target in &needs.of[at] {
            if target == start {
                let mut path = vec![at];
                let mut back = at;
                while back != start {
                    back = came_from[&back];
                    path.push(back);
                }
                path.reverse();
                return path;
            }
            if part.binary_search(&target).is_ok() && !came_from.contains_key(&target) {
                came_from.insert(target, at);
                queue.push_back(target);
            }
        }
    }
    vec![start]
}
