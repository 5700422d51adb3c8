//! Bringing the schema of a database up to date, once, however many programs start together.

use std::collections::BTreeMap;
use std::time::Duration;

use postgres::error::SqlState;
use refinery::Migration;

use super::super::migrating::bring_up_to_date;
use super::client::{PostgresError, explain, with_client};
use super::url::PostgresUrl;

mod embedded {
    refinery::embed_migrations!("../migrations/postgres");
}

/// The number under which those who migrate a database wait for each other: `dagbook`, 1.
const LOCK: i64 = 0x6461_6762_6f6f_6b01;

/// A migration by its number and name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationName {
    /// Its number, from 1.
    pub version: u32,
    /// What it does, as in its file's name.
    pub name: String,
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationReport {
    /// The schema that was found; 0 in an empty database.
    pub before: u32,
    /// The schema that this program needs, and that is there after the migration.
    pub after: u32,
    /// What was run (or, asked beforehand, would be), in order.
    pub applied: Vec<MigrationName>,
}

/// The schema of a database, and the one this program was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemaVersion {
    /// In the database; 0: there is none yet.
    pub database: u32,
    /// In the program.
    pub program: u32,
}

/// Why a schema was not brought up to date.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MigrateError {
    /// No connection, or the server refuses.
    #[error(transparent)]
    Server(#[from] PostgresError),
    /// A later program was here.
    #[error(
        "{server} has schema {database}, and this program knows schemas up to {program} only: a \
         newer program has migrated it; use that one"
    )]
    Newer {
        /// The address.
        server: String,
        /// The schema there.
        database: u32,
        /// The newest one that is known here.
        program: u32,
    },
    /// The schema is too old, and it was not asked to be changed.
    #[error(
        "{server} has schema {database}, and this program needs {program}: run `dagbook migrate`"
    )]
    Older {
        /// The address.
        server: String,
        /// The schema there.
        database: u32,
        /// The one that is needed.
        program: u32,
    },
    /// A migration was run in another form than the one in this program.
    #[error(
        "migration {version} was run on {server} as `{was}`, and this program has `{is}` under \
         this number with other content: shipped migrations never change; use the program that \
         ran it"
    )]
    Edited {
        /// The address.
        server: String,
        /// Its number.
        version: u32,
        /// Its name there.
        was: String,
        /// Its name here.
        is: String,
    },
    /// Someone else did not finish in time.
    #[error(
        "another program has been migrating {server} for {waited_s} seconds; look at it, or try \
         again later"
    )]
    Locked {
        /// The address.
        server: String,
        /// How long was waited.
        waited_s: u64,
    },
    /// One of them could not be run; those before it were.
    #[error("the schema of {server} could not be brought to version {wanted}: {reason}")]
    Failed {
        /// The address.
        server: String,
        /// Where it should go.
        wanted: u32,
        /// What the server said.
        reason: String,
    },
}

/// Brings the schema up to date. Others that migrate the same database are waited for, at most
/// so long; what they have done is then not done again. Blocks.
///
/// # Errors
/// As [`MigrateError`] says; a schema that is newer or was edited is left alone.
pub fn migrate(
    url: &PostgresUrl,
    wait_for_lock: Duration,
) -> Result<MigrationReport, MigrateError> {
    let server = url.redacted();
    with_client(url, |client| {
        let before = Look::take(url, client)?;
        if before.pending()?.is_empty() {
            // Nothing is asked for that only the owner of the tables may do.
            return Ok(before.report(Vec::new()));
        }
        let failed = |error: postgres::Error| PostgresError::of(url, &error);
        lock(client, wait_for_lock).map_err(|error| match error.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => {
                MigrateError::Locked { server: server.clone(), waited_s: wait_for_lock.as_secs() }
            }
            _ => failed(error).into(),
        })?;
        let before = Look::take(url, client)?;
        let pending = before.pending()?;
        if !pending.is_empty() {
            let runner = embedded::migrations::runner;
            let done = bring_up_to_date(runner, client, before.version.database);
            done.map_err(|error| MigrateError::Failed {
                server: server.clone(),
                wanted: before.version.program,
                reason: reason(&error),
            })?;
        }
        Ok(before.report(pending))
    })
}

/// Says what [`migrate`] would do, and does nothing. Blocks.
///
/// # Errors
/// As [`migrate`].
pub fn pending_migrations(url: &PostgresUrl) -> Result<MigrationReport, MigrateError> {
    with_client(url, |client| {
        let look = Look::take(url, client)?;
        let pending = look.pending()?;
        Ok(look.report(pending))
    })
}

