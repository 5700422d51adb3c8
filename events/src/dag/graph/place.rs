//! Vertical places within layers: each vertex as near as can be to the mean of its
//! neighbours, without overlap and in the order given.

use super::order::Layers;

/// Rounds of alignment.
const ROUNDS: usize = 24;

/// Centre of each vertex, given the height of each and the gap between two.
pub(super) fn place(graph: &Layers, height: &[i64], gap: i64, weight: &[i64]) -> Vec<i64> {
    let mut centre = vec![0; height.len()];
    for layer in &graph.layers {
        let mut at = 0;
        for vertex in layer {
            centre[*vertex] = at + height[*vertex] / 2;
            at += height[*vertex] + gap;
        }
    }
    centre_layers(graph, &mut centre);
    for round in 0..ROUNDS {
        let count = graph.layers.len();
        for step in 0..count {
            let layer = if round % 2 == 0 { step } else { count - 1 - step };
            let sides: &[&Vec<Vec<usize>>] = match round % 4 {
                0 => &[&graph.before],
                1 => &[&graph.after],
                _ => &[&graph.before, &graph.after],
            };
            align(&graph.layers[layer], sides, &mut centre, height, gap, weight);
        }
    }
    close_bands(graph, &mut centre, height, 2 * gap);
    centre
}

/// Moves everything up to zero and takes away bands in which there is nothing: parts of a
/// graph that do not touch come to stand close together.
fn close_bands(graph: &Layers, centre: &mut [i64], height: &[i64], widest: i64) {
    let mut taken: Vec<(i64, i64)> = Vec::with_capacity(centre.len() * 2);
    for (vertex, y) in centre.iter().enumerate() {
        taken.push((y - height[vertex] / 2, y + height[vertex] / 2));
        let lines = graph.after[vertex].iter().map(|next| centre[*next]);
        taken.extend(lines.map(|other| (other.min(*y), other.max(*y))));
    }
    taken.sort_unstable();
    // From which height on how much is taken away.
    let mut cuts: Vec<(i64, i64)> = Vec::new();
    let Some(&(top, mut end)) = taken.first() else { return };
    let mut away = top;
    cuts.push((top, away));
    for (from, to) in taken {
        if from - end > widest {
            away += from - end - widest;
            cuts.push((from, away));
        }
        end = end.max(to);
    }
    for (vertex, y) in centre.iter_mut().enumerate() {
        let above = *y - height[vertex] / 2;
        let cut = cuts.partition_point(|(from, _)| *from <= above);
        *y -= cuts[cut.saturating_sub(1)].1;
    }
}

/// Starts with every layer around the same middle.
fn centre_layers(graph: &Layers, centre: &mut [i64]) {
    for layer in &graph.layers {
        if let (Some(first), Some(last)) = (layer.first(), layer.last()) {
            let middle = (centre[*first] + centre[*last]) / 2;
            layer.iter().for_each(|vertex| centre[*vertex] -= middle);
        }
    }
}

/// The least-squares fit under the order: isotonic regression by pooling neighbours that
/// would overlap.
fn align(
    layer: &[usize],
    sides: &[&Vec<Vec<usize>>],
    centre: &mut [i64],
    height: &[i64],
    gap: i64,
    weight: &[i64],
) {
    // Offsets turn "at least so far apart" into "not decreasing".
    let mut offset = 0;
    let mut offsets = Vec::with_capacity(layer.len());
    let mut pools: Vec<Pool> = Vec::with_capacity(layer.len());
    for (at, vertex) in layer.iter().enumerate() {
        if let Some(above) = at.checked_sub(1).map(|above| layer[above]) {
            offset += (height[above] + height[*vertex]) / 2 + gap;
        }
        offsets.push(offset);
        let wish = wish(*vertex, sides, centre) - offset;
        pools.push(Pool { sum: wish * weight[*vertex], weight: weight[*vertex], members: 1 });
        while let [.., above, below] = &pools[..]
            && above.mean() >= below.mean()
        {
            let merged = Pool {
                sum: above.sum + below.sum,
                weight: above.weight + below.weight,
                members: above.members + below.members,
            };
            pools.truncate(pools.len() - 2);
            pools.push(merged);
        }
    }
    let places = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.mean(), pool.members));
    for ((vertex, offset), place) in layer.iter().zip(offsets).zip(places) {
        centre[*vertex] = place + offset;
    }
}

struct Pool {
    sum: i64,
    weight: i64,
    members: usize,
}

impl Pool {
    fn mean(&self) -> i64 {
        self.sum.div_euclid(self.weight.max(1))
    }
}

fn wish(vertex: usize, sides: &[&Vec<Vec<usize>>], centre: &[i64]) -> i64 {
    let mut sum = 0;
    let mut count = 0;
    for side in sides {
        for neighbour in &side[vertex] {
            sum += centre[*neighbour];
            count += 1;
        }
    }
    if count == 0 { centre[vertex] } else { sum / count }
}
