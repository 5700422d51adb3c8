//! Who we are, and who they are: passwords, tokens, nkeys, credentials files and certificates.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dagbook_events::ids::Position;
use dagbook_events::journal::bus::jetstream::{
    JetStreamCopy, JetStreamNotes, Nats as Connection, NatsOptions,
};
use dagbook_events::ports::{Board, CopyError, Notes, RecordCopy};
use dagbook_events::tlog::{Note, NoteSignature};
use dagbook_tests::servers::{Authority, Nats, NatsVersion};
use nkeys::KeyPair;
use serde_json::json;
use tempfile::TempDir;

use super::server::{LONG, connect, events};

const VERSIONS: [NatsVersion; 2] = [NatsVersion::Debian, NatsVersion::Current];

/// Adds and reads back: whoever can, has all that a site needs.
async fn works(url: &str) {
    let copy = JetStreamCopy::new(connect(url).await);
    let end = copy.last(1).await.expect("asked");
    let all = events(end.0 + 3).await;
    let from = usize::try_from(end.0).expect("small");
    copy.add(1, end, &all[from..]).await.expect("added");
    let mut scan = copy.scan(1, end, None).await.expect("a scan");
    assert_eq!(scan.next(10, LONG).await.expect("read").len(), 3);
}

/// Does not come in; returns what is said about it.
async fn refused(url: &str) -> String {
    match Connection::connect(NatsOptions::parse(url).expect("an address")).await {
        Err(CopyError::Unavailable(text)) => text,
        Err(other) => panic!("{url}: {other:?}"),
        Ok(_) => panic!("{url}: it came in"),
    }
}

fn at(server: &Nats, user: &str) -> String {
    server.url().replace("://", &format!("://{user}@"))
}

