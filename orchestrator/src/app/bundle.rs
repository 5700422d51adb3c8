//! A folder as a source archive: what a person means by "the folder", in bytes that depend on
//! nothing but names, modes and content. Who packs the same folder twice gets the same hash.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dagbook_events::digest::Sha256Digest;
use dagbook_executors::archive::{ArchiveLimits, LONGEST_PATH};
use flate2::Compression;
use flate2::write::GzEncoder;
use ignore::WalkBuilder;
use sha2::{Digest, Sha256};
use tar::{EntryType, Header};

/// What says which files stay at home, beside `.gitignore`.
pub const IGNORE_FILE: &str = ".dagbookignore";

/// Folders that are never part of a source: histories and data of tools.
const NEVER: [&str; 4] = [".git", ".hg", ".svn", ".dagbook"];

/// A packed folder, in a temporary file.
pub struct Packed {
    /// SHA-256 of the tar.
    pub hash: Sha256Digest,
    /// Bytes of the tar.
    pub bytes: u64,
    /// Files in it.
    pub files: u32,
    /// The gzipped tar; gone with this value.
    pub file: tempfile::NamedTempFile,
    /// What was left out that a person may have meant, a sentence each.
    pub notes: Vec<String>,
}

/// Why a folder cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Something cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// It is more than what is sent.
    #[error("the folder {folder} is too large to be sent: {reason}")]
    TooLarge {
        /// Which.
        folder: String,
        /// What, with numbers and the largest parts.
        reason: String,
    },
    /// A file was written to meanwhile.
    #[error("{0} changed while it was read")]
    Changed(String),
}

enum What {
    Folder,
    File { size: u64, is_executable: bool },
    Link { target: String },
}

struct Item {
    name: String,
    path: PathBuf,
    what: What,
}

/// Packs the folder. `entry` is sent whatever is ignored.
pub fn pack(folder: &Path, entry: &str, limits: &ArchiveLimits) -> Result<Packed, BundleError> {
    let (items, notes) = list(folder, entry)?;
    check(folder, &items, limits)?;
    let unwritable = |error: io::Error| unreadable(Path::new("a temporary file"), &error);
    let file = tempfile::Builder::new().prefix("dagbook-source-").tempfile().map_err(unwritable)?;
    let packed = io::BufWriter::new(file.as_file().try_clone().map_err(unwritable)?);
    let zipped = GzEncoder::new(packed, Compression::new(6));
    let mut out = Hashed { out: zipped, hasher: Sha256::new(), bytes: 0 };
    let mut files = 0;
    for item in &items {
        append(&mut out, item)?;
        files += u32::from(matches!(item.what, What::File { .. }));
    }
    out.write_all(&[0; 1_024]).map_err(unwritable)?;
    let Hashed { out, hasher, bytes } = out;
    let zipped = out.finish().and_then(|mut out| out.flush());
    zipped.map_err(unwritable)?;
    let hash = Sha256Digest(hasher.finalize().into());
    Ok(Packed { hash, bytes, files, file, notes })
}

/// What is in the folder, by name.
fn list(folder: &Path, entry: &str) -> Result<(Vec<Item>, Vec<String>), BundleError> {
    let own = Arc::new(Mutex::new(Vec::new()));
    let found_own = Arc::clone(&own);
    let walk = WalkBuilder::new(folder)
        .hidden(false)
        .ignore(false)
        .git_global(false)
        .git_exclude(true)
        .git_ignore(true)
        .require_git(false)
        .parents(true)
        .follow_links(false)
        .add_custom_ignore_filename(IGNORE_FILE)
        .filter_entry(move |entry| {
            let name = entry.file_name().to_string_lossy();
            if entry.depth() == 0 {
                return true;
            }
            let is_own = is_data_folder(entry.path());
            if is_own {
                let mut found = found_own.lock().unwrap_or_else(PoisonError::into_inner);
                found.push(entry.path().to_path_buf());
            }
            !is_own && !NEVER.contains(&name.as_ref())
        })
        .build();
    let (mut items, mut notes) = (Vec::new(), Vec::new());
    for found in walk {
        let found = found.map_err(|error| BundleError::Unreadable {
            path: folder.display().to_string(),
            reason: error.to_string(),
        })?;
        if found.depth() > 0 {
            items.extend(item(folder, found.path(), &mut notes)?);
        }
    }
    if !items.iter().any(|item| item.name == entry) {
        items.extend(item(folder, &folder.join(entry), &mut notes)?);
    }
    for path in own.lock().unwrap_or_else(PoisonError::into_inner).iter() {
        let below = path.strip_prefix(folder).unwrap_or(path).display();
        notes.push(format!("`{below}` is not sent: it is a data folder of dagbook, with its keys"));
    }
    // By bytes: a folder stands before what is in it.
    items.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    Ok((items, notes))
}

