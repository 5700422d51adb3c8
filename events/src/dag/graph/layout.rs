//! Places of boxes and ways of edges: layers from left to right, long edges through lanes of
//! their own, so that no line runs behind a box.

use super::model::{Model, cut};
use super::order::{Layers, arrange};
use super::place::place;

pub(super) const BOX_HEIGHT: i64 = 44;
const LANE_HEIGHT: i64 = 6;
const GAP: i64 = 14;
/// Width of a character of the pictures' font, in hundredths of a pixel.
const CHARACTER: i64 = 730;
const PADDING: i64 = 26;
const NARROWEST: i64 = 96;
pub(super) const MARGIN: i64 = 24;
/// Longest texts in a box, in characters.
pub(super) const LONGEST: usize = 28;

/// A box, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub x: i64,
    pub y: i64,
    pub width: i64,
    pub height: i64,
}

/// A line from box to box: points where it enters and leaves each column.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub to: usize,
    pub points: Vec<(i64, i64)>,
}

#[derive(Debug, Clone)]
pub(super) struct Layout {
    pub boxes: Vec<Rectangle>,
    pub lines: Vec<Line>,
    pub width: i64,
    pub height: i64,
}

pub(super) fn lay_out(model: &Model) -> Layout {
    let (mut graph, chains) = layered(model);
    arrange(&mut graph);
    let count = model.nodes.len();
    let all = graph.before.len();
    let height: Vec<i64> =
        (0..all).map(|v| if v < count { BOX_HEIGHT } else { LANE_HEIGHT }).collect();
    // Lanes pull harder than boxes: long edges come out straight.
    let weight: Vec<i64> = (0..all).map(|v| if v < count { 1 } else { 6 }).collect();
    let centre = place(&graph, &height, GAP, &weight);
    let columns = columns(model, &graph, &centre);
    let mut boxes = Vec::with_capacity(count);
    for (at, node) in model.nodes.iter().enumerate() {
        let (x, width) = columns[node.level as usize];
        let y = MARGIN + centre[at] - BOX_HEIGHT / 2;
        boxes.push(Rectangle { x, y, width, height: BOX_HEIGHT });
    }
    let lines = chains.iter().map(|chain| line(chain, model, &columns, &centre)).collect();
    let width = columns.last().map_or(0, |(x, width)| x + width) + MARGIN;
    let lowest = (0..all).map(|v| centre[v] + height[v] / 2).max().unwrap_or(0);
    Layout { boxes, lines, width, height: lowest + 2 * MARGIN }
}

/// An edge with the lanes that it runs through.
struct Chain {
    from: usize,
    lanes: Vec<usize>,
    to: usize,
}

fn layered(model: &Model) -> (Layers, Vec<Chain>) {
    let mut graph =
        Layers { layers: vec![Vec::new(); model.levels() as usize], ..Layers::default() };
    for (at, node) in model.nodes.iter().enumerate() {
        graph.layers[node.level as usize].push(at);
        graph.before.push(Vec::new());
        graph.after.push(Vec::new());
    }
    let mut chains = Vec::new();
    for (to, node) in model.nodes.iter().enumerate() {
        for &from in &node.needs {
            let mut lanes = Vec::new();
            let mut last = from;
            for level in model.nodes[from].level + 1..node.level {
                let lane = graph.before.len();
                graph.layers[level as usize].push(lane);
                graph.before.push(vec![last]);
                graph.after.push(Vec::new());
                graph.after[last].push(lane);
                lanes.push(lane);
                last = lane;
            }
            graph.after[last].push(to);
            graph.before[to].push(last);
            chains.push(Chain { from, lanes, to });
        }
    }
    (graph, chains)
}

