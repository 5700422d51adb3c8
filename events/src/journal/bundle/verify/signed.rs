//! Who vouches for a bundle: the log's key for the manifest and both heads, witnesses for the
//! last one.

use super::super::layout::{
    CHECKPOINT, MANIFEST, MANIFEST_NOTE, POLICY, START_CHECKPOINT, note_text,
};
use super::super::manifest::{Head, Manifest};
use super::super::{Failure, Reason};
use super::folder::Folder;
use super::leaves::shown;
use crate::journal::keys::{verify_note, verify_policy};
use crate::tlog::{Checkpoint, MAX_NOTE_BYTES, Note, Policy, VerifierKey, empty_root};

/// Checks all signatures; says who vouches.
pub(super) fn check(
    folder: &Folder<'_>,
    manifest: &Manifest,
    given: Option<&VerifierKey>,
) -> Result<String, Failure> {
    let policy = policy(folder)?;
    let [key] = policy.logs() else {
        return Err(wrong(format!("{POLICY} does not name one log")));
    };
    if given.is_some_and(|given| given != key) {
        return Err(wrong(format!("{POLICY} names another log than the key that was given")));
    }
    site(manifest, key)?;
    let note = Note::parse(&folder.note).map_err(|error| of(MANIFEST_NOTE, error))?;
    if note.text != note_text(&manifest.tenant, &folder.manifest) {
        return Err(wrong(format!("{MANIFEST_NOTE} has another text")));
    }
    verify_note(&note, key).map_err(|error| of(MANIFEST_NOTE, error))?;
    let end = checkpoint(folder, manifest, CHECKPOINT, key, &manifest.log.end)?;
    verify_policy(&end, &policy).map_err(|error| of(CHECKPOINT, error))?;
    start(folder, manifest, key)?;
    let cosigned = policy.witnesses().filter(|key| end.cosignature(key).is_ok()).count();
    let all = policy.witnesses().count();
    Ok(format!("log {}, {cosigned} of {all} witnesses", shown(key.name())))
}

fn policy(folder: &Folder<'_>) -> Result<Policy, Failure> {
    let bytes = folder.read(Reason::Signature, POLICY, MAX_NOTE_BYTES as u64)?;
    let text = String::from_utf8(bytes).map_err(|error| of(POLICY, error))?;
    Policy::parse(&text).map_err(|error| of(POLICY, error))
}

/// The site that a log belongs to, by its origin.
pub(super) fn site_of<'a>(origin: &'a str, tenant: &str) -> Option<&'a str> {
    let (site, rest) = origin.split_once("/t/")?;
    let (found, timeline) = rest.rsplit_once('/')?;
    let digits = timeline.bytes().all(|byte| byte.is_ascii_digit());
    let fits = (1..=16).contains(&timeline.len()) && digits && !timeline.starts_with('0');
    (fits && found == tenant).then_some(site)
}

fn site(manifest: &Manifest, key: &VerifierKey) -> Result<(), Failure> {
    let site = site_of(&manifest.log.origin, &manifest.tenant)
        .ok_or_else(|| wrong(String::from("the origin is not that of a log of the tenant")))?;
    match site.strip_prefix(key.name()) {
        Some(below) if below.is_empty() || below.starts_with('/') => Ok(()),
        _ => Err(wrong(format!("the key {} is none of this site", shown(key.name())))),
    }
}

fn start(folder: &Folder<'_>, manifest: &Manifest, key: &VerifierKey) -> Result<(), Failure> {
    let head = &manifest.log.start;
    if head.size > 0 {
        return checkpoint(folder, manifest, START_CHECKPOINT, key, head).map(|_| ());
    }
    if manifest.has(START_CHECKPOINT) || head.root != empty_root() {
        return Err(wrong(format!(
            "the log starts empty, but with a {START_CHECKPOINT} or a root"
        )));
    }
    Ok(())
}

/// The note of a head, signed by the log.
fn checkpoint(
    folder: &Folder<'_>,
    manifest: &Manifest,
    path: &str,
    key: &VerifierKey,
    head: &Head,
) -> Result<Note, Failure> {
    let bytes = folder.read(Reason::Signature, path, MAX_NOTE_BYTES as u64)?;
    let note = Note::parse(&bytes).map_err(|error| of(path, error))?;
    verify_note(&note, key).map_err(|error| of(path, error))?;
    let said = Checkpoint::parse(&note.text).map_err(|error| of(path, error))?;
    let wanted = (manifest.log.origin.as_str(), head.size, head.root);
    match (said.origin.as_str(), said.size, said.root) == wanted {
        true => Ok(note),
        false => Err(wrong(format!("{path} has another origin, size or root than {MANIFEST}"))),
    }
}

fn of(path: &str, error: impl std::fmt::Display) -> Failure {
    wrong(format!("{path}: {error}"))
}

fn wrong(what: String) -> Failure {
    Failure::new(Reason::Signature, what)
}
