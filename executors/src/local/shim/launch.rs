//! The orchestrator's side: starts a shim in a session of its own.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::super::config::ShimProgram;
use super::births::{Born, Nursery};

/// A shim that was just started.
pub(crate) struct Spawned {
    /// Readable when it is gone; none where it is gone already.
    pub(crate) pidfd: Option<OwnedFd>,
    /// Its standard output: notices, then the end of file when it is gone.
    pub(crate) notices: OwnedFd,
}

/// Starts the shim for an attempt's folder and hands it `launch` on its standard input, in full.
///
/// What the pipe holds of it (64 KiB, usually all) lies there before there is a shim: whoever is
/// killed on the way has then either started nothing, or a shim that knows all it must know. One
/// that is told half of it ends, and its attempt, which had hardly begun, is lost.
pub(crate) fn spawn(
    nursery: &Nursery,
    attempt_dir: &Path,
    errors: &File,
    launch: &[u8],
) -> io::Result<Spawned> {
    let (input_read, input_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let (notices, notices_write) = pipe_with(PipeFlags::CLOEXEC)?;
    let told = tell_ahead(&input_write, launch)?;
    let stdio = [input_read.as_fd(), notices_write.as_fd(), errors.as_fd()];
    let born = match nursery.bear(attempt_dir, stdio) {
        Some(born) => born,
        None => {
            let stdio = stdio.map(|fd| fd.as_raw_fd());
            let pid = posix_spawn(nursery.program(), attempt_dir.as_os_str(), stdio)?;
            // It is our child and nobody has reaped it: the number is its own.
            let id = Pid::from_raw(pid.cast_signed());
            Born { pidfd: id.and_then(|id| pidfd_open(id, PidfdFlags::empty()).ok()) }
        }
    };
    drop((input_read, notices_write));
    // A shim that dies while reading shows as a broken pipe here and as lost to its watcher.
    let _ = File::from(input_write).write_all(&launch[told..]);
    Ok(Spawned { pidfd: born.pidfd, notices })
}

/// Writes as much as the pipe holds, without waiting for a reader; says how much.
fn tell_ahead(pipe: &OwnedFd, launch: &[u8]) -> io::Result<usize> {
    rustix::io::ioctl_fionbio(pipe, true)?;
    let mut told = 0;
    while told < launch.len() {
        match rustix::io::write(pipe, &launch[told..]) {
            Ok(written) => told += written,
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::AGAIN) => break,
            Err(error) => return Err(error.into()),
        }
    }
    // The rest is waited for.
    rustix::io::ioctl_fionbio(pipe, false)?;
    Ok(told)
}

fn c_string(text: &OsStr) -> io::Result<CString> {
    CString::new(text.as_bytes()).map_err(io::Error::other)
}

/// Starts the program with this word behind its arguments, in a session of its own.
///
/// `posix_spawn` rather than `std::process::Command`: it can begin a session without running
/// code between fork and exec, so the kernel need not copy the orchestrator's page tables, and
/// a Ctrl-C at the terminal cannot reach a shim that has not yet left the terminal's group.
pub(super) fn posix_spawn(shim: &ShimProgram, word: &OsStr, stdio: [RawFd; 3]) -> io::Result<u32> {
    let program = c_string(shim.program.as_os_str())?;
    let mut args = vec![program.clone()];
    for arg in &shim.args {
        args.push(c_string(OsStr::new(arg))?);
    }
    args.push(c_string(word)?);
    let mut argv: Vec<*mut libc::c_char> = args.iter().map(|a| a.as_ptr().cast_mut()).collect();
    argv.push(ptr::null_mut());
    let envp: [*mut libc::c_char; 1] = [ptr::null_mut()];
    // SAFETY: the attribute and action objects are initialised before use and destroyed after;
    // all strings and arrays outlive the call and end in null; descriptors are open.
    unsafe {
        let mut attributes: libc::posix_spawnattr_t = std::mem::zeroed();
        check(libc::posix_spawnattr_init(&mut attributes))?;
        let mut actions: libc::posix_spawn_file_actions_t = std::mem::zeroed();
        check(libc::posix_spawn_file_actions_init(&mut actions))?;
        let mut empty: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut empty);
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        let flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID;
        libc::posix_spawnattr_setflags(&mut attributes, flags as libc::c_short);
        libc::posix_spawnattr_setsigmask(&mut attributes, &empty);
        libc::posix_spawnattr_setsigdefault(&mut attributes, &all);
        for (target, fd) in stdio.into_iter().enumerate() {
            let target = target as libc::c_int;
            check(libc::posix_spawn_file_actions_adddup2(&mut actions, fd, target))?;
        }
        let mut pid: libc::pid_t = 0;
        let (argv, envp) = (argv.as_ptr(), envp.as_ptr());
        let code = libc::posix_spawn(&mut pid, program.as_ptr(), &actions, &attributes, argv, envp);
        libc::posix_spawn_file_actions_destroy(&mut actions);
        libc::posix_spawnattr_destroy(&mut attributes);
        check(code)?;
        Ok(pid.unsigned_abs())
    }
}

/// glibc 2.26, musl 1.1.22; the same value in both.
const POSIX_SPAWN_SETSID: libc::c_int = 0x80;

fn check(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn what_a_pipe_holds_is_told_before_anybody_reads_and_the_rest_behind_it() {
        for size in [0, 1_800, 300_000] {
            let launch: Vec<u8> = (0..size).map(|n| b"abc"[n % 3]).collect();
            let (read, write) = pipe_with(PipeFlags::CLOEXEC).expect("a pipe");
            let told = tell_ahead(&write, &launch).expect("told");
            assert_eq!(told == size, size < 4_096 * 2, "{told} of {size}");
            let reader = std::thread::spawn(move || {
                let mut text = Vec::new();
                File::from(read).read_to_end(&mut text).map(|_| text)
            });
            File::from(write).write_all(&launch[told..]).expect("the rest");
            assert_eq!(reader.join().expect("no panic").expect("read"), launch);
        }
    }
}
