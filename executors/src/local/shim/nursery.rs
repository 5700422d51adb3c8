//! The nursery: one process, started once by an executor, in which nothing happens but that it
//! forks. A shim that is born there needs no exec, no dynamic linking and no relocations of a
//! large program: these are most of what starting one costs.
//!
//! It is asked over a socket, one packet for each shim: the attempt's folder, and with it the
//! three descriptors that become the shim's standard input, output and error. It answers with the
//! shim's number and a descriptor of it. It keeps nothing, so that its death is of no consequence:
//! shims live on, and the executor starts another one. It ends when the executor is gone.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use rustix::process::{Pid, PidfdFlags, WaitOptions, pidfd_open, setsid, wait};

use super::signals::Signals;

/// What is said in place of an attempt's folder, which is always absolute, to get a nursery.
pub(super) const WORD: &str = "nursery";
/// The longest path of a folder.
pub(super) const LONGEST: usize = 4_096;

/// What a process that began as a nursery is to be from now on.
pub(super) enum Role {
    /// The executor is gone.
    Over,
    /// It was just born, as the shim of this attempt.
    Shim(PathBuf),
}

/// Forks until nobody asks any more. Returns in each child, too.
pub(super) fn run() -> io::Result<Role> {
    super::supervise::close_from_third();
    let line = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
    rustix::stdio::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    let signals = Signals::block_all()?;
    // Read once; every shim has it from here.
    super::super::process::boot_id();
    loop {
        let mut fds = [PollFd::new(&line, PollFlags::IN), PollFd::new(signals.fd(), PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let [asked, signalled] = fds.map(|fd| !fd.revents().is_empty());
        if signalled && signals.take().terminate {
            return Ok(Role::Over);
        }
        if asked {
            let Some((folder, stdio)) = next(&line)? else { return Ok(Role::Over) };
            // SAFETY: the process has one thread, so that the child may go on as any program.
            match unsafe { libc::fork() } {
                0 => {
                    drop((line, signals));
                    return be_born(&folder, &stdio).map(|()| Role::Shim(folder));
                }
                pid => answer(&line, pid)?,
            }
        }
        // Behind the opening of descriptors, so that no number came to mean another process.
        while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    }
}

/// The next request; none where the executor is gone.
fn next(line: &OwnedFd) -> io::Result<Option<(PathBuf, [OwnedFd; 3])>> {
    let mut text = [0; LONGEST];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut slices = [IoSliceMut::new(&mut text)];
    let got = recvmsg(line, &mut slices, &mut control, RecvFlags::CMSG_CLOEXEC)?.bytes;
    if got == 0 {
        return Ok(None);
    }
    let mut stdio = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = message {
            stdio.extend(fds);
        }
    }
    let stdio = <[OwnedFd; 3]>::try_from(stdio);
    let stdio = stdio.map_err(|_| io::Error::other("a request without its descriptors"))?;
    Ok(Some((PathBuf::from(OsStr::from_bytes(&text[..got])), stdio)))
}

/// The child, up to where a shim begins that was started as a program.
fn be_born(folder: &Path, [input, notices, errors]: &[OwnedFd; 3]) -> io::Result<()> {
    setsid()?;
    rustix::stdio::dup2_stdin(input)?;
    rustix::stdio::dup2_stdout(notices)?;
    rustix::stdio::dup2_stderr(errors)?;
    // Its command line is the nursery's; its name tells which attempt it is of.
    let _ = rustix::thread::set_name(&name(folder));
    Ok(())
}

/// At most fifteen bytes: the end of an id is its random part.
fn name(folder: &Path) -> CString {
    let id = folder.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let mut name = b"shim-".to_vec();
    name.extend_from_slice(&id[id.len().saturating_sub(10)..]);
    CString::new(name).unwrap_or_default()
}

/// The number, negative where the kernel made none, and a descriptor of the process where it is
/// to be had.
fn answer(line: &OwnedFd, said: libc::pid_t) -> io::Result<()> {
    let pid = Pid::from_raw(said.max(0));
    let pidfd = pid.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok());
    let fds: Vec<BorrowedFd<'_>> = pidfd.iter().map(|fd| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(&fds));
    }
    let text = said.to_ne_bytes();
    match sendmsg(line, &[IoSlice::new(&text)], &mut control, SendFlags::NOSIGNAL) {
        // An executor that went away meanwhile is noticed at the next look.
        Ok(_) | Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