/// Whether the folder is one of dagbook's own: it has keys in it, and changes while it is read.
fn is_data_folder(path: &Path) -> bool {
    let is_place = || path.join("place").is_file() && path.join("attempts").is_dir();
    path.join("events.sqlite").is_file() || is_place()
}

fn item(folder: &Path, path: &Path, notes: &mut Vec<String>) -> Result<Option<Item>, BundleError> {
    let below = path.strip_prefix(folder).unwrap_or(path);
    let Some(name) = below.to_str().filter(|name| name.len() <= LONGEST_PATH) else {
        notes.push(format!("`{}` is not sent: its name is too long or no text", below.display()));
        return Ok(None);
    };
    let name = name.to_string();
    let metadata = fs::symlink_metadata(path).map_err(|error| unreadable(path, &error))?;
    let kind = metadata.file_type();
    let what = if kind.is_dir() {
        What::Folder
    } else if kind.is_file() {
        let is_executable = metadata.permissions().mode() & 0o111 != 0;
        What::File { size: metadata.len(), is_executable }
    } else if kind.is_symlink() {
        let target = fs::read_link(path).map_err(|error| unreadable(path, &error))?;
        match stays_inside(&name, &target) {
            Some(target) => What::Link { target },
            None => {
                notes.push(format!(
                    "`{name}` is not sent: it is a link out of the folder, to {}",
                    target.display()
                ));
                return Ok(None);
            }
        }
    } else {
        notes.push(format!("`{name}` is not sent: it is no file, folder or link"));
        return Ok(None);
    };
    Ok(Some(Item { name, path: path.to_path_buf(), what }))
}

/// The target in the form that archives may hold: up first, then down.
fn stays_inside(name: &str, target: &Path) -> Option<String> {
    let mut above = name.matches('/').count();
    let mut went_down = false;
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => went_down = true,
            Component::ParentDir if went_down => return None,
            Component::ParentDir => above = above.checked_sub(1)?,
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    target.to_str().filter(|text| !text.is_empty() && text.len() <= LONGEST_PATH).map(String::from)
}

/// Says what is too much before anything is read.
fn check(folder: &Path, items: &[Item], limits: &ArchiveLimits) -> Result<(), BundleError> {
    let too_large =
        |reason: String| BundleError::TooLarge { folder: folder.display().to_string(), reason };
    if items.len() > limits.entries as usize {
        let most = limits.entries;
        return Err(too_large(format!("{} files and folders, at most {most}", items.len())));
    }
    if let Some(deep) = items.iter().find(|i| i.name.matches('/').count() > limits.depth as usize) {
        return Err(too_large(format!("`{}` lies too deep", deep.name)));
    }
    let bytes: u64 = items.iter().map(Item::packed_bytes).sum::<u64>() + 1_024;
    if bytes <= limits.bytes {
        return Ok(());
    }
    let mut largest: Vec<&Item> = items.iter().collect();
    largest.sort_by_key(|item| std::cmp::Reverse(item.packed_bytes()));
    let shown = largest.iter().take(3);
    let shown = shown.map(|item| format!("{} ({})", item.name, mib(item.packed_bytes())));
    let shown: Vec<String> = shown.collect();
    let (is, most) = (mib(bytes), mib(limits.bytes));
    Err(too_large(format!("{is}, at most {most}; the largest are {}", shown.join(", "))))
}

