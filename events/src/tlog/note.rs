//! C2SP signed notes: a text, an empty line, and signature lines.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::cosignature::{Cosignature, cosigned_message};
use super::key::{KeyKind, VerifierKey, is_key_name};

/// Signature lines that are read at most; the format asks for at least 16.
pub const MAX_SIGNATURES: usize = 64;

/// Bytes of a note that are read at most.
pub const MAX_NOTE_BYTES: usize = 256 * 1024;

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
    /// The signature itself; of a witness the time and the signature.
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

impl NoteSignature {
    fn is_by(&self, key: &VerifierKey) -> bool {
        self.name == key.name() && self.key_id == key.id()
    }
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
        self.put(key, signature.to_vec());
    }

    /// Adds a witness's cosignature, in the place of an earlier one by the same key.
    pub fn cosign_with(&mut self, key: &VerifierKey, cosignature: &Cosignature) {
        self.put(key, cosignature.to_bytes());
    }

    fn put(&mut self, key: &VerifierKey, signature: Vec<u8>) {
        self.signatures.retain(|line| !line.is_by(key));
        let (name, key_id) = (key.name().to_string(), key.id());
        self.signatures.push(NoteSignature { name, key_id, signature });
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
        if bytes.len() > MAX_NOTE_BYTES {
            return Err(NoteError::Malformed("it is longer than 256 KiB"));
        }
        let whole =
            std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed("it is not UTF-8"))?;
        let at = whole.rfind("\n\n").ok_or(NoteError::Malformed("there is no empty line"))?;
        let mut note = Self::new(&whole[..=at])?;
        let lines = whole[at + 2..]
            .strip_suffix('\n')
            .ok_or(NoteError::Malformed("there is no complete signature line"))?;
        for line in lines.split('\n') {
            if note.signatures.len() == MAX_SIGNATURES {
                return Err(NoteError::Malformed("it has more than 64 signatures"));
            }
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
        let line = self.line_by(key)?;
        let holds = match key.kind() {
            KeyKind::Log => check(key.public_key(), self.text.as_bytes(), &line.signature),
            KeyKind::Cosigner => Cosignature::from_bytes(&line.signature).is_some_and(|cosigned| {
                let message = cosigned_message(cosigned.time, &self.text);
                check(key.public_key(), &message, &cosigned.signature)
            }),
        };
        match holds {
            true => Ok(()),
            false => Err(NoteError::BadSignature(key.name().to_string())),
        }
    }

    /// The cosignature by a witness's key; its arithmetic is not checked here.
    pub fn cosignature(&self, key: &VerifierKey) -> Result<Cosignature, NoteError> {
        let line = self.line_by(key)?;
        Cosignature::from_bytes(&line.signature)
            .ok_or_else(|| NoteError::BadSignature(key.name().to_string()))
    }

    fn line_by(&self, key: &VerifierKey) -> Result<&NoteSignature, NoteError> {
        let mut lines = self.signatures.iter().filter(|line| line.is_by(key));
        let line = lines.next().ok_or_else(|| NoteError::NotSigned(key.name().to_string()))?;
        match lines.next() {
            None => Ok(line),
            Some(_) => Err(NoteError::Malformed("the same key has signed twice")),
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
