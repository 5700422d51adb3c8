//! A TCP proxy between a client and a server, for what networks do to both.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

/// What is read at once.
const CHUNK: usize = 64 * 1024;

/// What happens to bytes that arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// They go on.
    Pass,
    /// They wait until they may go on.
    Hold,
    /// They are read and thrown away.
    Swallow,
}

/// What the proxy does now.
#[derive(Debug, Clone)]
struct Rules {
    to: u16,
    requests: Flow,
    replies: Flow,
    delay: Duration,
    /// New connections are closed at once.
    refused: bool,
    /// Grows with each cut: connections of an earlier number end.
    cuts: u64,
    /// Bytes that clients may still send before their connections are cut.
    budget: Option<u64>,
    /// The next connection whose client says this is cut before it is passed on.
    before_request: Option<Arc<[u8]>>,
    /// The next connection whose server answers this is cut before it is passed on.
    before_reply: Option<Arc<[u8]>>,
}

#[derive(Default)]
struct Counters {
    requested: AtomicU64,
    replied: AtomicU64,
    swallowed: AtomicU64,
    cut: AtomicU64,
    accepted: AtomicU64,
}

/// A proxy on the loopback. What it is told holds for its connections of now and later.
pub struct Proxy {
    port: u16,
    rules: watch::Sender<Rules>,
    counters: Arc<Counters>,
    /// Ends the proxy's thread when it is dropped.
    _stop: oneshot::Sender<()>,
}

impl Proxy {
    /// A proxy in front of a port.
    ///
    /// # Panics
    /// Where it cannot listen.
    pub fn to(port: u16) -> Self {
        let rules = Rules {
            to: port,
            requests: Flow::Pass,
            replies: Flow::Pass,
            delay: Duration::ZERO,
            refused: false,
            cuts: 0,
            budget: None,
            before_request: None,
            before_reply: None,
        };
        let rules = watch::Sender::new(rules);
        let counters = Arc::new(Counters::default());
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        listener.set_nonblocking(true).expect("a listener that does not block");
        let shared = Shared { rules: rules.clone(), counters: Arc::clone(&counters) };
        // A thread of its own: what the tests' runtimes do must not slow it down, nor hold it.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async move {
                tokio::select! {
                    () = accept(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { port, rules, counters, _stop: stop }
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL with the proxy's port in the place of the server's.
    ///
    /// # Panics
    /// Where the server's port is not in it.
    pub fn through(&self, url: &str) -> String {
        let server = format!(":{}", self.rules.borrow().to);
        assert!(url.contains(&server), "{url} is not what the proxy stands before");
        url.replacen(&server, &format!(":{}", self.port), 1)
    }

    /// Leads new connections to another port.
    pub fn retarget(&self, port: u16) {
        self.rules.send_modify(|rules| rules.to = port);
    }

    /// Ends all connections of now, both ways.
    pub fn cut(&self) {
        self.rules.send_modify(|rules| rules.cuts += 1);
    }

    /// Ends all connections and takes no new ones until [`Proxy::pass`].
    pub fn down(&self) {
        self.rules.send_modify(|rules| {
            rules.cuts += 1;
            rules.refused = true;
        });
    }

    /// Lets nothing through in either direction, and says so to nobody.
    pub fn hold(&self) {
        self.rules.send_modify(|rules| {
            rules.requests = Flow::Hold;
            rules.replies = Flow::Hold;
        });
    }

    /// Holds the server's answers back; what clients say arrives.
    pub fn hold_replies(&self) {
        self.rules.send_modify(|rules| rules.replies = Flow::Hold);
    }

    /// Throws the server's answers away; what clients say arrives.
    pub fn drop_replies(&self) {
        self.rules.send_modify(|rules| rules.replies = Flow::Swallow);
    }

    /// Lets everything through again: what was held goes on, and new connections are taken.
    pub fn pass(&self) {
        self.rules.send_modify(|rules| {
            rules.requests = Flow::Pass;
            rules.replies = Flow::Pass;
            rules.delay = Duration::ZERO;
            rules.refused = false;
            rules.budget = None;
            rules.before_request = None;
            rules.before_reply = None;
        });
    }

    /// Delays each piece in both directions.
    pub fn delay(&self, delay: Duration) {
        self.rules.send_modify(|rules| rules.delay = delay);
    }

    /// Cuts all connections once clients have sent so many more bytes; the last of them arrive.
    /// That happens once.
    pub fn cut_after(&self, bytes: u64) {
        self.rules.send_modify(|rules| rules.budget = Some(bytes));
    }

    /// Cuts the next connection whose client says this; the server never hears it. That
    /// happens once.
    pub fn cut_before_request(&self, words: &[u8]) {
        self.rules.send_modify(|rules| rules.before_request = Some(words.into()));
    }

    /// Cuts the next connection whose server answers this; the client never hears it. Postgres
    /// says `COMMIT` and a zero when a transaction is durable. That happens once.
    pub fn cut_before_reply(&self, words: &[u8]) {
        self.rules.send_modify(|rules| rules.before_reply = Some(words.into()));
    }

    /// Bytes that clients sent and the server got.
    pub fn requested(&self) -> u64 {
        self.counters.requested.load(Ordering::Relaxed)
    }

    /// Bytes that the server answered and clients got.
    pub fn replied(&self) -> u64 {
        self.counters.replied.load(Ordering::Relaxed)
    }

    /// Bytes that the server answered and that were thrown away.
    pub fn swallowed(&self) -> u64 {
        self.counters.swallowed.load(Ordering::Relaxed)
    }

    /// Connections that were cut because of what was said or how much.
    pub fn cuts(&self) -> u64 {
        self.counters.cut.load(Ordering::Relaxed)
    }

    /// Connections that were taken.
    pub fn connections(&self) -> u64 {
        self.counters.accepted.load(Ordering::Relaxed)
    }
}

#[derive(Clone)]
struct Shared {
    rules: watch::Sender<Rules>,
    counters: Arc<Counters>,
}

async fn accept(listener: std::net::TcpListener, shared: Shared) {
    let listener = TcpListener::from_std(listener).expect("a listener of this runtime");
    while let Ok((client, _)) = listener.accept().await {
        let rules = shared.rules.borrow().clone();
        if rules.refused {
            continue;
        }
        shared.counters.accepted.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(connection(client, rules, shared.clone()));
    }
}

async fn connection(client: TcpStream, rules: Rules, shared: Shared) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, rules.to)).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_in, client_out) = client.into_split();
    let (server_in, server_out) = server.into_split();
    let mut watched = shared.rules.subscribe();
    let up = Direction { requests: true, shared: shared.clone(), tail: Mutex::default() };
    let down = Direction { requests: false, shared, tail: Mutex::default() };
    tokio::select! {
        () = up.copy(client_in, server_out) => {}
        () = down.copy(server_in, client_out) => {}
        _ = watched.wait_for(|now| now.cuts != rules.cuts) => {}
    }
}

