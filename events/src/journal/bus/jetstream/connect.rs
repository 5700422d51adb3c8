//! The connection: made in the background, made again when it is lost, for as long as a handle
//! lives.
//!
//! The client reconnects by itself after most losses, but it ends for ever when a server
//! refuses our credentials once; so it is watched here, and made anew with the files as they
//! are then. Nobody who asks for the client waits: without a connection the answer is
//! [`CopyError::Unavailable`], with what was last heard.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::options::{NatsAuth, NatsOptions};
use super::tls;
use crate::journal::relay::backoff::jittered;
use crate::ports::CopyError;

/// The longest pause between two attempts to connect.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// A silent server is noticed after two pings without an answer.
const PING: Duration = Duration::from_secs(5);

/// A handle of one connection to NATS; clones share it.
#[derive(Clone)]
pub struct Nats(Arc<Inner>);

struct Inner {
    options: NatsOptions,
    client: watch::Receiver<Option<Client>>,
    heard: Arc<Heard>,
    keeper: AbortHandle,
}

/// What the connection tells beside the messages.
struct Heard {
    trouble: Mutex<String>,
    /// Grows whenever a connection is made or lost.
    epoch: watch::Sender<u64>,
    /// Attempts in vain.
    failures: watch::Sender<u64>,
}

