//! Errors as problem details (RFC 9457). `type` leads to a page that says what it means and what
//! to do; the same pages are in `ops/docs/http-api.md`.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use dagbook_events::dag::{Finding, FindingDto};
use dagbook_events::time::Millis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::error::AppError;
use crate::runtime::record::RecordError;

/// Where the pages of problems are.
pub const PAGES: &str = "/api/v1/problems/";

/// Findings that one problem lists.
const FINDINGS_MAX: usize = 200;

/// Problems whose connection is closed.
const LEAVES: [&str; 3] = ["overloaded", "request-timeout", "too-many-followers"];

/// A problem as it is sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// Leads to a page that says what it means.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it means, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
    /// A word for programs: the last part of `type`.
    pub code: String,
    /// The id of the request, as `x-request-id` has it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request_id: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// Which limit stands in the way.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub limit: Option<String>,
    /// When to come again.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub retry_after_ms: Option<u64>,
    /// What is wrong in a DAG file.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schema(value_type = Vec<Object>)]
    pub findings: Vec<FindingDto>,
}

/// A request came to nothing. Answers with the problem's status and body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is sent.
    pub body: Box<ProblemBody>,
}

impl Problem {
    /// A problem of a kind that is documented in [`super::problem::kinds`].
    pub fn new(code: &'static str, detail: impl Into<String>) -> Self {
        let kind = kinds::find(code);
        let body = ProblemBody {
            kind: format!("{PAGES}{code}"),
            title: kind.title.to_string(),
            status: kind.status,
            detail: detail.into(),
            code: code.to_string(),
            request_id: None,
            hint: None,
            limit: None,
            retry_after_ms: None,
            findings: Vec::new(),
        };
        Self { body: Box::new(body) }
    }

    /// The request is wrong.
    pub fn invalid(detail: impl Into<String>) -> Self {
        Self::new("invalid-request", detail)
    }

    /// Adds what to do.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.body.hint = Some(hint.into());
        self
    }

    /// Adds when to come again.
    pub fn retry_after(mut self, wait: Millis) -> Self {
        self.body.retry_after_ms = Some(wait.0);
        self
    }

    /// Adds which limit stands in the way.
    pub fn limit(mut self, limit: &str) -> Self {
        self.body.limit = Some(limit.to_string());
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.body.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        match error {
            AppError::NotFound { .. } => Self::new("not-found", error.to_string()),
            AppError::Unauthenticated { reason } => Self::new("unauthenticated", reason),
            AppError::Forbidden { reason } => Self::new("forbidden", reason),
            AppError::Invalid(detail) => Self::invalid(detail),
            AppError::Findings(findings) => of_findings(&findings),
            AppError::Conflict(detail) => Self::new("conflict", detail),
            AppError::Exhausted { limit, reason, retry_after } => {
                Self::new("exhausted", reason).limit(limit).retry_after(retry_after)
            }
            AppError::TooLarge(detail) => Self::new("too-large", detail),
            AppError::Unavailable { reason, retry_after } => {
                tracing::warn!(%reason, "something that a request needs is away");
                Self::new("unavailable", "something that this needs cannot be reached now")
                    .retry_after(retry_after)
                    .hint("ask again; with the same Idempotency-Key nothing happens twice")
            }
            AppError::Damaged(reason) => {
                tracing::error!(%reason, "the record is damaged or halted");
                Self::new("record-halted", "the record does not answer until a person has looked")
                    .hint("the server's log says what was found; see the runbook evidence-damaged")
            }
            AppError::Internal(reason) => {
                tracing::error!(%reason, "a request failed through a fault of this program");
                Self::new("internal", "")
            }
        }
    }
}

fn of_findings(findings: &[Finding]) -> Problem {
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    let first = findings.iter().find(|finding| finding.is_error());
    let detail = match first {
        Some(first) => format!("{errors} errors, the first: {}", first.one_line()),
        None => "the file cannot be used".to_string(),
    };
    let mut problem = Problem::new("findings", detail);
    problem.body.findings = findings.iter().take(FINDINGS_MAX).map(FindingDto::from).collect();
    problem
}

impl From<RecordError> for Problem {
    fn from(error: RecordError) -> Self {
        AppError::from(error).into()
    }
}

