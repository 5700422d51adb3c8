//! The schema of a file and that of this program, without opening the store.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

use super::open::migrations;
use crate::ports::ReadError;

/// The schema of a file, and what is missing in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteSchema {
    /// In the file; 0: there is none yet.
    pub database: u32,
    /// In the program.
    pub program: u32,
    /// Numbers and names of the migrations that opening the store would run.
    pub pending: Vec<(u32, String)>,
}

/// Looks at the schema of a file, which need not be there. Blocks.
///
/// # Errors
/// Where the file is there and cannot be read.
pub fn sqlite_schema(path: &Path) -> Result<SqliteSchema, ReadError> {
    let number = |version: i32| u32::try_from(version).unwrap_or(0);
    let mut known: Vec<(u32, String)> = migrations::migrations::runner()
        .get_migrations()
        .iter()
        .map(|migration| (number(migration.version()), migration.name().to_string()))
        .collect();
    known.sort();
    let program = known.last().map_or(0, |(version, _)| *version);
    let database = if path.exists() {
        version_of(path).map_err(|error| ReadError::Unavailable(error.to_string()))?
    } else {
        0
    };
    let pending = known.into_iter().filter(|(version, _)| *version > database).collect();
    Ok(SqliteSchema { database, program, pending })
}

fn version_of(path: &Path) -> rusqlite::Result<u32> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    let kept: bool = connection.query_row(include_str!("sql/schema_kept.sql"), [], |r| r.get(0))?;
    match kept {
        false => Ok(0),
        true => connection.query_row(include_str!("sql/schema_version.sql"), [], |row| row.get(0)),
    }
}
