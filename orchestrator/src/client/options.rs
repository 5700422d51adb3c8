//! Which server, as whom, and how it is known to be that server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::ClientError;

/// A bearer token. It is never printed.
#[derive(Clone)]
pub struct Token(SecretString);

impl Token {
    /// A token as somebody gave it; blanks around it are dropped.
    pub fn new(text: &str) -> Result<Self, ClientError> {
        let text = text.trim();
        // Anything that may stand in a header: the server knows what its tokens look like.
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ClientError::Setup(
                "the token is empty or has characters that no token has".to_string(),
            ));
        }
        Ok(Self(SecretString::from(text.to_string())))
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// What a client is made of.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// The server, such as `https://dagbook.example.org`; a path below it is kept.
    pub server: Url,
    /// As whom.
    pub token: Option<Token>,
    /// On which tenant, for people of the site.
    pub tenant: Option<String>,
    /// Certificates to trust beside those of the machine.
    pub ca_file: Option<PathBuf>,
    /// How long a request may take that is answered at once.
    pub timeout: Duration,
    /// How long one may take for which a tenant's log is gone through.
    pub rating: Duration,
    /// How long all tries of a request may take together.
    pub patience: Duration,
}

impl ClientOptions {
    /// For this server, with usual bounds.
    pub fn new(server: &str) -> Result<Self, ClientError> {
        let wrong = |why: &str| {
            let shown: String = server.chars().filter(|c| !c.is_control()).take(100).collect();
            let shown = match shown.rsplit_once('@') {
                Some((_, host)) => format!("…@{host}"),
                None => shown,
            };
            ClientError::Setup(format!("`{shown}` is not the address of a server: {why}"))
        };
        let text = match server.contains("://") {
            true => server.to_string(),
            false => return Err(wrong("it begins with `https://` or `http://`")),
        };
        let mut url = Url::parse(&text).map_err(|error| wrong(&error.to_string()))?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(wrong("it begins with `https://` or `http://` and names a host"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("give the token by `--token-file` or `DAGBOOK_TOKEN`, not in it"));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("it has no query"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self {
            server: url,
            token: None,
            tenant: None,
            ca_file: None,
            timeout: Duration::from_secs(40),
            rating: Duration::from_secs(660),
            patience: Duration::from_secs(60),
        })
    }

    /// Whether what is sent can be read on the way.
    pub fn is_in_the_clear(&self) -> bool {
        let is_here = match self.server.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
            Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        self.server.scheme() == "http" && !is_here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_without_secrets_in_it() {
        let options = ClientOptions::new("https://example.org/team").expect("an address");
        assert_eq!(options.server.as_str(), "https://example.org/team/");
        assert!(!options.is_in_the_clear());
        assert!(ClientOptions::new("http://10.0.0.1:1").expect("an address").is_in_the_clear());
        assert!(!ClientOptions::new("http://[::1]:1").expect("an address").is_in_the_clear());
        for bad in ["example.org", "ftp://x", "https://a:b@x", "https://x/?q=1", "https://"] {
            let error = ClientOptions::new(bad).expect_err(bad).to_string();
            assert!(!error.contains("a:b"), "{error}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token::new(" dgb_secret\n").expect("a token");
        assert_eq!(token.expose(), "dgb_secret");
        assert_eq!(format!("{token:?}"), "Token(…)");
        assert!(Token::new("two words").is_err() && Token::new("").is_err());
    }
}
