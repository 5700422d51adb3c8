//! The lease of the engine: taken, renewed and given back by a thread of its own, which nothing
//! that the engine does can starve. What it decides is seen through a [`Life`]: by the clock of
//! this machine a life always ends before the store gives the lease to someone else.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use dagbook_events::ports::{Lease, LeaseAnswer, Leases};
use dagbook_events::time::Millis;
use tokio::sync::watch;

use crate::runtime::{Life, LifeEnd, Moment};

/// The lease under which one process acts for a whole site.
pub const ENGINE_LEASE: &str = "engine";

/// How a lease is held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// How long it lasts in the store.
    pub lasting: Duration,
    /// How often it is renewed.
    pub renew: Duration,
    /// How much earlier its holder stops acting: what a slow clock and a late timer may cost.
    pub margin: Duration,
    /// How often one who waits for it asks.
    pub poll: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            lasting: Duration::from_secs(6),
            renew: Duration::from_secs(1),
            margin: Duration::from_millis(1_500),
            poll: Duration::from_millis(500),
        }
    }
}

/// Who a server is to the others that want the lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// A name that no other process has.
    pub instance: String,
    /// The place whose attempts it can find.
    pub place: String,
}

impl Holder {
    /// As it stands in the lease.
    pub fn to_text(&self) -> String {
        format!("{} at {}", self.instance, self.place)
    }

    /// Reads it from a lease.
    pub fn parse(text: &str) -> Option<Self> {
        let (instance, place) = text.rsplit_once(" at ")?;
        Some(Self { instance: instance.to_string(), place: place.to_string() })
    }
}

/// Who leads, as this process knows.
#[derive(Debug, Clone)]
pub enum Standing {
    /// The store was not reached yet.
    Unknown(String),
    /// Someone else has the lease.
    Standby(Lease),
    /// This process has it.
    Leading {
        /// As it was taken.
        lease: Lease,
        /// How long it may act.
        life: Life,
    },
}

/// What the thread is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    Go,
    Stop,
}

/// The thread.
pub(super) struct LeaseKeeper {
    orders: watch::Sender<Order>,
    standing: watch::Receiver<Standing>,
    /// Epoch of the last term that has ended: its holder may ask for the lease again.
    ended: watch::Sender<u64>,
    thread: Option<JoinHandle<()>>,
}

impl LeaseKeeper {
    /// Starts to ask for the lease.
    pub(super) fn start(
        leases: Arc<dyn Leases>,
        holder: &Holder,
        timing: Timing,
    ) -> std::io::Result<Self> {
        let (orders, asked) = watch::channel(Order::Go);
        let first = Standing::Unknown("nobody was asked yet".to_string());
        let (tell, standing) = watch::channel(first);
        let (ended, terms) = watch::channel(0);
        let holder = holder.to_text();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread =
            std::thread::Builder::new().name("dagbook-lease".to_string()).spawn(move || {
                let asker = Asker { leases, holder, timing, orders: asked, tell, terms };
                runtime.block_on(asker.run());
            })?;
        Ok(Self { orders, standing, ended, thread: Some(thread) })
    }

    pub(super) fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// Where it is told that a term has come to its end in this process.
    pub(super) fn ended(&self) -> watch::Sender<u64> {
        self.ended.clone()
    }

    /// Asks for nothing more; gives the lease back as soon as the term has ended.
    pub(super) async fn stop(&mut self) {
        self.orders.send_replace(Order::Stop);
        if let Some(thread) = self.thread.take() {
            let joined = tokio::task::spawn_blocking(move || thread.join().is_ok());
            // What does not end in time ends with the process; the lease then runs out.
            let _ = tokio::time::timeout(Duration::from_secs(5), joined).await;
        }
    }
}

struct Asker {
    leases: Arc<dyn Leases>,
    holder: String,
    timing: Timing,
    orders: watch::Receiver<Order>,
    tell: watch::Sender<Standing>,
    terms: watch::Receiver<u64>,
}

