//! Who may act for a tenant: tokens by the digests of what they are, and people by what their
//! identity provider calls them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::words::{check_name, check_reason};
use super::{Refusal, Scopes};
use crate::access::Role;
use crate::aggregate::Aggregate;
use crate::digest::Sha256Digest;
use crate::recorded::recorded_events;
use crate::time::{Millis, Timestamp};

/// The stream of a tenant's tokens and people.
pub const ACCESS_STREAM: &str = "access";
/// The most tokens of a tenant that can be used.
pub const TOKENS_MAX: usize = 1_000;
/// Tokens that can no longer be used and are still listed, the latest ones.
pub const KEPT_REVOKED: usize = 200;
/// The most people of a tenant.
pub const PEOPLE_MAX: usize = 5_000;
/// The longest life of a token: ten years.
pub const LIFETIME_MAX: Millis = Millis::seconds(10 * 365 * 24 * 3_600);
/// The longest that the old and the new value of a rotated token both work: 30 days.
pub const OVERLAP_MAX: Millis = Millis::seconds(30 * 24 * 3_600);

/// A token as its events left it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenRecord {
    /// SHA-256 of the value that works.
    pub hash: Sha256Digest,
    /// The value before, and until when it works as well.
    pub previous: Option<(Sha256Digest, Timestamp)>,
    /// What people call it.
    pub name: String,
    /// What whoever shows it is.
    pub role: Role,
    /// What it is narrowed to.
    pub scopes: Scopes,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// When its value was last changed.
    pub rotated_at: Option<Timestamp>,
    /// From when on it does not work any more.
    pub expires_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

/// What a token is worth at an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// It works.
    Active,
    /// Its time is over.
    Expired,
    /// It was revoked.
    Revoked,
}

impl TokenRecord {
    /// What it is worth at that instant.
    pub fn state_at(&self, now: Timestamp) -> TokenState {
        match (self.revoked_at, self.expires_at) {
            (Some(_), _) => TokenState::Revoked,
            (None, Some(end)) if end <= now => TokenState::Expired,
            _ => TokenState::Active,
        }
    }
}

/// A person as the events left them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRecord {
    /// What they are called.
    pub name: String,
    /// What they are.
    pub role: Role,
    /// Since when.
    pub since: Timestamp,
}

/// A tenant's tokens and people.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Access {
    /// By their ids, which ascend with the time of issue.
    pub tokens: BTreeMap<String, TokenRecord>,
    /// By issuer and subject.
    pub people: BTreeMap<(String, String), PersonRecord>,
}

/// A token was issued.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenIssued {
    /// Its id.
    pub token: String,
    /// SHA-256 of its value.
    pub hash: Sha256Digest,
    /// What people call it.
    pub name: String,
    /// What whoever shows it is.
    pub role: Role,
    /// What it is narrowed to.
    #[serde(default, skip_serializing_if = "Scopes::is_whole")]
    pub scopes: Scopes,
    /// From when on it does not work any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A token was given a new value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRotated {
    /// Its id.
    pub token: String,
    /// SHA-256 of the new value.
    pub hash: Sha256Digest,
    /// Until when the old value works as well.
    pub overlap_until: Timestamp,
    /// From when on it does not work any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// A token works no more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRevoked {
    /// Its id.
    pub token: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A person was given a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonSet {
    /// Who says who they are: the issuer of the identity provider.
    pub issuer: String,
    /// What it calls them.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// What they are.
    pub role: Role,
}

/// A person's role was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PersonRemoved {
    /// The issuer of the identity provider.
    pub issuer: String,
    /// What it calls them.
    pub subject: String,
}

recorded_events!(
    /// What can happen to tokens and people.
    AccessEvent {
        /// A token was issued.
        Issued(TokenIssued) = "token.issued",
        /// A token was given a new value.
        Rotated(TokenRotated) = "token.rotated",
        /// A token was revoked.
        Revoked(TokenRevoked) = "token.revoked",
        /// A person was given a role.
        PersonSet(PersonSet) = "person.set",
        /// A person's role was taken away.
        PersonRemoved(PersonRemoved) = "person.removed",
    }
);

