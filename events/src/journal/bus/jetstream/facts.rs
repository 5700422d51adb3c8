//! What is known of the server and of a copy, for `doctor` and metrics.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::api;
use super::copy::JetStreamCopy;
use super::stream::takes_batches;
use crate::ports::CopyError;

/// The monitoring port's answer is not larger.
const LARGEST_ANSWER: u64 = 1 << 20;

/// How soon the server syncs what it has acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncInterval {
    /// Before it acknowledges.
    Always,
    /// So long after it acknowledged: what came since is lost with the machine.
    Every(Duration),
    /// It does not say, or was not asked: then servers sync every two minutes unless they were
    /// told otherwise. The text says why it is not known.
    Unknown(String),
}

/// What is known of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsFacts {
    /// Version of the server.
    pub version: String,
    /// Name of the server.
    pub server: String,
    /// The cluster that it belongs to.
    pub cluster: Option<String>,
    /// Whether the connection is encrypted.
    pub tls: bool,
    /// Whether events can be added in atomic batches.
    pub atomic_batches: bool,
    /// How soon it syncs.
    pub sync: SyncInterval,
    /// The copy of the timeline; `None` where there is none yet.
    pub copy: Option<CopyFacts>,
}

/// What is known of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyFacts {
    /// Name of the stream.
    pub stream: String,
    /// Servers that keep it, as configured.
    pub replicas: u64,
    /// Servers of these, besides the leader, that are up to date.
    pub current: usize,
    /// The leader, in a cluster.
    pub leader: Option<String>,
    /// Events.
    pub messages: u64,
    /// Bytes on disk.
    pub bytes: u64,
    /// Position of the first event; 1 unless something is lost.
    pub first: u64,
    /// Position of the last event.
    pub last: u64,
    /// What of its configuration is not as it must be.
    pub differences: Vec<String>,
}

#[derive(Deserialize)]
struct Account {
    #[serde(default)]
    api: AccountApi,
}

#[derive(Deserialize, Default)]
struct AccountApi {
    #[serde(default)]
    level: u64,
}

/// Servers of this level of the API have atomic batches.
const LEVEL_WITH_BATCHES: u64 = 2;

impl JetStreamCopy {
    /// Asks the server about itself and about the copy of a timeline; changes nothing.
    ///
    /// # Errors
    /// [`CopyError::Unavailable`] where JetStream does not answer.
    pub async fn facts(&self, timeline: u64) -> Result<NatsFacts, CopyError> {
        let nats = self.nats();
        let info = nats.client()?.server_info();
        let wanted = self.wanted(timeline);
        let stream = api::stream_info(nats, &wanted.name).await?;
        let atomic_batches = match &stream {
            Some(stream) => takes_batches(&stream.config),
            None => {
                let account: Account = api::ask(nats, "INFO", &Value::Null)
                    .await
                    .map_err(|fault| fault.into_copy("tell about the account"))?;
                account.api.level >= LEVEL_WITH_BATCHES
            }
        };
        let copy = stream.map(|stream| CopyFacts {
            differences: wanted.differences(&stream.config),
            stream: wanted.name,
            replicas: stream.config.get("num_replicas").and_then(Value::as_u64).unwrap_or(1),
            current: stream
                .cluster
                .as_ref()
                .map_or(0, |cluster| cluster.replicas.iter().filter(|peer| peer.current).count()),
            leader: stream.cluster.and_then(|cluster| cluster.leader),
            messages: stream.state.messages,
            bytes: stream.state.bytes,
            first: stream.state.first_seq,
            last: stream.state.last_seq,
        });
        let sync = match &nats.options().monitor {
            None => SyncInterval::Unknown(
                "its monitoring address is not known; add `monitor=http://HOST:8222`".to_string(),
            ),
            Some(monitor) => match nats.within("tell its settings", varz(monitor)).await? {
                Ok(varz) => sync_of(&varz),
                Err(why) => SyncInterval::Unknown(format!("{monitor}: {why}")),
            },
        };
        Ok(NatsFacts {
            version: info.version,
            server: info.server_name,
            cluster: info.cluster,
            tls: nats.options().require_tls || info.tls_required,
            atomic_batches,
            sync,
            copy,
        })
    }
}

fn sync_of(varz: &Value) -> SyncInterval {
    let Some(config) = varz.pointer("/jetstream/config") else {
        return SyncInterval::Unknown(
            "its monitoring port does not speak of JetStream".to_string(),
        );
    };
    if config.get("sync_always").and_then(Value::as_bool) == Some(true) {
        return SyncInterval::Always;
    }
    match config.get("sync_interval").and_then(Value::as_u64) {
        Some(nanos) if nanos > 0 => SyncInterval::Every(Duration::from_nanos(nanos)),
        _ => SyncInterval::Unknown("it does not say; servers of its age cannot".to_string()),
    }
}

/// Asks the monitoring port, in the least of HTTP.
async fn varz(monitor: &str) -> Result<Value, String> {
    let host = monitor.strip_prefix("http://").unwrap_or(monitor);
    let host = host.split('/').next().unwrap_or_default();
    let failed = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(host).await.map_err(failed)?;
    let request = format!("GET /varz HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.map_err(failed)?;
    let mut answer = Vec::new();
    stream.take(LARGEST_ANSWER).read_to_end(&mut answer).await.map_err(failed)?;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
    let body = head.map(|at| &answer[at + 4..]).ok_or("it does not speak HTTP")?;
    serde_json::from_slice(body).map_err(|error| format!("/varz cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_monitoring_port_says_of_syncing_is_understood() {
        let of = |config: Value| sync_of(&json!({ "jetstream": { "config": config } }));
        assert_eq!(of(json!({ "sync_always": true })), SyncInterval::Always);
        let minutes = of(json!({ "sync_interval": 120_000_000_000u64 }));
        assert_eq!(minutes, SyncInterval::Every(Duration::from_secs(120)));
        assert!(matches!(of(json!({})), SyncInterval::Unknown(_)));
        assert!(matches!(sync_of(&json!({})), SyncInterval::Unknown(_)));
    }
}
