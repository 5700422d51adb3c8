//! The reading side: a few read-only connections, used off the runtime's threads.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::{Connection, OptionalExtension, Params, params};

use super::open::{Database, OpenError};
use super::write::{fault, unsigned};
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::backend::BackendFault;
use crate::ports::{LogHead, ReadError, Recorded};
use crate::tlog::{Frontier, empty_root, leaf_hash};

/// Connections that are kept when they are idle.
const IDLE: usize = 4;
/// Names that one connection remembers.
const REMEMBERED_NAMES: usize = 20_000;

type Answer<T> = Result<T, ReadError>;

/// Hands out connections.
#[derive(Clone)]
pub(super) struct Readers {
    database: Database,
    idle: Arc<Mutex<Vec<Reader>>>,
}

impl Readers {
    pub(super) fn open(database: Database) -> Result<Self, OpenError> {
        let this = Self { database, idle: Arc::default() };
        let first = this.take()?;
        this.give(first);
        Ok(this)
    }

    /// Runs a read on a thread that may block.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce(&mut Reader) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.now(read))
            .await
            .map_err(|error| ReadError::Unavailable(format!("the reader stopped: {error}")))?
    }

    /// Runs a read on this thread.
    pub(super) fn now<T>(&self, read: impl FnOnce(&mut Reader) -> Answer<T>) -> Answer<T> {
        let mut reader = self.take()?;
        let answer = read(&mut reader)?;
        // A reader that failed is not used again.
        self.give(reader);
        Ok(answer)
    }

    fn take(&self) -> Answer<Reader> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(reader) => Ok(reader),
            None => {
                let connection = self.database.reader().map_err(unreadable)?;
                Ok(Reader { connection, names: HashMap::new() })
            }
        }
    }

    fn give(&self, reader: Reader) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE {
            idle.push(reader);
        }
    }
}

/// One connection and the names it has seen. Names never change, so they are never stale.
pub(super) struct Reader {
    pub(super) connection: Connection,
    names: HashMap<i64, (TenantId, StreamName)>,
}

impl Reader {
    pub(super) fn head(&mut self) -> Answer<Position> {
        let mut statement = self
            .connection
            .prepare_cached(include_str!("sql/head_read.sql"))
            .map_err(unreadable)?;
        statement.query_row([], |row| unsigned(row, 1)).map(Position).map_err(unreadable)
    }

    pub(super) fn timeline(&mut self) -> Answer<u64> {
        let mut statement = self
            .connection
            .prepare_cached(include_str!("sql/head_read.sql"))
            .map_err(unreadable)?;
        statement.query_row([], |row| unsigned(row, 0)).map_err(unreadable)
    }

    pub(super) fn log_heads(&mut self) -> Answer<BTreeMap<TenantId, LogHead>> {
        let sql = include_str!("sql/audit_tenants.sql");
        let mut statement = self.connection.prepare_cached(sql).map_err(unreadable)?;
        let rows = statement.query_map([], |row| {
            let log = Frontier::from_bytes(unsigned(row, 1)?, row.get_ref(2)?.as_blob()?);
            Ok((row.get::<_, String>(0)?, log))
        });
        let rows = rows.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
        let head = |(name, log): (String, Result<Frontier, _>)| {
            let log = log.map_err(|error| {
                corrupt(Position(0), format!("the log of tenant {name}: {error}"))
            })?;
            let tenant = TenantId::new(&name)
                .map_err(|error| corrupt(Position(0), format!("the name of a tenant: {error}")))?;
            Ok((tenant, LogHead { size: log.size(), root: log.root() }))
        };
        rows.into_iter().map(head).collect()
    }

    pub(super) fn after(&mut self, cursor: Position, limit: usize) -> Answer<Vec<Recorded>> {
        let params = params![bound(cursor.0), bound(limit as u64)];
        self.events(include_str!("sql/events_after.sql"), params)
    }

    pub(super) fn stream(
        &mut self,
        tenant: &TenantId,
        stream: &StreamName,
        from: u64,
        limit: usize,
    ) -> Answer<Vec<Recorded>> {
        let params = params![tenant.as_str(), stream.as_str(), bound(from), bound(limit as u64)];
        self.events(include_str!("sql/events_of_stream.sql"), params)
    }

