//! Rate cards and contracts as people write them: YAML, read with positions, every mistake
//! reported at once. What comes out is what is recorded, with its version still open.

mod card;
pub mod codes;
mod contract;
mod prices;
mod words;

use crate::billing::{Contract, RateCard};
use crate::dag::Finding;
use crate::dag::read::Reader;
use crate::dag::source::{Node, Report, SourceText, read_tree};
use crate::time::Timestamp;

/// Bytes of a file.
pub const MAX_FILE_BYTES: usize = 24 * 1024;
/// Prices of a card, overrides of a contract.
pub const MAX_PRICES: usize = 256;
/// Steps of a price.
pub const MAX_STEPS: usize = 16;
/// Discounts of a contract, and credits.
pub const MAX_PARTS: usize = 64;

/// A file that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read<T> {
    /// What it says; its version is 0 where the file names none.
    pub what: T,
    /// The version that it names.
    pub version: Option<u32>,
    /// From when it is to hold.
    pub effective_from: Option<Timestamp>,
    /// The file, byte for byte.
    pub source: String,
}

/// A rate card that was read.
pub type CardFile = Read<RateCard>;
/// A contract that was read.
pub type ContractFile = Read<Contract>;

/// Reads a rate card.
///
/// # Errors
/// All that is wrong with it. Warnings come back with what was read.
pub fn read_card(bytes: &[u8], path: &str) -> Result<(CardFile, Vec<Finding>), Vec<Finding>> {
    read(bytes, path, "rate_card: standard", card::read)
}

/// Reads a contract.
///
/// # Errors
/// As [`read_card`].
pub fn read_contract(
    bytes: &[u8],
    path: &str,
) -> Result<(ContractFile, Vec<Finding>), Vec<Finding>> {
    read(bytes, path, "contract: acme", contract::read)
}

type Reading<T> = fn(&mut Reader<'_, '_>, &Node) -> Option<Read<T>>;

fn read<T>(
    bytes: &[u8],
    path: &str,
    start: &str,
    reading: Reading<T>,
) -> Result<(Read<T>, Vec<Finding>), Vec<Finding>> {
    if bytes.len() > MAX_FILE_BYTES {
        let source = SourceText::new(path, "");
        let mut report = Report::new(&source);
        let message =
            format!("the file has {} bytes; at most {MAX_FILE_BYTES} are read", bytes.len());
        report.add(&codes::FILE_TOO_LARGE, crate::dag::source::Span::default(), message);
        return Err(report.into_findings());
    }
    let text = crate::dag::decode(bytes, path)?;
    let source = SourceText::new(path, &text);
    let mut report = Report::new(&source);
    let read = whole(&mut report, reading);
    let mut findings = report.into_findings();
    for finding in &mut findings {
        say_it_for_billing(finding, start);
    }
    match read {
        Some(mut read) if !findings.iter().any(Finding::is_error) => {
            read.source = text;
            Ok((read, findings))
        }
        _ => Err(findings),
    }
}

fn whole<T>(report: &mut Report<'_>, reading: Reading<T>) -> Option<Read<T>> {
    let source = report.source();
    if !source.check(report) {
        return None;
    }
    let tree = read_tree(report)?;
    reading(&mut Reader::new(report), &tree.root)
}

/// The tree is read by what reads DAG files; its hints are for those.
fn say_it_for_billing(finding: &mut Finding, start: &str) {
    finding.message = finding.message.replace("in a DAG file", "here");
    match finding.code {
        "E011" => finding.hint = Some(format!("start with `{start}`")),
        "E009" => finding.hint = Some("put each in a file of its own".to_string()),
        "W002" => finding.hint = Some("save the file with LF line ends".to_string()),
        _ => {}
    }
}
