//! Requests to JetStream's API, as JSON.
//!
//! Spoken here rather than through the client's own types: those do not read every answer of
//! older servers, and what a server really made of a stream can be seen only in its own words.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::connect::Nats;
use crate::ports::CopyError;

/// There is no such stream.
pub(super) const NO_STREAM: u64 = 10_059;
/// There is no such message.
pub(super) const NO_MESSAGE: u64 = 10_037;
/// A stream of this name exists with another configuration.
pub(super) const NAME_IN_USE: u64 = 10_058;
/// Another stream takes messages of the same subjects.
pub(super) const SUBJECTS_OVERLAP: u64 = 10_065;
/// The stream does not end where it was expected to.
pub(super) const WRONG_LAST: [u64; 2] = [10_071, 10_164];
/// The stream takes no atomic batches.
pub(super) const NO_BATCHES: u64 = 10_174;

/// An error as the server says it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ApiError {
    #[serde(default)]
    pub(super) err_code: u64,
    #[serde(default)]
    pub(super) description: String,
}

/// Why a request has no answer that can be used.
#[derive(Debug)]
pub(super) enum ApiFault {
    /// The server refuses it.
    Refused(ApiError),
    /// There is no answer.
    Copy(CopyError),
}

impl From<CopyError> for ApiFault {
    fn from(error: CopyError) -> Self {
        Self::Copy(error)
    }
}

impl ApiFault {
    /// For callers to whom no refusal is expected.
    pub(super) fn into_copy(self, what: &str) -> CopyError {
        match self {
            Self::Copy(error) => error,
            Self::Refused(error) => {
                CopyError::Unavailable(format!("JetStream refuses to {what}: {}", error.text()))
            }
        }
    }
}

impl ApiError {
    pub(super) fn text(&self) -> String {
        let words: String = self.description.chars().take(300).collect();
        format!("{words} ({})", self.err_code)
    }
}

#[derive(Deserialize)]
struct Refusal {
    error: Option<ApiError>,
}

/// Asks `$JS.API.<call>`.
pub(super) async fn ask<T: DeserializeOwned>(
    nats: &Nats,
    call: &str,
    body: &Value,
) -> Result<T, ApiFault> {
    let client = nats.client()?;
    let payload = if body.is_null() { String::new() } else { body.to_string() };
    let asked = client.request(format!("$JS.API.{call}"), payload.into());
    let answer = nats.within(call, asked).await?.map_err(|error| match error.kind() {
        async_nats::RequestErrorKind::NoResponders => nats.unavailable(
            "JetStream does not answer: it is not enabled on the server or for this account",
        ),
        kind => nats.unavailable(&format!("{call}: {kind}")),
    })?;
    read(call, &answer.payload)
}

/// Reads an answer of the API.
pub(super) fn read<T: DeserializeOwned>(call: &str, payload: &[u8]) -> Result<T, ApiFault> {
    let strange = |error: serde_json::Error| {
        CopyError::Unavailable(format!("JetStream's answer to {call} cannot be read: {error}"))
    };
    let refusal: Refusal = serde_json::from_slice(payload).map_err(strange)?;
    match refusal.error {
        Some(error) => Err(ApiFault::Refused(error)),
        None => Ok(serde_json::from_slice(payload).map_err(strange)?),
    }
}

/// How a stream is configured and what it holds, as the server says.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct StreamInfo {
    pub(super) config: Value,
    pub(super) state: StreamState,
    /// When it was made: a stream that was deleted and made anew says another time.
    #[serde(default)]
    pub(super) created: String,
    pub(super) cluster: Option<StreamCluster>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StreamState {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct StreamCluster {
    pub(super) leader: Option<String>,
    #[serde(default)]
    pub(super) replicas: Vec<Peer>,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Peer {
    #[serde(default)]
    pub(super) current: bool,
}

/// The stream of that name, if there is one.
pub(super) async fn stream_info(nats: &Nats, name: &str) -> Result<Option<StreamInfo>, CopyError> {
    match ask(nats, &format!("STREAM.INFO.{name}"), &Value::Null).await {
        Ok(info) => Ok(Some(info)),
        Err(ApiFault::Refused(error)) if error.err_code == NO_STREAM => Ok(None),
        Err(fault) => Err(fault.into_copy(&format!("tell about the stream {name}"))),
    }
}
