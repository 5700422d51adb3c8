//! Bodies, queries and paths, read strictly: what is not understood is a problem, never ignored.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Api, Problem};

/// How deep objects and lists may stand in one another.
const DEPTH_MAX: u32 = 64;

/// A JSON body, both ways. Types that are read say `deny_unknown_fields`.
#[derive(Debug, Clone)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<Api> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Problem> {
        if !is_json(&request) {
            return Err(Problem::new(
                "unsupported-media-type",
                "the body must come as `Content-Type: application/json`",
            ));
        }
        let bytes = Bytes::from_request(request, api).await.map_err(|error| {
            match error.status().as_u16() {
                413 => Problem::new(
                    "too-large",
                    format!("a body has at most {} bytes here", api.limits.body_bytes),
                ),
                _ => Problem::invalid("the body ended before it was whole"),
            }
        })?;
        parse(&bytes).map(Self)
    }
}

/// Reads JSON that a stranger sent.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Problem::invalid(format!("the body is not UTF-8 text (byte {})", error.valid_up_to()))
    })?;
    if depth(text) > DEPTH_MAX {
        return Err(Problem::invalid(format!("the body is nested deeper than {DEPTH_MAX} levels")));
    }
    serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let said = error.to_string();
        let said = said.rsplit_once(" at line ").map_or(said.as_str(), |(said, _)| said);
        let said: String = said.chars().take(300).collect();
        Problem::invalid(format!("the body, line {line} column {column}: {said}"))
    })
}

/// How deep the text nests, without understanding it.
fn depth(text: &str) -> u32 {
    let (mut now, mut most, mut in_text, mut escaped) = (0u32, 0, false, false);
    for byte in text.bytes() {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (true, b'"') => in_text = false,
            (true, _) => {}
            (false, b'"') => in_text = true,
            (false, b'{' | b'[') => {
                now += 1;
                most = most.max(now);
            }
            (false, b'}' | b']') => now = now.saturating_sub(1),
            (false, _) => {}
        }
    }
    most
}

fn is_json(request: &Request) -> bool {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let Some(kind) = kind else { return false };
    let mut parts = kind.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let charset = parts.find_map(|part| part.strip_prefix("charset="));
    essence.eq_ignore_ascii_case("application/json")
        && charset.is_none_or(|name| name.trim_matches('"').eq_ignore_ascii_case("utf-8"))
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// A query. Types that are read say `deny_unknown_fields`.
#[derive(Debug, Clone)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<Api> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        axum::extract::Query::from_request_parts(parts, api)
            .await
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|error| {
                let said = error.body_text();
                let said = said.strip_prefix("Failed to deserialize query string: ");
                Problem::invalid(format!("the query: {}", said.unwrap_or("it is malformed")))
            })
    }
}

/// Parts of a path.
#[derive(Debug, Clone)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send> FromRequestParts<Api> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        axum::extract::Path::from_request_parts(parts, api)
            .await
            .map(|axum::extract::Path(path)| Self(path))
            .map_err(|_| Problem::new("not-found", "there is nothing at this path"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        #[expect(dead_code, reason = "only whether it is read matters")]
        name: String,
    }

    #[test]
    fn what_is_not_understood_is_a_problem_that_says_where() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (text, part) in [
            (&b"{\"name\":\"x\",\"nam\":1}"[..], "unknown field `nam`"),
            (b"{\"name\":3}", "line 1"),
            (b"{\"name\":\"x\"", "EOF"),
            (b"\xff\xfe", "UTF-8"),
            (b"", "line 1"),
            (deep.as_bytes(), "deeper"),
        ] {
            let problem = parse::<Body>(text).expect_err("a problem");
            assert_eq!(problem.body.status, 400);
            assert!(problem.body.detail.contains(part), "{part}: {}", problem.body.detail);
        }
    }

    #[test]
    fn brackets_inside_text_are_no_depth() {
        assert_eq!(depth(r#"{"a":"[[[\"[[","b":[1]}"#), 2);
    }
}
