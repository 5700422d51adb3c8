//! A small OpenID provider: real HTTP, real signatures (ES256), and whatever can be wrong with
//! either.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dagbook_events::digest::Sha256Digest;
use serde_json::{Value as Json, json};
use url::Url;

/// What is wrong with the next tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    Issuer,
    Audience,
    Nonce,
    Expired,
    Unsigned,
    /// Signed with a key that is published nowhere, under the id of one that is.
    Forged,
}

struct Key {
    id: String,
    pair: EcdsaKeyPair,
}

struct Code {
    nonce: String,
    challenge: String,
    subject: String,
    groups: Vec<String>,
}

struct Inner {
    keys: Vec<Key>,
    flaw: Flaw,
    codes: BTreeMap<String, Code>,
    next: u64,
}

/// The provider.
#[derive(Clone)]
pub struct Provider {
    pub issuer: String,
    inner: Arc<Mutex<Inner>>,
}

pub const CLIENT: &str = "dagbook-test";

fn key(id: u64) -> Key {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    Key { id: format!("key-{id}"), pair }
}

fn base64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Provider {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address: SocketAddr = listener.local_addr().expect("an address");
        let inner = Inner { keys: vec![key(1)], flaw: Flaw::None, codes: BTreeMap::new(), next: 1 };
        let this = Self { issuer: format!("http://{address}"), inner: Arc::new(Mutex::new(inner)) };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(jwks))
            .route("/token", post(token))
            .with_state(this.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        this
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn flaw(&self, flaw: Flaw) {
        self.lock().flaw = flaw;
    }

    /// Signs with a new key from now on; the old one is published no more.
    pub fn rotate(&self) {
        let mut inner = self.lock();
        inner.next += 1;
        inner.keys = vec![key(inner.next)];
    }

    /// A person says yes at the address that they were sent to: what their browser brings back.
    pub fn approve(&self, address: &str, subject: &str, groups: &[&str]) -> (String, String) {
        let url = Url::parse(address).expect("an address");
        assert!(address.starts_with(&self.issuer), "{address}");
        let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
        assert_eq!(query["response_type"], "code");
        assert_eq!(
            (query["client_id"].as_str(), query["code_challenge_method"].as_str()),
            (CLIENT, "S256")
        );
        assert!(query["scope"].split(' ').any(|scope| scope == "openid"), "{}", query["scope"]);
        let mut inner = self.lock();
        inner.next += 1;
        let code = format!("code-{}", inner.next);
        let granted = Code {
            nonce: query["nonce"].clone(),
            challenge: query["code_challenge"].clone(),
            subject: subject.to_string(),
            groups: groups.iter().map(|group| group.to_string()).collect(),
        };
        inner.codes.insert(code.clone(), granted);
        (code, query["state"].clone())
    }
}

async fn discovery(State(this): State<Provider>) -> axum::Json<Json> {
    let at = |path: &str| format!("{}{path}", this.issuer);
    axum::Json(json!({
        "issuer": this.issuer,
        "authorization_endpoint": at("/authorize"),
        "token_endpoint": at("/token"),
        "jwks_uri": at("/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

async fn jwks(State(this): State<Provider>) -> axum::Json<Json> {
    let inner = this.lock();
    let keys = inner.keys.iter().map(|key| {
        let point = key.pair.public_key().as_ref();
        json!({
            "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": key.id,
            "x": base64(&point[1..33]), "y": base64(&point[33..65]),
        })
    });
    axum::Json(json!({ "keys": keys.collect::<Vec<_>>() }))
}

async fn token(State(this): State<Provider>, body: String) -> (StatusCode, axum::Json<Json>) {
    let form: BTreeMap<String, String> =
        url::form_urlencoded::parse(body.as_bytes()).into_owned().collect();
    let refuse = || (StatusCode::BAD_REQUEST, axum::Json(json!({ "error": "invalid_grant" })));
    let mut inner = this.lock();
    let code = form.get("code").and_then(|code| inner.codes.remove(code));
    let (Some(code), Some(verifier)) = (code, form.get("code_verifier")) else { return refuse() };
    if base64(Sha256Digest::of(verifier.as_bytes()).0) != code.challenge {
        return refuse();
    }
    let id_token = id_token(&this.issuer, &inner, &code);
    let answer = json!({
        "access_token": "unused", "token_type": "Bearer", "expires_in": 60, "id_token": id_token,
    });
    (StatusCode::OK, axum::Json(answer))
}

fn id_token(issuer: &str, inner: &Inner, code: &Code) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let flaw = inner.flaw;
    let pick = |is_flawed: bool, wrong: &str, right: &str| {
        if is_flawed { wrong.to_string() } else { right.to_string() }
    };
    let lives_until = if flaw == Flaw::Expired { now - 3_600 } else { now + 300 };
    let claims = json!({
        "iss": pick(flaw == Flaw::Issuer, "http://evil.example", issuer),
        "aud": pick(flaw == Flaw::Audience, "somebody-else", CLIENT),
        "nonce": pick(flaw == Flaw::Nonce, "another", &code.nonce),
        "sub": code.subject,
        "preferred_username": code.subject,
        "iat": if flaw == Flaw::Expired { now - 7_200 } else { now },
        "exp": lives_until,
        "groups": code.groups,
    });
    let published = &inner.keys[0];
    let forger = key(0);
    let signer = if flaw == Flaw::Forged { &forger } else { published };
    let header = match flaw {
        Flaw::Unsigned => json!({ "alg": "none" }),
        _ => json!({ "alg": "ES256", "kid": published.id }),
    };
    let signed = format!("{}.{}", base64(header.to_string()), base64(claims.to_string()));
    if flaw == Flaw::Unsigned {
        return format!("{signed}.");
    }
    let signature = signer.pair.sign(&SystemRandom::new(), signed.as_bytes()).expect("signed");
    format!("{signed}.{}", base64(signature))
}
