//! What is kept beside events and can be forgotten.

use async_trait::async_trait;
use rusqlite::params;

use super::SqliteStore;
use super::read::unreadable;
use crate::ports::{ReadError, Upkeep};
use crate::time::Timestamp;

#[async_trait]
impl Upkeep for SqliteStore {
    async fn forget_keys(&self, before: Timestamp, limit: usize) -> Result<usize, ReadError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        self.changing(move |connection| {
            let sql = include_str!("sql/keys_forget.sql");
            connection.execute(sql, params![before.0, limit]).map_err(unreadable)
        })
        .await
    }
}
