//! Login of people in a browser: sent to the identity provider, and back with a session.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Problem, Query};
use crate::app::login::{Logins, SESSION_LASTS};

/// The cookie of a session.
pub const SESSION: &str = "dagbook_session";
/// The cookie that binds a login to the browser that began it.
const LOGIN: &str = "dagbook_login";
/// What requests of a browser that change something must bring: no other site can send it.
pub const CSRF: HeaderName = HeaderName::from_static("dagbook-csrf");

/// The routes. They are open, and know people in their own way; but not without bounds.
pub fn open_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(begin)).routes(routes!(finish)).routes(routes!(logout))
}

/// Where to go afterwards.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct Wanted {
    /// A path of this server.
    #[param(max_length = 500)]
    pub to: Option<String>,
}

/// What the provider sends back.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Back {
    /// Proves that somebody is somebody.
    #[param(max_length = 4096)]
    pub code: Option<String>,
    /// Which login it is.
    #[param(max_length = 512)]
    pub state: Option<String>,
    /// Why there is no code.
    #[param(max_length = 200)]
    pub error: Option<String>,
}

fn logins(api: &Api) -> Result<&Logins, Problem> {
    api.logins.as_ref().ok_or_else(|| {
        Problem::new("not-found", "nobody logs in here: no identity provider is configured")
    })
}

/// The value of a cookie; none where it is sent twice.
pub fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let all = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut found = all.flat_map(|value| value.split(';')).filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.to_string())
    });
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn set(name: &str, value: &str, path: &str, seconds: u64, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let text =
        format!("{name}={value}; Path={path}; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    // Values are base64url, so this is always a header.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn sent(to: &str, cookies: Vec<HeaderValue>) -> Response {
    let place = HeaderValue::try_from(to).unwrap_or(HeaderValue::from_static("/"));
    let mut response = (StatusCode::SEE_OTHER, [(header::LOCATION, place)]).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
    response
}

/// Go to the identity provider
#[utoipa::path(
    get, path = "/login", operation_id = "login", tag = "login", params(Wanted),
    responses(
        (status = 303, description = "To the identity provider."),
        (status = 404, description = "No identity provider is configured."),
        (status = 400, description = "The query is wrong."),
    ),
    security(()),
    extensions(("x-permission" = json!("open"))),
)]
async fn begin(State(api): State<Api>, Query(wanted): Query<Wanted>) -> Result<Response, Problem> {
    let logins = logins(&api)?;
    let away = logins.begin(wanted.to.as_deref()).await?;
    let cookie = set(LOGIN, &away.browser, "/login", 600, logins.is_secure);
    Ok(sent(&away.address, vec![cookie]))
}

/// Come back from the identity provider
#[utoipa::path(
    get, path = "/login/callback", operation_id = "login_callback", tag = "login", params(Back),
    responses(
        (status = 303, description = "Logged in; to where the person wanted to go."),
        (status = 400, description = "The query is wrong."),
        (status = 401, description = "It proves nobody."),
        (status = 403, description = "The person has no role here."),
        (status = 404, description = "No identity provider is configured."),
    ),
    security(()),
    extensions(("x-permission" = json!("open"))),
)]
async fn finish(
    State(api): State<Api>,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Result<Response, Problem> {
    let logins = logins(&api)?;
    let (Some(code), Some(state)) = (&back.code, &back.state) else {
        let detail = match &back.error {
            Some(_) => "the identity provider let nobody in; begin again at /login",
            None => "`code` or `state` is missing; begin again at /login",
        };
        return Err(Problem::new("unauthenticated", detail));
    };
    let browser = cookie(&headers, LOGIN);
    let done = logins.finish(state, code, browser.as_deref()).await?;
    let seconds = SESSION_LASTS.0 / 1_000;
    let cookies = vec![
        set(SESSION, &done.cookie, "/", seconds, logins.is_secure),
        set(LOGIN, "", "/login", 0, logins.is_secure),
    ];
    Ok(sent(&done.to, cookies))
}

/// Log out
#[utoipa::path(
    post, path = "/logout", operation_id = "logout", tag = "login",
    params(("dagbook-csrf" = String, Header, description = "Anything; other sites cannot send it.")),
    responses(
        (status = 204, description = "Nobody is logged in any more."),
        (status = 403, description = "The header is missing."),
        (status = 404, description = "No identity provider is configured."),
    ),
    security(()),
    extensions(("x-permission" = json!("open"))),
)]
async fn logout(State(api): State<Api>, headers: HeaderMap) -> Result<Response, Problem> {
    let logins = logins(&api)?;
    if !headers.contains_key(CSRF) {
        return Err(Problem::new("forbidden", "a browser must send the header `Dagbook-Csrf`"));
    }
    if let Some(cookie) = cookie(&headers, SESSION) {
        logins.end(&cookie).await?;
    }
    let cookie = set(SESSION, "", "/", 0, logins.is_secure);
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().append(header::SET_COOKIE, cookie);
    Ok(response)
}
