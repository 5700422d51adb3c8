//! What may be let go, and when: the policy of a site and of each tenant, holds that stop it, and
//! what went. Events themselves are never deleted; what is decided here is about logs, content,
//! cached results and keys, and about when events leave the store for the tiles.
//!
//! Each tenant has a stream `retention`; that of the tenant `site` holds the site's own policy.

mod decide;
mod event;
mod policy;

pub use decide::{Stays, blob_may_go, logs_may_go};
pub use event::{
    Applied, HoldLifted, HoldPlaced, PolicySet, Retention, RetentionCommand, RetentionEvent,
    RetentionRefusal, decide,
};
pub use policy::{Effective, MAX_DAYS, Policy};

/// The stream of a tenant's retention.
pub const RETENTION_STREAM: &str = "retention";