impl Aggregate for Access {
    type Event = AccessEvent;

    fn apply(&mut self, at: Timestamp, event: &AccessEvent) {
        match event {
            AccessEvent::Issued(issued) => {
                let record = TokenRecord {
                    hash: issued.hash,
                    previous: None,
                    name: issued.name.clone(),
                    role: issued.role,
                    scopes: issued.scopes.clone(),
                    issued_at: at,
                    rotated_at: None,
                    expires_at: issued.expires_at,
                    revoked_at: None,
                };
                self.tokens.insert(issued.token.clone(), record);
            }
            AccessEvent::Rotated(rotated) => {
                if let Some(token) = self.tokens.get_mut(&rotated.token) {
                    token.previous = Some((token.hash, rotated.overlap_until));
                    token.hash = rotated.hash;
                    token.rotated_at = Some(at);
                    token.expires_at = rotated.expires_at;
                }
            }
            AccessEvent::Revoked(revoked) => {
                if let Some(token) = self.tokens.get_mut(&revoked.token) {
                    token.revoked_at = Some(at);
                    token.previous = None;
                }
                self.forget_oldest();
            }
            AccessEvent::PersonSet(set) => {
                let (name, role) = (set.name.clone(), set.role);
                let key = (set.issuer.clone(), set.subject.clone());
                self.people.insert(key, PersonRecord { name, role, since: at });
            }
            AccessEvent::PersonRemoved(removed) => {
                self.people.remove(&(removed.issuer.clone(), removed.subject.clone()));
            }
        }
    }
}

impl Access {
    /// What was revoked long ago is in the record, and not in memory for ever.
    fn forget_oldest(&mut self) {
        let mut revoked: Vec<(Timestamp, String)> = self
            .tokens
            .iter()
            .filter_map(|(id, token)| Some((token.revoked_at?, id.clone())))
            .collect();
        if revoked.len() > KEPT_REVOKED {
            revoked.sort();
            self.tokens.remove(&revoked[0].1);
        }
    }

    /// Tokens that work at that instant.
    pub fn active(&self, now: Timestamp) -> impl Iterator<Item = (&str, &TokenRecord)> {
        let active = self.tokens.iter().filter(move |(_, t)| t.state_at(now) == TokenState::Active);
        active.map(|(id, token)| (id.as_str(), token))
    }

    /// Whether some token other than this one works now as an admin, without any narrowing. It may
    /// expire later: a site whose tokens all expire must be able to revoke each of them.
    fn has_other_admin(&self, now: Timestamp, but: &str) -> bool {
        self.active(now)
            .any(|(id, token)| id != but && token.role == Role::Admin && token.scopes.is_whole())
    }
}

/// Who gives something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grantor {
    /// What they are.
    pub role: Role,
    /// What their own token is narrowed to.
    pub scopes: Scopes,
}

impl Grantor {
    /// Someone whose token is not narrowed.
    pub fn whole(role: Role) -> Self {
        Self { role, scopes: Scopes::default() }
    }

    fn check(&self, role: Role, is_site: bool) -> Result<(), Refusal> {
        if !self.role.may_grant(role) {
            return Err(Refusal::Forbidden(format!(
                "the role `{}` cannot be given by someone whose role is `{}`",
                role.as_str(),
                self.role.as_str()
            )));
        }
        if !self.scopes.is_whole() {
            return Err(Refusal::Forbidden(
                "a token that is narrowed by scopes cannot let others in".to_string(),
            ));
        }
        if role == Role::Admin && !is_site {
            return Err(Refusal::Invalid(format!(
                "the role `admin` is of the site: give it in the tenant `{}`",
                super::SITE
            )));
        }
        Ok(())
    }
}

