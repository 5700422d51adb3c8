//! The address of a Postgres server, as `psql` and other programs over libpq understand it.
//!
//! The driver knows only some of libpq's settings: those about certificates are taken out here
//! and become a TLS configuration in [`super::tls`].

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio_postgres::config::{Host, TargetSessionAttrs};

use super::passfile;

/// How much a connection is protected; the meaning is libpq's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslMode {
    /// In the clear.
    Disable,
    /// Encrypted where the server offers it; nobody is checked.
    Prefer,
    /// Encrypted. The server's certificate is checked only where `sslrootcert` names who may
    /// have signed it.
    Require,
    /// Encrypted, and somebody who is trusted signed the certificate.
    VerifyCa,
    /// The same, and the certificate is for the host that was asked for.
    VerifyFull,
}

impl SslMode {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "disable" => Some(Self::Disable),
            // With `allow` libpq begins in the clear and encrypts where the server insists;
            // what `prefer` does is never weaker.
            "allow" | "prefer" => Some(Self::Prefer),
            "require" => Some(Self::Require),
            "verify-ca" => Some(Self::VerifyCa),
            "verify-full" => Some(Self::VerifyFull),
            _ => None,
        }
    }

    /// As it is written in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// Whose signatures under a server's certificate count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Roots {
    /// Those that this machine trusts.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostgresUrlError {
    /// Its text is wrong.
    #[error("the Postgres address cannot be used: {0}")]
    Address(String),
    /// Its certificates or keys cannot be used.
    #[error("TLS to Postgres cannot be set up: {0}")]
    Tls(String),
}

/// The address of a database, with everything that is needed to connect. Its password is in
/// none of its texts.
#[derive(Clone)]
pub struct PostgresUrl {
    config: tokio_postgres::Config,
    pub(super) mode: SslMode,
    pub(super) roots: Option<Roots>,
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
}

/// Settings that the driver takes as they are.
const DRIVER_KEYS: [&str; 18] = [
    "user",
    "password",
    "dbname",
    "host",
    "hostaddr",
    "port",
    "options",
    "application_name",
    "connect_timeout",
    "sslnegotiation",
    "target_session_attrs",
    "channel_binding",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "tcp_user_timeout",
    "load_balance_hosts",
];
/// Settings that are understood here.
const OWN_KEYS: [&str; 5] = ["sslmode", "sslrootcert", "sslcert", "sslkey", "passfile"];

/// How long a connection may take to be made, unless the address says so.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A longer text is nobody's address.
const LONGEST: usize = 8 * 1024;

/// What the address says beside what the driver reads.
#[derive(Default)]
struct Own {
    mode: Option<SslMode>,
    roots: Option<String>,
    certificate: Option<String>,
    key: Option<String>,
    passfile: Option<String>,
}

impl PostgresUrl {
    /// Reads `postgres://user:password@host:port/database?sslmode=…&sslrootcert=…`. Where no
    /// password is given it is looked for as libpq does: in `PGPASSWORD`, then in the file
    /// that `PGPASSFILE` names, else `~/.pgpass`.
    ///
    /// # Errors
    /// The message names what is wrong and never repeats the address.
    #[allow(clippy::disallowed_methods, reason = "libpq's variables are part of its addresses")]
    pub fn parse(text: &str) -> Result<Self, PostgresUrlError> {
        Self::parse_with(text, |name| std::env::var(name).ok())
    }

