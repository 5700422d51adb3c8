//! Where NATS is, and who we are there.
//!
//! Secrets are read from files when a connection is made, and never shown: neither `Debug` nor
//! any error repeats what stood before the `@` of an address or inside a file.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// Why a text is not an address of NATS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the address of NATS cannot be used: {0}")]
pub struct NatsOptionsError(String);

fn wrong<T>(text: impl Into<String>) -> Result<T, NatsOptionsError> {
    Err(NatsOptionsError(text.into()))
}

/// What proves who we are; at most one of them is given.
#[derive(Clone, PartialEq, Eq, Default)]
pub enum NatsAuth {
    /// Nothing, or the client certificate alone.
    #[default]
    None,
    /// Name and password.
    Password(String, String),
    /// A token.
    Token(String),
    /// A `.creds` file with a user's JWT and its seed.
    Credentials(PathBuf),
    /// A file with an nkey seed.
    Nkey(PathBuf),
}

impl fmt::Debug for NatsAuth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password(user, _) => write!(f, "Password({user:?}, …)"),
            Self::Token(_) => f.write_str("Token(…)"),
            Self::Credentials(path) => write!(f, "Credentials({path:?})"),
            Self::Nkey(path) => write!(f, "Nkey({path:?})"),
        }
    }
}

/// How to reach NATS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsOptions {
    /// Servers as `scheme://host:port`, without anything secret; at least one.
    pub servers: Vec<String>,
    /// Who we are.
    pub auth: NatsAuth,
    /// Certificates of authorities to trust instead of the system's, as PEM.
    pub ca: Option<PathBuf>,
    /// Our certificate, as PEM; `key` goes with it.
    pub certificate: Option<PathBuf>,
    /// The key of our certificate, as PEM.
    pub key: Option<PathBuf>,
    /// Refuses to talk without TLS, also where the server would allow it.
    pub require_tls: bool,
    /// The name under which the server lists this connection.
    pub name: String,
    /// How many servers keep each stream that we make: 1, 3 or 5.
    pub replicas: usize,
    /// The server's monitoring address, such as `http://127.0.0.1:8222`, for `doctor`.
    pub monitor: Option<String>,
    /// How long one request may take.
    pub timeout: Duration,
}

impl NatsOptions {
    /// Reads `nats://` or `tls://` with one or several hosts separated by commas, perhaps
    /// `user:password@` or `token@`, and options behind a question mark: `creds`, `nkey`, `ca`,
    /// `cert`, `key` (paths), `replicas`, `name`, `monitor`, `timeout_ms`.
    ///
    /// # Errors
    /// Where a part is unknown, given twice, out of range or contradicts another. No error
    /// repeats a user, a password or a token.
    pub fn parse(text: &str) -> Result<Self, NatsOptionsError> {
        let (servers, query) = match text.split_once('?') {
            Some((servers, query)) => (servers, query),
            None => (text, ""),
        };
        let mut options = Self {
            servers: Vec::new(),
            auth: NatsAuth::None,
            ca: None,
            certificate: None,
            key: None,
            require_tls: false,
            name: "dagbook".to_string(),
            replicas: 1,
            monitor: None,
            timeout: Duration::from_secs(5),
        };
        let mut scheme = None;
        for server in servers.split(',').map(str::trim) {
            options.add_server(server, &mut scheme)?;
        }
        let mut seen = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let Some((name, value)) = pair.split_once('=') else {
                return wrong("an option behind the `?` has no `=`; write `name=value`");
            };
            if seen.contains(&name) {
                return wrong(format!("the option `{}` is given twice", shown(name)));
            }
            seen.push(name);
            options.set(name, &decoded(value)?)?;
        }
        options.checked()
    }

    fn add_server(
        &mut self,
        server: &str,
        scheme: &mut Option<&'static str>,
    ) -> Result<(), NatsOptionsError> {
        let (own, rest) = match server.split_once("://") {
            Some(("nats", rest)) => (Some("nats"), rest),
            Some(("tls", rest)) => (Some("tls"), rest),
            Some(_) => return wrong("it must begin with `nats://` or `tls://`"),
            None => (*scheme, server),
        };
        let Some(own) = own else {
            return wrong("it must begin with `nats://` or `tls://`");
        };
        *scheme = Some(own);
        self.require_tls |= own == "tls";
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, rest),
        };
        if let Some(user) = user {
            let auth = match user.split_once(':') {
                Some((user, password)) => NatsAuth::Password(decoded(user)?, decoded(password)?),
                None => NatsAuth::Token(decoded(user)?),
            };
            self.take_auth(auth)?;
        }
        let host = host.strip_suffix('/').unwrap_or(host);
        let address = address(host)?;
        self.servers.push(format!("{own}://{address}"));
        Ok(())
    }

    fn take_auth(&mut self, auth: NatsAuth) -> Result<(), NatsOptionsError> {
        if self.auth != NatsAuth::None && self.auth != auth {
            return wrong(
                "it says in two ways who we are; give a user in the address, `creds` or `nkey`, \
                 and the same for all servers",
            );
        }
        self.auth = auth;
        Ok(())
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), NatsOptionsError> {
        if value.is_empty() {
            return wrong(format!("the option `{}` is empty", shown(name)));
        }
        let path = || PathBuf::from(value);
        match name {
            "creds" => self.take_auth(NatsAuth::Credentials(path()))?,
            "nkey" => self.take_auth(NatsAuth::Nkey(path()))?,
            "ca" => self.ca = Some(path()),
            "cert" => self.certificate = Some(path()),
            "key" => self.key = Some(path()),
            "name" => self.name = shown(value),
            "monitor" if value.starts_with("http://") => self.monitor = Some(value.to_string()),
            "monitor" => return wrong("the option `monitor` must begin with `http://`"),
            "replicas" => match value.parse() {
                Ok(replicas @ 1..=5) => self.replicas = replicas,
                _ => return wrong("the option `replicas` is a number from 1 to 5"),
            },
            "timeout_ms" => match value.parse() {
                Ok(millis @ 100..=60_000) => self.timeout = Duration::from_millis(millis),
                _ => return wrong("the option `timeout_ms` is a number from 100 to 60000"),
            },
            _ => {
                return wrong(format!(
                    "the option `{}` is unknown; there are creds, nkey, ca, cert, key, name, \
                     monitor, replicas and timeout_ms",
                    shown(name)
                ));
            }
        }
        Ok(())
    }

    fn checked(mut self) -> Result<Self, NatsOptionsError> {
        if self.certificate.is_some() != self.key.is_some() {
            return wrong("`cert` and `key` belong together; give both or neither");
        }
        // Whoever names an authority or a certificate does not mean to talk in the clear.
        self.require_tls |= self.ca.is_some() || self.certificate.is_some();
        Ok(self)
    }
}

