//! From nodes to a spec: every value read, every mistake reported, none hiding another.

mod approval;
mod defaults;
mod fan_out;
mod fields;
mod names;
mod params;
mod paths;
mod resources;
mod retry;
mod scalars;
mod step;
mod task;
mod templates;
mod timeouts;
mod top;
mod triggers;
mod units;

pub(crate) use defaults::Defaults;
pub(crate) use fields::{Fields, shorten};
pub(crate) use templates::{Place, Use};
pub(crate) use top::read_spec;

use std::collections::BTreeSet;

use super::source::Report;

/// Reads values and collects what is found on the way.
pub(crate) struct Reader<'r, 's> {
    pub report: &'r mut Report<'s>,
    /// Every expression of the file and where it stands, to be checked against all names.
    pub uses: Vec<Use>,
    /// Names of all steps and parameters that are written, readable or not: what refers to
    /// one that is not readable is not reported a second time.
    pub written_steps: BTreeSet<String>,
    pub written_params: BTreeSet<String>,
    /// The path of the file within its bundle.
    pub file: &'s str,
}

impl<'r, 's> Reader<'r, 's> {
    pub fn new(report: &'r mut Report<'s>) -> Self {
        let file = report.source().path;
        let (written_steps, written_params) = Default::default();
        Self { report, uses: Vec::new(), written_steps, written_params, file }
    }
}
