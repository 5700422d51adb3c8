//! Listening: connections with bounds, in the clear or by TLS, and a polite end.

mod connection;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::connection::Bounded;
pub use self::tls::{Certificate, TlsError};
use super::Limits;

/// Bytes of a request's head.
const HEAD_MAX: usize = 64 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 100;
/// Connections that wait in the system's queue. Beyond it the system drops them, or cuts them off.
const QUEUE: u32 = 4_096;
/// How long to wait after the system had no place for a connection.
const FULL: std::time::Duration = std::time::Duration::from_millis(50);

/// A place to listen, taken but not served yet.
pub struct Listener {
    listener: TcpListener,
    certificate: Option<Certificate>,
    limits: Arc<Limits>,
}

impl Listener {
    /// Takes the address.
    pub async fn bind(
        address: SocketAddr,
        certificate: Option<Certificate>,
        limits: Arc<Limits>,
    ) -> io::Result<Self> {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        // A place that was left a moment ago can be taken again.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(QUEUE)?;
        Ok(Self { listener, certificate, limits })
    }

    /// Where it listens: the port is the real one where 0 was asked for.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Whether it speaks TLS.
    pub fn is_tls(&self) -> bool {
        self.certificate.is_some()
    }

    /// Serves until `stopping` is done and open requests have ended, or had their time to.
    pub async fn serve(self, router: Router, stopping: CancellationToken) {
        let open = Arc::new(Semaphore::new(self.limits.connections));
        let graceful = GracefulShutdown::new();
        loop {
            // Beyond the most, connections wait in the queue of the system.
            let place = tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                place = open.clone().acquire_owned() => place,
            };
            let Ok(place) = place else { break };
            let accepted = tokio::select! {
                biased;
                () = stopping.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    let served = self.connection(stream, peer, router.clone(), graceful.watcher());
                    tokio::spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                // Out of descriptors, or a client that went away: others may still come.
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be taken");
                    sleep(FULL).await;
                }
            }
        }
        drop(self.listener);
        if timeout(self.limits.grace, graceful.shutdown()).await.is_err() {
            tracing::warn!("some requests did not end in time and are cut off");
        }
    }

    fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        router: Router,
        watcher: hyper_util::server::graceful::Watcher,
    ) -> impl Future<Output = ()> + Send + 'static {
        let (limits, certificate) = (self.limits.clone(), self.certificate.clone());
        async move {
            // Answers are small, and somebody waits for them.
            let _ = stream.set_nodelay(true);
            let bounded = Bounded::new(stream, limits.unread);
            let Some(certificate) = certificate else {
                return http(bounded, peer, router, &limits, watcher).await;
            };
            match timeout(limits.head, certificate.acceptor().accept(bounded)).await {
                Ok(Ok(stream)) => http(stream, peer, router, &limits, watcher).await,
                Ok(Err(error)) => tracing::debug!(%peer, %error, "no TLS came about"),
                Err(_) => tracing::debug!(%peer, "the TLS handshake took too long"),
            }
        }
    }
}

async fn http<S>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    limits: &Limits,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: http::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.map(axum::body::Body::new)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .max_buf_size(HEAD_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(%peer, %error, "a connection broke off");
    }
}