    /// The same, with another environment.
    ///
    /// # Errors
    /// As [`PostgresUrl::parse`].
    pub fn parse_with(
        text: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, PostgresUrlError> {
        let (mut config, own) = read(text).map_err(PostgresUrlError::Address)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(address(
                "it names no host; write `postgres://user@host:5432/database`, or `?host=/folder` \
                 for a Unix socket",
            ));
        }
        if config.get_password().is_none()
            && let Some(password) = passfile::password(&config, own.passfile.as_deref(), &variable)
                .map_err(|e| address(&e))?
        {
            config.password(password);
        }
        if config.get_application_name().is_none() {
            config.application_name("dagbook");
        }
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_TIMEOUT);
        }
        let on_sockets = config.get_hostaddrs().is_empty()
            && config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        // There is no TLS on a Unix socket; libpq then overlooks the mode.
        let mode = match on_sockets {
            true => SslMode::Disable,
            false => own.mode.unwrap_or(SslMode::Prefer),
        };
        config.ssl_mode(match mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        let roots = own.roots.map(|named| match named.as_str() {
            "system" => Roots::System,
            file => Roots::File(PathBuf::from(file)),
        });
        if roots == Some(Roots::System) && mode != SslMode::VerifyFull && !on_sockets {
            // As libpq: whoever has any certificate could stand in the way otherwise.
            return Err(address("`sslrootcert=system` needs `sslmode=verify-full`"));
        }
        let (certificate, key) = (own.certificate.map(PathBuf::from), own.key.map(PathBuf::from));
        if certificate.is_some() != key.is_some() {
            return Err(address("`sslcert` and `sslkey` belong together: name both or neither"));
        }
        // Of several hosts all but one are standbys, which are behind. Whoever wants to look at
        // one of them names it alone.
        let hosts = config.get_hosts().len().max(config.get_hostaddrs().len());
        if hosts > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(Self { config, mode, roots, certificate, key })
    }

    /// What the driver needs to connect; TLS comes from [`PostgresUrl::tls`].
    pub fn config(&self) -> tokio_postgres::Config {
        self.config.clone()
    }

    /// How much the connection is protected.
    pub fn ssl_mode(&self) -> SslMode {
        self.mode
    }

    /// Whether every connection stays on this machine.
    pub fn is_local(&self) -> bool {
        let addresses = self.config.get_hostaddrs();
        if !addresses.is_empty() {
            return addresses.iter().all(IpAddr::is_loopback);
        }
        self.config.get_hosts().iter().all(|host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                name == "localhost" || name.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
            }
        })
    }

    /// The user of the address; without one the driver takes the user of this process.
    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// The address without its password and its files, for messages.
    pub fn redacted(&self) -> String {
        let user = self.config.get_user().map(|user| format!("{user}@")).unwrap_or_default();
        let ports = self.config.get_ports();
        let port = |i: usize| ports.get(i).or(ports.first()).copied().unwrap_or(5432);
        let hosts: Vec<String> = match self.config.get_hosts() {
            [] => {
                let each = self.config.get_hostaddrs().iter().enumerate();
                each.map(|(i, host)| format!("{host}:{}", port(i))).collect()
            }
            hosts => {
                let each = hosts.iter().enumerate();
                each.map(|(i, host)| match host {
                    Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(i)),
                    Host::Tcp(name) => format!("{name}:{}", port(i)),
                    Host::Unix(folder) => format!("{}:{}", folder.display(), port(i)),
                })
                .collect()
            }
        };
        let hosts = hosts.join(",");
        let database = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default();
        format!("postgres://{user}{hosts}/{database}?sslmode={}", self.mode.as_str())
    }
}

impl fmt::Debug for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PostgresUrl").field(&self.redacted()).finish()
    }
}

impl fmt::Display for PostgresUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl PartialEq for PostgresUrl {
    fn eq(&self, other: &Self) -> bool {
        self.config == other.config
            && self.mode == other.mode
            && self.roots == other.roots
            && self.certificate == other.certificate
            && self.key == other.key
    }
}

impl Eq for PostgresUrl {}

fn address(reason: &str) -> PostgresUrlError {
    PostgresUrlError::Address(reason.to_string())
}

const ENCODE: &str = "characters such as `@`, `:`, `/`, `?` and `#` in a user, a password or a \
                      value must be written as `%40`, `%3A`, `%2F`, `%3F` and `%23`";

fn read(text: &str) -> Result<(tokio_postgres::Config, Own), String> {
    if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
        return Err("it must begin with `postgres://`".to_string());
    }
    if text.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    let (front, query) = text.split_once('?').unwrap_or((text, ""));
    // The part before the question mark by itself, so that a question mark in a password does
    // not make a part of it the name of a setting, which messages repeat.
    let alone: tokio_postgres::Config =
        front.parse().map_err(|_| format!("its host or port cannot be read; {ENCODE}"))?;
    let names_somebody = |host: &Host| matches!(host, Host::Tcp(name) if name.contains('@'));
    if query.contains('@') || alone.get_hosts().iter().any(names_somebody) {
        return Err(format!("it has an `@` too many; {ENCODE}"));
    }
    let mut own = Own::default();
    let mut driver = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair.split_once('=').ok_or("a setting has no `=`")?;
        if DRIVER_KEYS.contains(&key) {
            driver.push(pair);
        } else if key == "gssencmode" && value != "require" {
            // GSS is never used, which is what every other value allows.
        } else {
            own.set(key, decode(value).ok_or_else(|| format!("`{key}` is not encoded rightly"))?)?;
        }
    }
    let whole = match driver.is_empty() {
        true => front.to_string(),
        false => format!("{front}?{}", driver.join("&")),
    };
    let config = whole.parse().map_err(|error: tokio_postgres::Error| {
        // The outer text says only "invalid connection string"; the inner one names the setting.
        std::error::Error::source(&error).map_or_else(|| error.to_string(), ToString::to_string)
    })?;
    Ok((config, own))
}

