//! The key file: one line, `PRIVATE+KEY+<name>+<hexid>+<base64(type ‖ seed)>`, as the note
//! tools of others write it; the type is 0x01 for a log and 0x04 for a witness.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::ports::SignError;
use crate::tlog::{KeyKind, VerifierKey};

pub(super) struct SecretKey {
    pub(super) kind: KeyKind,
    pub(super) name: String,
    pub(super) seed: [u8; 32],
}

/// Reads the key, if the file is there. Refuses a file that others may read.
pub(super) fn read(path: &Path, kind: KeyKind) -> Result<Option<SecretKey>, SignError> {
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unusable(path, &error.to_string())),
    };
    if metadata.mode() & 0o077 != 0 {
        return Err(unusable(path, "others may read it; run chmod 600 on it"));
    }
    let text = fs::read_to_string(path).map_err(|error| unusable(path, &error.to_string()))?;
    match parse(text.trim_end()) {
        Some(key) if key.kind == kind => Ok(Some(key)),
        Some(_) => Err(unusable(
            path,
            "it is the key of a log where that of a witness is needed, or the other way round: each needs a key of its own",
        )),
        None => Err(unusable(path, "it does not hold an Ed25519 signer key")),
    }
}

fn parse(text: &str) -> Option<SecretKey> {
    let mut parts = text.strip_prefix("PRIVATE+KEY+")?.splitn(3, '+');
    let (name, _id, key) = (parts.next()?, parts.next()?, parts.next()?);
    let key = STANDARD.decode(key).ok()?;
    let (byte, seed) = key.split_first()?;
    let kind = KeyKind::from_byte(*byte)?;
    Some(SecretKey { kind, name: name.to_string(), seed: seed.try_into().ok()? })
}

/// Makes a key. If another process makes one at the same moment, the first one counts.
pub(super) fn create(path: &Path, name: &str, kind: KeyKind) -> Result<SecretKey, SignError> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| unusable(path, &error.to_string()))?;
    let line = render(path, SecretKey { kind, name: name.to_string(), seed })?;
    place(path, &line).map_err(|error| unusable(path, &error.to_string()))?;
    read(path, kind)?.ok_or_else(|| unusable(path, "it vanished"))
}

fn render(path: &Path, key: SecretKey) -> Result<String, SignError> {
    let mut bytes = vec![key.kind.byte()];
    bytes.extend_from_slice(&key.seed);
    let verifier = super::KeyFile::with_key(path, key)?.verifier;
    let (name, id) = (verifier.name(), verifier.hex_id());
    Ok(format!("PRIVATE+KEY+{name}+{id}+{}\n", STANDARD.encode(bytes)))
}

/// Writes the file whole under another name and links it, so that nobody ever reads a half.
fn place(path: &Path, line: &str) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let temporary = beside(path, &format!(".{}-{number}", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    match folder {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Writes the verifier key beside the secret one, for auditors.
pub(super) fn publish(path: &Path, key: &VerifierKey) -> Result<(), SignError> {
    let public = beside(path, ".vkey");
    let text = format!("{}\n", key.to_text());
    if fs::read_to_string(&public).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(&public, text).map_err(|error| unusable(&public, &error.to_string()))
}

/// The path with something behind its name.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn unusable(path: &Path, reason: &str) -> SignError {
    SignError::Key(format!("{}: {reason}", path.display()))
}
