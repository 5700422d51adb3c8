//! The orchestrator's side: waits for the end of a shim without polling.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Waits for the end of a process, and reaps it if it is ours.
pub(crate) async fn wait_for_end(pidfd: OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor is owned, open, and stays the same until it is dropped with its
    // registration at the end of this function.
    let pidfd = unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) };
    let pidfd = pidfd.map_err(io::Error::from)?;
    let _ = pidfd.readable().await?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    // One that another orchestrator started is reaped by init.
    let _ = waitid(WaitId::PidFd(pidfd.get_ref().as_fd()), options);
    Ok(())
}
