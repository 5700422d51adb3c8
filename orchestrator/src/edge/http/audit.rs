//! What auditors check: signed heads, published tiles, bundles.

mod archive;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use dagbook_events::access::Permission;
use dagbook_events::journal::bundle::export::{Order, Wanted};
use dagbook_events::time::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::archive::Archive;
use super::pass::{Pass, Watch};
use super::run_events::streamed;
use super::{Api, Caller, Path, Problem, ProblemBody, Query};
use crate::app::audit::tile;

/// Lines whose leaves one request may have proven.
const LINES: usize = 20;

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(checkpoint))
        .routes(routes!(read_tile))
        .routes(routes!(bundle))
}

/// Read the newest signed head of the tenant's log
///
/// A signed note (C2SP tlog-checkpoint), with the cosignatures that have come.
#[utoipa::path(
    get, path = "/api/v1/audit/checkpoint", operation_id = "read_checkpoint", tag = "audit",
    responses((status = 200, content_type = "text/plain", body = String)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn checkpoint(caller: Caller, State(api): State<Api>) -> Result<Response, Problem> {
    caller.require(Permission::ReadAudit)?;
    let note = api.evidence()?.checkpoint(caller.tenant()).await?;
    Ok(plain("text/plain; charset=utf-8", note))
}

/// Which tile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct TileQuery {
    /// Of a partial tile: how many hashes or entries it has.
    #[param(minimum = 1, maximum = 255)]
    width: Option<u16>,
}

/// Read a published tile of the tenant's log
///
/// C2SP tlog-tiles: the bytes of `tile/<level>/<index>`, with `width` those of
/// `tile/<level>/<index>.p/<width>`.
#[utoipa::path(
    get, path = "/api/v1/audit/tiles/{level}/{index}", operation_id = "read_tile", tag = "audit",
    params(
        ("level" = String, Path, description = "`entries`, or 0 to 63: hashes"),
        ("index" = u64, Path, description = "Which one of its level, from 0"),
        TileQuery,
    ),
    responses((status = 200, content_type = "application/octet-stream", body = String)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn read_tile(
    caller: Caller,
    State(api): State<Api>,
    Path((level, index)): Path<(String, String)>,
    Query(query): Query<TileQuery>,
) -> Result<Response, Problem> {
    caller.require(Permission::ReadAudit)?;
    let index = index
        .parse::<u64>()
        .map_err(|_| Problem::invalid("the index of a tile is a number from 0 on"))?;
    let tile = tile(&level, index, query.width)?;
    let bytes = api.evidence()?.tile(caller.tenant(), tile).await?;
    Ok(plain("application/octet-stream", bytes))
}

/// Which bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct BundleQuery {
    /// A closed period. Without it, what was recorded between `from` and `to`.
    #[param(max_length = 64)]
    period: Option<String>,
    /// From this instant on (RFC 3339).
    #[param(format = "date-time")]
    from: Option<String>,
    /// To before this one (RFC 3339).
    #[param(format = "date-time")]
    to: Option<String>,
    /// Leave out what was recorded before the period and does not matter to it.
    since_opening: Option<bool>,
    /// Take a checkpoint that witnesses have not co-signed yet.
    unwitnessed: Option<bool>,
    /// Lines of the invoice whose leaves are proven one by one: their ids, with commas between.
    #[param(max_length = 200)]
    lines: Option<String>,
}

/// Export a bundle that a stranger can check
///
/// A tar archive of the files that `ops/audit/VERIFY.md` lists. A bundle that cannot be written to
/// its end is cut off: what lacks `SHA256SUMS` is none.
#[utoipa::path(
    get, path = "/api/v1/audit/bundle", operation_id = "export_bundle", tag = "audit",
    params(BundleQuery),
    responses(
        (status = 200, content_type = "application/x-tar", body = String),
        (status = 409, body = ProblemBody, content_type = "application/problem+json",
            description = "The period is not closed yet"),
        (status = 413, body = ProblemBody, content_type = "application/problem+json",
            description = "More lines than one bundle proves"),
    ),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn bundle(
    caller: Caller,
    pass: Pass,
    State(api): State<Api>,
    Query(query): Query<BundleQuery>,
) -> Result<Response, Problem> {
    caller.require(Permission::ReadAudit)?;
    let order = query.order(&caller)?;
    let bundling = api.evidence()?.begin(&order).await?;
    let watch = Watch::begin(&api, pass, &caller, Permission::ReadAudit);
    let archive = Archive::new(bundling, watch, api.stopping.clone());
    let mut response = streamed("application/x-tar", Body::from_stream(archive.into_stream()));
    let name = HeaderValue::from_static("attachment; filename=\"bundle.tar\"");
    response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
    Ok(response)
}

impl BundleQuery {
    fn order(&self, caller: &Caller) -> Result<Order, Problem> {
        let instant = |name: &str, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => Timestamp::parse_rfc3339(text).map(Some).ok_or_else(|| {
                Problem::invalid(format!("`{name}` is no instant, such as 2026-11-01T00:00:00Z"))
            }),
        };
        let (from, to) = (instant("from", &self.from)?, instant("to", &self.to)?);
        let what = match (&self.period, from, to) {
            (Some(period), None, None) if (1..=64).contains(&period.chars().count()) => {
                Wanted::Period(period.clone())
            }
            (Some(_), None, None) => {
                return Err(Problem::invalid("the name of a period has 1 to 64 characters"));
            }
            (Some(_), ..) => {
                return Err(Problem::invalid("`period` goes without `from` and `to`"));
            }
            (None, Some(from), Some(to)) if from >= to => {
                return Err(Problem::invalid("`from` is not before `to`"));
            }
            (None, from, to) => Wanted::Between { from, to },
        };
        let lines = self.lines.as_deref().unwrap_or_default();
        let lines: Vec<String> =
            lines.split(',').filter(|line| !line.is_empty()).map(str::to_string).collect();
        if lines.len() > LINES {
            let detail = format!("one request has at most {LINES} lines proven");
            return Err(Problem::new("too-large", detail));
        }
        if lines.iter().any(|line| line.len() > 12 || !line.bytes().all(|b| b.is_ascii_digit())) {
            return Err(Problem::invalid("the id of a line has digits only, such as `000001`"));
        }
        Ok(Order {
            tenant: caller.tenant().clone(),
            what,
            since_opening: self.since_opening == Some(true),
            unwitnessed: self.unwitnessed == Some(true),
            lines,
        })
    }
}

fn plain(kind: &'static str, bytes: Vec<u8>) -> Response {
    let headers: [(HeaderName, HeaderValue); 1] =
        [(header::CONTENT_TYPE, HeaderValue::from_static(kind))];
    (headers, bytes).into_response()
}
