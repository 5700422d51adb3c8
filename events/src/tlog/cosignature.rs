//! C2SP tlog-cosignature, version 1: a witness signs a checkpoint together with the time at
//! which it saw it.

/// Header line of the signed message; it keeps the signature from meaning anything else.
const HEADER: &str = "cosignature/v1";

/// A cosignature as it stands in a signature line, behind the key id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// When it was made, in seconds since 1970.
    pub time: u64,
    /// Ed25519 over [`cosigned_message`].
    pub signature: [u8; 64],
}

/// What a witness signs: the header, the time in seconds since 1970, and the checkpoint's text.
pub fn cosigned_message(time: u64, text: &str) -> Vec<u8> {
    format!("{HEADER}\ntime {time}\n{text}").into_bytes()
}

impl Cosignature {
    /// Big-endian time, then the signature: 72 bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.time.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Reads what [`Cosignature::to_bytes`] wrote. Times from 2^63 on are not allowed.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (time, signature) = bytes.split_first_chunk::<8>()?;
        let time = u64::from_be_bytes(*time);
        let signature = <[u8; 64]>::try_from(signature).ok()?;
        i64::try_from(time).is_ok().then_some(Self { time, signature })
    }
}
