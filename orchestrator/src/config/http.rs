//! `listen`, `tls_cert`, `tls_key` and `http_limits`: how a server is reached, and by how many.

use std::path::PathBuf;

use serde::Deserialize;

/// Where a server listens when nothing is said.
pub const LISTEN: &str = "127.0.0.1:7411";

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    /// `HOST:PORT`; port 0 takes a free one.
    pub listen: String,
    /// The certificate chain, in PEM form; none: no TLS.
    pub tls_cert: Option<PathBuf>,
    /// Its private key, in PEM form.
    pub tls_key: Option<PathBuf>,
    /// Bounds that differ from what is usual.
    pub limits: HttpLimits,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            listen: LISTEN.to_string(),
            tls_cert: None,
            tls_key: None,
            limits: HttpLimits::default(),
        }
    }
}

/// Bounds of one process. What is not said is as usual.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpLimits {
    /// Requests of one token in a minute.
    pub per_token: Option<u32>,
    /// Requests of one token that may come at once.
    pub per_token_burst: Option<u32>,
    /// Refused requests of one address in a minute.
    pub per_peer: Option<u32>,
    /// Requests at work at one time.
    pub concurrent: Option<u32>,
    /// Followers of events and logs.
    pub followers: Option<u32>,
    /// Followers of one tenant.
    pub followers_per_tenant: Option<u32>,
    /// Open connections.
    pub connections: Option<u32>,
    /// Bytes of a request's body.
    pub body_bytes: Option<u32>,
    /// How long a request is worked on.
    pub request_ms: Option<u64>,
    /// The same where a tenant's log is rated or a bundle is planned.
    pub rating_ms: Option<u64>,
    /// Logs that are rated at one time, for requests.
    pub ratings: Option<u32>,
    /// How long a client may take for a request's head.
    pub head_ms: Option<u64>,
    /// How often a silent stream says that it is there.
    pub heartbeat_ms: Option<u64>,
    /// How long open requests have to end when the server stops.
    pub grace_ms: Option<u64>,
}

/// Reads `HOST:PORT`.
pub(super) fn listen(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    match port.and_then(|(_, port)| port.parse::<u16>().ok()) {
        Some(_) => Ok(text.to_string()),
        None => Err(format!("`listen` must be `HOST:PORT`, such as `{LISTEN}`")),
    }
}

/// Reads the table.
pub(super) fn limits(table: toml::Table) -> Result<HttpLimits, String> {
    let limits: HttpLimits =
        table.try_into().map_err(|e: toml::de::Error| format!("`http_limits`: {}", e.message()))?;
    let counts = [
        limits.per_token,
        limits.per_token_burst,
        limits.per_peer,
        limits.concurrent,
        limits.followers,
        limits.followers_per_tenant,
        limits.connections,
        limits.body_bytes,
        limits.ratings,
    ];
    let times = [limits.request_ms, limits.rating_ms, limits.head_ms, limits.heartbeat_ms];
    if counts.contains(&Some(0)) || times.contains(&Some(0)) {
        return Err("`http_limits`: nothing there can be 0".to_string());
    }
    Ok(limits)
}
