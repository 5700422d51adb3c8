//! Signals as data: the shim blocks them all and reads them from a descriptor.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

/// Sent by the orchestrator after it has written `cancel`. Its default action is to be ignored,
/// so one that arrives before the shim blocks it does no harm: the shim looks at the file after.
pub(crate) const WAKE: rustix::process::Signal = rustix::process::Signal::URG;

/// What arrived since the last look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Arrived {
    pub(super) child: bool,
    pub(super) wake: bool,
    pub(super) terminate: bool,
}

/// The descriptor from which signals are read.
pub(super) struct Signals(OwnedFd);

impl Signals {
    /// Blocks every signal that can be blocked.
    pub(super) fn block_all() -> io::Result<Self> {
        // SAFETY: the sets are plain data initialised by libc; the descriptor is fresh and owned.
        unsafe {
            let mut all: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut all);
            // Faults of the shim's own code must still end it.
            for fault in [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGABRT] {
                libc::sigdelset(&mut all, fault);
            }
            if libc::sigprocmask(libc::SIG_BLOCK, &all, std::ptr::null_mut()) != 0 {
                return Err(io::Error::last_os_error());
            }
            let mut wanted: libc::sigset_t = std::mem::zeroed();
            libc::sigemptyset(&mut wanted);
            for signal in [libc::SIGCHLD, libc::SIGURG, libc::SIGTERM] {
                libc::sigaddset(&mut wanted, signal);
            }
            let fd = libc::signalfd(-1, &wanted, libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            Ok(Self(OwnedFd::from_raw_fd(fd)))
        }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.0
    }

    /// Takes what arrived.
    pub(super) fn take(&self) -> Arrived {
        let mut arrived = Arrived::default();
        loop {
            // SAFETY: the structure is plain data of the size that the kernel fills.
            let (read, info) = unsafe {
                let mut info: libc::signalfd_siginfo = std::mem::zeroed();
                let size = size_of::<libc::signalfd_siginfo>();
                (libc::read(self.0.as_raw_fd(), (&raw mut info).cast(), size), info)
            };
            if read <= 0 {
                return arrived;
            }
            match i32::try_from(info.ssi_signo).unwrap_or(0) {
                libc::SIGCHLD => arrived.child = true,
                libc::SIGURG => arrived.wake = true,
                libc::SIGTERM => arrived.terminate = true,
                _ => {}
            }
        }
    }
}

/// Closes a descriptor by number.
pub(super) fn close(fd: i32) {
    // SAFETY: called before the shim has opened anything of its own; the number is not used
    // again. One that is closed already gives an error that does not matter.
    unsafe { libc::close(fd) };
}

/// Closes this descriptor and all above it; false where the kernel cannot.
pub(super) fn close_from(first: libc::c_uint) -> bool {
    // SAFETY: as in `close`.
    unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, 0) == 0 }
}
