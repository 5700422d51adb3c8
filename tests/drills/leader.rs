//! Who leads, by the record alone: the lease names its holder's process, and its epoch is the
//! instant at which it was taken, by the store's clock.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dagbook::server::{ENGINE_LEASE, Holder};
use dagbook::wiring::Installation;
use dagbook_tests::drill::Site;
use dagbook_tests::servers::eventually;

use crate::SOON;
use crate::api::Api;
use crate::served::Served;

/// Within this the next one leads, whatever happened to the one before.
pub const TAKEOVER: Duration = Duration::from_secs(10);

/// Who leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Led {
    /// Since when, in milliseconds; it also fences.
    pub epoch: u64,
    /// The number of the process.
    pub process: u32,
}

/// Who leads now; none: nobody does, or the store does not say.
pub async fn led(look: &Installation) -> Option<Led> {
    let lease = look.leases.as_ref()?.lease(ENGINE_LEASE).await.ok()??;
    let holder = Holder::parse(&lease.holder)?;
    let process = holder.instance.rsplit('-').nth(1)?.parse().ok()?;
    let is_held = lease.expires_at > look.deps.clock.now();
    is_held.then_some(Led { epoch: lease.fence.epoch, process })
}

/// Waits until one of the servers leads, under a later epoch.
pub async fn next(look: &Installation, servers: &[Served], after: u64) -> Led {
    eventually("one of the servers to lead", SOON, || async {
        let led = led(look).await?;
        let is_one = servers.iter().any(|server| server.id() == led.process);
        (is_one && led.epoch > after).then_some(led)
    })
    .await
}

/// Its place among the servers.
pub fn place_of(servers: &[Served], led: Led) -> usize {
    servers.iter().position(|server| server.id() == led.process).expect("one of them")
}

/// Kills the leader with -9 and starts another server in its place. Says how long nobody led, by
/// the lease's own times.
pub async fn kill(
    site: &Site,
    look: &Installation,
    servers: &mut Vec<Served>,
    name: &str,
    api: &Api,
) -> Duration {
    let leader = next(look, servers, 0).await;
    let place = place_of(servers, leader);
    let at = now_ms();
    servers.remove(place).kill();
    servers.push(Served::start(site, name));
    api.at(&*servers);
    let then = next(look, servers, leader.epoch).await;
    Duration::from_millis(then.epoch.saturating_sub(at))
}

/// Now, by the clock of this machine, which is that of the store here.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that was set");
    u64::try_from(since.as_millis()).expect("not so soon")
}
