//! Pages of long lists, and the sealed cursors between them.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Rng, Shelf, ShelfAnswer, ShelfExpected};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Problem;
use crate::app::error::AppError;
use crate::app::principal::SITE_TENANT;

/// Items of a page where the request does not say.
const PAGE_USUAL: usize = 50;
/// Most items of a page.
const PAGE_MAX: usize = 500;
/// Bytes of a cursor's seal.
const SEAL: usize = 16;
/// Longest cursor that is looked at.
const CURSOR_MAX: usize = 1_024;
/// Where servers that share a store find their common key.
const KEY_ON_SHELF: &str = "http/cursor-key";

/// Which page.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// `next` of the page before.
    #[param(max_length = 1024)]
    pub cursor: Option<String>,
    /// At most so many items; the default is 50.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
}

impl PageQuery {
    /// Items wanted.
    pub fn limit(&self) -> Result<usize, Problem> {
        page_limit(self.limit)
    }
}

/// Items wanted, by a query's `limit`.
pub fn page_limit(limit: Option<usize>) -> Result<usize, Problem> {
    match limit {
        None => Ok(PAGE_USUAL),
        Some(limit @ 1..=PAGE_MAX) => Ok(limit),
        Some(limit) => {
            Err(Problem::invalid(format!("`limit` is from 1 to {PAGE_MAX}, not {limit}")))
        }
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the page behind it; none: this was the last one.
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// A page, and what its successor begins behind.
    pub fn new(items: Vec<T>, next: Option<String>) -> Self {
        Self { items, next }
    }
}

/// What a cursor is for. Part of what is sealed, so that a cursor of one list or tenant is none
/// of another.
#[derive(Debug, Clone, Copy)]
pub struct Cursor<'a> {
    /// The list, with whatever it is filtered by.
    pub list: &'a str,
    /// Whose list it is.
    pub tenant: &'a TenantId,
}

/// Seals cursors.
#[derive(Clone)]
pub struct CursorKey(std::sync::Arc<hmac::Key>);

impl CursorKey {
    /// The key of these bytes.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(std::sync::Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// The key that all servers of a store share; made on first use.
    pub async fn load(shelf: &dyn Shelf, rng: &dyn Rng) -> Result<Self, AppError> {
        let site = TenantId::new(SITE_TENANT).map_err(|e| AppError::Internal(e.to_string()))?;
        let mut fresh = [0; 32];
        fresh[..16].copy_from_slice(&rng.bytes());
        fresh[16..].copy_from_slice(&rng.bytes());
        if let Some(item) = shelf.get(&site, KEY_ON_SHELF).await? {
            return Self::kept(&item.value);
        }
        match shelf.put(&site, KEY_ON_SHELF, &fresh, ShelfExpected::New, None).await? {
            ShelfAnswer::Kept(_) => Ok(Self::new(&fresh)),
            ShelfAnswer::Differs(Some(item)) => Self::kept(&item.value),
            ShelfAnswer::Differs(None) => Err(AppError::unavailable("the key of cursors moved")),
        }
    }

    fn kept(value: &[u8]) -> Result<Self, AppError> {
        let secret: &[u8; 32] = value
            .try_into()
            .map_err(|_| AppError::Damaged(format!("`{KEY_ON_SHELF}` is not a key")))?;
        Ok(Self::new(secret))
    }

    /// A cursor to what comes behind `place`.
    pub fn seal(&self, of: Cursor<'_>, place: &str) -> String {
        let mut bytes = self.tag(of, place).as_ref()[..SEAL].to_vec();
        bytes.extend_from_slice(place.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The place of a cursor of this list.
    pub fn open(&self, of: Cursor<'_>, cursor: &str) -> Result<String, Problem> {
        let place = || {
            let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
            let (seal, place) = bytes.split_at_checked(SEAL)?;
            let place = std::str::from_utf8(place).ok()?;
            let wanted = self.tag(of, place);
            let is_ours = subtle::ConstantTimeEq::ct_eq(&wanted.as_ref()[..SEAL], seal);
            bool::from(is_ours).then(|| place.to_string())
        };
        let place = if cursor.len() <= CURSOR_MAX { place() } else { None };
        place.ok_or_else(|| {
            Problem::invalid("`cursor` is none of this list")
                .hint("take `next` of the page before, with the same filters")
        })
    }

    fn tag(&self, of: Cursor<'_>, place: &str) -> hmac::Tag {
        let text = format!("{}\n{}\n{place}", of.tenant, of.list);
        hmac::sign(&self.0, text.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_list_and_tenant_alone() {
        let key = CursorKey::new(&[7; 32]);
        let (ada, bob) = (TenantId::new("ada").expect("a slug"), TenantId::new("bob").expect("b"));
        let of = Cursor { list: "runs?status=open", tenant: &ada };
        let sealed = key.seal(of, "run/1");
        assert_eq!(key.open(of, &sealed).expect("ours"), "run/1");
        for other in [
            Cursor { list: "runs", tenant: &ada },
            Cursor { list: "runs?status=open", tenant: &bob },
        ] {
            assert_eq!(key.open(other, &sealed).expect_err("not ours").body.status, 400);
        }
        let changed = format!("A{}", &sealed[1..]);
        for forged in ["", "AA", "!", &changed, &"A".repeat(5_000)] {
            assert!(key.open(of, forged).is_err(), "{forged}");
        }
        assert!(CursorKey::new(&[8; 32]).open(of, &sealed).is_err());
    }
}
