//! What a process that still runs has used, as the kernel shows it.

use std::fs;

/// What it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Own {
    pub(super) cpu_us: u64,
    pub(super) peak_bytes: u64,
}

/// What the process, and those of its children that it waited for, used. Nothing where it cannot
/// be read: it may have ended just now.
pub(super) fn of(pid: u32) -> Own {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    Own {
        cpu_us: ticks(&stat) * (1_000_000 / rustix::param::clock_ticks_per_second().max(1)),
        peak_bytes: peak_kib(&status) * 1_024,
    }
}

/// `utime`, `stime`, `cutime` and `cstime`: fields 14 to 17. The name in brackets may hold spaces.
fn ticks(stat: &str) -> u64 {
    let Some((_, rest)) = stat.rsplit_once(')') else { return 0 };
    rest.split_ascii_whitespace().skip(11).take(4).filter_map(|n| n.parse::<u64>().ok()).sum()
}

fn peak_kib(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_hides_no_figure() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 11 22 33 44 20 0 1 0";
        assert_eq!(ticks(stat), 110);
        assert_eq!(ticks("no such thing"), 0);
        assert_eq!(peak_kib("Name:\tx\nVmHWM:\t   2048 kB\n"), 2_048);
    }

    #[test]
    fn this_process_has_used_something() {
        let own = of(std::process::id());
        assert!(own.peak_bytes > 0, "{own:?}");
    }
}
