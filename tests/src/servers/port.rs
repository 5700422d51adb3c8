//! Free ports of the loopback.

use std::net::{Ipv4Addr, TcpListener};

use dagbook_events::journal::clock::SystemRng;
use dagbook_events::ports::Rng;

/// Lowest port that is tried.
const LOWEST: u16 = 15_000;
/// Where outgoing connections usually begin to take theirs.
const USUAL_HIGHEST: u16 = 32_767;

/// A port that nobody listens on now.
///
/// It lies below those that outgoing connections are given: a server that is restarted must
/// find its port free again, and a client that asks for a stopped server must not, by chance,
/// be connected with itself.
///
/// # Panics
/// Where the machine has no free port.
pub fn free_port() -> u16 {
    let highest = lowest_outgoing().map_or(USUAL_HIGHEST, |port| port.saturating_sub(1));
    let span = u128::from(highest.saturating_sub(LOWEST));
    for _ in 0..200 {
        if span == 0 {
            break;
        }
        let chance = u128::from_be_bytes(SystemRng.bytes()) % span;
        let port = LOWEST + u16::try_from(chance).unwrap_or_default();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    any.expect("a free port on the loopback").port()
}

fn lowest_outgoing() -> Option<u16> {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    range.split_whitespace().next()?.parse().ok()
}
