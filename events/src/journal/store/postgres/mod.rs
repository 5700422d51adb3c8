//! The store in Postgres, and what an operator does to it.

mod archive;
mod audit;
mod client;
mod columns;
mod counters;
mod fault;
mod grants;
mod health;
mod lease;
mod listen;
mod migrate;
mod names;
mod options;
mod passfile;
mod pool;
mod read;
mod retry;
mod session;
mod shelf;
mod store;
mod tls;
mod url;
mod writer;

pub use self::client::PostgresError;
pub use self::counters::PostgresCounters;
pub use self::grants::{GrantError, Rights, grant_reader, grant_server};
pub use self::health::{PostgresHealth, RecordHealth, health};
pub use self::migrate::{
    MigrateError, MigrationName, MigrationReport, SchemaVersion, check_schema, migrate,
    pending_migrations, schema_version,
};
pub use self::options::{PostgresOpenError, PostgresOptions};
pub use self::store::PostgresStore;
pub use self::url::{PostgresUrl, PostgresUrlError, SslMode};
