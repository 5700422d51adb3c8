//! Verifier keys: what is needed to check the signatures of one key, as text
//! `name+hexid+base64(type ‖ public key)` (C2SP signed-note).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::note::NoteError;
use crate::digest::Sha256Digest;

/// What a key's signatures say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum KeyKind {
    /// Ed25519 over the note's text (type 0x01): a log vouches for its own head.
    Log,
    /// Ed25519 over a time and the note's text (type 0x04, C2SP tlog-cosignature): a witness
    /// says that this is the largest consistent head that it has seen.
    Cosigner,
}

impl KeyKind {
    /// The byte that stands for it in key ids and key texts.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Log => 0x01,
            Self::Cosigner => 0x04,
        }
    }

    /// The kind that a byte stands for, if it is known here.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0x01 => Some(Self::Log),
            0x04 => Some(Self::Cosigner),
            _ => None,
        }
    }
}

/// Key id of a key: SHA-256(name ‖ 0x0A ‖ type ‖ public key), first four bytes.
pub fn key_id(kind: KeyKind, name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let parts = [name.as_bytes(), &[0x0a, kind.byte()], public_key];
    let [a, b, c, d, ..] = Sha256Digest::of_parts(&parts).0;
    [a, b, c, d]
}

/// What is needed to check signatures of one Ed25519 key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct VerifierKey {
    kind: KeyKind,
    name: String,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// The key of a log. The name must not be empty or hold white space or a plus sign.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, NoteError> {
        Self::of_kind(KeyKind::Log, name, public_key)
    }

    /// The key of a witness. The name follows the same rule.
    pub fn cosigner(name: &str, public_key: [u8; 32]) -> Result<Self, NoteError> {
        Self::of_kind(KeyKind::Cosigner, name, public_key)
    }

    /// A key of either kind.
    pub fn of_kind(kind: KeyKind, name: &str, public_key: [u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::Key("the name is empty or has white space or a plus sign"));
        }
        Ok(Self { kind, name: name.to_string(), public_key })
    }

    /// Reads `name+hexid+base64(type ‖ public key)`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("three parts are expected"));
        };
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key("the key is not base64"))?;
        let (kind, public_key) = match key.split_first() {
            Some((byte, rest)) => (KeyKind::from_byte(*byte), rest),
            None => (None, key.as_slice()),
        };
        let kind = kind.ok_or(NoteError::Key(
            "only Ed25519 keys of logs (type 1) and of witnesses (type 4) are known",
        ))?;
        let public_key = <[u8; 32]>::try_from(public_key)
            .map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
        let this = Self::of_kind(kind, name, public_key)?;
        match this.hex_id() == id {
            true => Ok(this),
            false => Err(NoteError::Key("the id is not that of the key")),
        }
    }

    /// What its signatures say.
    pub fn kind(&self) -> KeyKind {
        self.kind
    }

    /// The key's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The 32 bytes of the key.
    pub fn public_key(&self) -> &[u8; 32] {
        &self.public_key
    }

    /// The key's id.
    pub fn id(&self) -> [u8; 4] {
        key_id(self.kind, &self.name, &self.public_key)
    }

    /// The key's id as eight hexadecimal digits.
    pub fn hex_id(&self) -> String {
        self.id().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The text that [`VerifierKey::parse`] reads.
    pub fn to_text(&self) -> String {
        let mut key = vec![self.kind.byte()];
        key.extend_from_slice(&self.public_key);
        format!("{}+{}+{}", self.name, self.hex_id(), STANDARD.encode(key))
    }
}

/// Whether a text can be the name of a key in a note.
pub(super) fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c.is_control())
}
