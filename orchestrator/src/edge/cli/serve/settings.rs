//! What a server is started with: flags over variables over the file.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Args;
use crate::config::{DataDir, HttpLimits};
use crate::edge::cli::{CliError, Context};
use crate::edge::http::Limits;
use crate::edge::http::listen::{Certificate, Listener};

/// Files that a server needs for itself: the store, logs, sources, attempts.
const OWN_FILES: u64 = 512;

/// What a server is started with.
pub(super) struct Settings {
    pub(super) data: DataDir,
    pub(super) limits: Limits,
    listen: String,
    tls: Option<(PathBuf, PathBuf)>,
}

impl Settings {
    pub(super) fn of(ctx: &Context, args: &Args) -> Result<Self, CliError> {
        let http = &ctx.config().http;
        let cert = args.tls_cert.clone().or_else(|| http.tls_cert.clone());
        let key = args.tls_key.clone().or_else(|| http.tls_key.clone());
        let tls = match (cert, key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            (Some(_), None) => return Err(half("a certificate", "--tls-key")),
            (None, Some(_)) => return Err(half("a key", "--tls-cert")),
        };
        let listen = args.listen.clone().unwrap_or_else(|| http.listen.clone());
        let mut limits = limits(&http.limits);
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let fitting = fitting(limits.connections, files);
        if fitting < limits.connections && http.limits.connections.is_some() {
            let (files, asked) = (files.unwrap_or(u64::MAX), limits.connections);
            ctx.tell(&format!(
                "warning: {fitting} connections rather than {asked}: this process may open {files} \
                 files; raise that with `ulimit -n`, or LimitNOFILE= of its unit"
            ));
        }
        limits.connections = fitting;
        Ok(Self { data: ctx.data(None)?, limits, listen, tls })
    }

    /// Takes the address.
    pub(super) async fn listener(&self) -> Result<Listener, CliError> {
        let listen = &self.listen;
        let address = self.address().await?;
        let certificate = match &self.tls {
            None => None,
            Some((cert, key)) => Some(
                Certificate::watch(cert.clone(), key.clone())
                    .map_err(|error| CliError::usage(error.to_string()))?,
            ),
        };
        let limits = Arc::new(self.limits.clone());
        Listener::bind(address, certificate, limits).await.map_err(|error| match error.kind() {
            ErrorKind::AddrInUse => {
                CliError::unavailable(format!("{listen} is in use: a server may run already"))
                    .hint("stop that one, or take another place with `--listen HOST:PORT`")
            }
            ErrorKind::PermissionDenied => {
                CliError::usage(format!("{listen} may not be taken by this user"))
                    .hint("ports below 1024 need rights; take another with `--listen HOST:PORT`")
            }
            _ => CliError::usage(format!("cannot listen on {listen}: {error}"))
                .hint("`--listen HOST:PORT` names a place of this machine"),
        })
    }

    async fn address(&self) -> Result<SocketAddr, CliError> {
        let listen = &self.listen;
        let wrong = |why: String| {
            CliError::usage(format!("`{listen}` is no place to listen: {why}"))
                .hint("write HOST:PORT, such as 127.0.0.1:7411")
        };
        let mut found =
            tokio::net::lookup_host(listen).await.map_err(|error| wrong(error.to_string()))?;
        found.next().ok_or_else(|| wrong("the name has no address".to_string()))
    }
}

/// Connections, of those wanted, that leave the rest of the server the files that it needs.
fn fitting(wanted: usize, files: Option<u64>) -> usize {
    let Some(files) = files else { return wanted };
    let own = (files / 4).max(OWN_FILES).min(files / 2);
    wanted.min(usize::try_from(files - own).unwrap_or(usize::MAX)).max(1)
}

fn half(what: &str, missing: &str) -> CliError {
    CliError::usage(format!("{what} for TLS was given alone")).hint(format!("add `{missing} FILE`"))
}

fn limits(given: &HttpLimits) -> Limits {
    let usual = Limits::default();
    let count = |given: Option<u32>, usual: usize| {
        given.map_or(usual, |n| usize::try_from(n).unwrap_or(usize::MAX))
    };
    let time = |given: Option<u64>, usual: Duration| given.map_or(usual, Duration::from_millis);
    Limits {
        body_bytes: count(given.body_bytes, usual.body_bytes),
        per_token: given.per_token.unwrap_or(usual.per_token),
        per_token_burst: given.per_token_burst.unwrap_or(usual.per_token_burst),
        per_peer: given.per_peer.unwrap_or(usual.per_peer),
        concurrent: count(given.concurrent, usual.concurrent),
        request: time(given.request_ms, usual.request),
        rating: time(given.rating_ms, usual.rating),
        ratings: count(given.ratings, usual.ratings),
        followers: count(given.followers, usual.followers),
        followers_per_tenant: count(given.followers_per_tenant, usual.followers_per_tenant),
        connections: count(given.connections, usual.connections),
        head: time(given.head_ms, usual.head),
        heartbeat: time(given.heartbeat_ms, usual.heartbeat),
        grace: time(given.grace_ms, usual.grace),
        ..usual
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_never_take_the_files_that_the_server_needs() {
        assert_eq!(fitting(4_096, None), 4_096);
        assert_eq!(fitting(4_096, Some(1 << 20)), 4_096);
        assert_eq!(fitting(4_096, Some(4_096)), 3_072);
        assert_eq!(fitting(4_096, Some(1_024)), 512);
        assert_eq!(fitting(4_096, Some(64)), 32);
        assert_eq!(fitting(100, Some(1_024)), 100);
    }
}
