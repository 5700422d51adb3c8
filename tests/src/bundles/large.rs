//! Bundles of any number of events, which go to their files as they are made: no more of them is in
//! memory than their hashes, their attempts, and some rows of their usage.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use dagbook_events::billing::PeriodClosed;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::journal::bundle::layout;
use dagbook_events::journal::bundle::manifest::FileEntry;
use dagbook_events::rating::{
    FactSink, Ledger, Options, Roots, Row, Rows, Statement, ToldFact, USAGE_HEADER, merge,
};
use dagbook_events::tlog::{ENTRY_TILE_WIDTH, Tile, TileLevel, encode_entries, leaf_hash, root};

use super::build::{ORIGIN, TENANT};

/// Bytes of rows that are in memory.
const ROWS: usize = 128 << 20;

/// Where the leaves of a large history go.
pub struct Files {
    folder: PathBuf,
    /// Of which there is a tile when there are enough.
    leaves: Vec<Vec<u8>>,
    pub hashes: Vec<Sha256Digest>,
    pub listed: Vec<FileEntry>,
    ledger: Ledger,
    pub closed: Option<(PeriodClosed, Statement)>,
    /// The first leaf, which adopts the prices.
    pub first: Vec<u8>,
}

impl Files {
    pub fn new(folder: &Path) -> Self {
        let log = ORIGIN.rsplit_once('/').expect("an origin").0;
        let origin = format!("{log}/1");
        let options = Options { tenant: TENANT.into(), origin, ..Options::default() };
        Self {
            folder: folder.to_path_buf(),
            leaves: Vec::new(),
            hashes: Vec::new(),
            listed: Vec::new(),
            ledger: Ledger::new(options).expect("options"),
            closed: None,
            first: Vec::new(),
        }
    }

    /// The next leaf.
    pub fn take(&mut self, leaf: Vec<u8>) {
        let index = self.hashes.len() as u64;
        self.hashes.push(leaf_hash(&leaf));
        if self.closed.is_none() {
            self.ledger.push(index, &leaf).expect("a leaf that can be rated");
        }
        if index == 0 {
            self.first = leaf.clone();
        }
        self.leaves.push(leaf);
        if self.leaves.len() as u64 == ENTRY_TILE_WIDTH {
            self.write_leaves();
        }
    }

    /// All leaves were taken.
    pub fn finish(&mut self) {
        if !self.leaves.is_empty() {
            self.write_leaves();
        }
    }

    fn write_leaves(&mut self) {
        let width = self.leaves.len();
        let index = (self.hashes.len() - width) as u64 / ENTRY_TILE_WIDTH;
        let tile = Tile { level: TileLevel::Entries, index, width: width as u16 };
        let bytes = encode_entries(self.leaves.iter().map(Vec::as_slice)).expect("short leaves");
        self.put(&tile.to_string(), &bytes);
        self.leaves.clear();
    }

    /// Writes a file.
    pub fn put(&mut self, path: &str, bytes: &[u8]) {
        let at = self.folder.join(path);
        fs::create_dir_all(at.parent().expect("a folder")).expect("a folder");
        fs::write(at, bytes).expect("written");
        self.listed.push(FileEntry::of(path, bytes));
    }

    /// Closes a period with all leaves so far: the closing, with `usage.csv` written.
    pub fn close(&mut self, period: &str) -> PeriodClosed {
        let size = self.hashes.len() as u64;
        let mut parts = Parts::default();
        let draft = self.ledger.draft(period, size, &mut parts).expect("rated");
        let (roots, entry) = parts.write(&self.folder.join(layout::USAGE)).expect("usage");
        let statement = draft.finish(&roots).expect("amounts");
        let closed = statement.closing(root(&self.hashes), entry.sha256).expect("documents");
        self.listed.push(entry);
        self.put(layout::LINES, &closed.lines_csv);
        self.put(layout::INVOICE, &closed.invoice_json);
        self.closed = Some((closed.event.clone(), statement));
        closed.event
    }
}

/// Rows in parts that are sorted.
#[derive(Default)]
struct Parts {
    rows: Rows,
    files: Vec<File>,
}

impl FactSink for Parts {
    fn fact(&mut self, fact: ToldFact<'_>) {
        self.rows.push(fact);
        if self.rows.bytes() > ROWS {
            let part = self.spill().expect("a temporary file");
            self.files.push(part);
        }
    }
}

impl Parts {
    fn spill(&mut self) -> io::Result<File> {
        self.rows.sort();
        let mut out = BufWriter::new(tempfile::tempfile()?);
        for row in self.rows.iter() {
            let bytes = row.as_bytes();
            out.write_all(&(bytes.len() as u32).to_be_bytes())?;
            out.write_all(bytes)?;
        }
        self.rows.clear();
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(file)
    }

    fn write(mut self, path: &Path) -> io::Result<(Roots, FileEntry)> {
        let rest = self.spill()?;
        self.files.push(rest);
        let rows = self.files.into_iter().map(|file| {
            let mut file = BufReader::new(file);
            std::iter::from_fn(move || read_row(&mut file).transpose())
        });
        let (mut roots, mut out) = (Roots::new(), BufWriter::new(File::create(path)?));
        out.write_all(USAGE_HEADER.as_bytes())?;
        for row in merge(rows.collect()) {
            let row: Row = row?;
            out.write_all(row.csv())?;
            roots.push(row.lent()).map_err(io::Error::other)?;
        }
        out.flush()?;
        Ok((roots, FileEntry::of(layout::USAGE, &fs::read(path)?)))
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
