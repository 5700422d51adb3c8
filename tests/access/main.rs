//! Who may do what, against the API itself: every operation with every role, tokens that do not
//! work, other tenants' names; secrets that show nowhere; login by an identity provider.

mod directory;
mod login;
mod provider;
mod roles;
mod secrets;
mod site;
