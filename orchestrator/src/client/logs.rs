//! The log of an attempt by absolute offset, whole or as it grows, through cut connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response};

use super::ClientError;
use super::request::{Body, Client, pause, query};

/// Bytes of one part.
const PART: usize = 1 << 20;
/// Where a part begins.
const OFFSET: &str = "dagbook-log-offset";
/// A connection that held so long was a good one.
const LASTING: Duration = Duration::from_secs(5);
/// Connections in a row that brought nothing, before a person is told.
const FRUITLESS: u32 = 8;

/// Bytes of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogBytes {
    /// The offset of the first of them.
    pub offset: u64,
    /// The bytes.
    pub bytes: Bytes,
}

/// Reads one log from an offset on.
pub struct LogReader {
    client: Client,
    path: String,
    follow: bool,
    offset: u64,
    open: Option<Response>,
    ended: bool,
    fruitless: u32,
    /// Where the part that is open began.
    part: u64,
    connected: bool,
    since: Instant,
}

impl Client {
    /// The log at a path. Following, it ends where the log does.
    pub fn log(&self, path: &str, offset: u64, follow: bool) -> LogReader {
        LogReader {
            client: self.clone(),
            path: path.to_string(),
            follow,
            offset,
            open: None,
            ended: false,
            fruitless: 0,
            part: offset,
            connected: false,
            since: Instant::now(),
        }
    }
}

impl LogReader {
    /// The offset behind what was handed out.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes; none at the end. A log that is not there is empty. Dropping the future
    /// loses nothing.
    pub async fn next(&mut self) -> Result<Option<LogBytes>, ClientError> {
        while !self.ended {
            if self.open.is_none() && !self.connect().await? {
                break;
            }
            let Some(response) = self.open.as_mut() else { continue };
            match response.chunk().await {
                Ok(Some(bytes)) if bytes.is_empty() => {}
                Ok(Some(bytes)) => {
                    let offset = self.offset;
                    self.offset += bytes.len() as u64;
                    self.fruitless = 0;
                    return Ok(Some(LogBytes { offset, bytes }));
                }
                // A part of its own is followed by the next one; an empty one is the end.
                Ok(None) if !self.follow && self.offset > self.part => self.open = None,
                Ok(None) => self.ended = true,
                Err(error) => {
                    self.open = None;
                    if self.since.elapsed() > LASTING {
                        // It held for a while: something on the way cuts what is quiet.
                        self.fruitless = 0;
                    }
                    self.fruitless += 1;
                    if self.fruitless > FRUITLESS {
                        return Err(self.client.unreachable(&error));
                    }
                    tokio::time::sleep(pause(self.fruitless.saturating_sub(1), None)).await;
                }
            }
        }
        self.ended = true;
        Ok(None)
    }

    async fn connect(&mut self) -> Result<bool, ClientError> {
        let follow = self.follow.then(|| "true".to_string());
        let limit = (!self.follow).then(|| PART.to_string());
        let offset = Some(self.offset.to_string());
        let asked = query(&[("offset", offset), ("follow", follow), ("limit", limit)]);
        let path = format!("{}{asked}", self.path);
        // Whoever was there once is waited for, as a server that is being replaced.
        let mut tries = self.client.tries(self.connected);
        loop {
            let (headers, body) = (HeaderMap::new(), Body::default());
            match self.client.once(Method::GET, &path, headers, body, None).await {
                Ok(response) => {
                    // Beyond the one asked for where bytes are missing.
                    let begins = response.headers().get(OFFSET);
                    let begins = begins.and_then(|at| at.to_str().ok()?.parse::<u64>().ok());
                    self.offset = self.offset.max(begins.unwrap_or(0));
                    self.part = self.offset;
                    self.connected = true;
                    self.since = Instant::now();
                    self.open = Some(response);
                    return Ok(true);
                }
                Err(error) if error.status() == Some(404) => return Ok(false),
                Err(error) => tries.again(error).await?,
            }
        }
    }
}
