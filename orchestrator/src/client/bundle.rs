//! A bundle from a server: a tar archive that is unpacked as it comes. The server is not believed:
//! only files that a bundle has are taken, within bounds, and nothing appears under the name that
//! was asked for unless all of it came.

use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use dagbook_events::journal::bundle::layout;
use reqwest::Method;
use reqwest::header::HeaderMap;
use tokio::sync::mpsc;

use super::request::Body;
use super::{Client, ClientError};

/// Files that are taken at most.
const FILES_MAX: usize = 4_000_000;
/// Bytes that are taken at most.
const BYTES_MAX: u64 = 1 << 40;
/// Bytes of a sign of life at most, and how many of them.
const SIGN_MAX: u64 = 512;
const SIGNS_MAX: u32 = 100_000;
/// Pieces that may have come and not been unpacked yet.
const AHEAD: usize = 16;

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// Files.
    pub files: u64,
    /// Bytes in them.
    pub bytes: u64,
}

impl Client {
    /// Fetches a bundle into a folder that is new or empty. `came` hears how many bytes came.
    ///
    /// # Errors
    /// Where the server refuses, the archive is not whole, or is none of a bundle. Nothing is left
    /// behind then.
    pub async fn bundle(
        &self,
        path: &str,
        target: &Path,
        mut came: impl FnMut(u64),
    ) -> Result<Unpacked, ClientError> {
        let mut tries = self.tries(false);
        let mut response = loop {
            let (headers, body) = (HeaderMap::new(), Body::default());
            match self.once(Method::GET, path, headers, body, None).await {
                Ok(response) => break response,
                Err(error) => tries.again(error).await?,
            }
        };
        let (pieces, arriving) = mpsc::channel(AHEAD);
        let into = target.to_path_buf();
        let unpacking = tokio::task::spawn_blocking(move || {
            let arriving = Arriving { pieces: arriving, rest: Bytes::new(), is_over: false };
            unpack(arriving, &into)
        });
        let mut total = 0;
        let cut = loop {
            match response.chunk().await {
                Ok(Some(piece)) => {
                    total += piece.len() as u64;
                    came(total);
                    // It has seen enough: why, it says itself.
                    if pieces.send(Ok(piece)).await.is_err() {
                        break None;
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(self.unreachable(&error)),
            }
        };
        if cut.is_some() {
            // That it was cut off is said below; the reader only has to end.
            let _ = pieces.send(Err(io::ErrorKind::UnexpectedEof.into())).await;
        }
        drop(pieces);
        let unpacked = unpacking.await.map_err(|error| ClientError::Setup(error.to_string()))?;
        match (cut, unpacked) {
            (Some(cut), _) => Err(cut),
            (None, Ok(unpacked)) => Ok(unpacked),
            (None, Err(UnpackError::Strange(reason))) => Err(self.strange(&reason)),
            (None, Err(UnpackError::Here(reason))) => Err(ClientError::Setup(reason)),
        }
    }
}

/// Why an archive was not unpacked.
#[derive(Debug, PartialEq, Eq)]
enum UnpackError {
    /// It is none of a bundle.
    Strange(String),
    /// It cannot be kept here.
    Here(String),
}

/// Unpacks an archive into a folder that is new or empty.
///
/// # Errors
/// Where it is none of a bundle, or cannot be kept. Nothing is left behind then.
fn unpack(archive: impl Read, target: &Path) -> Result<Unpacked, UnpackError> {
    let here = |error: io::Error| UnpackError::Here(format!("{}: {error}", target.display()));
    refuse_what_is_there(target)?;
    let above = match target.parent() {
        Some(above) if !above.as_os_str().is_empty() => above.to_path_buf(),
        _ => PathBuf::from("."),
    };
    fs::create_dir_all(&above).map_err(here)?;
    let folder = tempfile::Builder::new().prefix(".dagbook-export-").tempdir_in(&above);
    let folder = folder.map_err(here)?;
    let unpacked = unpack_into(archive, folder.path())?;
    refuse_what_is_there(target)?;
    fs::rename(folder.path(), target).map_err(here)?;
    // It has another name now.
    let _ = folder.keep();
    Ok(unpacked)
}

fn refuse_what_is_there(target: &Path) -> Result<(), UnpackError> {
    let is_free = match fs::read_dir(target) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(UnpackError::Here(format!("{}: {error}", target.display()))),
    };
    match is_free {
        true => Ok(()),
        false => Err(UnpackError::Here(format!(
            "{} is there and is not empty; name a new folder",
            target.display()
        ))),
    }
}

fn unpack_into(archive: impl Read, folder: &Path) -> Result<Unpacked, UnpackError> {
    let strange = |what: &str| UnpackError::Strange(format!("what it sends is no bundle: {what}"));
    let broken = |error: io::Error| strange(&error.to_string());
    let mut archive = tar::Archive::new(archive);
    let mut seen = BTreeSet::new();
    let mut unpacked = Unpacked::default();
    let mut signs = 0;
    // Raw: no names and sizes from elsewhere than the entry's own header.
    for entry in archive.entries().map_err(broken)?.raw(true) {
        let mut entry = entry.map_err(broken)?;
        if entry.header().entry_type() == tar::EntryType::XGlobalHeader
            && entry.size() <= SIGN_MAX
            && signs < SIGNS_MAX
        {
            // A server that takes a while says that it is there.
            signs += 1;
            continue;
        }
        if entry.header().entry_type() != tar::EntryType::Regular {
            return Err(strange("it has something that is no plain file"));
        }
        let path = String::from_utf8(entry.path_bytes().into_owned());
        let path = path.ok().filter(|path| layout::is_path(path));
        let path = path.ok_or_else(|| strange("it has a file that no bundle has"))?;
        unpacked.files += 1;
        unpacked.bytes = unpacked.bytes.saturating_add(entry.size());
        if seen.len() >= FILES_MAX || unpacked.bytes > BYTES_MAX {
            return Err(strange("it is larger than a bundle can be"));
        }
        let at = folder.join(&path);
        let here = |error: io::Error| UnpackError::Here(format!("{path}: {error}"));
        if let Some(above) = at.parent() {
            fs::create_dir_all(above).map_err(here)?;
        }
        let created = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&at);
        let mut file = created.map_err(here)?;
        let copied = io::copy(&mut entry, &mut file).map_err(broken)?;
        if copied != entry.size() {
            return Err(strange("it ends within a file"));
        }
        seen.insert(path);
    }
    match layout::UNLISTED.iter().find(|path| !seen.contains(**path)) {
        None => Ok(unpacked),
        Some(missing) => Err(strange(&format!("it ended without `{missing}`"))),
    }
}

