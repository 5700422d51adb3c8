//! What may happen to tenants, tokens, people and secrets, and what is refused.

use std::collections::BTreeSet;

use dagbook_events::access::{Permission, Role};
use dagbook_events::admission::Quota;
use dagbook_events::aggregate::{Aggregate, AggregateEvent};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::tenant::*;
use dagbook_events::time::{Millis, Timestamp};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_767_225_600_000);

fn whole(role: Role) -> Grantor {
    Grantor::whole(role)
}

fn wanted(n: u8, role: Role) -> IssueToken {
    IssueToken {
        token: format!("t{n}"),
        hash: Sha256Digest::of(&[n]),
        name: format!("token {n}"),
        role,
        scopes: Scopes::default(),
        expires_at: None,
    }
}

struct Site(Access, bool);

impl Site {
    fn decide(&mut self, by: &Grantor, command: AccessCommand) -> Result<usize, Refusal> {
        self.decide_at(NOW, by, command)
    }

    fn decide_at(
        &mut self,
        now: Timestamp,
        by: &Grantor,
        command: AccessCommand,
    ) -> Result<usize, Refusal> {
        let events = decide_access(&self.0, now, self.1, by, &command)?;
        events.iter().for_each(|event| self.0.apply(now, event));
        Ok(events.len())
    }

    fn issue(&mut self, n: u8, role: Role) {
        self.decide(&whole(Role::Admin), AccessCommand::Issue(wanted(n, role))).expect("issued");
    }

    fn revoke(&mut self, n: u8) -> Result<usize, Refusal> {
        let revoke = AccessCommand::Revoke { token: format!("t{n}"), reason: None };
        self.decide(&whole(Role::Admin), revoke)
    }
}

#[test]
fn the_last_admin_token_cannot_be_revoked() {
    let mut site = Site(Access::default(), true);
    site.issue(1, Role::Admin);
    site.issue(2, Role::Viewer);
    assert!(matches!(site.revoke(1), Err(Refusal::Conflict(_))));
    let mut narrow = wanted(3, Role::Admin);
    narrow.scopes.permissions = Some(BTreeSet::from([Permission::ReadRuns]));
    site.decide(&whole(Role::Admin), AccessCommand::Issue(narrow)).expect("issued");
    assert!(site.revoke(1).is_err(), "one that is narrowed administers nothing");
    let mut brief = wanted(4, Role::Admin);
    brief.expires_at = Some(NOW + Millis(5));
    site.decide(&whole(Role::Admin), AccessCommand::Issue(brief)).expect("issued");
    let late = AccessCommand::Revoke { token: "t1".to_string(), reason: None };
    assert!(site.decide_at(NOW + Millis(5), &whole(Role::Admin), late).is_err(), "it expired");
    site.issue(5, Role::Admin);
    assert_eq!(site.revoke(1), Ok(1));
    assert_eq!(site.revoke(1), Ok(0), "asked again, nothing happens");
    assert!(matches!(site.revoke(9), Err(Refusal::Missing { what: "token", .. })));
}

#[test]
fn nobody_gives_what_they_may_not() {
    let mut acme = Site(Access::default(), false);
    let issue = |n, role| AccessCommand::Issue(wanted(n, role));
    let forbidden = |answer| matches!(answer, Err(Refusal::Forbidden(_)));
    assert!(forbidden(acme.decide(&whole(Role::Maintainer), issue(1, Role::Viewer))));
    assert!(forbidden(acme.decide(&whole(Role::Owner), issue(1, Role::Admin))));
    let of_site = acme.decide(&whole(Role::Admin), issue(1, Role::Admin));
    assert!(matches!(of_site, Err(Refusal::Invalid(_))), "an admin is of the site");
    let narrow = Scopes {
        permissions: Some(BTreeSet::from([Permission::ManageTokens])),
        ..Scopes::default()
    };
    let narrow = Grantor { role: Role::Owner, scopes: narrow };
    assert!(forbidden(acme.decide(&narrow, issue(1, Role::Viewer))));
    acme.decide(&whole(Role::Owner), issue(1, Role::Owner)).expect("an owner makes owners");
    let mut site = Site(Access::default(), true);
    site.issue(1, Role::Admin);
    site.issue(2, Role::Admin);
    let revoke = AccessCommand::Revoke { token: "t1".to_string(), reason: None };
    assert!(forbidden(site.decide(&whole(Role::Owner), revoke)), "an owner ends no admin");
}

