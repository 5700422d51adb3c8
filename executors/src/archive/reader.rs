//! One pass over a tar, entry by entry, each looked at before anyone sees it.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Component, Path};

use tar::EntryType;

use super::{ArchiveError, ArchiveLimits, Contents, LONGEST_PATH};

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Whether it may be executed.
        is_executable: bool,
    },
    /// A symbolic link that stays inside.
    Link {
        /// Where it leads, relative to its own folder.
        target: String,
    },
}

/// One entry, with the content of a file.
pub struct Entry<'a> {
    /// Its path below the root, of plain names only.
    pub path: &'a str,
    /// What it is.
    pub kind: Kind,
    /// The content, exactly as long as the archive says.
    pub content: &'a mut dyn Read,
}

/// Reads the whole archive, to the last byte of the source.
pub fn read(
    source: impl Read,
    limits: &ArchiveLimits,
    mut each: impl FnMut(Entry<'_>) -> Result<(), ArchiveError>,
) -> Result<Contents, ArchiveError> {
    let mut archive = tar::Archive::new(Bounded { source, left: limits.bytes });
    let mut names = Names { limits, seen: BTreeMap::new() };
    let mut contents = Contents::default();
    let (mut long_name, mut long_link) = (None, None);
    for entry in archive.entries()?.raw(true) {
        let mut entry = entry.map_err(refused_or_broken)?;
        let header_type = entry.header().entry_type();
        match header_type {
            EntryType::GNULongName => {
                long_name = Some(long(&mut entry)?);
                continue;
            }
            EntryType::GNULongLink => {
                long_link = Some(long(&mut entry)?);
                continue;
            }
            _ => {}
        }
        let raw = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        let link = long_link.take().or_else(|| entry.link_name_bytes().map(|l| l.into_owned()));
        let path = plain(&text(raw)?, limits)?;
        let kind = match header_type {
            EntryType::Regular | EntryType::Continuous => {
                let mode = entry.header().mode().map_err(refused_or_broken)?;
                Kind::File { is_executable: mode & 0o111 != 0 }
            }
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => {
                let target = text(link.unwrap_or_default())?;
                stays_inside(&path, &target)?;
                Kind::Link { target }
            }
            other => return Err(ArchiveError::refused(&path, &strange(other))),
        };
        // `./`, the root itself, as tar writes it.
        if path.is_empty() {
            match kind {
                Kind::Folder => continue,
                _ => return Err(ArchiveError::refused(&path, "is an entry without a name")),
            }
        }
        names.take(&path, &kind)?;
        match kind {
            Kind::File { .. } => {
                contents.files += 1;
                contents.bytes += entry.size();
            }
            _ => contents.others += 1,
        }
        each(Entry { path: &path, kind, content: &mut entry }).map_err(unwrap_bound)?;
    }
    // What stands behind the end is part of the hash, so it may not be anything.
    let mut rest = archive.into_inner();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let read = rest.read(&mut buffer).map_err(refused_or_broken)?;
        if read == 0 {
            return Ok(contents);
        }
        if buffer[..read].iter().any(|byte| *byte != 0) {
            let why = "the archive goes on behind its end".to_string();
            return Err(ArchiveError::Refused(why));
        }
    }
}

fn long(entry: &mut impl Read) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    entry.take(LONGEST_PATH as u64 + 2).read_to_end(&mut bytes).map_err(refused_or_broken)?;
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    match bytes.len() > LONGEST_PATH {
        true => Err(ArchiveError::Refused(format!(
            "a path in the archive is longer than {LONGEST_PATH} bytes"
        ))),
        false => Ok(bytes),
    }
}

fn text(bytes: Vec<u8>) -> Result<String, ArchiveError> {
    let shown = String::from_utf8_lossy(&bytes).into_owned();
    let text = String::from_utf8(bytes)
        .map_err(|_| ArchiveError::refused(&shown, "is a path that is not UTF-8 text"))?;
    match text.contains('\0') {
        true => Err(ArchiveError::refused(&shown, "is a path with a NUL byte")),
        false => Ok(text),
    }
}

/// The path as plain names; empty for the root.
fn plain(text: &str, limits: &ArchiveLimits) -> Result<String, ArchiveError> {
    if text.len() > LONGEST_PATH {
        return Err(ArchiveError::refused(text, "is a path that is too long"));
    }
    let mut names = Vec::new();
    for part in Path::new(text).components() {
        match part {
            Component::Normal(name) => names.push(name.to_string_lossy()),
            Component::CurDir => {}
            Component::ParentDir => {
                return Err(ArchiveError::refused(text, "leads out of the archive by `..`"));
            }
            Component::RootDir | Component::Prefix(_) => {
                return Err(ArchiveError::refused(text, "is an absolute path"));
            }
        }
    }
    match names.len() > limits.depth as usize + 1 {
        true => {
            let why = format!("lies more than {} folders deep", limits.depth);
            Err(ArchiveError::refused(text, &why))
        }
        false => Ok(names.join("/")),
    }
}