#[tokio::test(flavor = "multi_thread")]
async fn users_and_tokens_come_in_and_wrong_ones_do_not() {
    for version in VERSIONS {
        let users = r#"authorization { users = [ { user: "ada", password: "s3cret/@" } ] }"#;
        let server = Nats::start_with(version, users);
        works(&at(&server, "ada:s3cret%2F%40")).await;
        let said = refused(&at(&server, "ada:wr0ng")).await;
        assert!(said.to_lowercase().contains("authorization"), "{said}");
        assert!(!said.contains("wr0ng") && !said.contains("ada"), "{said}");
        let server = Nats::start_with(version, r#"authorization { token: "t0ken" }"#);
        works(&at(&server, "t0ken")).await;
        assert!(!refused(&at(&server, "wr0ng")).await.contains("wr0ng"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_nkey_comes_in_and_another_does_not() {
    let folder = TempDir::new().expect("a folder");
    let (ours, other) = (KeyPair::new_user(), KeyPair::new_user());
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.display().to_string()
    };
    let seed = file("ours.nk", &format!("{}\n", ours.seed().expect("a seed")));
    let wrong = file("other.nk", &other.seed().expect("a seed"));
    let nonsense = file("nonsense.nk", "SECRET nonsense");
    for version in VERSIONS {
        let users = format!("authorization {{ users = [ {{ nkey: {} }} ] }}", ours.public_key());
        let server = Nats::start_with(version, &users);
        works(&format!("{}?nkey={seed}", server.url())).await;
        refused(&format!("{}?nkey={wrong}", server.url())).await;
        let said = refused(&format!("{}?nkey={nonsense}", server.url())).await;
        assert!(said.contains("nonsense.nk") && !said.contains("SECRET"), "{said}");
        let said = refused(&format!("{}?nkey=/nowhere/x.nk", server.url())).await;
        assert!(said.contains("/nowhere/x.nk"), "{said}");
    }
}

/// A JWT as nsc would make it.
fn jwt(issuer: &KeyPair, subject: &str, nats: serde_json::Value) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({ "typ": "JWT", "alg": "ed25519-nkey" }));
    let claims = part(json!({
        "jti": subject, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "dagbook",
        "sub": subject, "nats": nats,
    }));
    let signed = format!("{header}.{claims}");
    let signature = issuer.sign(signed.as_bytes()).expect("signed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// An operator, an account with JetStream and a user: configuration and credentials file.
fn operator(folder: &Path) -> (String, PathBuf) {
    let (operator, account) = (KeyPair::new_operator(), KeyPair::new_account());
    let (system, user) = (KeyPair::new_account(), KeyPair::new_user());
    let limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true,
        "conn": -1, "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1,
        "consumer": -1,
    });
    let of_account = |limits| json!({ "limits": limits, "type": "account", "version": 2 });
    let of_system = of_account(json!({ "subs": -1, "data": -1, "payload": -1, "imports": -1,
        "exports": -1, "wildcards": true, "conn": -1, "leaf": -1 }));
    let of_operator = json!({ "type": "operator", "version": 2,
        "system_account": system.public_key() });
    let of_user = json!({ "pub": {}, "sub": {}, "subs": -1, "data": -1, "payload": -1,
        "type": "user", "version": 2 });
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}",
        jwt(&operator, &operator.public_key(), of_operator),
        system.public_key(),
        system.public_key(),
        jwt(&operator, &system.public_key(), of_system),
        account.public_key(),
        jwt(&operator, &account.public_key(), of_account(limits)),
    );
    let creds = format!(
        "-----BEGIN NATS USER JWT-----\n{}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
        jwt(&account, &user.public_key(), of_user),
        user.seed().expect("a seed"),
    );
    let path = folder.join("site.creds");
    std::fs::write(&path, creds).expect("written");
    (config, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credentials_file_comes_in() {
    let folder = TempDir::new().expect("a folder");
    let (config, creds) = operator(folder.path());
    let broken = folder.path().join("broken.creds");
    std::fs::write(&broken, "SECRET nonsense").expect("written");
    for version in VERSIONS {
        let server = Nats::start_with(version, &config);
        works(&format!("{}?creds={}", server.url(), creds.display())).await;
        refused(&server.url()).await;
        let said = refused(&format!("{}?creds={}", server.url(), broken.display())).await;
        assert!(said.contains("broken.creds") && !said.contains("SECRET"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_with_whom_the_authority_vouches_for() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.sign("server", "server", "subjectAltName=IP:127.0.0.1");
    authority.sign("elsewhere", "elsewhere", "subjectAltName=DNS:elsewhere.example");
    authority.sign("site", "site", "subjectAltName=DNS:site");
    let tls = |name: &str, verify: &str| {
        format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\"{verify} }}",
            authority.name_of(&format!("{name}.pem")),
            authority.name_of(&format!("{name}.key")),
            authority.name_of("ca.pem"),
        )
    };
    let ca = format!("ca={}", authority.name_of("ca.pem"));
    let ours =
        format!("cert={}&key={}", authority.name_of("site.pem"), authority.name_of("site.key"));
    for version in VERSIONS {
        let server = Nats::start_with(version, &tls("server", ""));
        works(&format!("{}?{ca}", server.url())).await;
        works(&format!("{}?{ca}", server.url().replace("nats:", "tls:"))).await;
        let unknown = format!("{}?ca={}", server.url(), other.name_of("ca.pem"));
        let said = refused(&unknown).await;
        assert!(said.contains("certificate") || said.contains("UnknownIssuer"), "{said}");
        // The authority of the system does not vouch for it either.
        refused(&server.url()).await;
        let said = refused(&format!("{}?ca=/nowhere/ca.pem", server.url())).await;
        assert!(said.contains("/nowhere/ca.pem"), "{said}");

        let server = Nats::start_with(version, &tls("elsewhere", ""));
        refused(&format!("{}?{ca}", server.url())).await;

        let server = Nats::start_with(version, &tls("server", ", verify: true"));
        works(&format!("{}?{ca}&{ours}", server.url())).await;
        refused(&format!("{}?{ca}", server.url())).await;

        // Where we ask for TLS, nothing is said in the clear.
        let server = Nats::start(version);
        refused(&format!("{}?{ca}", server.url())).await;
    }
}

fn note(origin: &str) -> Note {
    let mut note = Note::new(&format!("{origin}\n1\nroot\n")).expect("a note");
    let (name, key_id, signature) = ("k".to_string(), [1, 2, 3, 4], vec![9; 64]);
    note.signatures.push(NoteSignature { name, key_id, signature });
    note
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_and_a_witness_can_be_kept_to_their_own_boards() {
    let config = r#"
        authorization { users = [
            { user: "site", password: "s", permissions: {
                publish: ["dagbook.ev.>", "dagbook.notes.signed.>", "dagbook.wake", "$JS.API.>"],
                subscribe: ["_INBOX.>", "dagbook.wake"] } }
            { user: "witness", password: "w", permissions: {
                publish: ["dagbook.notes.cosigned.>",
                    "$JS.API.STREAM.INFO.DAGBOOK_EVENTS_t1",
                    "$JS.API.STREAM.MSG.GET.DAGBOOK_EVENTS_t1",
                    "$JS.API.CONSUMER.CREATE.DAGBOOK_EVENTS_t1",
                    "$JS.API.CONSUMER.MSG.NEXT.DAGBOOK_EVENTS_t1.>",
                    "$JS.API.STREAM.INFO.DAGBOOK_NOTES",
                    "$JS.API.CONSUMER.CREATE.DAGBOOK_NOTES",
                    "$JS.API.CONSUMER.MSG.NEXT.DAGBOOK_NOTES.>"],
                subscribe: ["_INBOX.>"] } }
        ] }"#;
    for version in VERSIONS {
        let server = Nats::start_with(version, config);
        let short = |user: &str| format!("{}?timeout_ms=1000", at(&server, user));
        let (site, witness) = (connect(&short("site:s")).await, connect(&short("witness:w")).await);
        let all = events(5).await;
        let copy = JetStreamCopy::new(site.clone());
        copy.add(1, Position(0), &all).await.expect("a site may add");
        let seen = JetStreamCopy::new(witness.clone());
        assert_eq!(seen.last(1).await, Ok(Position(5)));
        assert!(seen.at(1, Position(2)).await.expect("a witness may read").is_some());
        let mut scan = seen.scan(1, Position(0), None).await.expect("a scan");
        assert_eq!(scan.next(10, LONG).await.expect("read").len(), 5);
        seen.add(1, Position(5), &all[..0]).await.expect("nothing to do");

        let (site, witness) = (JetStreamNotes::new(site), JetStreamNotes::new(witness));
        site.post(Board::Signed, "a", "site", &note("a")).await.expect("its own board");
        witness.post(Board::Cosigned, "a", "w", &note("a")).await.expect("its own board");
        for board in [Board::Signed, Board::Cosigned] {
            for reader in [&site, &witness] {
                assert_eq!(reader.after(board, 0, 10, LONG).await.expect("read").len(), 1);
            }
        }
        let forged = witness.post(Board::Signed, "a", "site", &note("a")).await;
        let Err(CopyError::Unavailable(text)) = forged else { panic!("{forged:?}") };
        assert!(text.to_lowercase().contains("permissions"), "it says why: {text}");
        let forged = site.post(Board::Cosigned, "a", "w", &note("a")).await;
        assert!(matches!(forged, Err(CopyError::Unavailable(_))), "{forged:?}");
    }
}
