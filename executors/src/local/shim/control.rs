//! The shim's dealings with the orchestrator: the lock, requests to stop, notices.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{FlockOperation, flock};

use super::super::paths::AttemptDir;
use super::super::process::Identity;
use super::super::records::{self, CancelRequest, Launch, Measured, Notice, ShimExit, Started};

/// Bytes set aside so that the record of the end fits on a disk that is full by then.
const EXIT_RESERVE: u64 = 8 << 10;

/// The attempt's folder, held by this shim.
pub(super) struct Control {
    dir: AttemptDir,
    notices: File,
    exit_file: File,
    _lock: File,
}

impl Control {
    /// Takes the attempt, or says why it must not be run: someone else holds it, it has ended,
    /// or its folder is gone.
    pub(super) fn take(dir: AttemptDir, notices: OwnedFd) -> io::Result<Self> {
        let mut lock = OpenOptions::new().read(true).write(true).open(dir.lock())?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::other("another shim holds this attempt"))?;
        // The one who was here before us may have removed the folder, lock and all.
        let same = fs::metadata(dir.lock()).is_ok_and(|now| {
            lock.metadata().is_ok_and(|held| held.ino() == now.ino() && held.dev() == now.dev())
        });
        if !same || dir.exit().exists() || lock.metadata()?.len() > 0 {
            return Err(io::Error::other("this attempt is over"));
        }
        lock.write_all(Identity::own().to_line().as_bytes())?;
        let exit_file = records::create(&dir.exit().with_extension("tmp"))?;
        let _ =
            rustix::fs::fallocate(&exit_file, rustix::fs::FallocateFlags::empty(), 0, EXIT_RESERVE);
        Ok(Self { dir, notices: File::from(notices), exit_file, _lock: lock })
    }

    /// Reads what to launch, to the end of the input.
    pub(super) fn launch(&self) -> io::Result<Launch> {
        let mut text = Vec::new();
        io::stdin().lock().read_to_end(&mut text)?;
        serde_json::from_slice(&text).map_err(|_| {
            io::Error::other("the orchestrator went away before it had said what to run")
        })
    }

    /// A request to stop, if there is one.
    pub(super) fn cancel_request(&self) -> Option<CancelRequest> {
        records::read(&self.dir.cancel()).ok().flatten()
    }

    pub(super) fn started(&mut self, started: &Started) -> io::Result<()> {
        records::write(&self.dir.started(), started)?;
        self.notify(&Notice::Started(started.clone()));
        Ok(())
    }

    /// Puts down what was used so far.
    pub(super) fn measured(&self, measured: &Measured) -> io::Result<()> {
        records::write(&self.dir.measured(), measured)
    }

    /// The attempt's outputs as the step left them, as far as they may be read.
    pub(super) fn outputs(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Ok(file) = File::open(self.dir.output()) {
            let _ = file.take(4 << 20).read_to_end(&mut bytes);
        }
        bytes
    }

    /// When the step last touched its outputs, as a sign of life.
    pub(super) fn outputs_touched(&self) -> Option<std::time::SystemTime> {
        fs::metadata(self.dir.output()).ok()?.modified().ok()
    }

    /// Writes the record of the end, says it, and makes it durable before this process ends.
    ///
    /// Whoever listens need not wait for the disk: a process that is killed takes nothing from a
    /// file that is written, and where the machine loses its power the attempt is found without
    /// an end, and lost, unless its end is recorded by then.
    pub(super) fn exit(mut self, exit: &ShimExit) -> io::Result<()> {
        let text = serde_json::to_vec(exit).map_err(io::Error::other)?;
        let _ = fs::remove_dir_all(self.dir.secrets());
        let written = self.write_exit(&text);
        // Said even where it could not be written: someone may be listening.
        self.notify(&Notice::Exit(Box::new(exit.clone())));
        // Under its name, so that the name is durable with it.
        written.and_then(|()| self.exit_file.sync_all())
    }

    fn write_exit(&mut self, text: &[u8]) -> io::Result<()> {
        self.exit_file.write_all(text)?;
        self.exit_file.set_len(text.len() as u64)?;
        fs::rename(self.dir.exit().with_extension("tmp"), self.dir.exit())
    }

    /// Nobody may be listening any more; that is no error.
    fn notify(&mut self, notice: &Notice) {
        if let Ok(mut line) = serde_json::to_vec(notice) {
            line.push(b'\n');
            let _ = self.notices.write_all(&line);
        }
    }
}
