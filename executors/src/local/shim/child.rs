//! From fork to exec of the step's main process.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};

use rustix::pipe::{PipeFlags, pipe_with};

use dagbook_events::step::StartErrorKind;

use super::super::cgroup::Joins;
use super::super::records::{Launch, StartProblem};

/// All that the child needs, made before the fork: between fork and exec nothing may allocate.
struct Plan {
    candidates: Vec<CString>,
    argv: Vec<CString>,
    env: Vec<CString>,
    work: CString,
    joins: Joins,
    /// Soft and hard limits by resource.
    limits: Vec<(u32, u64)>,
}

/// Where the child was when it failed.
const STAGE_GROUP: u8 = 1;
const STAGE_FOLDER: u8 = 2;
const STAGE_EXEC: u8 = 3;

/// Starts the step. `output` becomes its standard output and error.
pub(super) fn start(
    launch: &Launch,
    joins: Joins,
    output: &OwnedFd,
    bound_each: bool,
) -> Result<u32, StartProblem> {
    let plan = plan(launch, joins, bound_each)?;
    let null = std::fs::File::open("/dev/null").map_err(|e| io_problem("/dev/null", &e))?;
    let (report, report_write) =
        pipe_with(PipeFlags::CLOEXEC).map_err(|e| io_problem("a pipe", &e.into()))?;
    let pointers = (pointers(&plan.argv), pointers(&plan.env));
    let shell_argv = shell_argv(&plan);
    let shell_pointers: Vec<_> = shell_argv.iter().map(|argv| pointers_of(argv)).collect();
    // SAFETY: the process has one thread, so the child may go on as any program would; it calls
    // nothing but system calls on data made above, and ends in exec or exit.
    let pid = unsafe {
        match fork(&plan.joins) {
            Ok((0, born_inside)) => child(
                &plan,
                born_inside,
                &pointers,
                &shell_pointers,
                [null.as_raw_fd(), output.as_raw_fd(), report_write.as_raw_fd()],
            ),
            Ok((pid, _)) => pid,
            Err(error) => return Err(io_problem("a process", &error)),
        }
    };
    drop(report_write);
    let mut answer = Vec::new();
    let _ = std::fs::File::from(report).read_to_end(&mut answer);
    match answer.as_slice() {
        [stage, code @ ..] if code.len() == 4 => {
            let code = i32::from_ne_bytes([code[0], code[1], code[2], code[3]]);
            // It has exited; its status says nothing more.
            unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) };
            Err(problem(launch, *stage, code))
        }
        _ => Ok(pid.unsigned_abs()),
    }
}

fn plan(launch: &Launch, joins: Joins, bound_each: bool) -> Result<Plan, StartProblem> {
    let config = |message: String| StartProblem { kind: StartErrorKind::Config, message };
    let c = |text: &str, what: &str| {
        CString::new(text).map_err(|_| config(format!("{what} contains a NUL byte")))
    };
    let Some(program) = launch.argv.first().filter(|p| !p.is_empty()) else {
        return Err(config("the command is empty".to_string()));
    };
    let mut env = Vec::with_capacity(launch.env.len());
    for (name, value) in &launch.env {
        env.push(c(&format!("{name}={value}"), &format!("the variable {name}"))?);
    }
    let path = launch.env.iter().rev().find(|(name, _)| name == "PATH");
    let path = path.map_or("/usr/local/bin:/usr/bin:/bin", |(_, value)| value);
    let candidates = if program.contains('/') {
        vec![c(program, "the program's name")?]
    } else {
        let join = |dir: &str| format!("{}/{program}", if dir.is_empty() { "." } else { dir });
        path.split(':').map(|dir| c(&join(dir), "PATH")).collect::<Result<_, _>>()?
    };
    let argv = launch.argv.iter().map(|a| c(a, "an argument")).collect::<Result<_, _>>()?;
    let work = c(&launch.work.to_string_lossy(), "the working folder")?;
    let mut limits = vec![(libc::RLIMIT_CORE, 0)];
    if !launch.cgroup.is_exact() {
        limits.push((libc::RLIMIT_NPROC, u64::from(launch.limits.pids)));
    }
    if bound_each && launch.limits.memory_bytes > 0 {
        limits.push((libc::RLIMIT_AS, launch.limits.memory_bytes));
    }
    Ok(Plan { candidates, argv, env, work, joins, limits })
}

/// Argument vectors that hand a file without `#!` to the shell, as every shell does.
fn shell_argv(plan: &Plan) -> Vec<Vec<&CStr>> {
    let rest = || plan.argv.iter().skip(1).map(CString::as_c_str);
    plan.candidates.iter().map(|file| [c"sh", file].into_iter().chain(rest()).collect()).collect()
}

/// Linux 5.7; libc's constant of this name has too few bits for it.
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

type Pointers = Vec<*const libc::c_char>;