/// One direction of a connection.
struct Direction {
    requests: bool,
    shared: Shared,
    /// The end of what was seen, so that words are found across pieces.
    tail: Mutex<Vec<u8>>,
}

impl Direction {
    /// Copies until one side ends or the rules cut it.
    async fn copy(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
        let mut rules = self.shared.rules.subscribe();
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            let piece = &buffer[..count];
            let delay = rules.borrow().delay;
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
            }
            let held = rules.wait_for(|rules| self.flow(rules) != Flow::Hold).await;
            let Ok(flow) = held.map(|rules| self.flow(&rules)) else { return };
            if self.says_the_words(piece) {
                self.shared.counters.cut.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let counters = &self.shared.counters;
            if flow == Flow::Swallow {
                counters.swallowed.fetch_add(count as u64, Ordering::Relaxed);
                continue;
            }
            let (allowed, last) = self.allowed(count);
            if to.write_all(&piece[..allowed]).await.is_err() {
                return;
            }
            let counter = if self.requests { &counters.requested } else { &counters.replied };
            counter.fetch_add(allowed as u64, Ordering::Relaxed);
            if last {
                // What was sent must arrive: the end of the connection comes behind it.
                let _ = to.shutdown().await;
                counters.cut.fetch_add(1, Ordering::Relaxed);
                self.shared.rules.send_modify(|rules| rules.cuts += 1);
                return;
            }
        }
    }

    fn flow(&self, rules: &Rules) -> Flow {
        if self.requests { rules.requests } else { rules.replies }
    }

    /// Whether the words that cut this direction are said here; if so they count no more.
    fn says_the_words(&self, piece: &[u8]) -> bool {
        let mut found = false;
        self.shared.rules.send_if_modified(|rules| {
            let words = match self.requests {
                true => &mut rules.before_request,
                false => &mut rules.before_reply,
            };
            let Some(searched) = words.clone() else { return false };
            let mut seen = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
            seen.extend_from_slice(piece);
            found = seen.windows(searched.len()).any(|window| window == &*searched);
            let kept = seen.len().saturating_sub(searched.len() - 1);
            seen.drain(..kept);
            if found {
                *words = None;
            }
            found
        });
        found
    }

    /// How much of a piece may go on, and whether that was the last of it.
    fn allowed(&self, count: usize) -> (usize, bool) {
        let mut allowed = (count, false);
        if self.requests {
            self.shared.rules.send_if_modified(|rules| {
                let Some(budget) = &mut rules.budget else { return false };
                let part = count.min(usize::try_from(*budget).unwrap_or(count));
                *budget -= part as u64;
                allowed = (part, *budget == 0);
                if *budget == 0 {
                    rules.budget = None;
                }
                true
            });
        }
        allowed
    }
}