#[test]
fn tokens_make_sense_or_are_refused() {
    let mut acme = Site(Access::default(), false);
    let owner = whole(Role::Owner);
    type Change = fn(&mut IssueToken);
    let change: [(&str, Change); 9] = [
        ("not in the future", |t| t.expires_at = Some(NOW)),
        ("at most", |t| t.expires_at = Some(NOW + LIFETIME_MAX + Millis(1))),
        ("1 to 100", |t| t.name = String::new()),
        ("1 to 100", |t| t.name = "x".repeat(101)),
        ("control", |t| t.name = "a\nb".to_string()),
        ("blanks", |t| t.name = " a".to_string()),
        ("no permission", |t| t.scopes.permissions = Some(BTreeSet::new())),
        ("pipelines", |t| t.scopes.pipelines = Some(BTreeSet::new())),
        ("pipelines", |t| {
            t.scopes.pipelines = Some((0..=SCOPED_PIPELINES_MAX).map(|n| n.to_string()).collect());
        }),
    ];
    for (part, change) in change {
        let mut token = wanted(1, Role::Viewer);
        change(&mut token);
        let refused = acme.decide(&owner, AccessCommand::Issue(token)).expect_err(part);
        assert!(matches!(&refused, Refusal::Invalid(why) if why.contains(part)), "{refused}");
    }
    acme.issue(1, Role::Viewer);
    let mut same_name = wanted(2, Role::Viewer);
    same_name.name = "token 1".to_string();
    let taken = acme.decide(&owner, AccessCommand::Issue(same_name.clone()));
    assert!(matches!(taken, Err(Refusal::Conflict(_))));
    acme.revoke(1).expect("revoked");
    acme.decide(&owner, AccessCommand::Issue(same_name)).expect("the name is free again");
}

#[test]
fn there_are_only_so_many_tokens_and_revoked_ones_are_forgotten() {
    let mut access = Access::default();
    let owner = whole(Role::Owner);
    let issue = |n: usize| {
        AccessCommand::Issue(IssueToken {
            token: format!("t{n:05}"),
            hash: Sha256Digest::of(&n.to_be_bytes()),
            name: format!("token {n}"),
            role: Role::Viewer,
            scopes: Scopes::default(),
            expires_at: None,
        })
    };
    let apply = |access: &mut Access, at, command| -> Result<(), Refusal> {
        for event in decide_access(access, at, false, &owner, &command)? {
            access.apply(at, &event);
        }
        Ok(())
    };
    for n in 0..TOKENS_MAX {
        apply(&mut access, NOW, issue(n)).expect("issued");
    }
    let full = apply(&mut access, NOW, issue(TOKENS_MAX)).expect_err("full");
    assert!(matches!(full, Refusal::Full { limit: "tokens", .. }), "{full}");
    for n in 0..KEPT_REVOKED + 10 {
        let revoke = AccessCommand::Revoke { token: format!("t{n:05}"), reason: None };
        apply(&mut access, NOW + Millis(n as u64), revoke).expect("revoked");
    }
    assert_eq!(access.tokens.len(), TOKENS_MAX - 10);
    assert!(!access.tokens.contains_key("t00009") && access.tokens.contains_key("t00010"));
    apply(&mut access, NOW, issue(TOKENS_MAX)).expect("there is room again");
}

