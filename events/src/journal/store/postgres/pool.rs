//! Connections for everything but the writer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, QueueMode, RecyclingMethod,
    Runtime,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Trouble;
use super::session::connection;
use super::url::{PostgresUrl, PostgresUrlError};
use crate::ports::ReadError;

/// How long a reader waits for a connection.
const WAIT: Duration = Duration::from_secs(10);
/// How long one statement of a reader may take.
const STATEMENT: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct Readers {
    pool: Pool,
    /// Connections made so far.
    made: Arc<AtomicU64>,
}

impl Readers {
    /// Connects only when it is asked for something.
    pub(super) fn new(url: &PostgresUrl, most: usize) -> Result<Self, PostgresUrlError> {
        let config = connection(url);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, url.tls()?, recycling);
        let settings = format!(
            "SET statement_timeout = {}; SET client_min_messages = warning; SET jit = off",
            STATEMENT.as_millis()
        );
        let made = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&made);
        let pool = Pool::builder(manager)
            .max_size(most.max(1))
            // The one that was used last: it has prepared what is asked most, and the server's
            // process behind it has its tables at hand. Few are made where few are needed.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(WAIT))
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                count.fetch_add(1, Ordering::SeqCst);
                Box::pin(async move {
                    client.batch_execute(&settings).await.map_err(HookError::Backend)?;
                    // Leases are taken here: whoever hears of an epoch must find it kept.
                    let durable = include_str!("sql/session_durable.sql");
                    client.batch_execute(durable).await.map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(|error| PostgresUrlError::Address(error.to_string()))?;
        Ok(Self { pool, made })
    }

    /// How many connections were made so far.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::SeqCst)
    }

    /// The answer to one statement that only reads. Asked again, once, where the connection
    /// turns out to be gone: it may have been for long.
    pub(super) async fn rows(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ReadError> {
        match self.try_rows(sql, params).await {
            Err(Trouble::Gone(_)) => {
                // The others are as old.
                self.pool.retain(|client, _| !client.is_closed());
                self.try_rows(sql, params).await.map_err(ReadError::from)
            }
            answer => answer.map_err(ReadError::from),
        }
    }

    /// The answer to one statement that changes something: asked once only.
    pub(super) async fn change(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, ReadError> {
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(|error| Trouble::of(&error))?;
        let rows = client.query(&statement, params).await;
        rows.map_err(|error| Trouble::of(&error).into())
    }

    async fn try_rows(
        &self,
        sql: &str,
        params: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, Trouble> {
        let failed = |error: tokio_postgres::Error| Trouble::of(&error);
        let client = self.client().await?;
        let statement = client.prepare_cached(sql).await.map_err(failed)?;
        let rows = client.query(&statement, params).await;
        if rows.is_err() && client.is_closed() {
            drop(Object::take(client));
        }
        rows.map_err(failed)
    }

    async fn client(&self) -> Result<Object, Trouble> {
        self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => Trouble::of(&error),
            PoolError::PostCreateHook(HookError::Backend(error)) => Trouble::of(&error),
            PoolError::Timeout(_) => Trouble::Gone(format!(
                "no connection became free within {} seconds",
                WAIT.as_secs()
            )),
            other => Trouble::Gone(other.to_string()),
        })
    }

    pub(super) fn close(&self) {
        self.pool.close();
    }
}
