//! How the parts of a server stand, looked at each second, so that whoever asks is answered at
//! once and from what is known.

use std::path::Path;
use std::time::{Duration, Instant};

use dagbook_events::journal::GuardState;
use dagbook_events::journal::relay::RelayState;
use dagbook_events::ports::EventStore;
use tokio::sync::watch;

use super::lease::{Holder, Standing};
use super::term::Takeover;
use crate::app::operations::{Readiness, ReadyPart};
use crate::wiring::KeeperStatus;

/// How often the store and the disk are looked at.
pub(super) const EVERY: Duration = Duration::from_secs(1);
/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long nobody may be known to lead.
const LEADERLESS: Duration = Duration::from_secs(12);
/// Less free space than this is too little to go on.
const FREE_MIN: u64 = 64 << 20;

/// What was seen at the last look.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    /// None: the store answered.
    pub(super) store: Option<String>,
    /// Free bytes of the data folder's disk.
    pub(super) free: Result<u64, String>,
    /// When a leader was last known.
    pub(super) led: Option<Instant>,
}

impl Default for Seen {
    fn default() -> Self {
        let store = Some("it was not asked yet".to_string());
        Self { store, free: Ok(u64::MAX), led: None }
    }
}

/// Looks at the store and the disk until nobody wants to know.
pub(super) async fn look(
    store: &dyn EventStore,
    data: &Path,
    standing: watch::Receiver<Standing>,
    seen: watch::Sender<Seen>,
) {
    while !seen.is_closed() {
        let answer = match tokio::time::timeout(PATIENCE, store.head()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        let free = rustix::fs::statvfs(data)
            .map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize))
            .map_err(|error| error.to_string());
        let is_led = !matches!(*standing.borrow(), Standing::Unknown(_));
        seen.send_modify(|seen| {
            seen.store = answer;
            seen.free = free;
            if is_led {
                seen.led = Some(Instant::now());
            }
        });
        tokio::time::sleep(EVERY).await;
    }
}

fn part(name: &str, ok: bool, detail: String) -> ReadyPart {
    ReadyPart { name: name.to_string(), ok, detail }
}

/// All parts. Requests should come here where the record can be read and added to, and somebody
/// leads.
pub(super) fn readiness(
    seen: &Seen,
    standing: &Standing,
    takeover: Takeover,
    keeper: Option<&KeeperStatus>,
    directory_is_fresh: bool,
    is_stopping: bool,
) -> Readiness {
    let mut parts = vec![store(seen), lease(seen, standing, takeover)];
    parts.extend(keeper.map(guard));
    parts.extend(keeper.and_then(bus));
    parts.push(match directory_is_fresh {
        true => part("directory", true, "tokens are known as the record has them".to_string()),
        false => part("directory", false, "the record was not looked at for too long".to_string()),
    });
    parts.push(disk(seen));
    if is_stopping {
        parts.push(part("process", false, "it is stopping".to_string()));
    }
    // Without the bus the copy falls behind, and all else goes on.
    let ready = parts.iter().all(|part| part.ok || part.name == "bus");
    Readiness { ready, parts }
}

fn store(seen: &Seen) -> ReadyPart {
    match &seen.store {
        None => part("store", true, "it answers".to_string()),
        Some(reason) => part("store", false, reason.clone()),
    }
}

fn lease(seen: &Seen, standing: &Standing, takeover: Takeover) -> ReadyPart {
    match standing {
        Standing::Leading { .. } => {
            let how = if takeover.done { "this process leads" } else { "taking over runs" };
            let detail = format!("{how}; {} runs were taken over", takeover.runs);
            part("engine", true, detail)
        }
        Standing::Standby(lease) => {
            let who = Holder::parse(&lease.holder).map_or(lease.holder.clone(), |it| it.instance);
            part("engine", true, format!("{who} leads"))
        }
        Standing::Unknown(reason) => {
            // Between two leaders there are seconds without one; what comes is recorded.
            let ok = seen.led.is_some_and(|led| led.elapsed() < LEADERLESS);
            part("engine", ok, format!("nobody is known to lead: {reason}"))
        }
    }
}

fn guard(keeper: &KeeperStatus) -> ReadyPart {
    match &keeper.guard {
        GuardState::Open => part("record", true, "it may be added to".to_string()),
        GuardState::Waiting(reason) => part("record", false, reason.clone()),
        GuardState::Halted(reason) => part("record", false, format!("it is halted: {reason}")),
    }
}

fn bus(keeper: &KeeperStatus) -> Option<ReadyPart> {
    let relay = keeper.relay.as_ref()?;
    let ok = relay.state == RelayState::Running;
    let detail = match &relay.last_error {
        Some(error) => error.clone(),
        None => format!("the copy is {} events behind", relay.lag()),
    };
    Some(part("bus", ok, detail))
}

fn disk(seen: &Seen) -> ReadyPart {
    match &seen.free {
        Ok(free) => {
            let mib = free >> 20;
            part("disk", *free >= FREE_MIN, format!("{mib} MiB are free in the data folder"))
        }
        Err(reason) => {
            part("disk", false, format!("the data folder cannot be looked at: {reason}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen() -> Seen {
        Seen { store: None, free: Ok(1 << 30), led: Some(Instant::now()) }
    }

    fn ready(seen: &Seen) -> Readiness {
        let standing = Standing::Unknown("between two".to_string());
        readiness(seen, &standing, Takeover::default(), None, true, false)
    }

    #[test]
    fn a_moment_without_a_leader_is_no_reason_to_turn_requests_away() {
        assert!(ready(&seen()).ready);
        assert!(!ready(&Seen { led: None, ..seen() }).ready);
    }

    #[test]
    fn a_part_that_fails_is_named_with_its_reason() {
        let away = Seen { store: Some("connection refused".to_string()), ..seen() };
        let answer = ready(&away);
        assert!(!answer.ready);
        let failing: Vec<_> = answer.parts.iter().filter(|part| !part.ok).collect();
        assert_eq!(failing.len(), 1);
        assert_eq!((&*failing[0].name, &*failing[0].detail), ("store", "connection refused"));
        assert!(!ready(&Seen { free: Ok(1 << 20), ..seen() }).ready, "a full disk");
    }
}
