//! Sending a source archive, unless the server has it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::stream;
use reqwest::header::{self, HeaderMap};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tokio::io::AsyncReadExt as _;

use super::ClientError;
use super::request::{Body, Client};

/// Bytes sent at a time.
const PIECE: usize = 64 << 10;

/// A source that the server has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Uploaded {
    /// SHA-256 of the tar.
    pub sha256: String,
    /// Bytes of the tar.
    pub bytes: u64,
}

impl Client {
    /// Whether the tenant has this source already.
    pub async fn has_source(&self, sha256: &str) -> Result<bool, ClientError> {
        let path = format!("sources/{sha256}");
        let mut tries = self.tries(false);
        loop {
            let (headers, body) = (HeaderMap::new(), Body::default());
            let wait = Some(std::time::Duration::from_secs(20));
            match self.once(Method::HEAD, &path, headers, body, wait).await {
                Ok(_) => return Ok(true),
                Err(error) if error.status() == Some(StatusCode::NOT_FOUND.as_u16()) => {
                    return Ok(false);
                }
                Err(error) => tries.again(error).await?,
            }
        }
    }

    /// Sends a gzipped tar from a file. Each try begins anew; the server keeps nothing of one
    /// that was cut off.
    pub async fn put_source(
        &self,
        sha256: &str,
        file: &Path,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Uploaded, ClientError> {
        let path = format!("sources/{sha256}");
        let mut tries = self.tries(false);
        loop {
            match self.put_once(&path, file, progress).await {
                Ok(bytes) => return self.parse(&bytes),
                Err(error) => tries.again(error).await?,
            }
        }
    }

    async fn put_once(
        &self,
        path: &str,
        file: &Path,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Bytes, ClientError> {
        let unreadable = |error: std::io::Error| {
            ClientError::Setup(format!("the source cannot be read again: {error}"))
        };
        let opened = tokio::fs::File::open(file).await.map_err(unreadable)?;
        let length = opened.metadata().await.map_err(unreadable)?.len();
        let sent = Arc::new(AtomicU64::new(0));
        let counted = sent.clone();
        let pieces = stream::unfold(opened, move |mut file| {
            let counted = counted.clone();
            async move {
                let mut piece = vec![0; PIECE];
                match file.read(&mut piece).await {
                    Ok(0) => None,
                    Ok(read) => {
                        piece.truncate(read);
                        counted.fetch_add(read as u64, Ordering::Relaxed);
                        Some((Ok(Bytes::from(piece)), file))
                    }
                    Err(error) => Some((Err(error), file)),
                }
            }
        });
        let request = self
            .builder(Method::PUT, path)?
            .header(header::CONTENT_TYPE, "application/gzip")
            .header(header::CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap_stream(pieces));
        let mut asked = std::pin::pin!(self.checked(request));
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(80));
        let response = loop {
            tokio::select! {
                answer = &mut asked => break answer?,
                _ = tick.tick() => progress(sent.load(Ordering::Relaxed)),
            }
        };
        response.bytes().await.map_err(|error| self.unreachable(&error))
    }
}
