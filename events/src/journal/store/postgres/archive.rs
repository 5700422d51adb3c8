//! What has left this database, and how the rest of a partition follows.

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::names::{corrupt, damaged};
use super::read::bound;
use super::store::PostgresStore;
use super::writer::{digest, get, unsigned};
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::{Archive, ArchivedRange, NewRange, ReadError, Segment, Upkeep};
use crate::time::Timestamp;

type Answer<T> = Result<T, ReadError>;

impl PostgresStore {
    async fn archived(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Answer<Vec<ArchivedRange>> {
        let rows = self.reading().readers.rows(sql, params).await?;
        rows.iter().map(range).collect()
    }
}

fn range(row: &Row) -> Answer<ArchivedRange> {
    Ok(ArchivedRange {
        first: Position(unsigned(row, 0).map_err(damaged)?),
        end: Position(unsigned(row, 1).map_err(damaged)?),
        index: get(row, 2).map_err(damaged)?,
        index_hash: digest(row, 3).map_err(damaged)?,
        leaves_hash: digest(row, 4).map_err(damaged)?,
    })
}

#[async_trait]
impl Archive for PostgresStore {
    async fn range_of(&self, position: Position) -> Answer<Option<ArchivedRange>> {
        let sql = include_str!("sql/archive_of_position.sql");
        Ok(self.archived(sql, &[&bound(position.0)]).await?.pop())
    }

    async fn range_of_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        version: u64,
    ) -> Answer<Option<ArchivedRange>> {
        let sql = include_str!("sql/archive_of_stream.sql");
        let params: [&(dyn ToSql + Sync); 3] =
            [&tenant.as_str(), &stream.as_str(), &bound(version)];
        Ok(self.archived(sql, &params).await?.pop())
    }

    async fn range_of_leaf(&self, tenant: &TenantId, leaf: u64) -> Answer<Option<ArchivedRange>> {
        let sql = include_str!("sql/archive_of_leaf.sql");
        Ok(self.archived(sql, &[&tenant.as_str(), &bound(leaf)]).await?.pop())
    }

    async fn ranges(&self, from: Position, limit: usize) -> Answer<Vec<ArchivedRange>> {
        let sql = include_str!("sql/archive_ranges.sql");
        self.archived(sql, &[&bound(from.0), &bound(limit as u64)]).await
    }

    async fn gone_until(&self) -> Answer<Position> {
        let rows = self.reading().readers.rows(include_str!("sql/archive_gone.sql"), &[]).await?;
        match rows.first() {
            Some(row) => Ok(Position(unsigned(row, 0).map_err(damaged)?)),
            None => Ok(Position(1)),
        }
    }

    async fn oldest_segment(&self) -> Answer<Option<Segment>> {
        let sql = include_str!("sql/archive_oldest.sql");
        let rows = self.reading().readers.rows(sql, &[]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let first = Position(unsigned(row, 0).map_err(damaged)?);
        Ok(Some(Segment { first, end: Position(unsigned(row, 1).map_err(damaged)?) }))
    }

    async fn open_stream(&self, segment: Segment) -> Answer<Option<(TenantId, StreamName)>> {
        let sql = include_str!("sql/archive_open.sql");
        let params: [&(dyn ToSql + Sync); 2] = [&bound(segment.first.0), &bound(segment.end.0)];
        let rows = self.reading().readers.rows(sql, &params).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let wrong = |error: crate::ids::InvalidId| corrupt(segment.first, error.to_string());
        let tenant = TenantId::new(get(row, 0).map_err(damaged)?).map_err(wrong)?;
        Ok(Some((tenant, StreamName::new(get(row, 1).map_err(damaged)?).map_err(wrong)?)))
    }

    async fn keep(&self, range: &NewRange) -> Answer<()> {
        let NewRange { range, streams, logs } = range;
        let texts = |text: &dyn Fn(usize) -> String, len: usize| (0..len).map(text).collect();
        let of_stream: Vec<String> = texts(&|at| streams[at].tenant.to_string(), streams.len());
        let stream: Vec<String> = texts(&|at| streams[at].stream.to_string(), streams.len());
        let version: Vec<i64> = streams.iter().map(|it| bound(it.first_version)).collect();
        let events: Vec<i64> = streams.iter().map(|it| bound(it.events)).collect();
        let of_log: Vec<String> = texts(&|at| logs[at].tenant.to_string(), logs.len());
        let leaf: Vec<i64> = logs.iter().map(|it| bound(it.first_leaf)).collect();
        let leaves: Vec<i64> = logs.iter().map(|it| bound(it.leaves)).collect();
        let params: [&(dyn ToSql + Sync); 12] = [
            &bound(range.first.0),
            &bound(range.end.0),
            &range.index,
            &&range.index_hash.0[..],
            &&range.leaves_hash.0[..],
            &of_stream,
            &stream,
            &version,
            &events,
            &of_log,
            &leaf,
            &leaves,
        ];
        let sql = include_str!("sql/archive_keep.sql");
        let rows = self.reading().readers.change(sql, &params).await;
        rows.map(drop).map_err(|error| match error {
            // What the trigger says about leaves that differ.
            ReadError::Corrupt { detail, .. } => corrupt(range.first, detail),
            other => other,
        })
    }

    async fn let_go(&self, segment: Segment) -> Answer<()> {
        let sql = include_str!("sql/archive_let_go.sql");
        let params: [&(dyn ToSql + Sync); 2] = [&bound(segment.first.0), &bound(segment.end.0)];
        let done = self.reading().readers.change(sql, &params).await;
        // The same may have been done in the moment before.
        match done {
            Ok(_) => Ok(()),
            Err(_) if self.gone_until().await? >= segment.end => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[async_trait]
impl Upkeep for PostgresStore {
    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Answer<usize> {
        let sql = include_str!("sql/keys_forget.sql");
        let rows = self.reading().readers.change(sql, &[&before.0, &bound(limit as u64)]).await?;
        Ok(rows.len())
    }
}
