//! Waiting for the dead. The shim is the subreaper of the step, so every process of the attempt,
//! however often it forked, ends up as its child.
#![allow(unsafe_code)]

use super::super::records::MainEnd;

/// What waiting has told so far.
#[derive(Debug, Default)]
pub(super) struct Reaped {
    /// How the main process ended.
    pub(super) main: Option<MainEnd>,
    /// CPU time of all reaped, with what they themselves had reaped.
    pub(super) cpu_us: u64,
    /// The largest single process.
    pub(super) peak_bytes: u64,
    /// No descendant is left at all.
    pub(super) none_left: bool,
}

impl Reaped {
    /// Reaps all that are dead now.
    pub(super) fn collect(&mut self, main_pid: u32) {
        loop {
            let (mut status, mut usage) = (0, new_usage());
            // SAFETY: both out parameters are valid for the call.
            let pid = unsafe { libc::wait4(-1, &mut status, libc::WNOHANG, &mut usage) };
            if pid == 0 {
                self.none_left = false;
                return;
            }
            if pid < 0 {
                // ECHILD; EINTR cannot be, all signals are blocked.
                self.none_left = true;
                return;
            }
            self.cpu_us += micros(&usage.ru_utime) + micros(&usage.ru_stime);
            let kib = u64::try_from(usage.ru_maxrss).unwrap_or(0);
            self.peak_bytes = self.peak_bytes.max(kib * 1024);
            if pid.unsigned_abs() == main_pid {
                self.main = Some(if libc::WIFSIGNALED(status) {
                    MainEnd::Signal(libc::WTERMSIG(status))
                } else {
                    MainEnd::Code(libc::WEXITSTATUS(status))
                });
            }
        }
    }
}

fn new_usage() -> libc::rusage {
    // SAFETY: plain data for which all zeroes is a value.
    unsafe { std::mem::zeroed() }
}

fn micros(time: &libc::timeval) -> u64 {
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000 + u64::try_from(time.tv_usec).unwrap_or(0)
}
