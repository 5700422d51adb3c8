//! The children of a `matrix`: the product of its axes, less `exclude`, plus `include`.

use std::collections::{BTreeMap, BTreeSet};

use crate::dag::codes;
use crate::dag::expr::{ExprError, Scope};
use crate::dag::source::Report;
use crate::dag::spec::{AxisSpec, CellSpec, MatrixSpec};
use crate::digest::Sha256Digest;
use crate::value::Value;

/// Widest fan-out.
const MAX_WIDTH: usize = 50_000;
/// Comparisons of cells in all.
const MAX_COMPARISONS: usize = 5_000_000;
/// Largest value of a cell, in bytes.
const MAX_VALUE: usize = 4 << 10;
/// Longest label, in bytes.
const MAX_LABEL: usize = 160;

/// A cell in the order of its members.
type Cell = Vec<(String, Value)>;

/// Label and members of each child.
pub(super) fn cells(
    matrix: &MatrixSpec,
    scope: &Scope<'_>,
    report: &mut Report<'_>,
) -> Vec<(String, BTreeMap<String, Value>)> {
    let evaluated = evaluate(matrix, scope);
    let (axes, include, exclude) = match evaluated {
        Ok(parts) => parts,
        Err(message) => {
            report.add(&codes::EVALUATION, matrix.span, message);
            return Vec::new();
        }
    };
    let width = axes.iter().try_fold(1usize, |n, (_, values)| n.checked_mul(values.len()));
    let mut cells = match width {
        Some(width) if width <= MAX_WIDTH => product(&axes),
        _ => return too_wide(matrix, report),
    };
    // Each include and exclude is compared with every cell.
    if cells.len().saturating_mul(include.len() + exclude.len()) > MAX_COMPARISONS {
        let message = "the matrix is too large for so many `include` and `exclude`";
        report.add(&codes::TOO_WIDE, matrix.span, message);
        return Vec::new();
    }
    cells.retain(|cell| !exclude.iter().any(|out| agrees(cell, out)));
    for extra in include {
        add(&mut cells, extra, &axes);
    }
    if cells.len() > MAX_WIDTH {
        return too_wide(matrix, report);
    }
    if cells.is_empty() {
        report.add(&codes::NOTHING_IN_IT, matrix.span, "`matrix` has no children left");
    }
    labelled(cells, matrix, report)
}

fn too_wide<T>(matrix: &MatrixSpec, report: &mut Report<'_>) -> Vec<T> {
    let message = format!("the matrix has more than {MAX_WIDTH} children");
    report.add(&codes::TOO_WIDE, matrix.span, message);
    Vec::new()
}

type Axes = Vec<(String, Vec<Value>)>;

fn evaluate(
    matrix: &MatrixSpec,
    scope: &Scope<'_>,
) -> Result<(Axes, Vec<Cell>, Vec<Cell>), String> {
    let mut axes = Vec::with_capacity(matrix.axes.len());
    for (name, axis) in &matrix.axes {
        let values = match axis {
            AxisSpec::Values(cells) => {
                cells.iter().map(|cell| value(cell, scope)).collect::<Result<Vec<_>, _>>()
            }
            AxisSpec::Expression(template) => match template.evaluate(scope) {
                Ok(Value::List(items)) if items.is_empty() => {
                    return Err(format!("the axis `{name}` is empty"));
                }
                Ok(Value::List(items)) => Ok(items.to_vec()),
                Ok(other) => {
                    let kind = other.type_name();
                    return Err(format!("the axis `{name}` must be a list, not of type {kind}"));
                }
                Err(error) => Err(error),
            },
        };
        axes.push((name.clone(), values.map_err(|error| error.to_string())?));
    }
    let cell = |members: &Vec<(String, CellSpec)>| -> Result<Cell, String> {
        members
            .iter()
            .map(|(name, one)| {
                value(one, scope).map(|v| (name.clone(), v)).map_err(|error| error.to_string())
            })
            .collect()
    };
    let all = |cells: &[Vec<(String, CellSpec)>]| -> Result<Vec<Cell>, String> {
        cells.iter().map(cell).collect()
    };
    let (include, exclude) = (all(&matrix.include)?, all(&matrix.exclude)?);
    let values = axes.iter().flat_map(|(_, values)| values);
    let more = include.iter().flatten().map(|(_, value)| value);
    if values.chain(more).any(|value| value.size() > MAX_VALUE) {
        return Err(format!("a value of the matrix has more than {MAX_VALUE} bytes"));
    }
    Ok((axes, include, exclude))
}

fn value(cell: &CellSpec, scope: &Scope<'_>) -> Result<Value, ExprError> {
    match cell {
        CellSpec::Value(value) => Ok(value.clone()),
        CellSpec::Expression(template) => template.evaluate(scope),
    }
}

/// The last axis changes fastest. No axis at all gives no cell (`include` alone makes them).
fn product(axes: &Axes) -> Vec<Cell> {
    if axes.is_empty() {
        return Vec::new();
    }
    let mut cells: Vec<Cell> = vec![Vec::new()];
    for (name, values) in axes {
        cells = cells
            .iter()
            .flat_map(|cell| {
                values.iter().map(move |value| {
                    let mut longer = Vec::with_capacity(cell.len() + 1);
                    longer.extend_from_slice(cell);
                    longer.push((name.clone(), value.clone()));
                    longer
                })
            })
            .collect();
    }
    cells
}

fn agrees(cell: &Cell, with: &Cell) -> bool {
    with.iter().all(|member| cell.contains(member))
}

/// An include whose axes agree with cells adds its other members to them; one that agrees
/// with none is a cell of its own.
fn add(cells: &mut Vec<Cell>, extra: Cell, axes: &Axes) {
    let (on_axes, others): (Cell, Cell) =
        extra.into_iter().partition(|(name, _)| axes.iter().any(|(axis, _)| axis == name));
    let mut found = false;
    for cell in cells.iter_mut() {
        if !others.is_empty() && agrees(cell, &on_axes) {
            found = true;
            cell.retain(|(name, _)| !others.iter().any(|(other, _)| other == name));
            cell.extend(others.iter().cloned());
        }
    }
    let repeated = others.is_empty() && cells.iter().any(|cell| agrees(cell, &on_axes));
    if !found && !repeated {
        cells.push(on_axes.into_iter().chain(others).collect());
    }
}

fn labelled(
    cells: Vec<Cell>,
    matrix: &MatrixSpec,
    report: &mut Report<'_>,
) -> Vec<(String, BTreeMap<String, Value>)> {
    let mut seen = BTreeSet::new();
    let mut children = Vec::with_capacity(cells.len());
    for cell in cells {
        let label = label(&cell);
        if !seen.insert(label.clone()) {
            let message = format!("the matrix gives the child `{label}` twice");
            report.add(&codes::REPEATED, matrix.span, message);
            return Vec::new();
        }
        children.push((label, cell.into_iter().collect()));
    }
    children
}

/// `split=val,device=cpu`; printable, and cut with a digest at its end when long.
fn label(cell: &Cell) -> String {
    let mut text = String::new();
    for (name, value) in cell {
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push('=');
        text.extend(value.to_text().chars().map(|c| match c {
            '[' | ']' => '_',
            c if c.is_control() => ' ',
            c => c,
        }));
    }
    if text.len() > MAX_LABEL {
        let digest = Sha256Digest::of(text.as_bytes()).to_hex();
        let mut cut = MAX_LABEL - 9;
        while !text.is_char_boundary(cut) {
            cut -= 1;
        }
        text.truncate(cut);
        text.push('~');
        text.push_str(&digest[..8]);
    }
    text
}