/// The schema of the database and that of this program. Blocks.
///
/// # Errors
/// Where the server cannot be asked.
pub fn schema_version(url: &PostgresUrl) -> Result<SchemaVersion, MigrateError> {
    with_client(url, |client| Look::take(url, client).map(|look| look.version))
}

/// Refuses a database whose schema is not the one of this program. Blocks.
///
/// # Errors
/// [`MigrateError::Older`], [`MigrateError::Newer`] or [`MigrateError::Edited`], or where the
/// server cannot be asked.
pub fn check_schema(url: &PostgresUrl) -> Result<(), MigrateError> {
    with_client(url, |client| {
        let look = Look::take(url, client)?;
        let SchemaVersion { database, program } = look.version;
        match look.pending()?.is_empty() {
            true => Ok(()),
            false => Err(MigrateError::Older { server: look.server, database, program }),
        }
    })
}

/// What is in the database and what is in the program.
pub(super) struct Look {
    server: String,
    pub(super) version: SchemaVersion,
    applied: BTreeMap<u32, (String, String)>,
    known: Vec<Migration>,
}

impl Look {
    pub(super) fn take(
        url: &PostgresUrl,
        client: &mut postgres::Client,
    ) -> Result<Self, MigrateError> {
        let mut known = embedded::migrations::runner().get_migrations().clone();
        known.sort();
        let applied = applied(client).map_err(|error| PostgresError::of(url, &error))?;
        let program = known.last().map_or(0, |last| number(last.version()));
        let database = applied.keys().next_back().copied().unwrap_or(0);
        let version = SchemaVersion { database, program };
        Ok(Self { server: url.redacted(), version, applied, known })
    }

    /// What is still to be run.
    fn pending(&self) -> Result<Vec<MigrationName>, MigrateError> {
        let SchemaVersion { database, program } = self.version;
        if database > program {
            return Err(MigrateError::Newer { server: self.server.clone(), database, program });
        }
        let mut pending = Vec::new();
        for migration in &self.known {
            let (version, name) = (number(migration.version()), migration.name().to_string());
            match self.applied.get(&version) {
                None => pending.push(MigrationName { version, name }),
                Some((was, checksum))
                    if *was != name || *checksum != migration.checksum().to_string() =>
                {
                    let (server, was) = (self.server.clone(), was.clone());
                    return Err(MigrateError::Edited { server, version, was, is: name });
                }
                Some(_) => {}
            }
        }
        Ok(pending)
    }

    fn report(&self, applied: Vec<MigrationName>) -> MigrationReport {
        let SchemaVersion { database, program } = self.version;
        MigrationReport { before: database, after: program, applied }
    }
}

fn applied(
    client: &mut postgres::Client,
) -> Result<BTreeMap<u32, (String, String)>, postgres::Error> {
    let kept = client.query_one(include_str!("sql/migrations_kept.sql"), &[])?;
    if !kept.try_get::<_, bool>(0)? {
        return Ok(BTreeMap::new());
    }
    let rows = client.query(include_str!("sql/migrations_applied.sql"), &[])?;
    rows.iter()
        .map(|row| Ok((number(row.try_get(0)?), (row.try_get(1)?, row.try_get(2)?))))
        .collect()
}

/// Takes the lock for the rest of the session, and lifts the limits that are for small
/// statements.
fn lock(client: &mut postgres::Client, wait: Duration) -> Result<(), postgres::Error> {
    // A limit of 0 would mean to wait for ever.
    let wait = wait.as_millis().clamp(1, i32::MAX as u128);
    client.batch_execute(&format!("SET statement_timeout = 0; SET lock_timeout = {wait}"))?;
    client.execute(include_str!("sql/migrations_lock.sql"), &[&LOCK])?;
    client.batch_execute("SET lock_timeout = 0")
}

fn number(version: i32) -> u32 {
    u32::try_from(version).unwrap_or(0)
}

/// What is behind refinery's own words.
fn reason(error: &refinery::Error) -> String {
    match error.kind() {
        refinery::error::Kind::Connection(doing, cause) => {
            let said = cause.downcast_ref::<postgres::Error>().map(explain);
            let said = said.unwrap_or_else(|| cause.to_string());
            let owner = "the owner of the database (or of its schema) must run it";
            let denied = said.contains(SqlState::INSUFFICIENT_PRIVILEGE.code());
            if denied { format!("{doing}: {said}; {owner}") } else { format!("{doing}: {said}") }
        }
        other => other.to_string(),
    }
}
