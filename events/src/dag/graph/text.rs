//! The plan as lines: by level, each step with what it needs.

use std::fmt::Write as _;

use super::model::{Model, cut};

pub(super) fn draw(model: &Model) -> String {
    let mut out = String::new();
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let _ = writeln!(
        out,
        "{}: {}, {}, {}",
        model.title,
        plural(model.nodes.len(), "step"),
        plural(model.units, "unit"),
        plural(model.levels() as usize, "level")
    );
    let width = model.nodes.iter().map(|n| n.name.chars().count()).max().unwrap_or(0).min(40);
    let details = model.nodes.iter().map(|n| n.detail.chars().count()).max().unwrap_or(0).min(40);
    let mut heading = None;
    let mut by_level: Vec<usize> = (0..model.nodes.len()).collect();
    by_level.sort_by_key(|at| (model.nodes[*at].finally, model.nodes[*at].level, *at));
    for at in by_level {
        let node = &model.nodes[at];
        if heading != Some((node.finally, node.level)) {
            heading = Some((node.finally, node.level));
            let part = if node.finally { "finally, level" } else { "level" };
            let _ = writeln!(out, "{part} {}", node.level + 1);
        }
        let needs: Vec<&str> = node.needs.iter().map(|n| model.nodes[*n].name.as_str()).collect();
        let mut line =
            format!("  {:width$}  {:details$}", cut(&node.name, 40), cut(&node.detail, 40));
        if node.conditional {
            line.push_str("  if");
        }
        if !needs.is_empty() {
            let _ = write!(line, "  ← {}", needs.join(", "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}