/// For people: `4.2 MiB`.
fn mib(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

impl Item {
    fn packed_bytes(&self) -> u64 {
        let content = match self.what {
            What::File { size, .. } => size.next_multiple_of(512),
            _ => 0,
        };
        let long = |text: &str| if text.len() > 100 { 1_024 + text.len() as u64 } else { 0 };
        let link = match &self.what {
            What::Link { target } => long(target),
            _ => 0,
        };
        512 + content + long(&self.name) + link
    }
}

fn append(out: &mut impl Write, item: &Item) -> Result<(), BundleError> {
    let failed = |error: io::Error| unreadable(&item.path, &error);
    let (kind, mode, size) = match &item.what {
        What::Folder => (EntryType::Directory, 0o755, 0),
        What::File { size, is_executable: true } => (EntryType::Regular, 0o755, *size),
        What::File { size, .. } => (EntryType::Regular, 0o644, *size),
        What::Link { .. } => (EntryType::Symlink, 0o777, 0),
    };
    long(out, EntryType::GNULongName, &item.name).map_err(failed)?;
    if let What::Link { target } = &item.what {
        long(out, EntryType::GNULongLink, target).map_err(failed)?;
    }
    let mut header = header(kind, mode, size);
    name(&mut header.as_old_mut().name, &item.name);
    if let What::Link { target } = &item.what {
        name(&mut header.as_old_mut().linkname, target);
    }
    header.set_cksum();
    out.write_all(header.as_bytes()).map_err(failed)?;
    let What::File { size, .. } = item.what else { return Ok(()) };
    let opened = File::open(&item.path).map_err(failed)?;
    let copied = io::copy(&mut opened.take(size + 1), &mut Exactly { out, left: size });
    match copied {
        Ok(copied) if copied == size => {}
        Ok(_) => return Err(BundleError::Changed(item.path.display().to_string())),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Err(BundleError::Changed(item.path.display().to_string()));
        }
        Err(error) => return Err(failed(error)),
    }
    pad(out, size).map_err(failed)
}

/// A header with nothing in it that depends on who packs, or when.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// The name in front of an entry, where the entry's own field is too short for it.
fn long(out: &mut impl Write, kind: EntryType, text: &str) -> io::Result<()> {
    if text.len() <= 100 {
        return Ok(());
    }
    let size = text.len() as u64 + 1;
    let mut header = header(kind, 0o644, size);
    name(&mut header.as_old_mut().name, "././@LongLink");
    header.set_cksum();
    out.write_all(header.as_bytes())?;
    out.write_all(text.as_bytes())?;
    out.write_all(&[0])?;
    pad(out, size)
}

fn name(field: &mut [u8; 100], text: &str) {
    let length = text.len().min(field.len());
    field[..length].copy_from_slice(&text.as_bytes()[..length]);
}

fn pad(out: &mut impl Write, size: u64) -> io::Result<()> {
    let missing = size.next_multiple_of(512) - size;
    out.write_all(&[0; 512][..usize::try_from(missing).unwrap_or(0)])
}

fn unreadable(path: &Path, error: &io::Error) -> BundleError {
    BundleError::Unreadable { path: path.display().to_string(), reason: error.to_string() }
}

/// Takes as many bytes as were promised, and not one more.
struct Exactly<'a, W> {
    out: &'a mut W,
    left: u64,
}

