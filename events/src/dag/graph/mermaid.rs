//! Mermaid flowchart.

use std::fmt::Write as _;

use super::model::{Kind, Model, Node, cut};

pub(super) fn draw(model: &Model) -> String {
    let mut out = String::from("flowchart LR\n");
    for (at, node) in model.nodes.iter().enumerate().filter(|(_, node)| !node.finally) {
        let _ = writeln!(out, "  {}", vertex(at, node));
    }
    if model.nodes.iter().any(|node| node.finally) {
        out.push_str("  subgraph finally\n");
        for (at, node) in model.nodes.iter().enumerate().filter(|(_, node)| node.finally) {
            let _ = writeln!(out, "    {}", vertex(at, node));
        }
        out.push_str("  end\n");
    }
    for (at, node) in model.nodes.iter().enumerate() {
        for need in &node.needs {
            let arrow = if node.conditional { "-.->" } else { "-->" };
            let _ = writeln!(out, "  n{need} {arrow} n{at}");
        }
    }
    out
}

fn vertex(at: usize, node: &Node) -> String {
    let label = format!("{}<br/>{}", entity(&node.name), entity(&node.detail));
    let (open, close) = match (node.kind, node.fans_out) {
        (Kind::Task, false) => ("(", ")"),
        (Kind::Task, true) => ("[[", "]]"),
        (Kind::Approval, _) => ("{{", "}}"),
        (Kind::Wait, _) => ("([", "])"),
        (Kind::SubDag, _) => ("[/", "/]"),
    };
    format!("n{at}{open}\"{label}\"{close}")
}

/// Mermaid reads `#…;` as an entity.
fn entity(text: &str) -> String {
    let mut out = String::new();
    for c in cut(text, 40).chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | '`' | '\\' => {
                let _ = write!(out, "#{};", c as u32);
            }
            c => out.push(c),
        }
    }
    out
}