    pub(super) fn log(
        &mut self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Answer<Vec<Recorded>> {
        let params = params![tenant.as_str(), bound(from), bound(limit as u64)];
        self.events(include_str!("sql/events_of_log.sql"), params)
    }

    pub(super) fn stream_names(
        &mut self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Answer<Vec<StreamName>> {
        let (before, limit) = (before.map(StreamName::as_str), bound(limit as u64));
        // With a whole kind in the prefix an index finds the newest without a search.
        match prefix.split_once('/') {
            Some((kind, _)) => self.names(
                include_str!("sql/streams_of_kind.sql"),
                params![tenant.as_str(), kind, prefix, before, limit],
            ),
            None => self.names(
                include_str!("sql/streams_newest.sql"),
                params![tenant.as_str(), prefix, before, limit],
            ),
        }
    }

    pub(super) fn open_streams(
        &mut self,
        prefix: &str,
        after: Option<&(TenantId, StreamName)>,
        limit: usize,
    ) -> Answer<Vec<(TenantId, StreamName)>> {
        let limit = bound(limit as u64);
        let (tenant, stream) = after.map(|(t, s)| (t.as_str(), s.as_str())).unzip();
        match prefix.split_once('/') {
            Some((kind, _)) => self.pairs(
                include_str!("sql/streams_open_of_kind.sql"),
                params![kind, prefix, tenant, stream, limit],
            ),
            None => self.pairs(
                include_str!("sql/streams_open.sql"),
                params![prefix, tenant, stream, limit],
            ),
        }
    }

    fn pairs(&self, sql: &str, params: impl Params) -> Answer<Vec<(TenantId, StreamName)>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(unreadable)?;
        let texts = statement
            .query_map(params, |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)));
        let texts = texts.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
        let parse = |(tenant, stream): (String, String)| {
            let detail = |error: crate::ids::InvalidId| corrupt(Position(0), error.to_string());
            let tenant = TenantId::new(&tenant).map_err(detail)?;
            Ok((tenant, StreamName::new(&stream).map_err(detail)?))
        };
        texts.into_iter().map(parse).collect()
    }

    fn names(&self, sql: &str, params: impl Params) -> Answer<Vec<StreamName>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(unreadable)?;
        let texts = statement.query_map(params, |row| row.get::<_, String>(0));
        let texts = texts.and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(unreadable)?;
        let parse = |text: String| {
            let detail = |error| corrupt(Position(0), format!("the name of a stream: {error}"));
            StreamName::new(&text).map_err(detail)
        };
        texts.into_iter().map(parse).collect()
    }

    pub(super) fn log_head(&mut self, tenant: &TenantId) -> Answer<LogHead> {
        let sql = include_str!("sql/tenant_read.sql");
        let mut statement = self.connection.prepare_cached(sql).map_err(unreadable)?;
        let found = statement
            .query_row([tenant.as_str()], |row| {
                Ok(Frontier::from_bytes(unsigned(row, 1)?, row.get_ref(2)?.as_blob()?))
            })
            .optional()
            .map_err(unreadable)?;
        match found {
            None => Ok(LogHead { size: 0, root: empty_root() }),
            Some(Ok(log)) => Ok(LogHead { size: log.size(), root: log.root() }),
            Some(Err(error)) => {
                Err(corrupt(Position(0), format!("the log of tenant {tenant}: {error}")))
            }
        }
    }

    /// Reads events and checks each leaf against its hash, so that a damaged byte is never
    /// taken for history.
    fn events(&mut self, sql: &str, params: impl Params) -> Answer<Vec<Recorded>> {
        let Self { connection, names } = self;
        let mut statement = connection.prepare_cached(sql).map_err(unreadable)?;
        let mut rows = statement.query(params).map_err(unreadable)?;
        let mut events = Vec::new();
        while let Some(row) = rows.next().map_err(unreadable)? {
            let (event, stream) = read_event(row).map_err(unreadable)?;
            let leaf = event.leaf.map_err(|detail| corrupt(event.position, detail))?;
            let (tenant, stream) = name_of(connection, names, stream, event.position)?;
            events.push(Recorded {
                position: event.position,
                tenant,
                tenant_sequence: event.tenant_sequence,
                stream,
                version: event.version,
                leaf,
            });
        }
        Ok(events)
    }
}

/// A row as it comes: the leaf, or why it is not to be believed.
struct RowEvent {
    position: Position,
    tenant_sequence: u64,
    version: u64,
    leaf: Result<Arc<[u8]>, String>,
}

fn read_event(row: &rusqlite::Row<'_>) -> rusqlite::Result<(RowEvent, i64)> {
    let leaf = row.get_ref(5)?.as_blob()?;
    let hash = row.get_ref(4)?.as_blob()?;
    let leaf = match leaf_hash(leaf).0 == hash {
        true => Ok(Arc::from(leaf)),
        false => Err("the leaf does not have the hash that was stored with it".to_string()),
    };
    let event = RowEvent {
        position: Position(unsigned(row, 0)?),
        tenant_sequence: unsigned(row, 2)?,
        version: unsigned(row, 3)?,
        leaf,
    };
    Ok((event, row.get(1)?))
}

fn name_of(
    connection: &Connection,
    names: &mut HashMap<i64, (TenantId, StreamName)>,
    stream: i64,
    position: Position,
) -> Answer<(TenantId, StreamName)> {
    if let Some(known) = names.get(&stream) {
        return Ok(known.clone());
    }
    let mut statement =
        connection.prepare_cached(include_str!("sql/stream_name.sql")).map_err(unreadable)?;
    let texts: Option<(String, String)> = statement
        .query_row([stream], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()
        .map_err(unreadable)?;
    let (tenant, name) =
        texts.ok_or_else(|| corrupt(position, "its stream is not known".to_string()))?;
    let damaged = |error: crate::ids::InvalidId| corrupt(position, error.to_string());
    let pair = (TenantId::new(&tenant).map_err(damaged)?, StreamName::new(&name).map_err(damaged)?);
    if names.len() >= REMEMBERED_NAMES {
        names.clear();
    }
    names.insert(stream, pair.clone());
    Ok(pair)
}

/// A bound for a query; beyond what SQLite counts there is nothing.
fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn corrupt(position: Position, detail: String) -> ReadError {
    ReadError::Corrupt { position, detail }
}

pub(super) fn unreadable(error: rusqlite::Error) -> ReadError {
    match fault(error) {
        BackendFault::Unavailable(message) | BackendFault::Unreachable(message) => {
            ReadError::Unavailable(message)
        }
        BackendFault::Corrupt(detail) => corrupt(Position(0), detail),
    }
}