impl fmt::Display for NatsOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.servers.join(","))
    }
}

/// A host with a port, 4222 where none is given.
fn address(host: &str) -> Result<String, NatsOptionsError> {
    let (name, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((name, port)) => (format!("[{name}]"), port.strip_prefix(':')),
            None => return wrong("a host in brackets has no closing bracket"),
        },
        None => match host.split_once(':') {
            Some((name, port)) => (name.to_string(), Some(port)),
            None => (host.to_string(), None),
        },
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:[]".contains(c);
    if name.is_empty() || name.len() > 255 || !name.chars().all(plain) {
        return wrong("a host is missing or has characters that no host has");
    }
    match port.map_or(Ok(4222), str::parse::<u16>) {
        Ok(port) if port > 0 => Ok(format!("{name}:{port}")),
        _ => wrong(format!("the port of `{name}` is not a number from 1 to 65535")),
    }
}

/// What a message may repeat: short and printable.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn decoded(text: &str) -> Result<String, NatsOptionsError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = others.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let byte = digits.and_then(|two| u8::from_str_radix(two, 16).ok());
        match byte {
            Some(byte) => bytes.push(byte),
            None => return wrong("a `%` is not followed by two hexadecimal digits"),
        }
        rest = &others[2..];
    }
    String::from_utf8(bytes).or_else(|_| wrong("a part is not UTF-8 once it is decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_everything_is_read() {
        let text = "tls://h1:4333,h2?creds=/etc/d.creds&ca=/etc/ca%20x.pem&cert=c&key=k&replicas=3";
        let options = NatsOptions::parse(text).expect("read");
        assert_eq!(options.servers, ["tls://h1:4333", "tls://h2:4222"]);
        assert_eq!(options.auth, NatsAuth::Credentials(PathBuf::from("/etc/d.creds")));
        assert_eq!(options.ca, Some(PathBuf::from("/etc/ca x.pem")));
        assert_eq!((options.replicas, options.require_tls), (3, true));
        assert_eq!(options.to_string(), "tls://h1:4333,tls://h2:4222");
    }

    #[test]
    fn users_and_tokens_are_taken_out_of_the_address_and_never_shown() {
        let options = NatsOptions::parse("nats://ada:s%40cret@[::1]:1,nats://b:2").expect("read");
        assert_eq!(options.servers, ["nats://[::1]:1", "nats://b:2"]);
        assert_eq!(options.auth, NatsAuth::Password("ada".into(), "s@cret".into()));
        assert!(!format!("{options:?} {options}").contains("cret"));
        let options = NatsOptions::parse("nats://s3cret@b").expect("read");
        assert_eq!(options.auth, NatsAuth::Token("s3cret".into()));
        assert!(!format!("{options:?} {options}").contains("s3cret"));
    }

    #[test]
    fn what_is_wrong_is_named_and_secrets_are_not() {
        for (text, part) in [
            ("http://u:s3cret@h", "`nats://`"),
            ("u:s3cret@h", "`nats://`"),
            ("nats://u:s3cret@h:x", "the port of `h`"),
            ("nats://u:s3cret@h:0", "the port of `h`"),
            ("nats://u:s3cret@", "a host is missing"),
            ("nats://u:s3cret@a,nats://v:s3cret@b", "in two ways"),
            ("nats://u:s3cret@a?nkey=f", "in two ways"),
            ("nats://u:s3cret%4@a", "`%`"),
            ("nats://a?creed=x", "the option `creed` is unknown"),
            ("nats://a?creds", "has no `=`"),
            ("nats://a?creds=", "the option `creds` is empty"),
            ("nats://a?ca=1&ca=2", "the option `ca` is given twice"),
            ("nats://a?cert=1", "belong together"),
            ("nats://a?replicas=0", "`replicas`"),
            ("nats://a?timeout_ms=5", "`timeout_ms`"),
            ("nats://a?monitor=x", "`monitor`"),
        ] {
            let error = NatsOptions::parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{text}: {error}");
        }
    }
}