impl<W: Write> Write for Exactly<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self
            .left
            .checked_sub(bytes.len() as u64)
            .ok_or_else(|| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.out.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Hashed<W> {
    out: W,
    hasher: Sha256,
    bytes: u64,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.out.write_all(bytes)?;
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::os::unix::fs::symlink;

    use dagbook_executors::archive::{Kind, read};
    use flate2::read::GzDecoder;

    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        for (name, text) in [
            ("dag.yaml", "steps: []"),
            ("steps/run.sh", "echo hi"),
            ("data/in.csv", "1,2"),
            ("data/big.tmp", "left at home"),
            ("node_modules/x/y.js", "left at home"),
            (".env", "left at home"),
            (".hidden", "sent"),
            (".git/HEAD", "never"),
            (".dagbook/record", "never"),
            (".gitignore", "*.tmp\nnode_modules/\n"),
            (".dagbookignore", ".env\n"),
        ] {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            fs::write(path, text).expect("written");
        }
        let script = dir.path().join("steps/run.sh");
        fs::set_permissions(script, fs::Permissions::from_mode(0o700)).expect("set");
        fs::create_dir(dir.path().join("empty")).expect("made");
        symlink("../data/in.csv", dir.path().join("steps/in")).expect("linked");
        symlink("/etc/passwd", dir.path().join("out")).expect("linked");
        dir
    }

    fn content(packed: &Packed) -> BTreeMap<String, (Kind, String)> {
        let zipped = File::open(packed.file.path()).expect("there");
        let mut found = BTreeMap::new();
        read(GzDecoder::new(zipped), &ArchiveLimits::default(), |entry| {
            let mut text = String::new();
            entry.content.read_to_string(&mut text)?;
            found.insert(entry.path.to_string(), (entry.kind, text));
            Ok(())
        })
        .expect("what is packed can be read");
        found
    }

    #[test]
    fn what_is_ignored_stays_at_home_and_what_leads_out_is_told() {
        let dir = folder();
        let packed = pack(dir.path(), "dag.yaml", &ArchiveLimits::default()).expect("packed");
        let found = content(&packed);
        let names: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                ".dagbookignore",
                ".gitignore",
                ".hidden",
                "dag.yaml",
                "data",
                "data/in.csv",
                "empty",
                "steps",
                "steps/in",
                "steps/run.sh"
            ]
        );
        assert_eq!(found["steps/run.sh"].0, Kind::File { is_executable: true });
        assert_eq!(found["data/in.csv"], (Kind::File { is_executable: false }, "1,2".to_string()));
        assert_eq!(found["steps/in"].0, Kind::Link { target: "../data/in.csv".to_string() });
        assert_eq!(packed.notes.len(), 1, "{:?}", packed.notes);
        assert!(packed.notes[0].contains("`out` is not sent"), "{:?}", packed.notes);
    }

    #[test]
    fn a_data_folder_with_its_keys_stays_at_home_whatever_it_is_called() {
        let dir = folder();
        for (name, file) in [("books", "events.sqlite"), ("server", "place")] {
            fs::create_dir_all(dir.path().join(name).join("attempts")).expect("made");
            fs::write(dir.path().join(name).join(file), "").expect("written");
            fs::write(dir.path().join(name).join("site.key"), "key").expect("written");
        }
        let packed = pack(dir.path(), "dag.yaml", &ArchiveLimits::default()).expect("packed");
        assert!(!content(&packed).keys().any(|name| name.ends_with("site.key")));
        let told = |name: &str| packed.notes.iter().any(|note| note.contains(name));
        assert!(told("`books` is not sent") && told("`server` is not sent"), "{:?}", packed.notes);
    }

    #[test]
    fn the_same_folder_is_the_same_bytes_wherever_and_whenever_it_is_packed() {
        let (one, two) = (folder(), folder());
        let old = File::open(two.path().join("dag.yaml")).expect("there");
        old.set_modified(std::time::UNIX_EPOCH).expect("set");
        let limits = ArchiveLimits::default();
        let first = pack(one.path(), "dag.yaml", &limits).expect("packed");
        let second = pack(two.path(), "dag.yaml", &limits).expect("packed");
        assert_eq!((first.hash, first.bytes), (second.hash, second.bytes));
        fs::write(two.path().join("data/in.csv"), "1,3").expect("written");
        assert_ne!(pack(two.path(), "dag.yaml", &limits).expect("packed").hash, first.hash);
    }

    #[test]
    fn long_names_survive_and_the_entry_is_sent_even_where_it_is_ignored() {
        let dir = tempfile::tempdir().expect("a folder");
        let deep = "d".repeat(80) + "/" + &"e".repeat(80);
        fs::create_dir_all(dir.path().join(&deep)).expect("made");
        fs::write(dir.path().join(&deep).join("f"), "far").expect("written");
        fs::write(dir.path().join("dag.yaml"), "x").expect("written");
        fs::write(dir.path().join(".gitignore"), "dag.yaml").expect("written");
        let packed = pack(dir.path(), "dag.yaml", &ArchiveLimits::default()).expect("packed");
        let found = content(&packed);
        assert_eq!(found[&format!("{deep}/f")].1, "far");
        assert_eq!(found["dag.yaml"].1, "x");
    }

    #[test]
    fn a_folder_that_is_too_large_is_refused_with_what_makes_it_so() {
        let dir = folder();
        fs::write(dir.path().join("data/model.bin"), vec![1; 200_000]).expect("written");
        let limits = ArchiveLimits { bytes: 100_000, ..ArchiveLimits::default() };
        let error = pack(dir.path(), "dag.yaml", &limits).err().expect("too large").to_string();
        assert!(error.contains("data/model.bin"), "{error}");
        let few = ArchiveLimits { entries: 3, ..ArchiveLimits::default() };
        assert!(matches!(pack(dir.path(), "dag.yaml", &few), Err(BundleError::TooLarge { .. })));
    }
}
