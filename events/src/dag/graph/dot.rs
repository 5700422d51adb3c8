//! Graphviz.

use std::fmt::Write as _;

use super::model::{Kind, Model, Node, cut};

pub(super) fn draw(model: &Model) -> String {
    let mut out = format!("digraph {} {{\n  rankdir=LR;\n", quoted(&model.title));
    out.push_str("  node [shape=box, style=rounded, fontname=\"sans-serif\"];\n");
    for (at, node) in model.nodes.iter().enumerate().filter(|(_, node)| !node.finally) {
        let _ = writeln!(out, "  {}", vertex(at, node));
    }
    if model.nodes.iter().any(|node| node.finally) {
        out.push_str("  subgraph cluster_finally {\n    label=\"finally\"; style=dashed;\n");
        for (at, node) in model.nodes.iter().enumerate().filter(|(_, node)| node.finally) {
            let _ = writeln!(out, "    {}", vertex(at, node));
        }
        out.push_str("  }\n");
    }
    for (at, node) in model.nodes.iter().enumerate() {
        for need in &node.needs {
            let style = if node.conditional { " [style=dashed]" } else { "" };
            let _ = writeln!(out, "  n{need} -> n{at}{style};");
        }
    }
    out.push_str("}\n");
    out
}

fn vertex(at: usize, node: &Node) -> String {
    let shape = match node.kind {
        Kind::Task => "",
        Kind::Approval => ", shape=hexagon, style=solid",
        Kind::Wait => ", shape=ellipse, style=solid",
        Kind::SubDag => ", shape=box, style=solid, peripheries=2",
    };
    let stacked = if node.fans_out && node.kind == Kind::Task { ", shape=box3d" } else { "" };
    let label = format!("{}\n{}", cut(&node.name, 40), cut(&node.detail, 40));
    format!("n{at} [label={}{shape}{stacked}];", quoted(&label))
}

fn quoted(text: &str) -> String {
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    format!("\"{escaped}\"")
}
