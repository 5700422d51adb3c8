//! Where the record and its copies are kept: the addresses of the configuration.

use std::path::PathBuf;

use dagbook_events::journal::bus::jetstream::NatsOptions;
use dagbook_events::journal::store::postgres::PostgresUrl;

/// Where events are kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum StoreLocation {
    /// `events.sqlite` in the data folder.
    #[default]
    InDataFolder,
    /// Another SQLite file.
    Sqlite(PathBuf),
    /// A Postgres database.
    Postgres(Box<PostgresUrl>),
}

/// Who carries wake-ups between processes and keeps the second copy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum BusLocation {
    /// Nobody beside this process: there is no second copy.
    #[default]
    Memory,
    /// NATS with JetStream.
    Nats(Box<NatsOptions>),
}

impl BusLocation {
    /// Reads `memory:` or `nats://…`.
    ///
    /// # Errors
    /// Says what is wrong, without repeating what may be secret.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("nats" | "tls", _)) => NatsOptions::parse(text)
                .map(|options| Self::Nats(Box::new(options)))
                .map_err(|error| error.to_string()),
            _ => Err("this is not a bus; write `memory:` or `nats://HOST`".to_string()),
        }
    }
}

/// Where tiles and checkpoints are published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ObjectsLocation {
    /// `tiles/` in the data folder, where there is a copy or a store that others use too;
    /// nowhere otherwise.
    #[default]
    InDataFolder,
    /// Another folder.
    Folder(PathBuf),
    /// `s3://bucket/prefix?…`, which holds no secret.
    Bucket(String),
}

/// Whether a store's schema may be changed by whoever opens it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Migrate {
    /// By everyone who is about to append.
    #[default]
    Auto,
    /// By `dagbook migrate` alone.
    Never,
}

/// Reads `sqlite:PATH` or `postgres://…`. `path` makes a relative path whole; `variable` looks
/// up what libpq reads from the environment.
pub(super) fn store(
    text: &str,
    path: impl Fn(&str) -> PathBuf,
    variable: impl Fn(&str) -> Option<String>,
) -> Result<StoreLocation, String> {
    match text.split_once(':') {
        Some(("sqlite", file)) if !file.is_empty() => Ok(StoreLocation::Sqlite(path(file))),
        Some(("postgres" | "postgresql", _)) => PostgresUrl::parse_with(text, variable)
            .map(|url| StoreLocation::Postgres(Box::new(url)))
            .map_err(|error| error.to_string()),
        _ => Err("this is not a store; write `sqlite:PATH` or `postgres://USER@HOST/DATABASE`"
            .to_string()),
    }
}

/// Reads `file:PATH` or `s3://…`.
pub(super) fn objects(
    text: &str,
    path: impl Fn(&str) -> PathBuf,
) -> Result<ObjectsLocation, String> {
    match text.split_once(':') {
        Some(("file", folder)) => match folder.strip_prefix("//").unwrap_or(folder) {
            "" => Err("`file:` names no folder; write `file:PATH`".to_string()),
            folder => Ok(ObjectsLocation::Folder(path(folder))),
        },
        Some(("s3", rest)) if rest.contains('@') => {
            Err("an address of objects has no user and no key in it: give the keys in \
                 AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                .to_string())
        }
        Some(("s3", _)) => Ok(ObjectsLocation::Bucket(text.to_string())),
        _ => {
            Err("this is no place for objects; write `file:PATH` or `s3://BUCKET/PREFIX`"
                .to_string())
        }
    }
}

/// Reads `auto` or `never`.
pub(super) fn migrate(text: &str) -> Result<Migrate, String> {
    match text {
        "auto" => Ok(Migrate::Auto),
        "never" => Ok(Migrate::Never),
        other => Err(format!("`migrate` must be `auto` or `never`, not `{}`", plain(other))),
    }
}

/// Most characters of a site's name: its logs' names are longer, and must fit into paths.
const LONGEST_SITE: usize = 100;

/// The name of a site, which begins the names of its logs: `books.example`, `example.org/books`.
pub(super) fn site(text: &str) -> Result<String, String> {
    let of_name = |c: char| c.is_ascii_alphanumeric() || "-._/".contains(c);
    let is_site = (1..=LONGEST_SITE).contains(&text.len())
        && text.chars().all(of_name)
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.'));
    match is_site {
        true => Ok(text.to_string()),
        false => Err(format!(
            "`{}` cannot be the name of a site; use letters, digits, `.`, `-` and `/`, such as \
             `books.example`",
            plain(text)
        )),
    }
}

/// What a message may repeat.
fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}