impl Asker {
    async fn run(mut self) {
        let lasting = Millis(u64::try_from(self.timing.lasting.as_millis()).unwrap_or(0));
        while self.goes_on() {
            let asked = Moment::now();
            let question = self.leases.acquire(ENGINE_LEASE, &self.holder, lasting);
            match tokio::time::timeout(self.timing.lasting / 2, question).await {
                Ok(Ok(LeaseAnswer::Held(lease))) => {
                    self.lead(lease, asked, lasting).await;
                    continue;
                }
                Ok(Ok(LeaseAnswer::TakenBy(lease))) => {
                    self.say(Standing::Standby(lease));
                }
                Ok(Err(error)) => self.unknown(error.to_string()),
                Err(_) => self.unknown("the store does not answer".to_string()),
            }
            self.pause(self.timing.poll).await;
        }
    }

    /// Whether nobody told it to stop, and somebody still could.
    fn goes_on(&self) -> bool {
        *self.orders.borrow() == Order::Go && self.orders.has_changed().is_ok()
    }

    fn unknown(&self, reason: String) {
        self.say(Standing::Unknown(reason));
    }

    /// Tells what is news: that a leader renewed its lease is none.
    fn say(&self, standing: Standing) {
        self.tell.send_if_modified(|known| {
            let same = match (&*known, &standing) {
                (Standing::Standby(was), Standing::Standby(is)) => {
                    (&was.fence, &was.holder) == (&is.fence, &is.holder)
                }
                (Standing::Unknown(was), Standing::Unknown(is)) => was == is,
                _ => false,
            };
            if !same {
                *known = standing;
            }
            !same
        });
    }

    /// Waits, or returns at once where it is told to stop.
    async fn pause(&mut self, wait: Duration) {
        let mut orders = self.orders.clone();
        // The sender going away is an order to stop, too.
        let stopped = orders.wait_for(|order| *order == Order::Stop);
        let _ = tokio::time::timeout(wait, stopped).await;
    }

    fn until(&self, asked: Moment) -> Moment {
        asked + self.timing.lasting.saturating_sub(self.timing.margin)
    }

    async fn lead(&mut self, lease: Lease, asked: Moment, lasting: Millis) {
        let life = Life::until(self.until(asked));
        let epoch = lease.fence.epoch;
        tracing::info!(epoch, "this process leads");
        self.tell.send_replace(Standing::Leading { lease: lease.clone(), life: life.clone() });
        let mut orders = self.orders.clone();
        loop {
            tokio::select! {
                _ = orders.wait_for(|order| *order == Order::Stop) => break,
                _ = life.over() => break,
                () = tokio::time::sleep(self.timing.renew) => {}
            }
            let asked = Moment::now();
            let question = self.leases.renew(&lease, lasting);
            match tokio::time::timeout(self.timing.lasting / 3, question).await {
                Ok(Ok(Some(_))) => life.extend(self.until(asked)),
                Ok(Ok(None)) => {
                    life.end(LifeEnd::Fenced("the lease went to someone else".to_string()));
                }
                Ok(Err(error)) => tracing::warn!(%error, "the engine's lease was not renewed"),
                Err(_) => tracing::warn!("the store did not renew the engine's lease in time"),
            }
        }
        // Renewed no more, the life ends by itself if the term takes too long to end.
        let mut terms = self.terms.clone();
        let _ = terms.wait_for(|ended| *ended >= epoch).await;
        let released = self.leases.release(&lease.fence);
        let released = tokio::time::timeout(self.timing.lasting / 3, released).await;
        if !matches!(released, Ok(Ok(()))) {
            tracing::info!("the engine's lease was not given back; it runs out by itself");
        }
        self.unknown("this process led until just now".to_string());
        self.pause(self.timing.poll).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_reads_back_whatever_its_instance_is_called() {
        for instance in ["n1", "host at home", "a b c"] {
            let place = "0123456789abcdef".to_string();
            let holder = Holder { instance: instance.to_string(), place };
            assert_eq!(Holder::parse(&holder.to_text()), Some(holder));
        }
        assert_eq!(Holder::parse("somebody"), None);
    }

    #[test]
    fn a_holder_stops_acting_before_its_lease_can_go_to_another() {
        let timing = Timing::default();
        assert!(timing.margin >= timing.renew);
        assert!(timing.lasting > timing.margin + 2 * timing.renew, "a renewal may fail once");
        let longest = timing.lasting + 2 * timing.poll;
        assert!(longest < Duration::from_secs(9), "a takeover is there within 10 s");
    }
}
