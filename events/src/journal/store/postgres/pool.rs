//! Connections for everything but the writer.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime,
};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::fault::Trouble;
use super::session::alive;
use super::url::{PostgresUrl, PostgresUrlError};
use crate::ports::ReadError;

/// How long a reader waits for a connection.
const WAIT: Duration = Duration::from_secs(10);
/// How long one statement of a reader may take.
const STATEMENT: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub(super) struct Readers(Pool);

impl Readers {
    /// Connects only when it is asked for something.
    pub(super) fn new(url: &PostgresUrl, most: usize) -> Result<Self, PostgresUrlError> {
        let mut config = url.config();
        alive(&mut config);
        let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, url.tls()?, recycling);
        let settings = format!(
            "SET statement_timeout = {}; SET client_min_messages = warning; SET jit = off",
            STATEMENT.as_millis()
        );
        let pool = Pool::builder(manager)
            .max_size(most.max(1))
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(WAIT))
            .create_timeout(Some(WAIT))
            .recycle_timeout(Some(WAIT))
            .post_create(Hook::async_fn(move |client, _| {
                let settings = settings.clone();
                Box::pin(async move {
                    client.batch_execute(&settings).await.map_err(HookError::Backend)
                })
            }))
            .build()
            .map_err(|error| PostgresUrlError::Address(error.to_string()))?;
        Ok(Self(pool))
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
                self.0.retain(|client, _| !client.is_closed());
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
        self.0.get().await.map_err(|error| match error {
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
        self.0.close();
    }
}
