//! The rights of the roles that work with a record. Whoever owns the tables gives them.

use super::client::{PostgresError, with_client};
use super::url::PostgresUrl;

/// The longest name that Postgres does not cut off.
const LONGEST_NAME: usize = 63;

/// Why a role was not given its rights.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// No connection, or the server refuses.
    #[error(transparent)]
    Server(#[from] PostgresError),
    /// It is nobody's name.
    #[error("`{0}` cannot be the name of a role")]
    Name(String),
    /// There is no such role.
    #[error(
        "there is no role `{role}`: create it first, with `CREATE ROLE \"{role}\" LOGIN PASSWORD '…'`"
    )]
    Missing {
        /// Its name.
        role: String,
    },
}

/// What a role may do to events in the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// `UPDATE`, `DELETE`, `TRUNCATE` and `ALTER`, as far as it may; empty is what it must be
    /// for the role of a server.
    pub may_change: Vec<&'static str>,
    /// Whether it may append.
    pub may_append: bool,
}

/// Lets a role append and read, and not change an event: the role that servers connect as. Says
/// what it may do then, for what it is given elsewhere (as a superuser, an owner or a member)
/// stays. Blocks.
///
/// # Errors
/// Where there is no such role, or the caller does not own the tables.
pub fn grant_server(url: &PostgresUrl, role: &str) -> Result<Rights, GrantError> {
    grant(url, role, include_str!("sql/grant_server.sql"))
}

/// Lets a role read, for auditors and replays. Otherwise as [`grant_server`].
///
/// # Errors
/// As [`grant_server`].
pub fn grant_reader(url: &PostgresUrl, role: &str) -> Result<Rights, GrantError> {
    grant(url, role, include_str!("sql/grant_reader.sql"))
}

fn grant(url: &PostgresUrl, role: &str, statements: &str) -> Result<Rights, GrantError> {
    let quoted = quote(role).ok_or_else(|| GrantError::Name(role.to_string()))?;
    with_client(url, |client| {
        let failed = |error: postgres::Error| PostgresError::of(url, &error);
        let look = client
            .query_opt(include_str!("sql/grant_look.sql"), &[&role])
            .map_err(failed)?
            .ok_or_else(|| GrantError::Missing { role: role.to_string() })?;
        let schema: Option<String> = look.try_get(1).map_err(failed)?;
        let schema = quote(schema.as_deref().unwrap_or("public")).unwrap_or_default();
        let statements = statements.replace(":schema", &schema).replace(":role", &quoted);
        // Sent as one text, they run in one transaction.
        client.batch_execute(&statements).map_err(failed)?;
        Ok(rights(client, role).map_err(failed)?)
    })
}

pub(super) fn rights(client: &mut postgres::Client, role: &str) -> Result<Rights, postgres::Error> {
    let row = client.query_one(include_str!("sql/rights_on_events.sql"), &[&role])?;
    let mut may_change = Vec::new();
    for (i, right) in ["UPDATE", "DELETE", "TRUNCATE", "ALTER"].into_iter().enumerate() {
        if row.try_get::<_, bool>(i)? {
            may_change.push(right);
        }
    }
    Ok(Rights { may_change, may_append: row.try_get(4)? })
}

/// A name as an identifier in SQL.
fn quote(name: &str) -> Option<String> {
    let is_name = !name.is_empty() && name.len() <= LONGEST_NAME && !name.contains('\0');
    is_name.then(|| format!("\"{}\"", name.replace('"', "\"\"")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_break_out_of_their_quotes() {
        assert_eq!(quote("site\"; DROP TABLE x"), Some("\"site\"\"; DROP TABLE x\"".to_string()));
        assert_eq!(quote(""), None);
        assert_eq!(quote("a\0b"), None);
        assert_eq!(quote(&"x".repeat(64)), None);
    }
}
