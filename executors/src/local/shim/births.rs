//! The orchestrator's side of the nursery.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::super::config::ShimProgram;
use super::launch::posix_spawn;
use super::nursery::{LONGEST, WORD};

/// How long a fork may take before it is done without the nursery.
const PATIENCE: Timespec = Timespec { tv_sec: 5, tv_nsec: 0 };
/// So many nurseries in a row that did not do what they are for, and no other one is started.
const LAST: u32 = 3;

/// Where shims are born. It is started when it is first needed, or by [`Nursery::warm`], and ends
/// with its value.
pub(crate) struct Nursery {
    program: ShimProgram,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    line: Option<Line>,
    /// Failures since the last birth.
    failed: u32,
}

/// A nursery that runs.
struct Line {
    socket: OwnedFd,
    pid: Option<Pid>,
}

/// A shim that was born.
pub(super) struct Born {
    /// None where it is gone already.
    pub(super) pidfd: Option<OwnedFd>,
}

impl Nursery {
    pub(crate) fn new(program: ShimProgram) -> Self {
        Self { program, state: Mutex::default() }
    }

    pub(crate) fn program(&self) -> &ShimProgram {
        &self.program
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the nursery, so that the first shim need not wait for it. Where that fails, shims
    /// are started without it.
    pub(crate) fn warm(&self) {
        let mut state = self.lock();
        if state.line.is_none() && state.failed < LAST {
            state.line = self.begin(&mut state.failed);
        }
    }

    /// Ends it; the next birth would start another one.
    pub(crate) fn close(&self) {
        self.lock().line = None;
    }

    /// A shim for the folder; none where it must be started without a nursery. It may have been
    /// born all the same: then it holds the attempt's lock, and whoever comes after it goes away.
    pub(super) fn bear(&self, folder: &Path, stdio: [BorrowedFd<'_>; 3]) -> Option<Born> {
        let mut state = self.lock();
        if folder.as_os_str().len() > LONGEST {
            return None;
        }
        if state.line.is_none() && state.failed < LAST {
            state.line = self.begin(&mut state.failed);
        }
        match state.line.as_ref()?.ask(folder, stdio) {
            Ok(born) => {
                state.failed = 0;
                born
            }
            Err(error) => {
                tracing::warn!(%error, "the process that forks supervisors failed; going on without it");
                state.failed += 1;
                state.line = None;
                None
            }
        }
    }

    fn begin(&self, failed: &mut u32) -> Option<Line> {
        let line = Line::begin(&self.program);
        if let Err(error) = &line {
            *failed += 1;
            tracing::warn!(%error, "supervisors cannot be forked from a process kept for it");
        }
        line.ok()
    }
}

impl Line {
    fn begin(program: &ShimProgram) -> io::Result<Self> {
        let (kind, flags) = (SocketType::SEQPACKET, SocketFlags::CLOEXEC);
        let (socket, theirs) = socketpair(AddressFamily::UNIX, kind, flags, None)?;
        let null = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
        let stdio = [theirs.as_raw_fd(), null.as_raw_fd(), null.as_raw_fd()];
        let pid = posix_spawn(program, WORD.as_ref(), stdio)?;
        Ok(Self { socket, pid: Pid::from_raw(pid.cast_signed()) })
    }

    /// None: the kernel makes no process now.
    fn ask(&self, folder: &Path, stdio: [BorrowedFd<'_>; 3]) -> io::Result<Option<Born>> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&stdio));
        let text = [IoSlice::new(folder.as_os_str().as_bytes())];
        sendmsg(&self.socket, &text, &mut control, SendFlags::NOSIGNAL)?;
        self.wait()?;
        self.answer()
    }

    fn wait(&self) -> io::Result<()> {
        loop {
            let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
            match poll(&mut fds, Some(&PATIENCE)) {
                Ok(0) => return Err(io::ErrorKind::TimedOut.into()),
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn answer(&self) -> io::Result<Option<Born>> {
        let mut said = [0; 4];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut said)];
        let flags = RecvFlags::CMSG_CLOEXEC;
        let got = recvmsg(&self.socket, &mut slices, &mut control, flags)?.bytes;
        if got != said.len() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let rights = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        Ok((i32::from_ne_bytes(said) > 0).then_some(Born { pidfd: rights }))
    }
}

impl Drop for Line {
    /// Nobody asks it anything at this time, and it has nothing to lose.
    fn drop(&mut self) {
        if let Some(pid) = self.pid.take() {
            let _ = kill_process(pid, Signal::KILL);
            let _ = waitpid(Some(pid), WaitOptions::empty());
        }
    }
}
