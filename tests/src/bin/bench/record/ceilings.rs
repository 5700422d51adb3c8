//! What could be reached at best: bare rows without any event logic, and bare hashing.

use std::path::Path;
use std::time::{Duration, Instant};

use dagbook_events::tlog::{Frontier, leaf_hash};
use rusqlite::{Connection, params};

use super::LEAF_BYTES;

/// A table with a key and a body, as durable as the store's.
pub struct Bare {
    connection: Connection,
    next: i64,
}

impl Bare {
    pub fn open(path: &Path) -> rusqlite::Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update(None, "journal_mode", "wal")?;
        connection.pragma_update(None, "synchronous", "full")?;
        connection.execute_batch(
            "CREATE TABLE bare (position INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT",
        )?;
        Ok(Self { connection, next: 1 })
    }

    /// Rows a second over the span, so many in each commit.
    pub fn commits(&mut self, rows: usize, span: Duration) -> rusqlite::Result<f64> {
        let started = Instant::now();
        let before = self.next;
        while started.elapsed() < span {
            self.insert(rows as u64)?;
        }
        Ok((self.next - before) as f64 / started.elapsed().as_secs_f64())
    }

    pub fn fill(&mut self, rows: u64) -> rusqlite::Result<()> {
        self.insert(rows)
    }

    fn insert(&mut self, rows: u64) -> rusqlite::Result<()> {
        let body = [b'x'; LEAF_BYTES];
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut statement =
            self.connection.prepare_cached("INSERT INTO bare (position, body) VALUES (?1, ?2)")?;
        for _ in 0..rows {
            statement.execute(params![self.next, &body[..]])?;
            self.next += 1;
        }
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        Ok(())
    }

    /// Rows a second of one pass in order.
    pub fn scan(&self) -> rusqlite::Result<f64> {
        let started = Instant::now();
        let mut statement =
            self.connection.prepare("SELECT position, body FROM bare ORDER BY position")?;
        let mut rows = statement.query([])?;
        let (mut count, mut bytes) = (0u64, 0);
        while let Some(row) = rows.next()? {
            count += 1;
            bytes += row.get_ref(1)?.as_blob()?.to_vec().len();
        }
        assert_eq!(bytes as u64, count * LEAF_BYTES as u64);
        Ok(count as f64 / started.elapsed().as_secs_f64())
    }
}

/// Leaves hashed a second.
pub fn hashes(span: Duration) -> f64 {
    let leaf = [b'x'; LEAF_BYTES];
    per_second(span, || {
        std::hint::black_box(leaf_hash(std::hint::black_box(&leaf)));
    })
}

/// Nanoseconds that one event costs for its leaf hash and its part of the tree.
pub fn tree_nanoseconds(span: Duration) -> f64 {
    let leaf = [b'x'; LEAF_BYTES];
    let mut frontier = Frontier::new();
    let rate = per_second(span, || frontier.push(leaf_hash(std::hint::black_box(&leaf))));
    std::hint::black_box(frontier.root());
    1e9 / rate
}

fn per_second(span: Duration, mut work: impl FnMut()) -> f64 {
    let started = Instant::now();
    let mut count = 0u64;
    while started.elapsed() < span {
        for _ in 0..256 {
            work();
        }
        count += 256;
    }
    count as f64 / started.elapsed().as_secs_f64()
}
