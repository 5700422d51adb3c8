//! C2SP signed notes: a text, an empty line, and signature lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::digest::Sha256Digest;

/// Signature type of Ed25519 in notes.
const ED25519: u8 = 0x01;

/// Why bytes are not a note, or a note is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// The form is broken.
    #[error("not a signed note: {0}")]
    Malformed(&'static str),
    /// A verifier key's text is broken.
    #[error("not a verifier key (name+hexid+base64): {0}")]
    Key(&'static str),
    /// Nobody known has signed it.
    #[error("the note has no signature by `{0}`")]
    NotSigned(String),
    /// The signature does not match.
    #[error("the signature by `{0}` is wrong")]
    BadSignature(String),
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// Name of the key.
    pub name: String,
    /// First four bytes of the key's hash.
    pub key_id: [u8; 4],
    /// The signature itself.
    pub signature: Vec<u8>,
}

/// A signed note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The signed text; ends in a line feed.
    pub text: String,
    /// The signatures.
    pub signatures: Vec<NoteSignature>,
}

/// Key id of an Ed25519 key: SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key), first four bytes.
pub fn key_id(name: &str, public_key: &[u8; 32]) -> [u8; 4] {
    let digest = Sha256Digest::of_parts(&[name.as_bytes(), &[0x0a, ED25519], public_key]);
    let [a, b, c, d, ..] = digest.0;
    [a, b, c, d]
}

/// What is needed to check signatures of one Ed25519 key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    public_key: [u8; 32],
}

impl VerifierKey {
    /// A key with its name, which must not be empty or hold white space or a plus sign.
    pub fn new(name: &str, public_key: [u8; 32]) -> Result<Self, NoteError> {
        if !is_key_name(name) {
            return Err(NoteError::Key("the name is empty or has white space or a plus sign"));
        }
        Ok(Self { name: name.to_string(), public_key })
    }

    /// Reads `name+hexid+base64(0x01 ‖ public key)`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("three parts are expected"));
        };
        let key = STANDARD.decode(key).map_err(|_| NoteError::Key("the key is not base64"))?;
        let [ED25519, public_key @ ..] = key.as_slice() else {
            return Err(NoteError::Key("only Ed25519 keys (type 1) are known"));
        };
        let public_key = <[u8; 32]>::try_from(public_key)
            .map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?;
        let this = Self::new(name, public_key)?;
        match this.hex_id() == id {
            true => Ok(this),
            false => Err(NoteError::Key("the id is not that of the key")),
        }
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
        key_id(&self.name, &self.public_key)
    }

    fn hex_id(&self) -> String {
        self.id().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The text that [`VerifierKey::parse`] reads.
    pub fn to_text(&self) -> String {
        let mut key = vec![ED25519];
        key.extend_from_slice(&self.public_key);
        format!("{}+{}+{}", self.name, self.hex_id(), STANDARD.encode(key))
    }
}

fn is_key_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c == '+' || c.is_control())
}

impl Note {
    /// A note without signatures. The text must end in a line feed.
    pub fn new(text: &str) -> Result<Self, NoteError> {
        if !text.ends_with('\n') {
            return Err(NoteError::Malformed("the text does not end in a line feed"));
        }
        if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(NoteError::Malformed("the text has control characters"));
        }
        Ok(Self { text: text.to_string(), signatures: Vec::new() })
    }

    /// Adds an Ed25519 signature.
    pub fn sign_with(&mut self, key: &VerifierKey, signature: &[u8; 64]) {
        self.signatures.push(NoteSignature {
            name: key.name.clone(),
            key_id: key.id(),
            signature: signature.to_vec(),
        });
    }

    /// The bytes of the note.
    pub fn encode(&self) -> String {
        let mut out = format!("{}\n", self.text);
        for line in &self.signatures {
            let mut bytes = line.key_id.to_vec();
            bytes.extend_from_slice(&line.signature);
            out.push_str(&format!("\u{2014} {} {}\n", line.name, STANDARD.encode(bytes)));
        }
        out
    }

    /// Reads a note; checks its form, not its signatures.
    pub fn parse(bytes: &[u8]) -> Result<Self, NoteError> {
        let whole =
            std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
        let at = whole.rfind("\n\n").ok_or(NoteError::Malformed("there is no empty line"))?;
        let mut note = Self::new(&whole[..=at])?;
        let lines = whole[at + 2..]
            .strip_suffix('\n')
            .ok_or(NoteError::Malformed("there is no complete signature line"))?;
        for line in lines.split('\n') {
            note.signatures.push(parse_signature(line)?);
        }
        Ok(note)
    }

    /// Checks the key's signature. `check(public key, message, signature)` does the arithmetic.
    pub fn verify(
        &self,
        key: &VerifierKey,
        check: impl Fn(&[u8; 32], &[u8], &[u8]) -> bool,
    ) -> Result<(), NoteError> {
        let id = key.id();
        let mut ours = self.signatures.iter().filter(|s| s.name == key.name && s.key_id == id);
        let line = ours.next().ok_or_else(|| NoteError::NotSigned(key.name.clone()))?;
        if ours.next().is_some() {
            return Err(NoteError::Malformed("the same key has signed twice"));
        }
        match check(&key.public_key, self.text.as_bytes(), &line.signature) {
            true => Ok(()),
            false => Err(NoteError::BadSignature(key.name.clone())),
        }
    }
}

fn parse_signature(line: &str) -> Result<NoteSignature, NoteError> {
    let broken = NoteError::Malformed("a signature line is broken");
    let rest = line.strip_prefix("\u{2014} ").ok_or(broken.clone())?;
    let (name, encoded) = rest.split_once(' ').ok_or(broken.clone())?;
    let bytes = STANDARD.decode(encoded).map_err(|_| broken.clone())?;
    let (id, signature) = bytes.split_first_chunk::<4>().ok_or(broken.clone())?;
    if !is_key_name(name) || signature.is_empty() {
        return Err(broken);
    }
    Ok(NoteSignature { name: name.to_string(), key_id: *id, signature: signature.to_vec() })
}
