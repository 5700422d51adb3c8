//! Rows in their order, however many: sorted in parts that fit into memory, kept in files without
//! a name, and merged.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};

use crate::rating::{FactSink, RowRef, Rows, ToldFact};

/// Bytes of rows that are kept in memory.
const IN_MEMORY: usize = 64 * 1024 * 1024;
/// How often another name is tried.
const NAMES: usize = 16;

/// Takes facts in any order.
pub(super) struct Sorter {
    rows: Rows,
    limit: usize,
    parts: Vec<Part>,
    broken: Option<io::Error>,
}

impl FactSink for Sorter {
    fn fact(&mut self, fact: ToldFact<'_>) {
        self.rows.push(fact);
        if self.rows.bytes() >= self.limit && self.broken.is_none() {
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
        Self { rows: Rows::new(), limit, parts: Vec::new(), broken: None }
    }

    fn write_part(&mut self) -> io::Result<()> {
        self.rows.sort();
        let mut out = BufWriter::new(unnamed()?);
        for row in self.rows.iter() {
            let bytes = row.as_bytes();
            // Rows come from leaves, which are far smaller.
            let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
            out.write_all(&length.to_be_bytes())?;
            out.write_all(bytes)?;
        }
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        self.rows.clear();
        self.parts.push(Part { file: BufReader::new(file), row: Vec::new() });
        Ok(())
    }

    /// All rows in their order.
    pub fn sorted(mut self) -> io::Result<Sorted> {
        if let Some(error) = self.broken {
            return Err(error);
        }
        if self.parts.is_empty() {
            self.rows.sort();
            return Ok(Sorted::Memory { rows: self.rows, next: 0 });
        }
        if !self.rows.is_empty() {
            self.write_part()?;
        }
        let mut parts = BinaryHeap::new();
        for mut part in self.parts {
            if part.step()? {
                parts.push(Reverse(part));
            }
        }
        Ok(Sorted::Files { parts, is_given: false })
    }
}

/// Rows in their order.
pub(super) enum Sorted {
    /// All of them fit into memory.
    Memory {
        /// Sorted.
        rows: Rows,
        /// The place of the next one.
        next: usize,
    },
    /// They are in files, the next one on top.
    Files {
        /// Those that are not at their end.
        parts: BinaryHeap<Reverse<Part>>,
        /// The one on top was given.
        is_given: bool,
    },
}

impl Sorted {
    /// The next row.
    pub fn next(&mut self) -> io::Result<Option<RowRef<'_>>> {
        match self {
            Self::Memory { rows, next } => {
                *next += 1;
                Ok(rows.get(*next - 1))
            }
            Self::Files { parts, is_given } => {
                if std::mem::replace(is_given, true)
                    && let Some(mut top) = parts.peek_mut()
                    && !top.0.step()?
                {
                    PeekMut::pop(top);
                }
                let Some(Reverse(part)) = parts.peek() else { return Ok(None) };
                let row = RowRef::from_bytes(&part.row);
                row.map(Some).ok_or_else(|| io::Error::other("a row was cut off"))
            }
        }
    }
}

/// Rows that are sorted, in a file, each behind its length.
pub(super) struct Part {
    file: BufReader<File>,
    /// The one that is next.
    row: Vec<u8>,
}

impl Part {
    /// Goes on to the next row, if there is one.
    fn step(&mut self) -> io::Result<bool> {
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            other => other?,
        }
        self.row.resize(u32::from_be_bytes(length) as usize, 0);
        self.file.read_exact(&mut self.row)?;
        Ok(true)
    }
}

impl PartialEq for Part {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Part {}

impl PartialOrd for Part {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Part {
    fn cmp(&self, other: &Self) -> Ordering {
        self.row.cmp(&other.row)
    }
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
    use crate::rating::{Fact, FactClass, Row};
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

    fn all(mut sorted: Sorted) -> io::Result<Vec<Row>> {
        let mut rows = Vec::new();
        while let Some(row) = sorted.next()? {
            rows.push(row.to_row());
        }
        Ok(rows)
    }

    #[test]
    fn rows_come_in_the_same_order_from_memory_and_from_many_files() -> io::Result<()> {
        let (mut memory, mut files) = (Sorter::new(), Sorter::with_limit(4_000));
        for number in 0..500 {
            memory.fact(fact(number).told());
            files.fact(fact(number).told());
        }
        assert!(files.parts.len() > 10 && memory.parts.is_empty());
        let (memory, files) = (all(memory.sorted()?)?, all(files.sorted()?)?);
        assert_eq!(memory.len(), 500);
        assert!(memory.is_sorted() && memory == files);
        Ok(())
    }
}
