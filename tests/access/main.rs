//! Who may do what, against the API itself: every operation with every role, tokens that do not
//! work, other tenants' names; secrets that show nowhere; login by an identity provider; bounds on
//! what strangers and friends can ask for; and the description held against what is answered.

mod audit;
mod bounds;
mod description;
mod directory;
mod followers;
mod login;
mod provider;
mod roles;
mod samples;
mod secrets;
mod site;

/// Whether there is time to look long.
fn deep() -> bool {
    std::env::var("DAGBOOK_DEEP").is_ok_and(|value| value == "1")
}
