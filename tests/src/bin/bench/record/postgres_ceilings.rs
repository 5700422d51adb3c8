//! What Postgres allows at best: bare rows of the same size with the same indexes, without any
//! event logic, on one connection.

use std::pin::pin;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::TryStreamExt;
use tokio_postgres::{Client, Statement};

use super::LEAF_BYTES;

/// A table with a key and two indexes beside it, as the events have.
pub struct Bare {
    client: Client,
    one: Statement,
    many: Statement,
    next: i64,
}

impl Bare {
    /// Makes the tables in a database that nothing else uses.
    pub async fn make(client: Client) -> anyhow::Result<Self> {
        client
            .batch_execute(
                "CREATE TABLE bare (
                     position bigint PRIMARY KEY, stream bigint NOT NULL, version bigint NOT NULL,
                     leaf_hash bytea NOT NULL, leaf bytea NOT NULL);
                 ALTER TABLE bare ALTER COLUMN leaf SET STORAGE EXTERNAL;
                 CREATE UNIQUE INDEX bare_of_stream ON bare (stream, version);
                 CREATE TABLE pgbench_row (
                     position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                     stream bigint NOT NULL, version bigint NOT NULL,
                     leaf_hash bytea NOT NULL, leaf bytea NOT NULL);
                 ALTER TABLE pgbench_row ALTER COLUMN leaf SET STORAGE EXTERNAL;
                 CREATE INDEX pgbench_row_of_stream ON pgbench_row (stream, version, position)",
            )
            .await?;
        let one = client.prepare("INSERT INTO bare VALUES ($1, $2, $3, $4, $5)").await?;
        let many = client
            .prepare(
                "INSERT INTO bare SELECT * FROM unnest(
                     $1::bigint[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[])",
            )
            .await?;
        Ok(Self { client, one, many, next: 1 })
    }

    /// Rows a second over the span, each a durable transaction of its own.
    pub async fn singles(&mut self, span: Duration) -> anyhow::Result<f64> {
        let started = Instant::now();
        let before = self.next;
        let (hash, body) = ([0_u8; 32], [b'x'; LEAF_BYTES]);
        while started.elapsed() < span {
            let (position, stream) = (self.next, self.next % 100);
            let row: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
                [&position, &stream, &position, &&hash[..], &&body[..]];
            self.client.execute(&self.one, &row).await?;
            self.next += 1;
        }
        Ok((self.next - before) as f64 / started.elapsed().as_secs_f64())
    }

    /// The same with so many rows in each.
    pub async fn batches(&mut self, rows: usize, span: Duration) -> anyhow::Result<f64> {
        let started = Instant::now();
        let before = self.next;
        while started.elapsed() < span {
            self.batch(rows).await?;
        }
        Ok((self.next - before) as f64 / started.elapsed().as_secs_f64())
    }

    async fn batch(&mut self, rows: usize) -> anyhow::Result<()> {
        let (hash, body) = ([0_u8; 32], [b'x'; LEAF_BYTES]);
        let end = self.next + i64::try_from(rows)?;
        let positions: Vec<i64> = (self.next..end).collect();
        let streams: Vec<i64> = positions.iter().map(|position| position % 100).collect();
        let (hashes, bodies) = (vec![&hash[..]; rows], vec![&body[..]; rows]);
        let arrays: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&positions, &streams, &positions, &hashes, &bodies];
        self.client.execute(&self.many, &arrays).await?;
        self.next = end;
        Ok(())
    }

    /// Rows a second of one ordered pass over so many rows: COPY out.
    pub async fn scan(&mut self, rows: u64) -> anyhow::Result<f64> {
        while self.next <= i64::try_from(rows)? {
            self.batch(1_000).await?;
        }
        let sql =
            "COPY (SELECT position, leaf FROM bare ORDER BY position) TO STDOUT (FORMAT binary)";
        let started = Instant::now();
        let mut stream = pin!(self.client.copy_out(sql).await?);
        let mut bytes = 0;
        while let Some(piece) = stream.try_next().await? {
            bytes += piece.len();
        }
        let took = started.elapsed().as_secs_f64();
        let rows = usize::try_from(self.next - 1)?;
        anyhow::ensure!(bytes > rows * LEAF_BYTES, "{bytes} bytes for {rows} rows");
        Ok(rows as f64 / took)
    }
}

/// A connection, driven in the background.
pub async fn connect(config: &tokio_postgres::Config) -> anyhow::Result<Client> {
    let connected = config.connect(tokio_postgres::NoTls).await;
    let (client, connection) = connected.context("the benchmark speaks without TLS")?;
    tokio::spawn(connection);
    Ok(client)
}