impl Heard {
    fn note(&self, text: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    fn trouble(&self) -> String {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

impl Nats {
    /// Begins to connect, and goes on for as long as a handle lives. Must be called within a
    /// tokio runtime.
    pub fn start(options: NatsOptions) -> Self {
        let heard = Arc::new(Heard {
            trouble: Mutex::new("no server has answered yet".to_string()),
            epoch: watch::Sender::new(0),
            failures: watch::Sender::new(0),
        });
        let (told, client) = watch::channel(None);
        let keeper = tokio::spawn(keep(options.clone(), told, Arc::clone(&heard))).abort_handle();
        Self(Arc::new(Inner { options, client, heard, keeper }))
    }

    /// Connects, for those who have no use for a handle without a connection.
    ///
    /// # Errors
    /// [`CopyError::Unavailable`] as soon as the first attempt has failed, with the reason.
    pub async fn connect(options: NatsOptions) -> Result<Self, CopyError> {
        let servers = u32::try_from(options.servers.len()).unwrap_or(u32::MAX);
        let within = options.timeout.saturating_mul(servers);
        let nats = Self::start(options);
        let mut failures = nats.0.heard.failures.subscribe();
        tokio::select! {
            ready = nats.ready(within) => ready?,
            _ = failures.wait_for(|failures| *failures > 0) => {
                return Err(nats.unavailable("there is no connection"));
            }
        }
        Ok(nats)
    }

    /// Waits until there is a connection.
    ///
    /// # Errors
    /// [`CopyError::Unavailable`] where there is none in time, with what was last heard.
    pub async fn ready(&self, within: Duration) -> Result<(), CopyError> {
        let mut epoch = self.epoch();
        let mut client = self.0.client.clone();
        let connected = async {
            while self.client().is_err() {
                tokio::select! {
                    changed = epoch.changed() => if changed.is_err() { return },
                    changed = client.changed() => if changed.is_err() { return },
                }
            }
        };
        let _ = tokio::time::timeout(within, connected).await;
        self.client().map(|_| ())
    }

    /// How NATS is reached.
    pub fn options(&self) -> &NatsOptions {
        &self.0.options
    }

    /// The client, if it is connected now.
    pub(super) fn client(&self) -> Result<Client, CopyError> {
        let client = self.0.client.borrow().clone();
        match client.filter(|client| client.connection_state() == State::Connected) {
            Some(client) => Ok(client),
            None => Err(self.unavailable("there is no connection")),
        }
    }

    /// Grows whenever a connection is made or lost: what was set up before is gone.
    pub(super) fn epoch(&self) -> watch::Receiver<u64> {
        self.0.heard.epoch.subscribe()
    }

    /// Says what did not work, where, and what was last heard.
    pub(super) fn unavailable(&self, what: &str) -> CopyError {
        let trouble = self.0.heard.trouble();
        let heard = if trouble.is_empty() { String::new() } else { format!(" ({trouble})") };
        CopyError::Unavailable(format!("NATS at {}: {what}{heard}", self.0.options))
    }

    /// Bounds whatever talks to the server.
    pub(super) async fn within<T>(
        &self,
        what: &str,
        talk: impl Future<Output = T>,
    ) -> Result<T, CopyError> {
        let limit = self.0.options.timeout;
        tokio::time::timeout(limit, talk).await.map_err(|_| {
            self.unavailable(&format!("no answer within {} ms to {what}", limit.as_millis()))
        })
    }
}

/// Keeps a client for as long as it is not aborted.
async fn keep(options: NatsOptions, told: watch::Sender<Option<Client>>, heard: Arc<Heard>) {
    let mut attempt = 0u32;
    loop {
        let (alive, mut ended) = watch::channel(());
        match connect(&options, alive, &heard).await {
            Ok(client) => {
                attempt = 0;
                told.send_replace(Some(client));
                heard.epoch.send_modify(|epoch| *epoch += 1);
                // The client drops its end when it will never connect again.
                while ended.changed().await.is_ok() {}
                told.send_replace(None);
                heard.epoch.send_modify(|epoch| *epoch += 1);
            }
            Err(trouble) => {
                heard.note(trouble);
                heard.failures.send_modify(|failures| *failures += 1);
            }
        }
        attempt = attempt.saturating_add(1);
        tokio::time::sleep(jittered(attempt, LONGEST_PAUSE)).await;
    }
}

async fn connect(
    options: &NatsOptions,
    alive: watch::Sender<()>,
    heard: &Arc<Heard>,
) -> Result<Client, String> {
    let prepared = {
        let (options, heard) = (options.clone(), Arc::clone(heard));
        let prepare = move || prepare(&options, alive, heard);
        tokio::task::spawn_blocking(prepare).await.map_err(|_| "it was cancelled".to_string())??
    };
    let servers: Result<Vec<ServerAddr>, _> = options.servers.iter().map(|s| s.parse()).collect();
    let servers = servers.map_err(|_| "an address cannot be used".to_string())?;
    let connecting = prepared.connect(servers);
    let client = connecting.await.map_err(|error| plainly(&error))?;
    heard.note(String::new());
    Ok(client)
}

/// Reads the files; blocks.
fn prepare(
    options: &NatsOptions,
    alive: watch::Sender<()>,
    heard: Arc<Heard>,
) -> Result<ConnectOptions, String> {
    let connected = Arc::new(AtomicBool::new(false));
    let ever = Arc::clone(&connected);
    let mut prepared = ConnectOptions::new()
        .name(&options.name)
        .require_tls(options.require_tls)
        .tls_client_config(tls::config(options)?)
        .ping_interval(PING)
        .connection_timeout(options.timeout)
        .request_timeout(Some(options.timeout))
        .max_reconnects(None)
        .reconnect_delay_callback(move |attempts| {
            // Only those who lost a server all at once need to come back one by one.
            match ever.load(Ordering::Relaxed) {
                true => jittered(u32::try_from(attempts).unwrap_or(u32::MAX), LONGEST_PAUSE),
                false => Duration::ZERO,
            }
        })
        .event_callback(move |event| {
            // Held here, it is dropped with the last of the client.
            let _alive = &alive;
            listen(&heard, &connected, &event);
            std::future::ready(())
        });
    prepared = match &options.auth {
        NatsAuth::None => prepared,
        NatsAuth::Password(user, password) => {
            prepared.user_and_password(user.clone(), password.clone())
        }
        NatsAuth::Token(token) => prepared.token(token.clone()),
        NatsAuth::Credentials(path) => {
            let text = read(path)?;
            let broken = |_| format!("{} is not a credentials file", path.display());
            prepared.credentials(&text).map_err(broken)?
        }
        NatsAuth::Nkey(path) => {
            let seed = read(path)?.trim().to_string();
            if !(seed.starts_with("SU") && seed.bytes().all(|b| b.is_ascii_alphanumeric())) {
                return Err(format!("{} does not hold the seed of a user nkey", path.display()));
            }
            prepared.nkey(seed)
        }
    };
    Ok(prepared)
}

fn read(path: &std::path::Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn listen(heard: &Heard, connected: &AtomicBool, event: &Event) {
    match event {
        Event::Connected => {
            connected.store(true, Ordering::Relaxed);
            heard.note(String::new());
            heard.epoch.send_modify(|epoch| *epoch += 1);
        }
        Event::Disconnected => {
            heard.note("the connection was lost".to_string());
            heard.epoch.send_modify(|epoch| *epoch += 1);
        }
        Event::ServerError(error) => heard.note(format!("the server said: {error}")),
        Event::ClientError(error) => heard.note(error.to_string()),
        Event::SlowConsumer(_) => heard.note("messages were dropped on our side".to_string()),
        _ => {}
    }
}

/// An error with what caused it, in one line.
fn plainly(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