fn pointers(strings: &[CString]) -> Pointers {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

fn pointers_of(strings: &[&CStr]) -> Pointers {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Forks, into the v2 group where the kernel allows it. To be born there costs nothing, while
/// moving there later waits for an RCU grace period. Says whether that was done.
unsafe fn fork(joins: &Joins) -> io::Result<(libc::pid_t, bool)> {
    if let Some(group) = &joins.unified {
        // SAFETY: plain data for which all zeroes is a value.
        let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
        args.flags = CLONE_INTO_CGROUP;
        args.exit_signal = libc::SIGCHLD as u64;
        args.cgroup = group.as_raw_fd() as u64;
        // SAFETY: without a stack and without shared memory this is a fork.
        let pid = unsafe {
            libc::syscall(libc::SYS_clone3, &raw mut args, size_of::<libc::clone_args>())
        };
        if pid >= 0 {
            return Ok((pid as libc::pid_t, true));
        }
    }
    // SAFETY: one thread.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok((pid, false)),
    }
}

/// The child, up to exec. `fds`: `/dev/null`, the output pipe, the report pipe.
unsafe fn child(
    plan: &Plan,
    born_inside: bool,
    (argv, env): &(Pointers, Pointers),
    shell: &[Pointers],
    fds: [RawFd; 3],
) -> ! {
    // SAFETY: system calls on open descriptors and null-terminated data, see `start`.
    unsafe {
        libc::setsid();
        if !born_inside && let Some(procs) = &plan.joins.unified_procs {
            enter(procs.as_raw_fd(), fds[2]);
        }
        for tasks in &plan.joins.tasks_v1 {
            enter(tasks.as_raw_fd(), fds[2]);
        }
        for (resource, bound) in &plan.limits {
            set_limit(*resource, *bound);
        }
        // The step goes before the orchestrator where memory runs out.
        write_file(c"/proc/self/oom_score_adj", b"300");
        if libc::chdir(plan.work.as_ptr()) != 0 {
            fail(fds[2], STAGE_FOLDER);
        }
        if libc::dup2(fds[0], 0) < 0 || libc::dup2(fds[1], 1) < 0 || libc::dup2(fds[1], 2) < 0 {
            fail(fds[2], STAGE_EXEC);
        }
        // Everything else is closed at exec, the report pipe among it.
        libc::syscall(
            libc::SYS_close_range,
            3,
            libc::c_uint::MAX,
            4, /* CLOSE_RANGE_CLOEXEC */
        );
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        // posix_spawn leaves glibc's two internal signals ignored, and `signal` refuses them.
        let default = [0u64; 4];
        for signal in [32, 33] {
            let none: *mut libc::c_void = std::ptr::null_mut();
            libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, 8);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        let mut denied = false;
        for (file, shell) in plan.candidates.iter().zip(shell) {
            libc::execve(file.as_ptr(), argv.as_ptr(), env.as_ptr());
            match *libc::__errno_location() {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => denied = true,
                libc::ENOEXEC => {
                    libc::execve(c"/bin/sh".as_ptr(), shell.as_ptr(), env.as_ptr());
                    fail(fds[2], STAGE_EXEC);
                }
                _ => fail(fds[2], STAGE_EXEC),
            }
        }
        *libc::__errno_location() = if denied { libc::EACCES } else { libc::ENOENT };
        fail(fds[2], STAGE_EXEC)
    }
}

unsafe fn enter(fd: RawFd, report: RawFd) {
    // SAFETY: as in `child`.
    unsafe {
        if libc::write(fd, b"0".as_ptr().cast(), 1) != 1 {
            fail(report, STAGE_GROUP);
        }
    }
}

unsafe fn set_limit(resource: u32, bound: u64) {
    // SAFETY: as in `child`. A bound above what we may set is left as it is.
    unsafe {
        let mut now: libc::rlimit = std::mem::zeroed();
        if libc::getrlimit(resource, &mut now) == 0 {
            let bound = bound.min(now.rlim_max);
            libc::setrlimit(resource, &libc::rlimit { rlim_cur: bound, rlim_max: bound });
        }
    }
}

unsafe fn write_file(path: &CStr, bytes: &[u8]) {
    // SAFETY: as in `child`; failure is of no consequence.
    unsafe {
        let fd = libc::open(path.as_ptr(), libc::O_WRONLY | libc::O_CLOEXEC);
        if fd >= 0 {
            libc::write(fd, bytes.as_ptr().cast(), bytes.len());
            libc::close(fd);
        }
    }
}

unsafe fn fail(report: RawFd, stage: u8) -> ! {
    // SAFETY: as in `child`.
    unsafe {
        let code = (*libc::__errno_location()).to_ne_bytes();
        let answer = [stage, code[0], code[1], code[2], code[3]];
        libc::write(report, answer.as_ptr().cast(), answer.len());
        libc::_exit(127)
    }
}

fn problem(launch: &Launch, stage: u8, code: i32) -> StartProblem {
    let error = io::Error::from_raw_os_error(code);
    let program = launch.argv.first().map_or("", String::as_str);
    let (kind, message) = match (stage, code) {
        (STAGE_FOLDER, _) => {
            let folder = launch.work.display();
            (StartErrorKind::Config, format!("the working folder {folder}: {error}"))
        }
        (STAGE_GROUP, _) => (StartErrorKind::Io, format!("entering the control group: {error}")),
        (_, libc::ENOENT | libc::ENOTDIR) if program.contains('/') => (
            StartErrorKind::Image,
            format!("the program `{program}` (or the interpreter it names) does not exist"),
        ),
        (_, libc::ENOENT | libc::ENOTDIR) => {
            (StartErrorKind::Image, format!("the program `{program}` was not found in PATH"))
        }
        // Also where a folder of PATH may not be looked into.
        (_, libc::EACCES) if !program.contains('/') => (
            StartErrorKind::Image,
            format!("the program `{program}` was not found in PATH as one that may be executed"),
        ),
        (_, libc::EACCES | libc::EISDIR) => {
            (StartErrorKind::Image, format!("the program `{program}` may not be executed"))
        }
        (_, libc::E2BIG) => (
            StartErrorKind::Config,
            "arguments and environment together are too long; use a file".to_string(),
        ),
        (_, libc::ENOEXEC | libc::ELIBBAD) => {
            (StartErrorKind::Image, format!("the program `{program}` is not for this machine"))
        }
        _ => (StartErrorKind::Io, format!("starting `{program}`: {error}")),
    };
    StartProblem { kind, message }
}

fn io_problem(what: &str, error: &io::Error) -> StartProblem {
    StartProblem { kind: StartErrorKind::Io, message: format!("cannot get {what}: {error}") }
}
