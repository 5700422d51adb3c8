//! Tenants: what they are called and may use, who may act for them, and which secrets they keep.
//!
//! Three aggregates, each the fold of one stream of the tenant: [`Tenant`] of `tenant`,
//! [`Access`] of `access`, [`Secrets`] of `secrets`. Deciders refuse with a [`Refusal`]; time,
//! ids and digests arrive in commands.

mod access;
mod refusal;
mod scopes;
mod secrets;
mod settings;
mod words;

pub use access::{
    ACCESS_STREAM, Access, AccessCommand, AccessEvent, Grantor, IssueToken, KEPT_REVOKED,
    LIFETIME_MAX, OVERLAP_MAX, PEOPLE_MAX, PersonRecord, PersonRemoved, PersonSet, RotateToken,
    TOKENS_MAX, TokenIssued, TokenRecord, TokenRevoked, TokenRotated, TokenState, decide_access,
};
pub use refusal::Refusal;
pub use scopes::{SCOPED_PIPELINES_MAX, Scopes};
pub use secrets::{
    SECRET_VALUE_MAX, SECRETS_MAX, SECRETS_STREAM, SecretCommand, SecretEvent, SecretRecord,
    SecretRemoved, SecretSet, Secrets, check_secret_name, decide_secret,
};
pub use settings::{
    LABELS_MAX, QuotaSet, SITE, TENANT_STREAM, Tenant, TenantChanged, TenantCommand, TenantCreated,
    TenantEvent, TenantResumed, TenantSuspended, decide_tenant,
};
