//! How a store's file is, without opening it for use: nothing is made, migrated or written.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use crate::ports::ReadError;

/// How a store's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteHealth {
    /// Version of the SQLite library.
    pub library: &'static str,
    /// `wal` is what it must be.
    pub journal_mode: String,
    /// What the database says of its own structure; empty when all is well.
    pub problems: Vec<String>,
    /// Migrations that were run.
    pub migrations: u64,
    /// Highest position.
    pub position: u64,
    /// When the last append was recorded, unix milliseconds.
    pub recorded_at: i64,
}

/// Looks at the file. Blocks; reads all of it.
pub fn health(path: &Path) -> Result<SqliteHealth, ReadError> {
    let failed = |error: rusqlite::Error| ReadError::Unavailable(error.to_string());
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(std::time::Duration::from_secs(5)).map_err(failed)?;
    let journal_mode = connection
        .pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0))
        .map_err(failed)?;
    let mut problems = Vec::new();
    connection
        .pragma(None, "quick_check", 20, |row| {
            problems.push(row.get::<_, String>(0)?);
            Ok(())
        })
        .map_err(failed)?;
    problems.retain(|problem| problem != "ok");
    let count = include_str!("sql/health_migrations.sql");
    let migrations =
        connection.query_row(count, [], |row| super::write::unsigned(row, 0)).map_err(failed)?;
    let head = |row: &rusqlite::Row<'_>| Ok((super::write::unsigned(row, 1)?, row.get(2)?));
    let (position, recorded_at) =
        connection.query_row(include_str!("sql/head_read.sql"), [], head).map_err(failed)?;
    let library = rusqlite::version();
    Ok(SqliteHealth { library, journal_mode, problems, migrations, position, recorded_at })
}
