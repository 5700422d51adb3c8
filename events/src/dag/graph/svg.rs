//! The picture: boxes and curves, readable on light and on dark.

use std::fmt::Write as _;

use super::layout::{LONGEST, Layout, Line, Rectangle, lay_out};
use super::model::{Kind, Model, Node, cut};

/// Boxes carry their own ground and ink, so they can be read on any page; lines and the
/// frame are of a grey that shows on both. A viewer that knows of dark pages turns the boxes.
const STYLE: &str = "\
text{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}\
.n{font-size:12px;font-weight:600}.d{font-size:11px}\
.b{stroke-width:1.5}.l{fill:none;stroke:#8a94a6;stroke-width:1.4}\
.c{stroke-dasharray:5 4}.a{fill:#8a94a6}\
.task .b{fill:#e8f0fe;stroke:#3b6fd4}.approval .b{fill:#fff3d6;stroke:#b7791f}\
.wait .b{fill:#eef0f3;stroke:#6b7280}.sub .b{fill:#efe7fd;stroke:#7c4fd0}\
.finally .b{fill:#e2f5ea;stroke:#2f8f5b;stroke-dasharray:6 3}\
.n{fill:#16202e}.d{fill:#4a5568}.f{font-size:12px;fill:#8a94a6}\
.s{stroke:#8a94a6;stroke-width:1;stroke-dasharray:2 5}\
@media (prefers-color-scheme:dark){\
.task .b{fill:#1d2b45}.approval .b{fill:#3a2f16}.wait .b{fill:#272c35}\
.sub .b{fill:#2c2145}.finally .b{fill:#173326}.n{fill:#eef2f8}.d{fill:#b3bdcc}}";

pub(super) fn draw(model: &Model) -> String {
    let layout = lay_out(model);
    let mut out = String::new();
    let (width, height) = (layout.width, layout.height);
    let _ = write!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" \
         markerHeight=\"7\" orient=\"auto\"><path class=\"a\" d=\"M0 0L8 4L0 8z\"/></marker></defs>\n",
        escape(&model.title)
    );
    finally_line(&mut out, model, &layout);
    for line in &layout.lines {
        curve(&mut out, line, model.nodes[line.to].conditional);
    }
    for (node, place) in model.nodes.iter().zip(&layout.boxes) {
        shape(&mut out, node, place);
    }
    out.push_str("</svg>\n");
    out
}

/// A line before the columns of `finally`.
fn finally_line(out: &mut String, model: &Model, layout: &Layout) {
    let first = model.nodes.iter().zip(&layout.boxes).filter(|(node, _)| node.finally);
    let Some(x) = first.map(|(_, place)| place.x).min() else { return };
    let x = x - 28;
    let _ = writeln!(
        out,
        "<line class=\"s\" x1=\"{x}\" y1=\"6\" x2=\"{x}\" y2=\"{}\"/>\
         <text class=\"f\" x=\"{}\" y=\"16\">finally</text>",
        layout.height - 6,
        x + 8
    );
}

fn curve(out: &mut String, line: &Line, conditional: bool) {
    let class = if conditional { "l c" } else { "l" };
    let (x, y) = line.points[0];
    let mut path = format!("M{x} {y}");
    let mut last = (x, y);
    for (at, (x, y)) in line.points.iter().enumerate().skip(1) {
        // Every second stretch runs through a column, straight on.
        if at % 2 == 0 {
            let _ = write!(path, "L{x} {y}");
        } else {
            let bend = (x - last.0) / 2;
            let _ = write!(path, "C{} {} {} {y} {x} {y}", last.0 + bend, last.1, x - bend);
        }
        last = (*x, *y);
    }
    let _ = writeln!(out, "<path class=\"{class}\" d=\"{path}\" marker-end=\"url(#arrow)\"/>");
}

fn shape(out: &mut String, node: &Node, place: &Rectangle) {
    let class = match (node.finally, node.kind) {
        (true, _) => "finally",
        (_, Kind::Task) => "task",
        (_, Kind::Approval) => "approval",
        (_, Kind::Wait) => "wait",
        (_, Kind::SubDag) => "sub",
    };
    let Rectangle { x, y, width, height } = *place;
    let _ = write!(
        out,
        "<g class=\"{class}\"><title>{}: {}</title>",
        escape(&node.name),
        escape(&node.detail)
    );
    if node.fans_out {
        // Cards behind the first say that there are several.
        for shift in [6, 3] {
            rectangle(out, x + shift, y + shift, width - 6, height - 6, 6);
        }
        rectangle(out, x, y, width - 6, height - 6, 6);
    } else {
        match node.kind {
            Kind::Approval => hexagon(out, place),
            Kind::Wait => rectangle(out, x, y, width, height, height / 2),
            Kind::SubDag => {
                rectangle(out, x, y, width, height, 4);
                rectangle(out, x + 4, y + 4, width - 8, height - 8, 2);
            }
            Kind::Task => rectangle(out, x, y, width, height, 6),
        }
    }
    let lift = if node.fans_out { 3 } else { 0 };
    let middle = x + width / 2 - lift;
    let _ = writeln!(
        out,
        "<text class=\"n\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
         <text class=\"d\" x=\"{middle}\" y=\"{}\" text-anchor=\"middle\">{}</text></g>",
        y + 19 - lift,
        escape(&cut(&node.name, LONGEST)),
        y + 34 - lift,
        escape(&cut(&node.detail, LONGEST))
    );
}

fn rectangle(out: &mut String, x: i64, y: i64, width: i64, height: i64, radius: i64) {
    let _ = write!(
        out,
        "<rect class=\"b\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{radius}\"/>"
    );
}

fn hexagon(out: &mut String, place: &Rectangle) {
    let Rectangle { x, y, width, height } = *place;
    let (right, bottom, middle) = (x + width, y + height, y + height / 2);
    let _ = write!(
        out,
        "<path class=\"b\" d=\"M{x} {middle}L{} {y}H{}L{right} {middle}L{} {bottom}H{}z\"/>",
        x + 12,
        right - 12,
        right - 12,
        x + 12
    );
}

/// Text for XML; characters that XML does not have become spaces.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}