#[test]
fn both_values_of_a_rotated_token_work_for_a_while() {
    let mut acme = Site(Access::default(), false);
    acme.issue(1, Role::Viewer);
    let rotate = |overlap| {
        let hash = Sha256Digest::of(b"new");
        AccessCommand::Rotate(RotateToken {
            token: "t1".to_string(),
            hash,
            overlap,
            expires_at: None,
        })
    };
    let owner = whole(Role::Owner);
    assert!(acme.decide(&owner, rotate(Millis(OVERLAP_MAX.0 + 1))).is_err());
    acme.decide(&owner, rotate(Millis::seconds(60))).expect("rotated");
    let token = &acme.0.tokens["t1"];
    assert_eq!(token.hash, Sha256Digest::of(b"new"));
    assert_eq!(token.previous, Some((Sha256Digest::of(&[1]), NOW + Millis::seconds(60))));
    acme.revoke(1).expect("revoked");
    assert_eq!(acme.0.tokens["t1"].previous, None, "revoking ends both");
    assert!(matches!(acme.decide(&owner, rotate(Millis(0))), Err(Refusal::Conflict(_))));
}

#[test]
fn tenants_are_created_once_and_changes_are_what_differs() {
    let created = |zone: &str| {
        TenantCommand::Create(TenantCreated {
            display_name: "Acme".to_string(),
            timezone: zone.to_string(),
            labels: Default::default(),
        })
    };
    let mut acme = Tenant::default();
    fn decide(state: &Tenant, command: &TenantCommand) -> Result<Vec<TenantEvent>, Refusal> {
        decide_tenant(state, "acme", false, command)
    }
    assert!(matches!(decide(&acme, &TenantCommand::Resume), Err(Refusal::Missing { .. })));
    assert!(decide(&acme, &created("Mars/Olympus")).is_err());
    assert!(decide_tenant(&acme, SITE, true, &created("UTC")).is_err());
    let apply = |state: &mut Tenant, command: TenantCommand| {
        let events = decide(state, &command).expect("decided");
        events.iter().for_each(|event| state.apply(NOW, event));
        events.len()
    };
    assert_eq!(apply(&mut acme, created("Europe/Berlin")), 1);
    assert!(matches!(decide(&acme, &created("UTC")), Err(Refusal::Conflict(_))));
    let same = TenantChanged { display_name: Some("Acme".to_string()), ..Default::default() };
    assert_eq!(apply(&mut acme, TenantCommand::Change(same)), 0);
    assert_eq!(apply(&mut acme, TenantCommand::Suspend(Some("unpaid".to_string()))), 1);
    assert_eq!(apply(&mut acme, TenantCommand::Suspend(None)), 0, "it is already");
    assert_eq!(acme.suspended, Some((NOW, Some("unpaid".to_string()))));
    assert_eq!(apply(&mut acme, TenantCommand::Resume), 1);
    let none = Quota { weight: Some(0), ..Quota::default() };
    assert!(matches!(decide(&acme, &TenantCommand::SetQuota(none)), Err(Refusal::Invalid(_))));
    let quota = Quota { attempts: Some(3), ..Quota::default() };
    assert_eq!(apply(&mut acme, TenantCommand::SetQuota(quota)), 1);
    assert_eq!((acme.quota, apply(&mut acme, TenantCommand::SetQuota(quota))), (quota, 0));
    let suspend = TenantCommand::Suspend(None);
    assert!(decide_tenant(&Tenant::default(), SITE, true, &suspend).is_err());
}

