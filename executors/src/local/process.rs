//! Which process is which. A number alone says nothing: numbers are used again.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

/// A process, told apart from every other one of this machine's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) pid: u32,
    pub(crate) start_ticks: u64,
    pub(crate) boot_id: String,
}

impl Identity {
    /// This process.
    pub(crate) fn own() -> Self {
        let pid = std::process::id();
        Self { pid, start_ticks: start_ticks(pid).unwrap_or(0), boot_id: boot_id().to_string() }
    }

    /// Reads what [`Identity::to_line`] wrote; `None` for anything else, also for a part of it.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_suffix('\n')?.split(' ');
        let identity = Self {
            pid: words.next()?.parse().ok()?,
            start_ticks: words.next()?.parse().ok()?,
            boot_id: words.next()?.to_string(),
        };
        words.next().is_none().then_some(identity)
    }

    pub(crate) fn to_line(&self) -> String {
        format!("{} {} {}\n", self.pid, self.start_ticks, self.boot_id)
    }

    /// A descriptor of the process, if it is still that one. It becomes readable at its end.
    pub(crate) fn open(&self) -> Option<OwnedFd> {
        if self.boot_id != boot_id() {
            return None;
        }
        let pid = Pid::from_raw(i32::try_from(self.pid).ok()?)?;
        let fd = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Looked at after opening: the descriptor cannot come to mean another process.
        (start_ticks(self.pid) == Some(self.start_ticks)).then_some(fd)
    }

    /// Sends a signal to the process, if it is still that one.
    pub(crate) fn signal(&self, signal: Signal) -> bool {
        self.open().is_some_and(|fd| pidfd_send_signal(&fd, signal).is_ok())
    }
}

/// The shim that holds or held an attempt's lock.
pub(crate) fn lock_holder(dir: &super::paths::AttemptDir) -> Option<Identity> {
    Identity::parse(&fs::read_to_string(dir.lock()).ok()?)
}

/// Field 22 of `/proc/<pid>/stat`: when it started, in clock ticks since boot.
pub(crate) fn start_ticks(pid: u32) -> Option<u64> {
    stat_field(pid, 22)?.parse().ok()
}

/// Its parent's number.
pub(crate) fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 4)?.parse().ok()
}

/// Whether it exists and is not merely waiting to be reaped.
pub(crate) fn is_alive(pid: u32) -> bool {
    stat_field(pid, 3).is_some_and(|state| state != "Z" && state != "X")
}

/// Whether the signal would end the process: it neither handles, ignores nor blocks it.
pub(crate) fn would_die_of(pid: u32, signal: Signal) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let bit = 1u64 << (signal.as_raw() - 1);
    let mut masks = ["SigBlk:", "SigIgn:", "SigCgt:"].into_iter().map(|name| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        u64::from_str_radix(line.trim(), 16).ok()
    });
    masks.all(|mask| mask.is_some_and(|mask| mask & bit == 0))
}

fn stat_field(pid: u32, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything.
    let rest = &stat[stat.rfind(')')? + 1..];
    rest.split_ascii_whitespace().nth(number - 3).map(str::to_string)
}

/// Tells one boot of the machine from another.
pub(crate) fn boot_id() -> &'static str {
    static BOOT_ID: OnceLock<String> = OnceLock::new();
    BOOT_ID.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        text.trim().to_string()
    })
}

/// All processes, by number.
pub(crate) fn all() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Living processes whose environment says that they belong to an attempt: how those of a shim
/// without cgroups are found when it died before them.
pub(crate) fn marked(marker: &str) -> Vec<u32> {
    let own = std::process::id();
    let belongs = |pid: &u32| {
        let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environ.split(|byte| *byte == 0).any(|entry| entry == marker.as_bytes())
    };
    all().into_iter().filter(|pid| *pid != own && is_alive(*pid)).filter(belongs).collect()
}

/// Kills a process by number. For descendants whose numbers cannot have been used again, since
/// nobody has reaped them, and for those just found by their mark.
pub(crate) fn kill(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}