impl From<dagbook_events::ports::ReadError> for Problem {
    fn from(error: dagbook_events::ports::ReadError) -> Self {
        AppError::from(error).into()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let wait = self.body.retry_after_ms;
        let bytes = serde_json::to_vec(&self.body).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, kind)], bytes).into_response();
        if let Some(wait) = wait {
            let seconds = wait.div_ceil(1_000).max(1);
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"dagbook\"");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, scheme);
        }
        // Whoever is sent away does not keep a connection meanwhile.
        if LEAVES.contains(&self.body.code.as_str()) {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // The layer that knows the request's id writes it into the body.
        response.extensions_mut().insert(self);
        response
    }
}

/// The header that carries a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The kinds of problems, with their pages.
pub mod kinds {
    /// A kind of problem.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub struct Kind {
        /// The last part of its `type`.
        pub code: &'static str,
        /// The HTTP status.
        pub status: u16,
        /// What it means, in a few words.
        pub title: &'static str,
        /// What it means and what to do.
        pub page: &'static str,
    }

    const fn kind(
        code: &'static str,
        status: u16,
        title: &'static str,
        page: &'static str,
    ) -> Kind {
        Kind { code, status, title, page }
    }

    /// All of them.
    pub const ALL: [Kind; 23] = [
        kind(
            "invalid-request",
            400,
            "The request is wrong",
            "Something in the path, the query, a header or the body cannot be understood. \
             `detail` says what and where. Asking again without a change gives the same answer.",
        ),
        kind(
            "unauthenticated",
            401,
            "Nobody knows who asks",
            "Send `Authorization: Bearer TOKEN` with a token that has neither expired nor been \
             revoked. A token begins with `dgb_`.",
        ),
        kind(
            "forbidden",
            403,
            "You may not",
            "The token is good, but its role does not allow this. `detail` names the role that \
             does. An owner of the tenant can issue a token with it.",
        ),
        kind(
            "not-found",
            404,
            "There is no such thing",
            "Nothing of this name is there, or nothing that you may know of: what belongs to \
             another tenant is answered exactly like what does not exist.",
        ),
        kind(
            "method-not-allowed",
            405,
            "Not with this method",
            "The path exists, but takes other methods; `Allow` lists them.",
        ),
        kind(
            "request-timeout",
            408,
            "The request came too slowly",
            "The body did not arrive in time. Nothing was done.",
        ),
        kind(
            "conflict",
            409,
            "It contradicts what there is",
            "A name is taken, a run is over, or somebody else changed it at the same time. Look \
             at it again and decide anew.",
        ),
        kind(
            "gone",
            410,
            "It was there, and is kept no longer",
            "A retention policy let it go; `detail` says when. `GET /api/v1/retention` says for how \
             long what is kept, and a hold keeps what is still there.",
        ),
        kind(
            "key-in-use",
            409,
            "The same request is being worked on",
            "Another request with this `Idempotency-Key` has not been answered yet. Ask again \
             with the same key after `Retry-After`; nothing happens twice.",
        ),
        kind(
            "answered-once",
            409,
            "The answer was given once and is not kept",
            "The request with this `Idempotency-Key` was done, and its answer held a secret that \
             is shown once. If it was lost, revoke what was made and make another.",
        ),
        kind(
            "too-large",
            413,
            "The body is too large",
            "`detail` names the limit. Send less, or split it.",
        ),
        kind(
            "unsupported-media-type",
            415,
            "Not in this media type",
            "Send `Content-Type: application/json`, in UTF-8.",
        ),
        kind(
            "findings",
            422,
            "The file is wrong",
            "`findings` lists everything that is wrong with it, with file, line, column and, \
             where one is known, a hint. `dagbook lint FILE` (for a rate card or \
             contract, `dagbook rate-card lint` and `dagbook contract lint`) shows the same. \
             Nothing was stored.",
        ),
        kind(
            "key-reused",
            422,
            "The key was used for another request",
            "The `Idempotency-Key` was sent before with another method, path or body. Take a new \
             key for a new request. Keys are kept for 24 hours.",
        ),
        kind(
            "invalid-key",
            400,
            "The idempotency key is not one",
            "An `Idempotency-Key` has 1 to 255 printable ASCII characters; a UUID is a good one.",
        ),
        kind(
            "exhausted",
            429,
            "A limit or quota stands in the way",
            "`limit` names it and `detail` has its numbers. Come again after `Retry-After`, or \
             ask the tenant's owner for more.",
        ),
        kind(
            "rate-limited",
            429,
            "Too many requests",
            "The token (or, without one, the address) sent more requests than it may. \
             `RateLimit-Limit`, `RateLimit-Remaining` and `RateLimit-Reset` say how many are \
             left; come again after `Retry-After`.",
        ),
        kind(
            "too-many-followers",
            429,
            "Too many followers",
            "This server has as many followers of events and logs as it serves at one time, or \
             the tenant as many as it may have. Come again after `Retry-After`, or read pages.",
        ),
        kind(
            "header-too-large",
            431,
            "The request's head is too large",
            "Send fewer or shorter headers.",
        ),
        kind(
            "internal",
            500,
            "A fault of the server",
            "The server made a mistake. Its log has the details under the `request_id`; please \
             report them. Whether it was done is not known: ask again with the same \
             `Idempotency-Key`, or look.",
        ),
        kind(
            "overloaded",
            503,
            "The server has too much to do",
            "It works on as many requests as it can. Nothing was done; come again after \
             `Retry-After`.",
        ),
        kind(
            "unavailable",
            503,
            "Something is away",
            "The store, or another part that this needs, cannot be reached now, and nobody may \
             know whether it was done. Ask again after `Retry-After` with the same \
             `Idempotency-Key`. `/readyz` says which part.",
        ),
        kind(
            "record-halted",
            503,
            "The record is halted",
            "The record and its copy or its signed heads do not agree, so nothing is taken until \
             a person has looked. See the runbooks evidence-damaged and store-restored.",
        ),
    ];

    /// The kind of that code.
    pub fn find(code: &str) -> &'static Kind {
        let known = ALL.iter().find(|kind| kind.code == code);
        debug_assert!(known.is_some(), "the problem `{code}` has no page");
        known.unwrap_or_else(|| find("internal"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_the_program_says_nothing_of_what_is_inside() {
        for error in [
            AppError::Internal("password hunter2".to_string()),
            AppError::Damaged("password hunter2".to_string()),
            AppError::unavailable("password hunter2"),
        ] {
            let problem = Problem::from(error);
            let text = serde_json::to_string(&problem.body).expect("a body");
            assert!(problem.body.status >= 500, "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn the_guide_lists_every_kind_and_every_bound() {
        let guide = include_str!("../../../../ops/docs/http-api.md");
        for kind in kinds::ALL {
            let row = format!("| {} | `{}` |", kind.status, kind.code);
            assert!(guide.contains(&row), "ops/docs/http-api.md has no row `{row}`");
        }
        let usual = super::super::Limits::default();
        for (bound, value) in [
            ("body_bytes", usual.body_bytes as u64),
            ("per_token", usual.per_token.into()),
            ("per_token_burst", usual.per_token_burst.into()),
            ("per_peer", usual.per_peer.into()),
            ("concurrent", usual.concurrent as u64),
            ("followers", usual.followers as u64),
            ("followers_per_tenant", usual.followers_per_tenant as u64),
            ("connections", usual.connections as u64),
            ("request_ms", usual.request.as_secs() * 1_000),
            ("rating_ms", usual.rating.as_secs() * 1_000),
            ("ratings", usual.ratings as u64),
            ("head_ms", usual.head.as_secs() * 1_000),
            ("heartbeat_ms", usual.heartbeat.as_secs() * 1_000),
            ("grace_ms", usual.grace.as_secs() * 1_000),
        ] {
            let row = format!("| `{bound}` | {value} |");
            assert!(guide.contains(&row), "ops/docs/http-api.md has no row `{row}`");
        }
    }

    #[test]
    fn every_kind_has_its_own_code_and_a_page_with_advice() {
        let mut codes: Vec<&str> = kinds::ALL.iter().map(|kind| kind.code).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), kinds::ALL.len());
        for kind in kinds::ALL {
            assert!(kind.page.len() > 20 && (400..600).contains(&kind.status), "{kind:?}");
        }
    }
}
