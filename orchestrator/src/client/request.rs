//! One request: tried again where that can change nothing twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{self, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use super::error::PROBLEM_MAX;
use super::sender::{SILENCE, http, reason, takes_long};
use super::{ClientError, ClientOptions, Problem};

/// Where the API is.
const API: &str = "api/v1/";
/// Longest wait between two tries, whatever the server asks.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The first wait between two tries.
const FIRST_WAIT: Duration = Duration::from_millis(150);
/// Tries of one request, at most.
const TRIES: u32 = 8;
/// Tries of a server that nobody answers at: the address is rather wrong than asleep.
const TRIES_UNREACHABLE: u32 = 4;
/// The largest answer that is read whole.
const ANSWER_MAX: usize = 256 << 20;

/// A client of one server. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    options: Arc<ClientOptions>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("server", &self.options.server.as_str())
            .finish_non_exhaustive()
    }
}

/// What is sent.
#[derive(Debug, Clone, Default)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) kind: Option<&'static str>,
}

impl Client {
    /// A client of the server. Nothing is sent yet.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let options = Arc::new(options.clone());
        Ok(Self { http: http(&options, SILENCE)?, options })
    }

    /// The server's address, for people.
    pub fn server(&self) -> &str {
        self.options.server.as_str().trim_end_matches('/')
    }

    /// Reads.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let bytes = self.send(Method::GET, path, HeaderMap::new(), Body::default()).await?;
        self.parse(&bytes)
    }

    /// Whether there is something; `None` where there is nothing.
    pub async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, ClientError> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if error.status() == Some(404) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Asks for something to be done, once, however often it has to be sent. Without a key, one
    /// is made for this call.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
        key: Option<&str>,
    ) -> Result<T, ClientError> {
        let made = match key {
            Some(key) => key.to_string(),
            None => fresh_key()?,
        };
        let value = HeaderValue::from_str(&made)
            .map_err(|_| ClientError::Setup("the idempotency key cannot be sent".to_string()))?;
        let headers = HeaderMap::from_iter([(HeaderName::from_static("idempotency-key"), value)]);
        let bytes = self.send(Method::POST, path, headers, json(body)?).await?;
        self.parse(&bytes)
    }

    /// Puts something under its name.
    pub async fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let bytes = self.send(Method::PUT, path, HeaderMap::new(), json(body)?).await?;
        self.parse(&bytes)
    }

    /// Changes part of something. Tried once: a part may depend on what was there.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let (headers, body) = (HeaderMap::new(), json(body)?);
        let response =
            self.once(Method::PATCH, path, headers, body, Some(self.options.timeout)).await?;
        let bytes = self.whole(response).await?;
        self.parse(&bytes)
    }

    /// Takes something away.
    pub async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let bytes = self.send(Method::DELETE, path, HeaderMap::new(), Body::default()).await?;
        self.parse(&bytes)
    }

    /// Reads bytes as they are.
    pub async fn bytes(&self, path: &str) -> Result<Bytes, ClientError> {
        self.send(Method::GET, path, HeaderMap::new(), Body::default()).await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
    ) -> Result<Bytes, ClientError> {
        let mut tries = self.tries(false);
        let patient = match takes_long(path) {
            true => {
                let rating = self.options.rating;
                Some(Self { http: http(&self.options, rating)?, options: self.options.clone() })
            }
            false => None,
        };
        let (this, timeout) = match &patient {
            Some(patient) => (patient, self.options.rating),
            None => (self, self.options.timeout),
        };
        loop {
            let (method, headers, body) = (method.clone(), headers.clone(), body.clone());
            let answered = match this.once(method, path, headers, body, Some(timeout)).await {
                Ok(response) => self.whole(response).await,
                Err(error) => Err(error),
            };
            match answered {
                Ok(bytes) => return Ok(bytes),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// The tries of one request that may be sent again.
    /// A server that answered a moment ago is waited for longer than one that nobody saw.
    pub(super) fn tries(&self, was_there: bool) -> Tries {
        Tries { begun: Instant::now(), made: 0, patience: self.options.patience, was_there }
    }

    /// One try. An answer that is no success is an error already.
    pub(super) async fn once(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Body,
        timeout: Option<Duration>,
    ) -> Result<Response, ClientError> {
        let mut request = self.http.request(method, self.url(path)?).headers(headers);
        if let Some(kind) = body.kind {
            request = request.header(header::CONTENT_TYPE, kind).body(body.bytes);
        }
        if let Some(timeout) = timeout {
            request = request.timeout(timeout);
        }
        self.checked(request).await
    }

    pub(super) async fn checked(
        &self,
        request: reqwest::RequestBuilder,
    ) -> Result<Response, ClientError> {
        let response = request.send().await.map_err(|e| self.unreachable(&e))?;
        match response.status() {
            status if status.is_success() => Ok(response),
            status => Err(self.refusal(status, response).await),
        }
    }

    pub(super) fn builder(
        &self,
        method: Method,
        path: &str,
    ) -> Result<reqwest::RequestBuilder, ClientError> {
        Ok(self.http.request(method, self.url(path)?))
    }

    fn url(&self, path: &str) -> Result<Url, ClientError> {
        let joined =
            self.options.server.join(API).and_then(|api| api.join(path.trim_start_matches('/')));
        joined.map_err(|error| ClientError::Setup(format!("`{path}` is no path: {error}")))
    }

    /// The whole answer, bounded.
    async fn whole(&self, mut response: Response) -> Result<Bytes, ClientError> {
        let mut whole = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|e| self.unreachable(&e))? {
            if whole.len() + piece.len() > ANSWER_MAX {
                return Err(self.strange("the answer is larger than anything that was asked for"));
            }
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    async fn refusal(&self, status: StatusCode, mut response: Response) -> ClientError {
        if status.is_redirection() {
            return self.strange("it sends elsewhere, and the token is given to no other server");
        }
        let waits = response.headers().get(header::RETRY_AFTER);
        let seconds = waits.and_then(|wait| wait.to_str().ok()?.trim().parse::<u64>().ok());
        let mut bytes = Vec::new();
        while let Ok(Some(piece)) = response.chunk().await {
            bytes.extend_from_slice(&piece);
            if bytes.len() > PROBLEM_MAX {
                break;
            }
        }
        let mut problem: Problem = serde_json::from_slice(&bytes).unwrap_or_default();
        problem.status = status.as_u16();
        let asked = seconds.map(|seconds| seconds.saturating_mul(1_000));
        problem.retry_after_ms = problem.retry_after_ms.or(asked);
        ClientError::Problem(Box::new(problem))
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, ClientError> {
        // Nothing at all is what `()` reads.
        let bytes = if bytes.is_empty() { b"null".as_slice() } else { bytes };
        serde_json::from_slice(bytes)
            .map_err(|error| self.strange(&format!("its answer cannot be read: {error}")))
    }

    pub(super) fn unreachable(&self, error: &reqwest::Error) -> ClientError {
        ClientError::Unreachable { server: self.server().to_string(), reason: reason(error) }
    }

    pub(super) fn strange(&self, reason: &str) -> ClientError {
        ClientError::Strange { server: self.server().to_string(), reason: reason.to_string() }
    }
}

/// The tries of one request.
pub(super) struct Tries {
    begun: Instant,
    made: u32,
    patience: Duration,
    was_there: bool,
}

impl Tries {
    /// Waits for the next try; the error again where there is none: it cannot go better, or has
    /// taken too long.
    pub(super) async fn again(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.made += 1;
        let most = match error {
            _ if self.was_there => u32::MAX,
            ClientError::Unreachable { .. } => TRIES_UNREACHABLE,
            _ => TRIES,
        };
        let wait = pause(self.made, error.wait());
        let is_late = self.begun.elapsed() + wait > self.patience;
        if !error.may_pass() || self.made >= most || is_late {
            return Err(error);
        }
        tracing::debug!(tries = self.made, wait_ms = wait.as_millis(), %error, "trying again");
        tokio::time::sleep(wait).await;
        Ok(())
    }
}

fn json(body: &impl Serialize) -> Result<Body, ClientError> {
    let bytes = serde_json::to_vec(body)
        .map_err(|error| ClientError::Setup(format!("the request cannot be written: {error}")))?;
    Ok(Body { bytes: bytes.into(), kind: Some("application/json") })
}

/// A key that nobody else has.
pub fn fresh_key() -> Result<String, ClientError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| ClientError::Setup(format!("there is no randomness: {error}")))?;
    Ok(uuid::Builder::from_random_bytes(bytes).into_uuid().to_string())
}

/// What the server asks, or twice as long each time, spread out so that many who failed together
/// do not come back together.
pub(super) fn pause(tries: u32, asked: Option<Duration>) -> Duration {
    let usual = FIRST_WAIT.saturating_mul(1 << tries.min(6));
    let mut byte = [128];
    // Without chance the waits are even, which is no fault.
    let _ = getrandom::fill(&mut byte);
    let spread = usual / 2 + usual / 512 * u32::from(byte[0]);
    asked.unwrap_or_default().saturating_add(spread.min(LONGEST_WAIT / 4)).min(LONGEST_WAIT)
}

/// A path segment, whatever is in it.
pub fn segment(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            b'.' if text.len() > 2 => encoded.push('.'),
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

/// A query of these, those that are there.
pub fn query(pairs: &[(&str, Option<String>)]) -> String {
    let mut query = String::new();
    for (name, value) in pairs {
        if let Some(value) = value {
            let joint = if query.is_empty() { '?' } else { '&' };
            query.push_str(&format!("{joint}{name}={}", segment(value)));
        }
    }
    query
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_hold_whatever_is_in_them() {
        assert_eq!(segment("resize[3]/x"), "resize%5B3%5D%2Fx");
        assert_eq!(segment(".."), "%2E%2E");
        assert_eq!(segment("v1.2"), "v1.2");
        assert_eq!(query(&[("a", Some("#1".into())), ("b", None)]), "?a=%231");
    }

    #[test]
    fn waits_grow_and_are_bounded() {
        assert!(pause(1, None) < pause(6, None));
        assert!(pause(30, None) <= LONGEST_WAIT);
        assert_eq!(pause(1, Some(Duration::from_secs(3_600))), LONGEST_WAIT);
        assert!(pause(1, Some(Duration::from_secs(2))) >= Duration::from_secs(2));
    }
}
