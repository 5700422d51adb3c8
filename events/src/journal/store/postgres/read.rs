//! The reading side.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::names::{Known, Names, corrupt, damaged};
use super::pool::Readers;
use super::writer::{get, unsigned};
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::backend::Ref;
use crate::ports::{LogHead, ReadError, Recorded};
use crate::tlog::{Frontier, empty_root, leaf_hash};

type Answer<T> = Result<T, ReadError>;

/// Tries to read a page within one era.
const TRIES: usize = 16;

/// Reads events, and remembers names.
///
/// What is remembered holds for an era. One ends when a connection is made, because it may lead
/// to a server that was restored or has taken over meanwhile, and when the head is seen to go
/// back or over to another timeline.
pub(super) struct Reading {
    pub(super) readers: Readers,
    names: Names,
    /// Timeline and position when they were last looked at.
    seen: Mutex<(u64, Position)>,
    /// How often they were not where a record that only grows has them.
    turns: AtomicU64,
}

impl Reading {
    pub(super) fn new(readers: Readers) -> Self {
        let (seen, turns) = (Mutex::new((0, Position(0))), AtomicU64::new(0));
        Self { readers, names: Names::default(), seen, turns }
    }

    fn era(&self) -> u64 {
        self.readers.made() + self.turns.load(Ordering::SeqCst)
    }

