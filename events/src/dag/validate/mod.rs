//! What only the whole file can show: who needs whom, and which names mean something.

mod graph;
mod names;

use super::read::Reader;
use super::spec::Spec;

/// Checks a file that was read; findings go to the reader's report.
pub(crate) fn validate(reader: &mut Reader<'_, '_>, spec: &mut Spec) {
    let graph = graph::check(reader, spec);
    names::check(reader, spec, &graph);
}