impl Own {
    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        match key {
            "sslmode" => {
                let modes = "disable, prefer, require, verify-ca or verify-full";
                let mode = SslMode::parse(&value).ok_or(format!("`sslmode` must be {modes}"))?;
                self.mode = Some(mode);
            }
            "sslrootcert" => self.roots = Some(value),
            "sslcert" => self.certificate = Some(value),
            "sslkey" => self.key = Some(value),
            "passfile" => self.passfile = Some(value),
            _ => {
                let known: Vec<&str> = OWN_KEYS.into_iter().chain(DRIVER_KEYS).collect();
                return Err(format!("`{key}` is not a setting of it; known: {}", known.join(", ")));
            }
        }
        Ok(())
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<PostgresUrl, PostgresUrlError> {
        PostgresUrl::parse_with(text, |_| None)
    }

    #[test]
    fn settings_of_libpq_are_understood() {
        let url = parse(
            "postgres://ada:s%40crit@db.example:6432/books?sslmode=verify-full\
             &sslrootcert=/etc/ca%20s.pem&application_name=x&connect_timeout=3\
             &options=-csearch_path%3Dbooks&gssencmode=disable",
        )
        .expect("an address");
        assert_eq!(url.ssl_mode(), SslMode::VerifyFull);
        assert_eq!(url.roots, Some(Roots::File("/etc/ca s.pem".into())));
        let config = url.config();
        assert_eq!(config.get_password(), Some(b"s@crit".as_slice()));
        assert_eq!(config.get_options(), Some("-csearch_path=books"));
        assert_eq!(config.get_connect_timeout(), Some(&Duration::from_secs(3)));
        assert_eq!(config.get_application_name(), Some("x"));
        assert_eq!(config.get_ssl_mode(), tokio_postgres::config::SslMode::Require);
        assert_eq!(url.redacted(), "postgres://ada@db.example:6432/books?sslmode=verify-full");
    }

    #[test]
    fn no_text_of_an_address_shows_its_password() {
        let url = parse("postgres://ada:hunter2@db/books?sslmode=require").expect("an address");
        for shown in [format!("{url}"), format!("{url:?}"), url.redacted()] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        for wrong in [
            "postgres://ada:hun?ter2=x@db/books",
            "postgres://ada:1?ter2=x@db/books",
            "postgres://ada:hun@ter2@db/books",
            "postgres://ada:hunter2@db:port/books",
            "postgres://ada:hunter2@db/books?sslmode=hunter2",
            "postgres://ada:hunter2@db/books?password=hunter2&port=x",
        ] {
            let error = parse(wrong).expect_err(wrong).to_string();
            assert!(!error.contains("ter2"), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, word) in [
            ("mysql://x", "postgres://"),
            ("postgres:///books", "no host"),
            ("postgres://db/books?sslmod=require", "`sslmod`"),
            ("postgres://db/books?sslmode=always", "verify-full"),
            ("postgres://db/books?sslcert=/a", "`sslkey`"),
            ("postgres://db/books?sslrootcert=system", "verify-full"),
            ("postgres://db/books?gssencmode=require", "gssencmode"),
            ("postgres://db/books?connect_timeout=soon", "connect_timeout"),
            ("postgres://db/books?sslrootcert=%zz", "sslrootcert"),
            ("postgres://db/books?sslmode", "no `=`"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(word), "{text}: {error}");
        }
        let long = format!("postgres://db/{}", "x".repeat(LONGEST));
        assert!(parse(&long).expect_err("too long").to_string().contains("longer"));
    }

    #[test]
    fn a_unix_socket_needs_no_tls() {
        let url = parse("postgres://ada@%2Frun%2Fpostgresql/books?sslmode=verify-full")
            .expect("an address");
        assert_eq!(url.ssl_mode(), SslMode::Disable);
        assert_eq!(url.redacted(), "postgres://ada@/run/postgresql:5432/books?sslmode=disable");
        let url = parse("postgres:///books?host=/run/postgresql&user=ada").expect("an address");
        assert_eq!(url.redacted(), "postgres://ada@/run/postgresql:5432/books?sslmode=disable");
    }

    #[test]
    fn of_several_hosts_the_one_that_is_written_to_is_used() {
        let wanted = |text| parse(text).expect("an address").config().get_target_session_attrs();
        assert_eq!(wanted("postgres://a,b/x"), TargetSessionAttrs::ReadWrite);
        let explicit = wanted("postgres://a,b/x?target_session_attrs=any");
        assert_eq!(explicit, TargetSessionAttrs::ReadWrite, "the record is read where it grows");
        assert_eq!(wanted("postgres://a/x"), TargetSessionAttrs::Any, "a standby alone");
    }

    #[test]
    fn prefer_is_what_nothing_means() {
        assert_eq!(parse("postgres://db/x").expect("an address").ssl_mode(), SslMode::Prefer);
    }
}