    fn saw(&self, timeline: u64, position: Position) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if timeline != seen.0 || position < seen.1 {
            self.turns.fetch_add(1, Ordering::SeqCst);
        }
        *seen = (timeline, position);
    }

    /// Timeline and position.
    pub(super) async fn head(&self) -> Answer<(u64, Position)> {
        let rows = self.readers.rows(include_str!("sql/head_read.sql"), &[]).await?;
        let row = rows
            .first()
            .ok_or_else(|| corrupt(Position(0), "the row of counters is missing".to_string()))?;
        let timeline = unsigned(row, 0).map_err(damaged)?;
        let position = Position(unsigned(row, 1).map_err(damaged)?);
        self.saw(timeline, position);
        Ok((timeline, position))
    }

    pub(super) async fn after(&self, cursor: Position, limit: usize) -> Answer<Vec<Recorded>> {
        let (cursor, limit) = (bound(cursor.0), bound(limit as u64));
        self.events(include_str!("sql/events_after.sql"), &[&cursor, &limit], None).await
    }

    pub(super) async fn stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from: u64,
        limit: usize,
    ) -> Answer<Vec<Recorded>> {
        let of = (tenant, stream);
        let (tenant, stream) = (tenant.as_str(), stream.as_str());
        let (from, limit) = (bound(from), bound(limit as u64));
        let sql = include_str!("sql/events_of_stream.sql");
        self.events(sql, &[&tenant, &stream, &from, &limit], Some(of)).await
    }

    pub(super) async fn log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Answer<Vec<Recorded>> {
        let (tenant, from, limit) = (tenant.as_str(), bound(from), bound(limit as u64));
        self.events(include_str!("sql/events_of_log.sql"), &[&tenant, &from, &limit], None).await
    }

    pub(super) async fn stream_names(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Answer<Vec<StreamName>> {
        if prefix.contains('\0') {
            return Ok(Vec::new());
        }
        let (tenant, limit) = (tenant.as_str(), bound(limit as u64));
        let before = before.map(StreamName::as_str);
        // With a whole kind in the prefix an index finds the newest without a search.
        let rows = match prefix.split_once('/') {
            Some((kind, _)) => {
                let sql = include_str!("sql/streams_of_kind.sql");
                self.readers.rows(sql, &[&tenant, &kind, &prefix, &before, &limit]).await?
            }
            None => {
                let sql = include_str!("sql/streams_newest.sql");
                self.readers.rows(sql, &[&tenant, &prefix, &before, &limit]).await?
            }
        };
        rows.iter().map(|row| stream_name(row, 0)).collect()
    }

    pub(super) async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Answer<Vec<(TenantId, StreamName)>> {
        if prefix.contains('\0') {
            return Ok(Vec::new());
        }
        let limit = bound(limit as u64);
        let (tenant, stream) = after.map(|(t, s)| (t.as_str(), s.as_str())).unzip();
        let rows = match prefix.split_once('/') {
            Some((kind, _)) => {
                let sql = include_str!("sql/streams_open_of_kind.sql");
                self.readers.rows(sql, &[&kind, &prefix, &tenant, &stream, &limit]).await?
            }
            None => {
                let sql = include_str!("sql/streams_open.sql");
                self.readers.rows(sql, &[&prefix, &tenant, &stream, &limit]).await?
            }
        };
        let pair = |row: &Row| {
            let tenant = TenantId::new(get(row, 0).map_err(damaged)?)
                .map_err(|error| corrupt(Position(0), format!("the name of a tenant: {error}")))?;
            Ok((tenant, stream_name(row, 1)?))
        };
        rows.iter().map(pair).collect()
    }

    pub(super) async fn log_head(&self, tenant: &TenantId) -> Answer<LogHead> {
        let sql = include_str!("sql/log_head.sql");
        let rows = self.readers.rows(sql, &[&tenant.as_str()]).await?;
        match rows.first() {
            None => Ok(LogHead { size: 0, root: empty_root() }),
            Some(row) => read_log_head(row, 0, tenant.as_str()),
        }
    }

    pub(super) async fn log_heads(&self) -> Answer<BTreeMap<TenantId, LogHead>> {
        let rows = self.readers.rows(include_str!("sql/log_heads.sql"), &[]).await?;
        let head = |row: &Row| {
            let name: &str = get(row, 0).map_err(damaged)?;
            let head = read_log_head(row, 1, name)?;
            let tenant = TenantId::new(name)
                .map_err(|error| corrupt(Position(0), format!("the name of a tenant: {error}")))?;
            Ok((tenant, head))
        };
        rows.iter().map(head).collect()
    }

    /// Reads events and checks each leaf against its hash, so that a damaged byte is never
    /// taken for history. `of`: the one stream that was asked for, which is then not looked up.
    async fn events(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
        of: Option<(&TenantId, &StreamName)>,
    ) -> Answer<Vec<Recorded>> {
        for _ in 0..TRIES {
            let era = self.era();
            let rows = self.readers.rows(sql, params).await?;
            let mut streams = Vec::with_capacity(rows.len());
            for row in &rows {
                streams.push(get::<i64>(row, 1).map_err(damaged)?);
            }
            let names = match of {
                Some((tenant, stream)) => {
                    let named = |id: &Ref| (*id, (tenant.clone(), stream.clone()));
                    streams.first().map(named).into_iter().collect()
                }
                None => self.names.of(&self.readers, era, streams.iter().copied()).await?,
            };
            // Otherwise rows and names may be of different servers.
            if self.era() == era {
                return Self::checked(&rows, &streams, &names);
            }
        }
        Err(ReadError::Unavailable("connections to the server keep being replaced".to_string()))
    }

    fn checked(rows: &[Row], streams: &[Ref], names: &Known) -> Answer<Vec<Recorded>> {
        let mut events = Vec::with_capacity(rows.len());
        for (row, stream) in rows.iter().zip(streams) {
            let position = Position(unsigned(row, 0).map_err(damaged)?);
            let (tenant, stream) = names
                .get(stream)
                .cloned()
                .ok_or_else(|| corrupt(position, "its stream is not known".to_string()))?;
            let (hash, leaf): (&[u8], &[u8]) =
                (get(row, 4).map_err(damaged)?, get(row, 5).map_err(damaged)?);
            if leaf_hash(leaf).0 != hash {
                let detail = "the leaf does not have the hash that was stored with it";
                return Err(corrupt(position, detail.to_string()));
            }
            events.push(Recorded {
                position,
                tenant,
                tenant_sequence: unsigned(row, 2).map_err(damaged)?,
                stream,
                version: unsigned(row, 3).map_err(damaged)?,
                leaf: Arc::from(leaf),
            });
        }
        Ok(events)
    }
}

fn stream_name(row: &Row, column: usize) -> Answer<StreamName> {
    StreamName::new(get(row, column).map_err(damaged)?)
        .map_err(|error| corrupt(Position(0), format!("the name of a stream: {error}")))
}

fn read_log_head(row: &Row, column: usize, tenant: &str) -> Answer<LogHead> {
    let size = unsigned(row, column).map_err(damaged)?;
    let log = Frontier::from_bytes(size, get(row, column + 1).map_err(damaged)?)
        .map_err(|error| corrupt(Position(0), format!("the log of tenant {tenant}: {error}")))?;
    Ok(LogHead { size: log.size(), root: log.root() })
}

/// A bound for a query; beyond what Postgres counts there is nothing.
pub(super) fn bound(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
