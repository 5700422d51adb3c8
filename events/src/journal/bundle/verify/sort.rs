//! Rows in their order, however many: sorted in parts that fit into memory, kept in files without
//! a name, and merged.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};

use crate::rating::{Fact, FactSink, Merge, Row, merge};

/// Bytes of rows that are kept in memory.
const IN_MEMORY: usize = 64 * 1024 * 1024;
/// Bytes of a row beside its text.
const BESIDE: usize = 32;
/// How often another name is tried.
const NAMES: usize = 16;

/// Takes facts in any order.
pub(super) struct Sorter {
    rows: Vec<Row>,
    bytes: usize,
    limit: usize,
    parts: Vec<BufReader<File>>,
    broken: Option<io::Error>,
}

impl FactSink for Sorter {
    fn fact(&mut self, fact: Fact) {
        let row = Row::of(&fact);
        self.bytes += row.as_bytes().len() + BESIDE;
        self.rows.push(row);
        if self.bytes >= self.limit && self.broken.is_none() {
            self.broken = self.write_part().err();
        }
    }
}

impl Sorter {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::with_limit(IN_MEMORY)
    }

    fn with_limit(limit: usize) -> Self {
        Self { rows: Vec::new(), bytes: 0, limit, parts: Vec::new(), broken: None }
    }

    fn write_part(&mut self) -> io::Result<()> {
        self.rows.sort_unstable();
        let mut out = BufWriter::new(unnamed()?);
        for row in self.rows.drain(..) {
            let bytes = row.as_bytes();
            // Rows come from leaves, which are far smaller.
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            out.write_all(&length.to_be_bytes())?;
            out.write_all(bytes)?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.parts.push(BufReader::new(file));
        self.bytes = 0;
        Ok(())
    }

    /// All rows in their order.
    pub fn sorted(mut self) -> io::Result<Merge<Part>> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        self.rows.sort_unstable();
        let mut parts: Vec<Part> = self.parts.into_iter().map(Part::File).collect();
        parts.push(Part::Memory(self.rows.into_iter()));
        Ok(merge(parts))
    }
}

/// Rows that are sorted.
pub(super) enum Part {
    /// In a file, each behind its length.
    File(BufReader<File>),
    /// In memory.
    Memory(std::vec::IntoIter<Row>),
}

impl Iterator for Part {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Memory(rows) => rows.next().map(Ok),
            Self::File(file) => read_row(file).transpose(),
        }
    }
}

fn read_row(file: &mut BufReader<File>) -> io::Result<Option<Row>> {
    let mut length = [0; 4];
    match file.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut bytes = vec![0; u32::from_be_bytes(length) as usize];
    file.read_exact(&mut bytes)?;
    Row::from_bytes(bytes).map(Some).ok_or_else(|| io::Error::other("a row was cut off"))
}

/// A file that is gone when it is closed, whatever happens.
fn unnamed() -> io::Result<File> {
    let mut last = None;
    for _ in 0..NAMES {
        let mut name = [0; 8];
        getrandom::fill(&mut name).map_err(io::Error::other)?;
        let path = std::env::temp_dir().join(format!("dagbook-{:016x}", u64::from_be_bytes(name)));
        let file = File::options().read(true).write(true).create_new(true).open(&path);
        match file {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::other("no file could be made")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::digest::Sha256Digest;
    use crate::rating::FactClass;
    use crate::step::Fault;

    fn fact(number: u32) -> Fact {
        let text = |text: &str| Arc::<str>::from(text);
        Fact {
            id: Sha256Digest::of(&number.to_be_bytes()),
            class: FactClass::Usage,
            period: text("2026-11"),
            leaf_index: u64::from(number),
            run: text("r"),
            step: text("s"),
            attempt: text("a"),
            sku: text("cpu"),
            meter: text("cpu_milli_ms"),
            quantity: i128::from(number),
            start: 0,
            end: 1,
            rate_card: text("standard"),
            rate_card_version: text("1"),
            fault: Fault::None,
            billed: true,
            group: Some(0),
        }
    }

    #[test]
    fn rows_come_in_the_same_order_from_memory_and_from_many_files() -> io::Result<()> {
        let (mut memory, mut files) = (Sorter::new(), Sorter::with_limit(4_000));
        for number in 0..500 {
            memory.fact(fact(number));
            files.fact(fact(number));
        }
        assert!(files.parts.len() > 10 && memory.parts.is_empty());
        let memory: Vec<Row> = memory.sorted()?.collect::<io::Result<_>>()?;
        let files: Vec<Row> = files.sorted()?.collect::<io::Result<_>>()?;
        assert_eq!(memory.len(), 500);
        assert!(memory.is_sorted() && memory == files);
        Ok(())
    }
}
