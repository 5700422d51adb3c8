//! `matrix`, `for_each` and what goes with them.

use crate::dag::codes;
use crate::dag::expr::opens_expression;
use crate::dag::plan::MinSuccess;
use crate::dag::source::{Entry, Kind, Node};
use crate::dag::spec::{AxisSpec, CellSpec, FanOutSpec, MatrixSpec};

use super::fields::shorten;
use super::{Fields, Place, Reader};

impl Reader<'_, '_> {
    pub fn fan_out(&mut self, fields: &Fields<'_>, at: usize) -> FanOutSpec {
        match (fields.get("matrix"), fields.get("for_each")) {
            (Some(_), Some(entry)) => {
                let message = "a step has `matrix` or `for_each`, not both";
                self.report.add(&codes::CONFLICT, entry.key_span, message);
                FanOutSpec::None
            }
            (Some(entry), None) => self.matrix(entry).map_or(FanOutSpec::None, FanOutSpec::Matrix),
            (None, Some(entry)) => self.for_each(entry, at),
            (None, None) => {
                for key in ["max_parallel", "fail_fast", "min_success"] {
                    if let Some(entry) = fields.get(key) {
                        let message = format!("`{key}` has no effect without a fan-out");
                        self.report
                            .add(&codes::NO_EFFECT, entry.key_span, message)
                            .hint("it belongs to `matrix` and `for_each`");
                    }
                }
                FanOutSpec::None
            }
        }
    }

    fn for_each(&mut self, entry: &Entry, at: usize) -> FanOutSpec {
        match &entry.node.kind {
            Kind::Scalar(scalar) if opens_expression(&scalar.text).is_some() => {
                match self.template(entry, Place::Step(at)) {
                    Some(template) => FanOutSpec::ForEach(template),
                    None => FanOutSpec::None,
                }
            }
            _ => {
                let message =
                    format!("`for_each` must be an expression, not {}", entry.node.type_name());
                self.report.add(&codes::WRONG_TYPE, entry.at(), message).hint(
                    "write `for_each: ${{ steps.list.outputs.names }}`; for a list that is known \
                     now use `matrix`",
                );
                FanOutSpec::None
            }
        }
    }

    fn matrix(&mut self, entry: &Entry) -> Option<MatrixSpec> {
        let members = self.members(entry)?;
        let mut matrix = MatrixSpec {
            axes: Vec::new(),
            include: Vec::new(),
            exclude: Vec::new(),
            span: entry.key_span,
        };
        for member in members {
            match member.key.as_str() {
                "include" => matrix.include = self.cells(member),
                "exclude" => matrix.exclude = self.cells(member),
                _ => {
                    let name = self.identifier(member, "matrix axis");
                    let axis = self.axis(member);
                    matrix.axes.extend(name.zip(axis));
                }
            }
        }
        if members.iter().all(|member| member.key == "exclude") {
            self.report.add(&codes::NOTHING_IN_IT, entry.key_span, "`matrix` has no values");
        }
        Some(matrix)
    }

    fn axis(&mut self, entry: &Entry) -> Option<AxisSpec> {
        match &entry.node.kind {
            Kind::List(items) if items.is_empty() => {
                let message = format!("the axis `{}` is empty", shorten(&entry.key));
                self.report.add(&codes::NOTHING_IN_IT, entry.at(), message);
                None
            }
            Kind::List(items) => {
                Some(AxisSpec::Values(items.iter().filter_map(|item| self.cell(item)).collect()))
            }
            Kind::Scalar(scalar) if opens_expression(&scalar.text).is_some() => {
                self.template(entry, Place::Plan).map(AxisSpec::Expression)
            }
            _ => {
                self.wrong_type(entry, "a list");
                None
            }
        }
    }

    fn cells(&mut self, entry: &Entry) -> Vec<Vec<(String, CellSpec)>> {
        let mut cells = Vec::new();
        for item in self.items(entry, false).unwrap_or_default() {
            let Kind::Map(members) = &item.kind else {
                let message =
                    format!("`{}` must hold mappings, not {}", entry.key, item.type_name());
                self.report.add(&codes::WRONG_TYPE, item.span, message);
                continue;
            };
            let mut cell = Vec::new();
            for member in members {
                let name = self.identifier(member, "matrix axis");
                cell.extend(name.zip(self.cell(&member.node)));
            }
            cells.push(cell);
        }
        cells
    }

    fn cell(&mut self, node: &Node) -> Option<CellSpec> {
        if let Some(scalar) = node.as_scalar()
            && opens_expression(&scalar.text).is_some()
        {
            return self.template_node(node, Place::Plan).map(CellSpec::Expression);
        }
        match node.to_value() {
            Ok(value) => Some(CellSpec::Value(value)),
            Err(at) => {
                let message = "this number cannot be kept exactly: integers end at 2^53 - 1";
                self.report.add(&codes::BAD_NUMBER, at, message).hint("quote it");
                None
            }
        }
    }

    /// A count or a percentage.
    pub fn min_success(&mut self, entry: &Entry) -> Option<MinSuccess> {
        let scalar = self.scalar(entry, "a count or a percentage")?;
        if let Some(percent) = scalar.text.strip_suffix('%') {
            let percent = percent.parse::<u32>().ok().filter(|n| (1..=100).contains(n));
            if percent.is_none() {
                let message = format!(
                    "`min_success` must be from 1% to 100%, not `{}`",
                    shorten(&scalar.text)
                );
                self.report.add(&codes::OUT_OF_RANGE, entry.at(), message);
            }
            return percent.map(MinSuccess::Percent);
        }
        self.count(entry, 1, 50_000).map(MinSuccess::Count)
    }
}