/// A target goes up from the link's own folder first, and then down: so no chain of links can
/// lead out, whatever each of them points to.
fn stays_inside(path: &str, target: &str) -> Result<(), ArchiveError> {
    let refuse = |why: &str| Err(ArchiveError::refused(path, why));
    if target.is_empty() || target.len() > LONGEST_PATH {
        return refuse("is a link to nothing");
    }
    let mut above = path.matches('/').count();
    let mut went_down = false;
    for part in Path::new(target).components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => went_down = true,
            Component::ParentDir if went_down => return refuse("is a link that goes down and up"),
            Component::ParentDir if above == 0 => return refuse("is a link out of the archive"),
            Component::ParentDir => above -= 1,
            Component::RootDir | Component::Prefix(_) => {
                return refuse("is a link to an absolute path");
            }
        }
    }
    Ok(())
}

fn strange(kind: EntryType) -> String {
    match kind {
        EntryType::Link => "is a hard link; send a copy or a symbolic link".to_string(),
        EntryType::Char | EntryType::Block => "is a device".to_string(),
        EntryType::Fifo => "is a named pipe".to_string(),
        EntryType::GNUSparse => "is a sparse file".to_string(),
        EntryType::XHeader | EntryType::XGlobalHeader => {
            "belongs to the pax format; make the archive with `tar --format=gnu`".to_string()
        }
        other => format!("is of an unknown type ({:#04x})", other.as_byte()),
    }
}

/// Every name once, nothing below what is not a folder.
struct Names<'a> {
    limits: &'a ArchiveLimits,
    /// Whether each is a folder, and whether it was named itself.
    seen: BTreeMap<String, (bool, bool)>,
}

impl Names<'_> {
    fn take(&mut self, path: &str, kind: &Kind) -> Result<(), ArchiveError> {
        for (at, _) in path.match_indices('/') {
            match self.seen.get(&path[..at]) {
                Some((true, _)) => {}
                Some((false, _)) => {
                    return Err(ArchiveError::refused(path, "lies below a file or a link"));
                }
                None => self.insert(&path[..at], (true, false))?,
            }
        }
        let is_folder = *kind == Kind::Folder;
        match self.seen.get(path) {
            Some((true, false)) if is_folder => {
                self.seen.insert(path.to_string(), (true, true));
                Ok(())
            }
            Some(_) => Err(ArchiveError::refused(path, "is in the archive twice")),
            None => self.insert(path, (is_folder, true)),
        }
    }

    fn insert(&mut self, path: &str, as_what: (bool, bool)) -> Result<(), ArchiveError> {
        if self.seen.len() >= self.limits.entries as usize {
            return Err(ArchiveError::TooLarge(format!(
                "the archive has more than {} files and folders",
                self.limits.entries
            )));
        }
        self.seen.insert(path.to_string(), as_what);
        Ok(())
    }
}

/// Refuses the first byte that is too many.
struct Bounded<R> {
    source: R,
    left: u64,
}

/// What the bound says through layers that only know I/O errors.
#[derive(Debug, thiserror::Error)]
#[error("the archive is larger than what is taken")]
struct OverTheBound;

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.left = self
            .left
            .checked_sub(read as u64)
            .ok_or_else(|| std::io::Error::other(OverTheBound))?;
        Ok(read)
    }
}

fn unwrap_bound(error: ArchiveError) -> ArchiveError {
    match error {
        ArchiveError::Io(error) => refused_or_broken(error),
        other => other,
    }
}