/// Left edge and width of each layer. Where steep lines pass, columns stand further apart.
fn columns(model: &Model, graph: &Layers, centre: &[i64]) -> Vec<(i64, i64)> {
    let text = |at: usize| {
        let node = &model.nodes[at];
        let longest = cut(&node.name, LONGEST)
            .chars()
            .count()
            .max(cut(&node.detail, LONGEST).chars().count());
        i64::try_from(longest).unwrap_or(0) * CHARACTER / 100 + PADDING
    };
    let mut x = MARGIN;
    let mut columns = Vec::with_capacity(graph.layers.len());
    for layer in &graph.layers {
        let boxes = layer.iter().filter(|vertex| **vertex < model.nodes.len());
        let width = boxes.map(|vertex| text(*vertex)).max().unwrap_or(0).max(NARROWEST);
        columns.push((x, width));
        let rises = layer.iter().flat_map(|vertex| {
            graph.after[*vertex].iter().map(|next| (centre[*next] - centre[*vertex]).abs())
        });
        let steepest = rises.max().unwrap_or(0);
        x += width + (56 + steepest / 6).min(200);
    }
    columns
}

fn line(chain: &Chain, model: &Model, columns: &[(i64, i64)], centre: &[i64]) -> Line {
    let mut points = Vec::with_capacity(2 * chain.lanes.len() + 2);
    let (x, width) = columns[model.nodes[chain.from].level as usize];
    points.push((x + width, MARGIN + centre[chain.from]));
    let mut level = model.nodes[chain.from].level as usize;
    for lane in &chain.lanes {
        level += 1;
        let (x, width) = columns[level];
        let y = MARGIN + centre[*lane];
        points.push((x, y));
        points.push((x + width, y));
    }
    points.push((columns[model.nodes[chain.to].level as usize].0, MARGIN + centre[chain.to]));
    Line { to: chain.to, points }
}

#[cfg(test)]
mod tests {
    use super::super::model::{Kind, Node};
    use super::*;

    fn model(levels: &[u32], needs: &[(usize, usize)]) -> Model {
        let node = |(at, level): (usize, &u32)| Node {
            name: format!("step-{at}"),
            detail: "run".into(),
            kind: Kind::Task,
            finally: false,
            fans_out: false,
            conditional: false,
            level: *level,
            needs: needs.iter().filter(|(to, _)| *to == at).map(|(_, from)| *from).collect(),
        };
        let nodes = levels.iter().enumerate().map(node).collect();
        Model { title: "t".into(), nodes, units: levels.len() }
    }

    #[test]
    fn boxes_do_not_overlap_and_lines_do_not_cross_boxes() {
        let levels: Vec<u32> = (0..200).map(|n| n / 20).collect();
        let needs: Vec<(usize, usize)> = (20..200)
            .flat_map(|to| {
                let level = to / 20;
                [
                    (to, to - 20),
                    (to, (level - 1) * 20 + (to * 7) % 20),
                    (to, (to * 13) % (level * 20)),
                ]
            })
            .collect();
        let mut needs = needs;
        needs.sort_unstable();
        needs.dedup();
        let layout = lay_out(&model(&levels, &needs));
        for (i, a) in layout.boxes.iter().enumerate() {
            assert!(a.x >= 0 && a.y >= 0 && a.x + a.width <= layout.width);
            assert!(a.y + a.height <= layout.height);
            for b in &layout.boxes[i + 1..] {
                let apart = a.x + a.width < b.x
                    || b.x + b.width < a.x
                    || a.y + a.height < b.y
                    || b.y + b.height < a.y;
                assert!(apart, "{a:?} {b:?}");
            }
        }
        for line in &layout.lines {
            for lane in line.points[1..line.points.len() - 1].chunks(2) {
                let [(from, y), (to, _)] = lane else { panic!("lanes come in pairs") };
                let hit = layout.boxes.iter().find(|b| {
                    b.x < *to && *from < b.x + b.width && b.y < *y && *y < b.y + b.height
                });
                assert!(hit.is_none(), "{lane:?} runs behind {hit:?}");
            }
        }
    }
}
