//! The writer's connection: how it is made, and what is prepared on it.

use std::time::Duration;

use futures_util::future::try_join_all;
use tokio::task::JoinHandle;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::{Client, Config, Error, Statement};

use super::fault::Trouble;
use super::url::PostgresUrl;

/// A connection with its statements.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) statements: Statements,
    driver: JoinHandle<()>,
}

/// Tells a session from all others that the server ever has.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) pid: i32,
    began: String,
}

/// Prepared once for each connection.
pub(super) struct Statements {
    pub(super) head_lock: Statement,
    pub(super) tenants: Statement,
    pub(super) streams: Statement,
    pub(super) keys: Statement,
    pub(super) leases: Statement,
    pub(super) write: Statement,
    pub(super) events: Statement,
    pub(super) partitions: Statement,
    pub(super) head_raise: Statement,
    pub(super) event_hash: Statement,
}

impl Session {
    /// Connects and prepares. The connection is driven by the runtime that this is run on.
    pub(super) async fn open(url: &PostgresUrl, answer: Duration) -> Result<Self, Trouble> {
        let tls = url.tls().map_err(|error| Trouble::Gone(error.to_string()))?;
        let mut config = connection(url);
        if config.get_target_session_attrs() == TargetSessionAttrs::Any {
            // Also of the several machines that one name may stand for.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let failed = |error: Error| Trouble::of(&error);
        let (client, connection) = config.connect(tls).await.map_err(failed)?;
        // How it ends, the client says.
        let driver = tokio::spawn(async move { drop(connection.await) });
        client.batch_execute(&settings(answer)).await.map_err(failed)?;
        client.execute(include_str!("sql/session_durable.sql"), &[]).await.map_err(failed)?;
        let identity = client
            .query_one(include_str!("sql/session_identity.sql"), &[])
            .await
            .and_then(|row| Ok(Identity { pid: row.try_get(0)?, began: row.try_get(1)? }))
            .map_err(failed)?;
        let statements = Statements::prepare(&client).await.map_err(failed)?;
        Ok(Self { client, identity, statements, driver })
    }

    /// Closes it at once, without a word, and says what it was.
    pub(super) async fn abandon(self) -> Identity {
        self.driver.abort();
        // It was aborted, or had ended already.
        let _ = self.driver.await;
        self.identity
    }

    /// Ends another session, if it is still there.
    pub(super) async fn end(&self, other: &Identity) -> Result<(), Error> {
        let sql = include_str!("sql/session_end.sql");
        self.client.execute(sql, &[&other.pid, &other.began]).await.map(drop)
    }
}

impl Statements {
    async fn prepare(client: &Client) -> Result<Self, Error> {
        let texts = [
            include_str!("sql/head_lock.sql"),
            include_str!("sql/touched_tenants.sql"),
            include_str!("sql/touched_streams.sql"),
            include_str!("sql/touched_keys.sql"),
            include_str!("sql/touched_leases.sql"),
            include_str!("sql/batch_write.sql"),
            include_str!("sql/events_insert.sql"),
            include_str!("sql/partitions_ahead.sql"),
            include_str!("sql/head_raise.sql"),
            include_str!("sql/event_hash.sql"),
        ];
        // Polled together they share their round trips.
        let mut prepared =
            try_join_all(texts.iter().map(|text| client.prepare(text))).await?.into_iter();
        let mut next = || prepared.next().expect("as many statements as texts");
        Ok(Self {
            head_lock: next(),
            tenants: next(),
            streams: next(),
            keys: next(),
            leases: next(),
            write: next(),
            events: next(),
            partitions: next(),
            head_raise: next(),
            event_hash: next(),
        })
    }
}

/// How every connection of a store is made, whoever uses it. A peer that is gone without a word
/// costs at most a minute. Of several hosts [`PostgresUrl::config`] takes the one that is
/// written to: on a standby, readers would be behind what was acknowledged.
pub(super) fn connection(url: &PostgresUrl) -> Config {
    let mut config = url.config();
    config.keepalives_idle(Duration::from_secs(20));
    config.keepalives_interval(Duration::from_secs(10));
    config.keepalives_retries(3);
    config.tcp_user_timeout(Duration::from_secs(40));
    config
}

/// All that the writer asks finds its rows by an index, however little is known of the tables
/// when a statement is planned; so it is planned once, for good.
fn settings(answer: Duration) -> String {
    let answer = answer.as_millis().clamp(1, 3_600_000);
    let lock = (answer / 2).max(1);
    format!(
        "SET default_transaction_isolation = 'read committed';
         SET statement_timeout = {answer};
         SET lock_timeout = {lock};
         SET idle_in_transaction_session_timeout = {answer};
         SET client_min_messages = warning;
         SET plan_cache_mode = force_generic_plan;
         SET enable_seqscan = off;
         SET enable_hashjoin = off;
         SET enable_mergejoin = off;
         SET jit = off"
    )
}
