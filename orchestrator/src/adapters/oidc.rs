//! An identity provider over OpenID Connect: authorisation code with PKCE, state and nonce.
//!
//! Discovery gives the addresses and the keys. They are looked at again after an hour, and at
//! once when a token is signed with a key that is not among them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use openidconnect::core::{
    CoreAuthDisplay, CoreAuthPrompt, CoreAuthenticationFlow, CoreErrorResponseType,
    CoreGenderClaim, CoreJsonWebKey, CoreJweContentEncryptionAlgorithm, CoreJwsSigningAlgorithm,
    CoreProviderMetadata, CoreRevocableToken, CoreRevocationErrorResponse,
    CoreTokenIntrospectionResponse, CoreTokenType,
};
use openidconnect::{
    AdditionalClaims, AuthorizationCode, ClaimsVerificationError, Client, ClientId, ClientSecret,
    CsrfToken, EmptyExtraTokenFields, EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest,
    HttpResponse, IdTokenFields, IssuerUrl, Nonce, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, RequestTokenError, Scope, StandardErrorResponse, StandardTokenResponse,
    TokenResponse as _,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::app::error::AppError;
use crate::app::login::{Begun, Identity, IdentityProvider};

/// How long what was discovered is good.
const DISCOVERED_FOR: Duration = Duration::from_secs(3_600);
/// How often it is looked at again for a key that is missing.
const AGAIN_AFTER: Duration = Duration::from_secs(5);
/// How long the provider has to answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The largest answer of the provider.
const ANSWER_MAX: usize = 1 << 20;
/// Most groups of one person.
const GROUPS_MAX: usize = 1_000;
/// Signatures that are taken. `none` and those by a common secret are not among them.
const ALGORITHMS: [CoreJwsSigningAlgorithm; 4] = [
    CoreJwsSigningAlgorithm::RsaSsaPkcs1V15Sha256,
    CoreJwsSigningAlgorithm::RsaSsaPssSha256,
    CoreJwsSigningAlgorithm::EcdsaP256Sha256,
    CoreJwsSigningAlgorithm::EdDsa,
];

/// How a provider is spoken to.
#[derive(Clone)]
pub struct OidcOptions {
    /// Its issuer.
    pub issuer: String,
    /// What it calls this server.
    pub client_id: String,
    /// The secret that it shares with this server, if it does.
    pub client_secret: Option<secrecy::SecretString>,
    /// Where it sends people back to.
    pub redirect_url: String,
    /// The claim with a person's groups.
    pub groups_claim: String,
}

/// An identity provider.
pub struct Oidc {
    options: OidcOptions,
    http: reqwest::Client,
    known: Mutex<Option<(Instant, Arc<CoreProviderMetadata>)>>,
}

/// Claims beyond the standard ones.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Extra {
    #[serde(flatten)]
    all: serde_json::Map<String, serde_json::Value>,
}

impl AdditionalClaims for Extra {}

type Tokens = StandardTokenResponse<
    IdTokenFields<
        Extra,
        EmptyExtraTokenFields,
        CoreGenderClaim,
        CoreJweContentEncryptionAlgorithm,
        CoreJwsSigningAlgorithm,
    >,
    CoreTokenType,
>;

type Provider = Client<
    Extra,
    CoreAuthDisplay,
    CoreGenderClaim,
    CoreJweContentEncryptionAlgorithm,
    CoreJsonWebKey,
    CoreAuthPrompt,
    StandardErrorResponse<CoreErrorResponseType>,
    Tokens,
    CoreTokenIntrospectionResponse,
    CoreRevocableToken,
    CoreRevocationErrorResponse,
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

