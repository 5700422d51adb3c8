//! How a Postgres server is, for `doctor`: nothing is made, migrated or written.

use super::client::{PostgresError, with_client};
use super::grants::{Rights, rights};
use super::migrate::{Look, MigrateError, SchemaVersion};
use super::url::PostgresUrl;

/// How a server and the record in it are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresHealth {
    /// The server's version as it names it, such as `15.18`.
    pub version: String,
    /// Its major version, such as 15.
    pub major: u32,
    /// Whether what is committed is written through; anything acknowledged is lost with the
    /// power otherwise.
    pub fsync: bool,
    /// Whether a page that was written in half can be mended.
    pub full_page_writes: bool,
    /// When a commit is answered; `off` answers before it is on disk. The store asks for `on`
    /// itself where it appends.
    pub synchronous_commit: String,
    /// Whether pages carry checksums.
    pub data_checksums: bool,
    /// How much the write-ahead log tells: `minimal` allows no standby and no base backup.
    pub wal_level: String,
    /// Whether finished pieces of the write-ahead log are archived.
    pub archives: bool,
    /// Whether the last attempt to archive failed.
    pub archive_fails: bool,
    /// Standbys that a commit waits for, as configured; empty: none.
    pub synchronous_standbys: String,
    /// Standbys and other receivers that are connected now.
    pub receivers: u64,
    /// Most connections.
    pub max_connections: u32,
    /// Connections and the server's own processes now.
    pub connections: u64,
    /// Whether it is a standby, which takes no appends.
    pub is_standby: bool,
    /// Whether this connection is encrypted.
    pub encrypted: bool,
    /// Bytes of the database.
    pub bytes: u64,
    /// Its clock, unix milliseconds.
    pub now: i64,
    /// The role of this connection.
    pub role: String,
    /// The schema.
    pub schema: SchemaVersion,
    /// The record, where the schema is the one of this program.
    pub record: Option<RecordHealth>,
}

/// How the record in a server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHealth {
    /// The timeline that is written.
    pub timeline: u64,
    /// The highest position.
    pub position: u64,
    /// When the last append was recorded, unix milliseconds.
    pub recorded_at: i64,
    /// The last position for which there is a partition.
    pub room_until: u64,
    /// What the role of this connection may do to events.
    pub rights: Rights,
}

/// Looks at a server. Blocks.
///
/// # Errors
/// Where it cannot be reached or asked.
pub fn health(url: &PostgresUrl) -> Result<PostgresHealth, MigrateError> {
    with_client(url, |client| {
        let schema = Look::take(url, client)?.version;
        let looked = look(client, schema).map_err(|error| PostgresError::of(url, &error));
        Ok(looked?)
    })
}

fn look(
    client: &mut postgres::Client,
    schema: SchemaVersion,
) -> Result<PostgresHealth, postgres::Error> {
    let row = client.query_one(include_str!("sql/health_server.sql"), &[])?;
    let role: String = row.try_get(17)?;
    let is_known = schema.database == schema.program && schema.program > 0;
    let record = if is_known { Some(record(client, &role)?) } else { None };
    Ok(PostgresHealth {
        version: row.try_get(0)?,
        major: u32::try_from(row.try_get::<_, i32>(1)?).unwrap_or(0) / 10_000,
        fsync: row.try_get(2)?,
        full_page_writes: row.try_get(3)?,
        synchronous_commit: row.try_get(4)?,
        data_checksums: row.try_get(5)?,
        wal_level: row.try_get(6)?,
        archives: row.try_get(7)?,
        archive_fails: row.try_get(13)?,
        synchronous_standbys: row.try_get(8)?,
        receivers: unsigned(row.try_get(12)?),
        max_connections: u32::try_from(row.try_get::<_, i32>(9)?).unwrap_or(0),
        connections: unsigned(row.try_get(11)?),
        is_standby: row.try_get(10)?,
        encrypted: row.try_get(14)?,
        bytes: unsigned(row.try_get(15)?),
        now: row.try_get(16)?,
        role,
        schema,
        record,
    })
}

fn record(client: &mut postgres::Client, role: &str) -> Result<RecordHealth, postgres::Error> {
    let row = client.query_one(include_str!("sql/health_head.sql"), &[])?;
    Ok(RecordHealth {
        timeline: unsigned(row.try_get(0)?),
        position: unsigned(row.try_get(1)?),
        recorded_at: row.try_get(2)?,
        room_until: unsigned(row.try_get(3)?),
        rights: rights(client, role)?,
    })
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
