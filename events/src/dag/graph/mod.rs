//! Pictures of a plan: text, DOT, Mermaid, SVG. Fan-outs are one node with their count.

mod dot;
mod layout;
mod mermaid;
mod model;
mod order;
mod place;
mod svg;
mod text;

use super::plan::Plan;

/// What to draw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphFormat {
    /// Lines for a terminal.
    Text,
    /// Graphviz.
    Dot,
    /// Mermaid flowchart.
    Mermaid,
    /// A picture that stands alone.
    Svg,
}

/// Draws the plan. The same plan gives the same bytes.
pub fn render(plan: &Plan, format: GraphFormat) -> String {
    let model = model::Model::of(plan);
    match format {
        GraphFormat::Text => text::draw(&model),
        GraphFormat::Dot => dot::draw(&model),
        GraphFormat::Mermaid => mermaid::draw(&model),
        GraphFormat::Svg => svg::draw(&model),
    }
}
