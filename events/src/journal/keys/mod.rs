//! Ed25519 keys in files, made on first use.

mod file;
mod memory;

use std::path::{Path, PathBuf};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};

use self::memory::Memory;
use crate::digest::Sha256Digest;
use crate::ids::TenantId;
use crate::ports::{SignError, Signer};
use crate::tlog::{
    Checkpoint, Cosignature, KeyKind, Note, NoteError, Policy, PolicyError, VerifierKey,
    bundle_text, cosigned_message,
};

/// Whether the signature is the key's over the message.
pub fn ed25519_is_valid(public_key: &[u8; 32], message: &[u8], signature: &[u8]) -> bool {
    UnparsedPublicKey::new(&ED25519, public_key).verify(message, signature).is_ok()
}

/// Checks a note's signature by this key, whether it is a log's or a witness's.
pub fn verify_note(note: &Note, key: &VerifierKey) -> Result<(), NoteError> {
    note.verify(key, ed25519_is_valid)
}

/// Checks that a log has signed the note and that enough witnesses have co-signed it.
pub fn verify_policy(note: &Note, policy: &Policy) -> Result<(), PolicyError> {
    policy.check(note, ed25519_is_valid)
}

/// A key in a file, and the file in which it is remembered what was signed last.
struct KeyFile {
    verifier: VerifierKey,
    pair: Ed25519KeyPair,
    path: PathBuf,
}

impl KeyFile {
    fn open(path: &Path, name: &str, kind: KeyKind) -> Result<Self, SignError> {
        let key = match file::read(path, kind)? {
            Some(key) => key,
            None => file::create(path, name, kind)?,
        };
        let this = Self::with_key(path, key)?;
        if this.verifier.name() != name {
            let there = this.verifier.name();
            let message = format!("{} holds the key `{there}`, not `{name}`", path.display());
            return Err(SignError::Key(message));
        }
        file::publish(path, &this.verifier)?;
        Ok(this)
    }

    fn with_key(path: &Path, key: file::SecretKey) -> Result<Self, SignError> {
        let broken = |_| SignError::Key(format!("{} is not a usable key", path.display()));
        let pair = Ed25519KeyPair::from_seed_unchecked(&key.seed).map_err(broken)?;
        let public = <[u8; 32]>::try_from(pair.public_key().as_ref());
        let public =
            public.map_err(|_| SignError::Key("the public key has a wrong length".to_string()))?;
        let verifier = VerifierKey::of_kind(key.kind, &key.name, public)
            .map_err(|error| SignError::Key(error.to_string()))?;
        Ok(Self { verifier, pair, path: path.to_path_buf() })
    }

    fn last(&self, origin: &str) -> Result<Option<Checkpoint>, SignError> {
        Ok(Memory::lock(&self.path)?.last(origin))
    }

    /// Signs a message that stands for a checkpoint, once it is remembered durably that the
    /// checkpoint was signed.
    fn sign(
        &self,
        text: &str,
        proof: &[Sha256Digest],
        message: &[u8],
    ) -> Result<[u8; 64], SignError> {
        let checkpoint =
            Checkpoint::parse(text).map_err(|error| SignError::Inconsistent(error.to_string()))?;
        Memory::lock(&self.path)?.accept(&checkpoint, proof)?;
        <[u8; 64]>::try_from(self.pair.sign(message).as_ref())
            .map_err(|_| SignError::Key("the signature has a wrong length".to_string()))
    }
}

/// Signs checkpoints with a key that it keeps in a file.
///
/// It signs checkpoints, and only those that extend what it signed before, and manifests of
/// bundles, whose text is no checkpoint. What
/// it signed last is in a file beside the key (`<key>.signed`), synced before a signature
/// leaves, and locked, so that several processes can share the key.
pub struct FileSigner(KeyFile);

impl FileSigner {
    /// Opens the key file, or makes it with a fresh key of this name (file mode 0600, folder
    /// mode 0700). The name of a key that exists must be the same.
    pub fn open(path: impl AsRef<Path>, name: &str) -> Result<Self, SignError> {
        KeyFile::open(path.as_ref(), name, KeyKind::Log).map(Self)
    }

    /// What others need to check its signatures.
    pub fn verifier(&self) -> &VerifierKey {
        &self.0.verifier
    }
}

impl Signer for FileSigner {
    fn name(&self) -> &str {
        self.0.verifier.name()
    }

    fn public_key(&self) -> [u8; 32] {
        *self.0.verifier.public_key()
    }

    /// Signs the first checkpoint of a log, or the last one again. Larger ones need a proof.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError> {
        let text = std::str::from_utf8(message)
            .map_err(|_| SignError::Inconsistent("it is not a checkpoint".to_string()))?;
        self.sign_extension(text, &[])
    }

    fn last_signed(&self, origin: &str) -> Result<Option<Checkpoint>, SignError> {
        self.0.last(origin)
    }

    fn sign_extension(&self, text: &str, proof: &[Sha256Digest]) -> Result<[u8; 64], SignError> {
        self.0.sign(text, proof, text.as_bytes())
    }

    /// Needs no memory: a bundle says nothing of a log but what its checkpoint says.
    fn sign_bundle(
        &self,
        tenant: &TenantId,
        manifest: &Sha256Digest,
    ) -> Result<[u8; 64], SignError> {
        let text = bundle_text(tenant.as_str(), manifest);
        <[u8; 64]>::try_from(self.0.pair.sign(text.as_bytes()).as_ref())
            .map_err(|_| SignError::Key("the signature has a wrong length".to_string()))
    }
}

/// The same for a witness: it co-signs checkpoints of others, with the time.
///
/// Its key file is of another kind than a log's, so that neither can be taken for the other.
pub struct FileCosigner(KeyFile);

impl FileCosigner {
    /// Opens the key file, or makes it, by the rules of [`FileSigner::open`].
    pub fn open(path: impl AsRef<Path>, name: &str) -> Result<Self, SignError> {
        KeyFile::open(path.as_ref(), name, KeyKind::Cosigner).map(Self)
    }

    /// What others need to check its cosignatures.
    pub fn verifier(&self) -> &VerifierKey {
        &self.0.verifier
    }

    /// The newest checkpoint of a log that it co-signed.
    pub fn last_cosigned(&self, origin: &str) -> Result<Option<Checkpoint>, SignError> {
        self.0.last(origin)
    }

    /// Co-signs a checkpoint's text at a time in seconds since 1970, with the proof that it
    /// extends [`FileCosigner::last_cosigned`].
    pub fn cosign(
        &self,
        text: &str,
        proof: &[Sha256Digest],
        time: u64,
    ) -> Result<Cosignature, SignError> {
        let signature = self.0.sign(text, proof, &cosigned_message(time, text))?;
        Ok(Cosignature { time, signature })
    }
}