#[test]
fn a_version_of_a_secret_is_never_used_twice() {
    let mut secrets = Secrets::default();
    let set = |bytes| SecretCommand::Set { name: "db".to_string(), bytes };
    let remove = SecretCommand::Remove { name: "db".to_string() };
    assert!(decide_secret(&secrets, &remove).is_err());
    for bytes in [0, SECRET_VALUE_MAX + 1] {
        assert!(decide_secret(&secrets, &set(bytes)).is_err());
    }
    for (n, command) in [set(1), remove.clone(), set(1)].iter().enumerate() {
        let event = decide_secret(&secrets, command).expect("decided");
        secrets.apply(NOW, &event);
        assert_eq!(secrets.by_name["db"].version, n as u64 + 1);
    }
    for name in ["", "../etc", "a b", "-a", &"x".repeat(128)] {
        let set = SecretCommand::Set { name: name.to_string(), bytes: 1 };
        assert!(decide_secret(&secrets, &set).is_err(), "{name}");
    }
    for n in 1..SECRETS_MAX {
        let set = SecretCommand::Set { name: format!("s{n}"), bytes: 1 };
        secrets.apply(NOW, &decide_secret(&secrets, &set).expect("there is room"));
    }
    let more = SecretCommand::Set { name: "more".to_string(), bytes: 1 };
    assert!(matches!(decide_secret(&secrets, &more), Err(Refusal::Full { .. })));
    assert!(decide_secret(&secrets, &set(1)).is_ok(), "what is there can be set again");
}

#[derive(Debug, Clone)]
enum Ask {
    Issue(u8, Role, Option<u64>),
    Rotate(u8, u64),
    Revoke(u8),
    Wait(u64),
}

fn asks() -> impl Strategy<Value = Vec<(Role, Ask)>> {
    let role = || prop::sample::select(Role::ALL.to_vec());
    let ask = prop_oneof![
        (any::<u8>(), role(), prop::option::of(1..5_000u64))
            .prop_map(|(n, role, lasting)| Ask::Issue(n % 12, role, lasting)),
        (any::<u8>(), 0..5_000u64).prop_map(|(n, overlap)| Ask::Rotate(n % 12, overlap)),
        any::<u8>().prop_map(|n| Ask::Revoke(n % 12)),
        (0..3_000u64).prop_map(Ask::Wait),
    ];
    prop::collection::vec((role(), ask), 1..80)
}

fn admins_at(access: &Access, now: Timestamp) -> usize {
    access
        .active(now)
        .filter(|(_, token)| token.role == Role::Admin && token.scopes.is_whole())
        .count()
}

proptest! {
    #[test]
    fn no_decision_takes_the_last_admin_away_and_the_record_gives_the_same_state(asks in asks()) {
        let mut access = Access::default();
        let mut folded = Access::default();
        let mut now = NOW;
        let first = AccessCommand::Issue(wanted(200, Role::Admin));
        for event in decide_access(&access, now, true, &whole(Role::Admin), &first).expect("first") {
            access.apply(now, &event);
            folded.apply(now, &event);
        }
        for (by, ask) in asks {
            let command = match ask {
                Ask::Wait(millis) => {
                    now = now + Millis(millis);
                    continue;
                }
                Ask::Issue(n, role, lasting) => AccessCommand::Issue(IssueToken {
                    expires_at: lasting.map(|lasting| now + Millis(lasting)),
                    ..wanted(n, role)
                }),
                Ask::Rotate(n, overlap) => AccessCommand::Rotate(RotateToken {
                    token: format!("t{n}"),
                    hash: Sha256Digest::of(&[n, 1]),
                    overlap: Millis(overlap),
                    expires_at: None,
                }),
                Ask::Revoke(n) => {
                    let n = if n == 0 { 200 } else { n };
                    AccessCommand::Revoke { token: format!("t{n}"), reason: None }
                }
            };
            let before = admins_at(&access, now);
            let Ok(events) = decide_access(&access, now, true, &whole(by), &command) else {
                continue;
            };
            prop_assert!(by.may(Permission::ManageTokens) || events.is_empty());
            for event in events {
                access.apply(now, &event);
                let read = AccessEvent::read(event.kind(), &event.to_data());
                folded.apply(now, &read.expect("readable").expect("known"));
            }
            // Time may take the last admin away, for tokens expire; no decision does.
            prop_assert!(admins_at(&access, now) > 0 || before == 0, "the last admin was revoked");
        }
        prop_assert_eq!(access, folded);
    }
}
