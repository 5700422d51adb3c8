//! The blocking client, for what is done beside the running store: migrations, rights, looks.

use std::error::Error as _;
use std::time::Duration;

use postgres::error::SqlState;

use super::url::{PostgresUrl, PostgresUrlError};

/// How long one statement of these tools may take, unless it says so itself.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the server did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresError {
    /// The address or its certificates.
    #[error(transparent)]
    Url(#[from] PostgresUrlError),
    /// No connection, or it broke.
    #[error("cannot reach {server}: {reason}")]
    Unreachable {
        /// The address, without its password.
        server: String,
        /// What happened, and where it is known what to do.
        reason: String,
    },
    /// The server says no.
    #[error("{server}: {reason}")]
    Refused {
        /// The address, without its password.
        server: String,
        /// What it says, and where it is known what to do.
        reason: String,
    },
}

impl PostgresError {
    pub(super) fn of(url: &PostgresUrl, error: &postgres::Error) -> Self {
        let (server, reason) = (url.redacted(), explain(error));
        match error.as_db_error() {
            Some(_) => Self::Refused { server, reason },
            None => Self::Unreachable { server, reason },
        }
    }
}

/// Does something with a connection, on a thread of its own: the blocking client must not be
/// used on a thread that drives a runtime, and callers need not know on which one they are.
/// Blocks until it is done.
pub(super) fn with_client<T: Send, E: Send + From<PostgresError>>(
    url: &PostgresUrl,
    work: impl FnOnce(&mut postgres::Client) -> Result<T, E> + Send,
) -> Result<T, E> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let mut client = connect(url)?;
            work(&mut client)
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn connect(url: &PostgresUrl) -> Result<postgres::Client, PostgresError> {
    let tls = url.tls()?;
    let failed = |error: postgres::Error| PostgresError::of(url, &error);
    let mut config = postgres::Config::from(url.config());
    // What the server says beside its answers is for nobody here.
    config.notice_callback(|_| {});
    let mut client = config.connect(tls).map_err(failed)?;
    let limit = format!("SET statement_timeout = {}", STATEMENT_TIMEOUT.as_millis());
    client.batch_execute(&limit).map_err(failed)?;
    Ok(client)
}

/// What a driver's error says, from its outside to its inside, and what to do where that is
/// known. The driver's own text alone is "error connecting to server" or "db error".
pub(super) fn explain(error: &postgres::Error) -> String {
    if let Some(said) = error.as_db_error() {
        let mut text = format!("{} (SQLSTATE {})", said.message(), said.code().code());
        if let Some(detail) = said.detail() {
            text.push_str(&format!("; {detail}"));
        }
        if let Some(advice) = advice_on(said.code(), said.message()) {
            text.push_str(&format!("; {advice}"));
        }
        return text;
    }
    let mut texts = vec![error.to_string()];
    let mut inner = error.source();
    while let Some(cause) = inner {
        let text = cause.to_string();
        if !texts.iter().any(|said| said.contains(&text)) {
            texts.push(text);
        }
        inner = cause.source();
    }
    let text = texts.join(": ");
    match advice_on_connection(&text) {
        Some(advice) => format!("{text}; {advice}"),
        None => text,
    }
}

fn advice_on(code: &SqlState, message: &str) -> Option<&'static str> {
    match *code {
        SqlState::INVALID_PASSWORD => {
            Some("give the password in PGPASSWORD, ~/.pgpass or the address")
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION if message.contains("no encryption") => {
            Some("the server takes encrypted connections only: use `sslmode=verify-full`")
        }
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => Some(
            "the server's pg_hba.conf does not let this user in from here, or there is no \
                  such user",
        ),
        SqlState::INVALID_CATALOG_NAME => Some("create the database first, with `createdb`"),
        SqlState::INSUFFICIENT_PRIVILEGE => {
            Some("run `dagbook migrate --grant ROLE` as the owner of the tables, or connect as it")
        }
        SqlState::TOO_MANY_CONNECTIONS => {
            Some("raise the server's max_connections, or end what holds connections")
        }
        SqlState::CANNOT_CONNECT_NOW => Some("the server is starting or stopping: try again soon"),
        SqlState::UNDEFINED_TABLE => Some("run `dagbook migrate` first"),
        _ => None,
    }
}

fn advice_on_connection(text: &str) -> Option<&'static str> {
    [
        (
            "server does not support TLS",
            "turn on `ssl` there, or use `sslmode=disable` where nobody can listen in between",
        ),
        (
            "UnknownIssuer",
            "nobody whom this machine trusts signed its certificate: name the authority with \
             `sslrootcert=FILE`",
        ),
        (
            "CaUsedAsEndEntity",
            "the server shows its authority's certificate as its own: give it one that the \
             authority signed",
        ),
        (
            "certificate not valid for name",
            "its certificate is for other names: use one of those as the host, or have it \
             issued for this one",
        ),
        ("Expired", "its certificate has run out, or the clock of this machine is wrong"),
        ("NotValidYet", "its certificate begins later, or the clock of this machine is wrong"),
        ("Connection refused", "is the server running, and is it this host and port?"),
        ("No such file or directory", "is the server running, and is this its socket folder?"),
    ]
    .into_iter()
    .find_map(|(sign, advice)| text.contains(sign).then_some(advice))
}