/// A token to be issued. Its value was made by whoever asks, who alone knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueToken {
    /// Its new id.
    pub token: String,
    /// SHA-256 of its value.
    pub hash: Sha256Digest,
    /// What people call it.
    pub name: String,
    /// What whoever shows it is.
    pub role: Role,
    /// What it is narrowed to.
    pub scopes: Scopes,
    /// From when on it does not work any more.
    pub expires_at: Option<Timestamp>,
}

/// A token to be given a new value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RotateToken {
    /// Its id.
    pub token: String,
    /// SHA-256 of its new value.
    pub hash: Sha256Digest,
    /// How long the old value works as well.
    pub overlap: Millis,
    /// From when on it does not work any more; none: as before.
    pub expires_at: Option<Timestamp>,
}

/// What is asked of a tenant's access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessCommand {
    /// A new token.
    Issue(IssueToken),
    /// A new value for a token.
    Rotate(RotateToken),
    /// A token shall not work any more.
    Revoke {
        /// Its id.
        token: String,
        /// Why.
        reason: Option<String>,
    },
    /// A person shall have a role.
    SetPerson(PersonSet),
    /// A person shall have no role any more.
    RemovePerson(PersonRemoved),
}

/// Decides. `is_site` says that it is the tenant of the site itself.
///
/// # Errors
/// Where it is refused, with the reason.
pub fn decide_access(
    state: &Access,
    now: Timestamp,
    is_site: bool,
    by: &Grantor,
    command: &AccessCommand,
) -> Result<Vec<AccessEvent>, Refusal> {
    match command {
        AccessCommand::Issue(issue) => issue_token(state, now, is_site, by, issue),
        AccessCommand::Rotate(rotate) => rotate_token(state, now, is_site, by, rotate),
        AccessCommand::Revoke { token, reason } => {
            revoke_token(state, now, is_site, by, token, reason.as_deref())
        }
        AccessCommand::SetPerson(person) => set_person(state, is_site, by, person),
        AccessCommand::RemovePerson(person) => {
            let there = state.people.get(&(person.issuer.clone(), person.subject.clone()));
            let there = there.ok_or_else(|| missing("person", &person.subject))?;
            by.check(there.role, is_site)?;
            Ok(vec![AccessEvent::PersonRemoved(person.clone())])
        }
    }
}

fn missing(what: &'static str, name: &str) -> Refusal {
    Refusal::Missing { what, name: name.chars().take(100).collect() }
}

fn check_expiry(now: Timestamp, expires_at: Option<Timestamp>) -> Result<(), Refusal> {
    let Some(end) = expires_at else { return Ok(()) };
    if end <= now {
        return Err(Refusal::Invalid(format!("{end} is not in the future: now it is {now}")));
    }
    if end > now + LIFETIME_MAX {
        return Err(Refusal::Invalid(format!("a token works for at most {LIFETIME_MAX}")));
    }
    Ok(())
}

fn issue_token(
    state: &Access,
    now: Timestamp,
    is_site: bool,
    by: &Grantor,
    issue: &IssueToken,
) -> Result<Vec<AccessEvent>, Refusal> {
    by.check(issue.role, is_site)?;
    check_name("the name of a token", &issue.name)?;
    issue.scopes.check()?;
    check_expiry(now, issue.expires_at)?;
    if state.tokens.contains_key(&issue.token) {
        return Err(Refusal::Conflict(format!("there is a token `{}` already", issue.token)));
    }
    if state.active(now).any(|(_, token)| token.name == issue.name) {
        return Err(Refusal::Conflict(format!(
            "there is a token named `{}` already; rotate it, revoke it, or choose another name",
            issue.name
        )));
    }
    // Also what has expired, or a tenant could let its record's fold grow without an end.
    let kept = state.tokens.values().filter(|token| token.revoked_at.is_none()).count();
    if kept >= TOKENS_MAX {
        return Err(Refusal::Full {
            limit: "tokens",
            reason: format!(
                "a tenant has at most {TOKENS_MAX} tokens, and there are as many: revoke those \
                 that are not used"
            ),
        });
    }
    let issue = issue.clone();
    Ok(vec![AccessEvent::Issued(TokenIssued {
        token: issue.token,
        hash: issue.hash,
        name: issue.name,
        role: issue.role,
        scopes: issue.scopes,
        expires_at: issue.expires_at,
    })])
}

