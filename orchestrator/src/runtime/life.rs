//! One life of the engine: it may act until it is told to end, or until the instant to which its
//! lease reaches by this machine's own clock, which nobody sets and which counts on while the
//! machine is suspended. Asked before every effect, so that a process that slept through its lease
//! asks nothing of the world when it wakes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dagbook_events::ids::Position;
use dagbook_events::ports::Fence;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

/// The longest that a wait for a deadline is: timers stand still while the machine is suspended.
const LOOK: Duration = Duration::from_millis(500);

/// An instant by a clock that nobody sets and that counts on while the machine is suspended, which
/// `std::time::Instant` does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(Duration);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        Self(Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// How long it is until another, nothing where that has passed.
    pub fn to(self, other: Self) -> Duration {
        other.0.saturating_sub(self.0)
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// Why a life of the engine ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LifeEnd {
    /// The store refused an append: someone else holds the lease.
    #[error("someone else leads: {0}")]
    Fenced(String),
    /// The lease could not be renewed in time.
    #[error("the lease was not renewed in time")]
    Expired,
    /// A task of it panicked: a fault of this program.
    #[error("a task of the engine died: {0}")]
    Died(String),
    /// It was asked to stop.
    #[error("it was asked to stop")]
    Stopped,
}

/// Whether the engine may act.
#[derive(Debug, Clone)]
pub struct Life(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    until: Mutex<Option<Moment>>,
    ended: watch::Sender<Option<LifeEnd>>,
}

impl Default for Life {
    /// One that ends only when it is told to.
    fn default() -> Self {
        Self::new(None)
    }
}

impl Life {
    fn new(until: Option<Moment>) -> Self {
        let (ended, _) = watch::channel(None);
        Self(Arc::new(Inner { until: Mutex::new(until), ended }))
    }

    /// One that lasts to that moment, unless it is extended.
    pub fn until(moment: Moment) -> Self {
        Self::new(Some(moment))
    }

    /// It lasts to that moment. Does not revive one that is over.
    pub fn extend(&self, moment: Moment) {
        if !self.is_over() {
            *self.0.until.lock().unwrap_or_else(PoisonError::into_inner) = Some(moment);
        }
    }

    /// To when it lasts.
    pub fn deadline(&self) -> Option<Moment> {
        *self.0.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it. The first reason stays.
    pub fn end(&self, why: LifeEnd) {
        self.0.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(why);
            }
            first
        });
    }

    /// Whether nothing may be asked of the world any more.
    pub fn is_over(&self) -> bool {
        if self.0.ended.borrow().is_some() {
            return true;
        }
        let expired = self.deadline().is_some_and(|until| Moment::now() >= until);
        if expired {
            self.end(LifeEnd::Expired);
        }
        expired
    }

    /// To be held by a task without which the engine must not go on.
    pub(super) fn alarm(&self, task: &'static str) -> Alarm {
        Alarm { life: self.clone(), task }
    }

    /// Returns when it is over.
    pub async fn over(&self) -> LifeEnd {
        let mut ended = self.0.ended.subscribe();
        loop {
            if self.is_over()
                && let Some(end) = ended.borrow().clone()
            {
                return end;
            }
            let deadline = self.deadline();
            let expiry = async {
                match deadline {
                    Some(until) => tokio::time::sleep(Moment::now().to(until).min(LOOK)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = ended.changed() => {}
                () = expiry => {}
            }
        }
    }
}

/// Ends a life when the task that holds it panics: what that task was to tell never comes.
pub(super) struct Alarm {
    life: Life,
    task: &'static str,
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.life.end(LifeEnd::Died(self.task.to_string()));
        }
    }
}

/// What an engine needs that acts for a whole site.
#[derive(Debug, Clone)]
pub struct Leading {
    /// Goes with every append.
    pub fence: Fence,
    /// How long it may act.
    pub life: Life,
    /// What others append behind this position is heard of.
    pub from: Position,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_of_lives_goes_on_and_its_spans_are_never_negative() {
        let first = Moment::now();
        let later = first + Duration::from_millis(5);
        assert!(Moment::now() >= first);
        assert_eq!((first.to(later), later.to(first)), (Duration::from_millis(5), Duration::ZERO));
    }

    #[tokio::test]
    async fn a_life_that_is_not_extended_ends_by_itself() {
        let life = Life::until(Moment::now() + Duration::from_millis(20));
        assert!(!life.is_over());
        assert_eq!(life.over().await, LifeEnd::Expired);
        life.extend(Moment::now() + Duration::from_secs(60));
        assert!(life.is_over(), "what is over is not revived");
    }

    #[tokio::test]
    async fn an_extended_life_goes_on_until_it_is_ended_and_keeps_the_first_reason() {
        let life = Life::until(Moment::now() + Duration::from_millis(20));
        life.extend(Moment::now() + Duration::from_secs(3_600));
        let waiting = tokio::spawn({
            let life = life.clone();
            async move { life.over().await }
        });
        life.end(LifeEnd::Fenced("them".to_string()));
        life.end(LifeEnd::Stopped);
        assert_eq!(waiting.await.expect("it ends"), LifeEnd::Fenced("them".to_string()));
    }
}