/// The provider did not answer as it must.
#[derive(Debug, thiserror::Error)]
enum HttpError {
    #[error("{0}")]
    Sending(#[from] reqwest::Error),
    #[error("the answer is larger than {ANSWER_MAX} bytes")]
    TooLarge,
    #[error("{0}")]
    Shape(#[from] openidconnect::http::Error),
}

fn internal(error: impl std::fmt::Display) -> AppError {
    AppError::Internal(format!("login: {error}"))
}

fn refused(reason: &str) -> AppError {
    AppError::Unauthenticated { reason: reason.to_string() }
}

impl Oidc {
    /// A provider. Nothing is asked of it yet.
    ///
    /// # Errors
    /// Where no HTTP client can be made.
    pub fn new(options: OidcOptions) -> Result<Self, AppError> {
        // A redirect could lead the client's secret elsewhere.
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(internal)?;
        Ok(Self { options, http, known: Mutex::new(None) })
    }

    /// What is known of the provider; looked at again where it is older than that.
    async fn metadata(&self, oldest: Duration) -> Result<Arc<CoreProviderMetadata>, AppError> {
        let mut known = self.known.lock().await;
        if let Some((at, metadata)) = known.as_ref().filter(|(at, _)| at.elapsed() < oldest) {
            let _ = at;
            return Ok(Arc::clone(metadata));
        }
        let issuer = IssuerUrl::new(self.options.issuer.clone()).map_err(internal)?;
        let http = |request| call(self.http.clone(), request);
        let found = CoreProviderMetadata::discover_async(issuer, &http).await;
        let metadata = Arc::new(found.map_err(|error| {
            tracing::warn!(%error, issuer = self.options.issuer, "the identity provider is away");
            AppError::unavailable("the identity provider does not answer as it must")
        })?);
        *known = Some((Instant::now(), Arc::clone(&metadata)));
        Ok(metadata)
    }

    fn client(&self, metadata: &CoreProviderMetadata) -> Result<Provider, AppError> {
        use secrecy::ExposeSecret as _;
        let id = ClientId::new(self.options.client_id.clone());
        let secret = self.options.client_secret.as_ref();
        let secret = secret.map(|secret| ClientSecret::new(secret.expose_secret().to_string()));
        let redirect = RedirectUrl::new(self.options.redirect_url.clone()).map_err(internal)?;
        let client: Provider = Client::from_provider_metadata(metadata.clone(), id, secret);
        Ok(client.set_redirect_uri(redirect))
    }

    /// Who the token names, if it is good by the keys that are known.
    fn verified(
        &self,
        client: &Provider,
        tokens: &Tokens,
        nonce: &Nonce,
    ) -> Result<Identity, ClaimsVerificationError> {
        let missing = || ClaimsVerificationError::Other("there is no ID token".to_string());
        let token = tokens.id_token().ok_or_else(missing)?;
        let verifier = client.id_token_verifier().set_allowed_algs(ALGORITHMS);
        let claims = token.claims(&verifier, nonce)?;
        let subject = claims.subject().to_string();
        let name = claims
            .preferred_username()
            .map(|name| name.to_string())
            .or_else(|| claims.email().map(|email| email.to_string()))
            .unwrap_or_else(|| subject.clone());
        let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        let groups = claims.additional_claims().all.get(&self.options.groups_claim);
        let groups = match groups {
            Some(serde_json::Value::Array(all)) => all
                .iter()
                .filter_map(|group| Some(group.as_str()?.to_string()))
                .take(GROUPS_MAX)
                .collect(),
            Some(serde_json::Value::String(one)) => vec![one.clone()],
            _ => Vec::new(),
        };
        Ok(Identity { issuer: claims.issuer().to_string(), subject, name, groups })
    }
}

async fn call(http: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, HttpError> {
    let mut response = http.execute(reqwest::Request::try_from(request)?).await?;
    let (status, headers) = (response.status(), response.headers().clone());
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_MAX {
            return Err(HttpError::TooLarge);
        }
    }
    let mut answer = openidconnect::http::Response::builder().status(status).body(body)?;
    *answer.headers_mut() = headers;
    Ok(answer)
}

#[async_trait]
impl IdentityProvider for Oidc {
    async fn begin(&self) -> Result<Begun, AppError> {
        let client = self.client(self.metadata(DISCOVERED_FOR).await?.as_ref())?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let (address, state, nonce) = client
            .authorize_url(
                CoreAuthenticationFlow::AuthorizationCode,
                CsrfToken::new_random,
                Nonce::new_random,
            )
            .add_scope(Scope::new("profile".to_string()))
            .add_scope(Scope::new("email".to_string()))
            .set_pkce_challenge(challenge)
            .url();
        Ok(Begun {
            address: address.to_string(),
            state: state.secret().clone(),
            nonce: nonce.secret().clone(),
            verifier: verifier.secret().clone(),
        })
    }

    async fn finish(&self, code: &str, begun: &Begun) -> Result<Identity, AppError> {
        let client = self.client(self.metadata(DISCOVERED_FOR).await?.as_ref())?;
        let http = |request| call(self.http.clone(), request);
        let exchange = client
            .exchange_code(AuthorizationCode::new(code.to_string()))
            .map_err(internal)?
            .set_pkce_verifier(PkceCodeVerifier::new(begun.verifier.clone()));
        let tokens = exchange.request_async(&http).await.map_err(|error| match error {
            RequestTokenError::ServerResponse(_) => {
                refused("the identity provider does not take the code; begin again")
            }
            error => {
                // Answers of the provider may hold tokens; what went wrong does not.
                let kind = match error {
                    RequestTokenError::Request(_) => "it cannot be reached",
                    RequestTokenError::Parse(..) => "its answer cannot be read",
                    _ => "it answers strangely",
                };
                tracing::warn!(kind, "the identity provider gives no token");
                AppError::unavailable("the identity provider does not answer as it must")
            }
        })?;
        let nonce = Nonce::new(begun.nonce.clone());
        let identity = match self.verified(&client, &tokens, &nonce) {
            // Its keys may have been changed since they were looked at.
            Err(ClaimsVerificationError::SignatureVerification(_)) => {
                let client = self.client(self.metadata(AGAIN_AFTER).await?.as_ref())?;
                self.verified(&client, &tokens, &nonce)
            }
            verified => verified,
        };
        identity.map_err(|error| {
            tracing::warn!(%error, "a login was refused");
            refused("the identity provider's token proves nobody to this server")
        })
    }
}