fn rotate_token(
    state: &Access,
    now: Timestamp,
    is_site: bool,
    by: &Grantor,
    rotate: &RotateToken,
) -> Result<Vec<AccessEvent>, Refusal> {
    let token = state.tokens.get(&rotate.token).ok_or_else(|| missing("token", &rotate.token))?;
    by.check(token.role, is_site)?;
    match token.state_at(now) {
        TokenState::Active => {}
        TokenState::Expired => {
            return Err(Refusal::Conflict("the token has expired; issue a new one".to_string()));
        }
        TokenState::Revoked => {
            return Err(Refusal::Conflict("the token was revoked; issue a new one".to_string()));
        }
    }
    if rotate.overlap > OVERLAP_MAX {
        return Err(Refusal::Invalid(format!(
            "the old value of a token works for at most {OVERLAP_MAX} beside the new one"
        )));
    }
    check_expiry(now, rotate.expires_at)?;
    Ok(vec![AccessEvent::Rotated(TokenRotated {
        token: rotate.token.clone(),
        hash: rotate.hash,
        overlap_until: now + rotate.overlap,
        expires_at: rotate.expires_at.or(token.expires_at),
    })])
}

fn revoke_token(
    state: &Access,
    now: Timestamp,
    is_site: bool,
    by: &Grantor,
    id: &str,
    reason: Option<&str>,
) -> Result<Vec<AccessEvent>, Refusal> {
    check_reason(reason)?;
    let token = state.tokens.get(id).ok_or_else(|| missing("token", id))?;
    if !by.role.may_grant(token.role) {
        return Err(Refusal::Forbidden(format!(
            "a token of the role `{}` cannot be revoked by someone whose role is `{}`",
            token.role.as_str(),
            by.role.as_str()
        )));
    }
    if token.revoked_at.is_some() {
        return Ok(Vec::new());
    }
    let was_admin = token.state_at(now) == TokenState::Active
        && token.role == Role::Admin
        && token.scopes.is_whole();
    if is_site && was_admin && !state.has_other_admin(now, id) {
        return Err(Refusal::Conflict(
            "this is the last admin token that works: issue another one first, or nobody could \
             administer the site"
                .to_string(),
        ));
    }
    let reason = reason.map(str::to_string);
    Ok(vec![AccessEvent::Revoked(TokenRevoked { token: id.to_string(), reason })])
}

fn set_person(
    state: &Access,
    is_site: bool,
    by: &Grantor,
    person: &PersonSet,
) -> Result<Vec<AccessEvent>, Refusal> {
    by.check(person.role, is_site)?;
    check_name("the name of a person", &person.name)?;
    let fits =
        |text: &str| !text.is_empty() && text.len() <= 255 && !text.chars().any(char::is_control);
    if !fits(&person.issuer) || !fits(&person.subject) {
        return Err(Refusal::Invalid(
            "an issuer and a subject have 1 to 255 bytes, without control characters".to_string(),
        ));
    }
    let key = (person.issuer.clone(), person.subject.clone());
    let before = state.people.get(&key);
    if before.is_none() && state.people.len() >= PEOPLE_MAX {
        let reason = format!("a tenant has at most {PEOPLE_MAX} people, and there are as many");
        return Err(Refusal::Full { limit: "people", reason });
    }
    let same = before.is_some_and(|was| was.name == person.name && was.role == person.role);
    Ok((!same).then(|| AccessEvent::PersonSet(person.clone())).into_iter().collect())
}
