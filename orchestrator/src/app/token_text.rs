//! What a token looks like: `dgb_` and 43 characters of base64url, 256 bits of chance. Only its
//! digest is kept anywhere.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ports::Rng;

/// What every token begins with, so that scanners find those that leaked.
pub const PREFIX: &str = "dgb_";
/// Characters of a token.
const LENGTH: usize = 47;

/// A token as it is shown once. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenText(String);

impl TokenText {
    /// A new one.
    pub fn mint(rng: &dyn Rng) -> Self {
        let mut chance = [0; 32];
        chance[..16].copy_from_slice(&rng.bytes());
        chance[16..].copy_from_slice(&rng.bytes());
        Self(format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(chance)))
    }

    /// What somebody showed, if it can be a token.
    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix(PREFIX)?;
        let fits = text.len() == LENGTH && URL_SAFE_NO_PAD.decode(rest).is_ok();
        fits.then(|| Self(text.to_string()))
    }

    /// What is kept of it.
    pub fn hash(&self) -> Sha256Digest {
        Sha256Digest::of(self.0.as_bytes())
    }

    /// The token itself, to be shown once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for TokenText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TokenText(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);

    impl Rng for Counting {
        fn bytes(&self) -> [u8; 16] {
            [self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed); 16]
        }
    }

    #[test]
    fn a_token_is_read_back_and_nothing_else_is_one() {
        let token = TokenText::mint(&Counting(7.into()));
        assert_eq!(TokenText::parse(token.reveal()), Some(token.clone()));
        assert_eq!(token.reveal().len(), LENGTH);
        assert!(!format!("{token:?}").contains("BwcH"), "{token:?}");
        let longer = format!("{}A", token.reveal());
        for text in ["", "dgb_", "dgb_!", &longer, &token.reveal()[4..], &longer[1..]] {
            assert_eq!(TokenText::parse(text), None, "{text}");
        }
    }
}
