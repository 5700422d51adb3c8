//! What cards, contracts, skus and periods may be called. Names become parts of file names and of
//! ids that are hashed, so they are plain.

fn plain(text: &str, more: &[u8], first_too: bool) -> bool {
    let base = |c: u8| {
        c.is_ascii_lowercase() || c.is_ascii_digit() || (first_too && c.is_ascii_uppercase())
    };
    let bytes = text.as_bytes();
    let first = bytes.first().is_some_and(|c| base(*c));
    first && bytes.len() <= 63 && bytes.iter().all(|c| base(*c) || more.contains(c))
}

/// `[a-z0-9][a-z0-9-]{0,62}`: of rate cards, contracts, discounts, credits and budgets.
pub fn is_name(text: &str) -> bool {
    plain(text, b"-", false)
}

/// `[a-z0-9][a-z0-9._-]{0,62}`.
pub fn is_sku(text: &str) -> bool {
    plain(text, b"._-", false)
}

/// `[A-Za-z0-9][A-Za-z0-9._-]{0,62}`.
pub fn is_period_name(text: &str) -> bool {
    plain(text, b"._-", true)
}