/// What arrives, as a reader.
struct Arriving {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
    is_over: bool,
}

impl Read for Arriving {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.is_over {
            match self.pieces.blocking_recv() {
                Some(piece) => self.rest = piece?,
                None => self.is_over = true,
            }
        }
        let length = self.rest.len().min(out.len());
        out[..length].copy_from_slice(&self.rest.split_to(length));
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, tar::EntryType)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (path, kind) in files {
            let mut header = tar::Header::new_ustar();
            // As a stranger would write it: without the checks of a builder.
            header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
            header.set_size(3);
            header.set_mode(0o644);
            header.set_entry_type(*kind);
            header.set_cksum();
            builder.append(&header, b"abc".as_slice()).expect("written");
        }
        builder.into_inner().expect("written")
    }

    fn whole<'a>(more: &[(&'a str, tar::EntryType)]) -> Vec<(&'a str, tar::EntryType)> {
        let rest = ["manifest.json", "manifest.note", "SHA256SUMS"];
        more.iter().copied().chain(rest.map(|path| (path, tar::EntryType::Regular))).collect()
    }

    #[test]
    fn what_a_bundle_has_is_unpacked_and_nothing_else_ever() {
        use tar::EntryType::{Directory, GNULongName, Link, Regular, Symlink, XHeader};
        let folder = tempfile::tempdir().expect("a folder");
        let sign = ("pax_global_header", tar::EntryType::XGlobalHeader);
        let good = whole(&[sign, ("tile/entries/000.p/7", Regular), sign, ("usage.csv", Regular)]);
        let target = folder.path().join("good");
        let unpacked = unpack(archive(&good).as_slice(), &target).expect("unpacked");
        assert_eq!(unpacked, Unpacked { files: 5, bytes: 15 });
        assert_eq!(fs::read(target.join("tile/entries/000.p/7")).expect("there"), b"abc");
        let again = unpack(archive(&good).as_slice(), &target);
        assert!(matches!(again, Err(UnpackError::Here(_))), "{again:?}");
        let bad = [
            ("../usage.csv", Regular),
            ("/usage.csv", Regular),
            ("tile/../../usage.csv", Regular),
            ("usage.csv", Symlink),
            ("usage.csv", Link),
            ("tile", Directory),
            ("usage.csv", XHeader),
            ("usage.csv", GNULongName),
            (".bashrc", Regular),
            ("SHA256SUMS", Regular),
        ];
        for (n, bad) in bad.into_iter().enumerate() {
            let target = folder.path().join(n.to_string());
            let refused = unpack(archive(&whole(&[bad])).as_slice(), &target);
            assert!(refused.is_err(), "{bad:?}");
            assert!(!target.exists(), "{bad:?}");
        }
        let mut left: Vec<_> = fs::read_dir(folder.path()).expect("read").flatten().collect();
        left.retain(|entry| entry.file_name() != "good");
        assert!(left.is_empty(), "{left:?}");
    }

    #[test]
    fn an_archive_that_was_cut_anywhere_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let whole = archive(&whole(&[("usage.csv", tar::EntryType::Regular)]));
        let last = 4 * 1_024;
        for cut in (0..last).step_by(100) {
            let target = folder.path().join("cut");
            let refused = unpack(&whole[..cut], &target);
            assert!(refused.is_err(), "{cut}");
            assert!(!target.exists(), "{cut}");
        }
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 0);
    }
}
