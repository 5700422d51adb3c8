//! From bytes to a tree of positioned nodes, bounded in every direction.

mod node;
mod report;
mod text;
mod tree;

pub(crate) use node::{Entry, Kind, Node, Scalar, Span, Typed, number};
pub(crate) use report::Report;
pub(crate) use text::{SourceText, decode};
pub(crate) use tree::read_tree;
