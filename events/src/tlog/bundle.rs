//! What is signed of a bundle: the digest of its manifest, and whose it is.

use crate::digest::Sha256Digest;

/// The first line of what is signed. It keeps the signature from meaning anything else: a
/// checkpoint has the base64 of 32 bytes where this text has 64 digits.
const HEADER: &str = "dagbook.bundle/1";

/// The text of a bundle's note, by `ops/audit/VERIFY.md`, section 1.
pub fn bundle_text(tenant: &str, manifest: &Sha256Digest) -> String {
    format!("{HEADER}\n{tenant}\n{manifest}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tlog::Checkpoint;

    #[test]
    fn what_is_signed_of_a_bundle_can_be_taken_for_no_checkpoint() {
        let digest = Sha256Digest::of(b"a manifest");
        // A tenant may be called like a size.
        for tenant in ["acme", "7"] {
            assert!(Checkpoint::parse(&bundle_text(tenant, &digest)).is_err(), "{tenant}");
        }
    }
}
