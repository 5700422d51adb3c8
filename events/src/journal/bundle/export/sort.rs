//! Rows of `usage.csv` in their order, in bounded memory: sorted in parts that lie in files, and
//! merged as often as they are needed.

use std::convert::Infallible;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::rating::{FactSink, Row, Rows, ToldFact, merge};

/// Bytes of rows that are held.
const HELD: usize = 64 << 20;
/// Bytes of one row at most: names in it are bounded where they are recorded.
const ROW_MAX: usize = 1 << 20;

/// Takes rows in any order.
pub(super) struct Sorter {
    folder: PathBuf,
    held: Rows,
    most: usize,
    parts: usize,
    failed: Option<io::Error>,
}

/// Rows that were sorted. What lies in files goes with it.
pub(super) struct Sorted {
    folder: PathBuf,
    held: Rows,
    parts: usize,
}

impl Sorter {
    /// Parts lie in a folder of this name, which is made when it is needed.
    pub(super) fn new(folder: &Path) -> Self {
        Self::holding(folder, HELD)
    }

    fn holding(folder: &Path, most: usize) -> Self {
        let folder = folder.to_path_buf();
        Self { folder, held: Rows::new(), most, parts: 0, failed: None }
    }

    /// All rows that were taken.
    pub(super) fn finish(mut self) -> io::Result<Sorted> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let mut held = std::mem::take(&mut self.held);
        held.sort();
        let sorted = Sorted { folder: self.folder.clone(), held, parts: self.parts };
        // The files are the other's now.
        self.parts = 0;
        Ok(sorted)
    }

    fn take(&mut self, fact: ToldFact<'_>) -> io::Result<()> {
        self.held.push(fact);
        if self.held.bytes() < self.most {
            return Ok(());
        }
        self.held.sort();
        if self.parts == 0 {
            DirBuilder::new().mode(0o700).create(&self.folder)?;
        }
        let mut out = BufWriter::new(File::create(part(&self.folder, self.parts))?);
        for row in self.held.iter() {
            let bytes = row.as_bytes();
            // A row is far shorter than that.
            out.write_all(&(bytes.len() as u32).to_be_bytes())?;
            out.write_all(bytes)?;
        }
        out.flush()?;
        self.parts += 1;
        self.held.clear();
        Ok(())
    }
}

impl FactSink for Sorter {
    fn fact(&mut self, fact: ToldFact<'_>) {
        if self.failed.is_none() {
            self.failed = self.take(fact).err();
        }
    }
}

impl Drop for Sorter {
    fn drop(&mut self) {
        if self.parts > 0 {
            // Left behind, it is temporary by its name.
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

impl Drop for Sorted {
    fn drop(&mut self) {
        if self.parts > 0 {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

type Part<'a> = Box<dyn Iterator<Item = io::Result<Row>> + 'a>;

impl Sorted {
    /// The rows in their order.
    pub(super) fn rows(&self) -> io::Result<impl Iterator<Item = io::Result<Row>> + '_> {
        let held = self.held.iter().map(|row| Ok::<_, Infallible>(row.to_row()));
        let mut parts: Vec<Part<'_>> =
            vec![Box::new(held.map(|row| row.map_err(|no| match no {})))];
        for n in 0..self.parts {
            let file = BufReader::new(File::open(part(&self.folder, n))?);
            parts.push(Box::new(PartRows { file, is_over: false }));
        }
        Ok(merge(parts))
    }
}

fn part(folder: &Path, n: usize) -> PathBuf {
    folder.join(n.to_string())
}

/// The rows of a part.
struct PartRows {
    file: BufReader<File>,
    is_over: bool,
}

impl PartRows {
    fn read(&mut self) -> io::Result<Option<Row>> {
        let mut length = [0; 4];
        match self.file.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let length = u32::from_be_bytes(length) as usize;
        let broken = || io::Error::other("a part of the sorted usage was changed");
        if length > ROW_MAX {
            return Err(broken());
        }
        let mut bytes = vec![0; length];
        self.file.read_exact(&mut bytes)?;
        Row::from_bytes(bytes).map(Some).ok_or_else(broken)
    }
}

impl Iterator for PartRows {
    type Item = io::Result<Row>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let read = self.read().transpose();
        self.is_over = !matches!(read, Some(Ok(_)));
        read
    }
}
