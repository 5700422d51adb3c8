//! Order of nodes within their layers: barycentre sweeps, the order with the fewest
//! crossings is kept.

/// A layered graph in which every edge joins neighbouring layers.
#[derive(Debug, Clone, Default)]
pub(super) struct Layers {
    /// Vertices of each layer, in order.
    pub layers: Vec<Vec<usize>>,
    /// Neighbours of each vertex in the layer before.
    pub before: Vec<Vec<usize>>,
    /// Neighbours of each vertex in the layer after.
    pub after: Vec<Vec<usize>>,
}

/// Sweeps in all; more change little.
const SWEEPS: usize = 12;

pub(super) fn arrange(graph: &mut Layers) {
    let mut best = graph.layers.clone();
    let mut fewest = crossings(graph);
    for sweep in 0..SWEEPS {
        if fewest == 0 {
            break;
        }
        let count = graph.layers.len();
        let forward = sweep % 2 == 0;
        for step in 1..count {
            let layer = if forward { step } else { count - 1 - step };
            sort_layer(graph, layer, forward);
        }
        let now = crossings(graph);
        if now < fewest {
            fewest = now;
            best.clone_from(&graph.layers);
        }
    }
    graph.layers = best;
}

/// Position of each vertex in its layer.
pub(super) fn positions(graph: &Layers) -> Vec<usize> {
    let mut positions = vec![0; graph.before.len()];
    for layer in &graph.layers {
        for (at, vertex) in layer.iter().enumerate() {
            positions[*vertex] = at;
        }
    }
    positions
}

/// Sorts a layer by the mean position of its neighbours; those without keep their place.
fn sort_layer(graph: &mut Layers, layer: usize, forward: bool) {
    const SCALE: usize = 1_024;
    let positions = positions(graph);
    let neighbours = if forward { &graph.before } else { &graph.after };
    let key = |vertex: usize| {
        let around = &neighbours[vertex];
        if around.is_empty() {
            return positions[vertex] * SCALE;
        }
        around.iter().map(|n| positions[*n] * SCALE).sum::<usize>() / around.len()
    };
    let mut order: Vec<(usize, usize, usize)> =
        graph.layers[layer].iter().enumerate().map(|(at, v)| (key(*v), at, *v)).collect();
    order.sort_unstable();
    graph.layers[layer] = order.into_iter().map(|(_, _, vertex)| vertex).collect();
}

/// Crossings between all neighbouring layers, by counting inversions.
pub(super) fn crossings(graph: &Layers) -> usize {
    let positions = positions(graph);
    let mut total = 0;
    for layer in &graph.layers {
        let mut ends: Vec<usize> = Vec::new();
        for vertex in layer {
            let mut of: Vec<usize> = graph.after[*vertex].iter().map(|n| positions[*n]).collect();
            of.sort_unstable();
            ends.extend(of);
        }
        let widest = ends.iter().max().map_or(0, |most| most + 1);
        let mut tree = vec![0usize; widest + 1];
        for (seen, end) in ends.iter().enumerate() {
            total += seen - prefix(&tree, end + 1);
            let mut at = end + 1;
            while at < tree.len() {
                tree[at] += 1;
                at += at & at.wrapping_neg();
            }
        }
    }
    total
}

/// Sum of a Fenwick tree's first members.
fn prefix(tree: &[usize], mut at: usize) -> usize {
    let mut sum = 0;
    while at > 0 {
        sum += tree[at];
        at &= at - 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layered(layers: Vec<Vec<usize>>, edges: &[(usize, usize)]) -> Layers {
        let count = layers.iter().map(Vec::len).sum();
        let mut graph =
            Layers { layers, before: vec![Vec::new(); count], after: vec![Vec::new(); count] };
        for (from, to) in edges {
            graph.after[*from].push(*to);
            graph.before[*to].push(*from);
        }
        graph
    }

    #[test]
    fn crossings_are_counted_and_taken_away() {
        let edges = [(0, 5), (1, 4), (2, 3)];
        let mut graph = layered(vec![vec![0, 1, 2], vec![3, 4, 5]], &edges);
        assert_eq!(crossings(&graph), 3);
        arrange(&mut graph);
        assert_eq!(crossings(&graph), 0);
    }
}
