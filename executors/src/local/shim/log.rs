//! From the step's output to its log file: masked, counted, capped, never held up.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dagbook_events::step::LogSummary;

use super::super::logs::Index;
use super::mask::Masker;

/// Reads a pipe and writes the log.
pub(super) struct Log {
    pipe: OwnedFd,
    file: Option<File>,
    index: PathBuf,
    masker: Masker,
    cap: u64,
    crc: crc32fast::Hasher,
    kept: u64,
    dropped: u64,
    buffer: Box<[u8]>,
    ready: Vec<u8>,
}

/// What became of a look at the pipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// So many bytes.
    Bytes(usize),
    /// Nothing now.
    Empty,
    /// Every writer is gone.
    Closed,
}

impl Log {
    /// `pipe` must not block. A log that cannot be opened loses its bytes, counted; it does not
    /// keep the step from running.
    pub(super) fn open(pipe: OwnedFd, path: &Path, index: &Path, cap: u64, masker: Masker) -> Self {
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        if let Err(error) = &file {
            eprintln!("shim: the log {} cannot be opened: {error}", path.display());
        }
        Self {
            pipe,
            file: file.ok(),
            index: index.to_path_buf(),
            masker,
            cap,
            crc: crc32fast::Hasher::new(),
            kept: 0,
            dropped: 0,
            buffer: vec![0; 64 << 10].into_boxed_slice(),
            ready: Vec::new(),
        }
    }

    pub(super) fn fd(&self) -> &OwnedFd {
        &self.pipe
    }

    /// Moves what is in the pipe, at most a buffer full.
    pub(super) fn pump(&mut self) -> Pumped {
        match rustix::io::read(&self.pipe, &mut self.buffer[..]) {
            Ok(0) => Pumped::Closed,
            Ok(n) => {
                let mut ready = std::mem::take(&mut self.ready);
                self.masker.push(&self.buffer[..n], &mut ready);
                self.keep(&ready);
                ready.clear();
                self.ready = ready;
                Pumped::Bytes(n)
            }
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Pumped::Empty,
            Err(_) => Pumped::Closed,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = usize::try_from(self.cap - self.kept).unwrap_or(usize::MAX);
        let within = &bytes[..bytes.len().min(room)];
        let written = self.file.as_mut().map_or(0, |file| write_most(file, within));
        self.crc.update(&within[..written]);
        self.kept += written as u64;
        let first_loss = self.dropped == 0;
        self.dropped += (bytes.len() - written) as u64;
        if written < within.len() {
            // A full disk: what follows would leave a hole that nobody can see.
            self.cap = self.kept;
        }
        if first_loss && self.dropped > 0 {
            self.tell(false);
        }
    }

    /// Takes what is left in the pipe, says the rest, and closes the log.
    pub(super) fn finish(mut self) -> LogSummary {
        while let Pumped::Bytes(_) = self.pump() {}
        let mut rest = Vec::new();
        self.masker.finish(&mut rest);
        self.keep(&rest);
        self.tell(true);
        self.summary()
    }

    fn summary(&self) -> LogSummary {
        LogSummary {
            bytes: self.kept,
            crc32: self.crc.clone().finalize(),
            dropped_bytes: self.dropped,
        }
    }

    fn tell(&self, closed: bool) {
        let index = Index { closed, summary: self.summary() };
        if let Err(error) = index.write(&self.index) {
            eprintln!("shim: the log's index cannot be written: {error}");
        }
    }
}

/// Writes as much as the disk takes.
fn write_most(file: &mut File, mut bytes: &[u8]) -> usize {
    let all = bytes.len();
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => break,
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    all - bytes.len()
}