/// What the tar says of itself is the sender's fault; what the source says is not.
fn refused_or_broken(error: std::io::Error) -> ArchiveError {
    use std::io::ErrorKind;
    let mut at: Option<&(dyn std::error::Error + 'static)> = error.get_ref().map(|e| e as _);
    while let Some(inner) = at {
        if inner.is::<OverTheBound>() {
            return ArchiveError::TooLarge(OverTheBound.to_string());
        }
        let io = inner.downcast_ref::<std::io::Error>();
        at = io.and_then(|e| e.get_ref().map(|e| e as _)).or_else(|| inner.source());
    }
    match error.kind() {
        ErrorKind::Other | ErrorKind::InvalidInput | ErrorKind::InvalidData => {
            ArchiveError::Refused(format!("the archive is not a tar that can be read: {error}"))
        }
        ErrorKind::UnexpectedEof => ArchiveError::Refused("the archive ends too early".to_string()),
        _ => ArchiveError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tar with one entry whose fields are set without the checks of the library.
    fn raw(kind: u8, name: &[u8], link: &[u8], size: u64, content: &[u8]) -> Vec<u8> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::new(kind));
        header.set_mode(0o644);
        header.set_size(size);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link);
        header.set_cksum();
        let mut bytes = header.as_bytes().to_vec();
        bytes.extend_from_slice(content);
        bytes.resize(bytes.len().next_multiple_of(512), 0);
        bytes
    }

    fn closed(entries: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = entries.concat();
        bytes.resize(bytes.len() + 1_024, 0);
        bytes
    }

    fn file(name: &str) -> Vec<u8> {
        raw(b'0', name.as_bytes(), b"", 2, b"hi")
    }

    fn said(bytes: &[u8], limits: &ArchiveLimits) -> Result<Vec<String>, ArchiveError> {
        let mut names = Vec::new();
        read(bytes, limits, |entry| {
            std::io::copy(entry.content, &mut std::io::sink())?;
            names.push(entry.path.to_string());
            Ok(())
        })?;
        Ok(names)
    }

    #[test]
    fn plain_files_folders_and_links_that_stay_inside_are_read() {
        let bytes = closed(&[
            raw(b'5', b"./", b"", 0, b""),
            raw(b'5', b"data/", b"", 0, b""),
            file("data/a"),
            file("other/b"),
            raw(b'2', b"data/up", b"../other/b", 0, b""),
        ]);
        let names = said(&bytes, &ArchiveLimits::default()).expect("an archive");
        assert_eq!(names, ["data", "data/a", "other/b", "data/up"]);
    }

    #[test]
    fn what_a_stranger_may_try_is_refused_with_its_name() {
        let link = |name: &str, to: &str| raw(b'2', name.as_bytes(), to.as_bytes(), 0, b"");
        let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
            ("`../x` leads out", vec![file("../x")]),
            ("`a/../../x` leads out", vec![file("a/../../x")]),
            ("`/etc/passwd` is an absolute path", vec![file("/etc/passwd")]),
            ("`l` is a link to an absolute path", vec![link("l", "/etc")]),
            ("`l` is a link out of", vec![link("l", "../x")]),
            ("`d/l` is a link out of", vec![link("d/l", "../../x")]),
            ("`l` is a link that goes down and up", vec![link("l", "d/../../x")]),
            ("`l/x` lies below a file or a link", vec![link("l", "d"), file("l/x")]),
            ("`a/x` lies below a file or a link", vec![file("a"), file("a/x")]),
            ("`a` is in the archive twice", vec![file("a"), file("a")]),
            ("`a` is in the archive twice", vec![file("a"), file("./a")]),
            ("`a` is in the archive twice", vec![file("a/b"), file("a")]),
            ("`h` is a hard link", vec![file("a"), raw(b'1', b"h", b"a", 0, b"")]),
            ("`c` is a device", vec![raw(b'3', b"c", b"", 0, b"")]),
            ("`b` is a device", vec![raw(b'4', b"b", b"", 0, b"")]),
            ("`p` is a named pipe", vec![raw(b'6', b"p", b"", 0, b"")]),
            ("`s` is a sparse file", vec![raw(b'S', b"s", b"", 0, b"")]),
            ("belongs to the pax format", vec![raw(b'x', b"x", b"", 2, b"hi")]),
            ("not UTF-8", vec![raw(b'0', b"\xff", b"", 0, b"")]),
        ];
        for (wanted, entries) in cases {
            match said(&closed(&entries), &ArchiveLimits::default()) {
                Err(ArchiveError::Refused(text)) => assert!(text.contains(wanted), "{text}"),
                other => panic!("{wanted}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_archive_that_is_too_much_or_not_whole_is_refused() {
        let limits = ArchiveLimits { bytes: 4_096, entries: 3, depth: 2 };
        let many = closed(&[file("a"), file("b"), file("c"), file("d")]);
        assert!(matches!(said(&many, &limits), Err(ArchiveError::TooLarge(_))));
        let long = closed(&[raw(b'0', b"a", b"", 8_192, &[7; 8_192])]);
        assert!(matches!(said(&long, &limits), Err(ArchiveError::TooLarge(_))));
        let deep = closed(&[file("a/b/c/d")]);
        assert!(matches!(said(&deep, &limits), Err(ArchiveError::Refused(_))));
        let lie = raw(b'0', b"a", b"", 1 << 40, b"short");
        assert!(matches!(said(&lie, &limits), Err(ArchiveError::Refused(_))));
        let mut behind = closed(&[file("a")]);
        behind.extend_from_slice(b"more");
        assert!(matches!(said(&behind, &limits), Err(ArchiveError::Refused(_))));
        assert!(matches!(said(&[9; 600], &limits), Err(ArchiveError::Refused(_))));
        let name = raw(b'L', b"././@LongLink", b"", 2_000, &[b'n'; 2_000]);
        let long_name = closed(&[name, file("a")]);
        assert!(matches!(said(&long_name, &limits), Err(ArchiveError::Refused(_))));
    }

    #[test]
    fn no_bytes_however_changed_make_it_panic() {
        let good = closed(&[file("a"), raw(b'2', b"l", b"a", 0, b""), file("d/b")]);
        for at in 0..good.len() {
            let mut changed = good.clone();
            changed[at] ^= 0xff;
            let _ = said(&changed, &ArchiveLimits::default());
            let _ = said(&good[..at], &ArchiveLimits::default());
        }
    }
}
