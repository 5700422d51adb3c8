//! What the tests of executors need as a program: a shim when its first argument is `shim`, else
//! one of a few tools that burn, hog, print or look around.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use rustix::time::{ClockId, clock_gettime};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let number = |text: &str| text.parse::<u64>().unwrap_or(0);
    match words[..] {
        ["shim", dir] => return dagbook_executors::local::shim_main(Path::new(dir)),
        ["burn", ms] => burn(number(ms)),
        ["burn-apart", ms] => burn_apart(number(ms)),
        ["hog", mib] => hog(number(mib)),
        ["bytes", n, seed] => bytes(number(n), number(seed)),
        ["surroundings"] => surroundings(),
        ["host", data, spec] => return dagbook_tests::executor_host::run(data, spec),
        _ => return ExitCode::from(64),
    }
    ExitCode::SUCCESS
}

/// Uses so much CPU time, by its own count.
fn burn(ms: u64) {
    let used = || {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        u64::try_from(time.tv_sec).unwrap_or(0) * 1_000
            + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
    };
    let mut sum = 0u64;
    while used() < ms {
        for n in 0..10_000u64 {
            sum = std::hint::black_box(sum.wrapping_mul(31).wrapping_add(n));
        }
    }
}

/// Half of it here, half in a process of another session whose parent is gone.
fn burn_apart(ms: u64) {
    let tool = std::env::current_exe().expect("this program has a path");
    let done = std::env::current_dir().expect("a folder").join("done");
    let script = "(setsid sh -c '\"$0\" burn \"$1\"; : > done' \"$0\" \"$1\" &)";
    let half = (ms / 2).to_string();
    let tool = tool.to_str().expect("a UTF-8 path");
    let status = std::process::Command::new("sh").args(["-c", script, tool, &half]).status();
    assert!(status.is_ok_and(|status| status.success()), "the apart half started");
    burn(ms - ms / 2);
    while !done.exists() {
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}

/// Touches so much memory.
fn hog(mib: u64) {
    let mut held = Vec::new();
    for _ in 0..mib {
        held.push(std::hint::black_box(vec![1u8; 1 << 20]));
    }
    std::hint::black_box(&held);
}

/// Prints noise; the same as the conformance suite expects.
fn bytes(n: u64, seed: u64) {
    let mut out = std::io::stdout().lock();
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut left = usize::try_from(n).unwrap_or(0);
    let mut buffer = Vec::with_capacity(1 << 16);
    while left > 0 {
        buffer.clear();
        for _ in 0..left.min(1 << 16) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            buffer.push((state >> 32) as u8);
        }
        left -= buffer.len();
        out.write_all(&buffer).expect("standard output takes everything");
    }
    out.flush().expect("standard output takes everything");
}

/// Says what reached this process.
fn surroundings() {
    let names: Vec<String> = std::env::vars().map(|(name, _)| name).collect();
    println!("env: {}", names.join(" "));
    println!("run: {}", std::env::var("DAGBOOK_RUN").unwrap_or_default());
    // The descriptor that reads the list is in it, and closed by now.
    let still_open = |fd: &String| std::fs::read_link(format!("/proc/self/fd/{fd}")).is_ok();
    let listed = std::fs::read_dir("/proc/self/fd").into_iter().flatten().flatten();
    let fds: Vec<String> = listed.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    println!("fds: {}", fds.into_iter().filter(still_open).collect::<Vec<_>>().join(" "));
    let stdin = std::fs::read_link("/proc/self/fd/0").unwrap_or_default();
    println!("stdin: {}", stdin.display());
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| -> String {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_default().trim().to_string()
    };
    let bits = |text: String| u64::from_str_radix(&text, 16).unwrap_or(u64::MAX);
    // Rust's own start ignores SIGPIPE (13).
    let ignored = bits(field("SigIgn:")) & !(1 << 12);
    println!("signals: blocked={} ignored={ignored}", bits(field("SigBlk:")));
    let pid = rustix::process::getpid();
    let leader = rustix::process::getsid(None).is_ok_and(|session| session == pid);
    println!("session: {}", if leader { "leader" } else { "member" });
    println!("umask: {}", field("Umask:"));
    println!("no_new_privs: {}", field("NoNewPrivs:"));
}
