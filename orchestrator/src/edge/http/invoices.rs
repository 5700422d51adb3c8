//! Usage and invoices.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::billing::page;
use super::page::page_limit;
use super::{Api, Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query, Stamped};
use crate::app::billing::{self, By, CreditRequest, InvoiceAsk};
use crate::app::reports::{
    CreditNoteReport, InvoiceReport, InvoiceRow, LineEventsReport, UsageReport,
};

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(usage))
        .routes(routes!(list))
        .routes(routes!(show))
        .routes(routes!(what_if))
        .routes(routes!(line))
        .routes(routes!(credit))
}

/// Which usage.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct UsageQuery {
    /// A period that was opened, a month, a week, or `FROM/TO` in RFC 3339; by default this month.
    #[param(max_length = 100)]
    pub period: Option<String>,
    /// What it is added up by: `sku`, `meter`, `run` or `pipeline`.
    #[param(pattern = "^(sku|meter|run|pipeline)$")]
    pub by: Option<String>,
    /// With `usage.csv`.
    pub facts: Option<bool>,
}

/// What beside an invoice.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct InvoiceQuery {
    /// With `invoice.json` and `lines.csv`.
    pub documents: Option<bool>,
    /// With its rows for the tools of others (FOCUS 1.2).
    pub focus: Option<bool>,
}

/// A rate card to compare with.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OtherCard {
    /// The file: YAML, at most 24 KiB. It is not published.
    #[schema(min_length = 1, max_length = 24_576)]
    pub source: String,
}

/// Which facts of a line.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct FactsQuery {
    /// Those behind this id: `next` of the answer before.
    #[param(pattern = "^[0-9a-f]{64}$")]
    pub after: Option<String>,
    /// At most so many; the default is 50.
    #[param(minimum = 1, maximum = 500)]
    pub limit: Option<usize>,
}

/// What is to be taken back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCreditNote {
    /// Of which lines; left out: all that is left of all of them.
    #[serde(default)]
    #[schema(max_items = 256)]
    pub lines: Vec<CreditLine>,
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// What is to be taken back of a line.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CreditLine {
    /// The line.
    #[schema(pattern = "^[0-9]{6,}$")]
    pub line_id: String,
    /// How much, as a decimal number; left out: all that is left of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9]{1,15}(\\.[0-9]{1,4})?$")]
    pub amount: Option<String>,
}

/// Say what the tenant used, and what that costs
#[utoipa::path(
    get, path = "/api/v1/usage", operation_id = "show_usage", tag = "billing",
    params(UsageQuery), responses((status = 200, body = UsageReport)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn usage(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<UsageQuery>,
) -> Result<Json<UsageReport>, Problem> {
    let by = query.by.as_deref().map(str::parse::<By>).transpose().map_err(Problem::invalid)?;
    let how = (by.unwrap_or_default(), query.facts.unwrap_or(false));
    let period = query.period.as_deref();
    Ok(Json(billing::usage(&api.accounts()?, &caller.0, period, how).await?))
}

/// List the tenant's issued invoices, newest first
#[utoipa::path(
    get, path = "/api/v1/invoices", operation_id = "list_invoices", tag = "billing",
    params(PageQuery), responses((status = 200, body = Page<InvoiceRow>)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn list(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<InvoiceRow>>, Problem> {
    let items = billing::invoices(&api.accounts()?, &caller.0).await?;
    let of = Cursor { list: "invoices", tenant: caller.tenant() };
    page(&api, of, &query, items, |it| it.number.clone())
}

/// Look at an invoice, or at the draft of one, by its period or its number
#[utoipa::path(
    get, path = "/api/v1/invoices/{period}", operation_id = "show_invoice", tag = "billing",
    params(("period" = String, Path), InvoiceQuery),
    responses((status = 200, body = InvoiceReport)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn show(
    caller: Caller,
    State(api): State<Api>,
    Path(period): Path<String>,
    Query(query): Query<InvoiceQuery>,
) -> Result<Json<InvoiceReport>, Problem> {
    let (documents, focus) = (query.documents.unwrap_or(false), query.focus.unwrap_or(false));
    let ask = InvoiceAsk { period, what_if: None, documents, focus };
    Ok(Json(billing::invoice(&api.accounts()?, &caller.0, &ask).await?))
}

/// Look at an invoice beside what it would be with another rate card; nothing is published
#[utoipa::path(
    post, path = "/api/v1/invoices/{period}/what-if", operation_id = "compare_invoice",
    tag = "billing", params(("period" = String, Path)), request_body = OtherCard,
    responses((status = 200, body = InvoiceReport)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn what_if(
    caller: Caller,
    State(api): State<Api>,
    Path(period): Path<String>,
    Json(other): Json<OtherCard>,
) -> Result<Json<InvoiceReport>, Problem> {
    let what_if = Some((other.source.into_bytes(), "rate-card.yaml".to_string()));
    let ask = InvoiceAsk { period, what_if, ..InvoiceAsk::default() };
    Ok(Json(billing::invoice(&api.accounts()?, &caller.0, &ask).await?))
}

/// Look at a line of an invoice: its usage, the leaves that this follows from, and their proofs
#[utoipa::path(
    get, path = "/api/v1/invoices/{period}/lines/{line}", operation_id = "show_invoice_line",
    tag = "billing", params(("period" = String, Path), ("line" = String, Path), FactsQuery),
    responses((status = 200, body = LineEventsReport)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn line(
    caller: Caller,
    State(api): State<Api>,
    Path((period, line)): Path<(String, String)>,
    Query(query): Query<FactsQuery>,
) -> Result<Json<LineEventsReport>, Problem> {
    let limit = page_limit(query.limit)?;
    let after = query.after.as_deref();
    let accounts = api.accounts()?;
    Ok(Json(billing::line(&accounts, &caller.0, (&period, &line), after, limit).await?))
}

/// Issue a credit note on an invoice
#[utoipa::path(
    post, path = "/api/v1/invoices/{period}/credit-notes", operation_id = "issue_credit_note",
    tag = "billing", params(("period" = String, Path)), request_body = NewCreditNote,
    responses((status = 201, body = CreditNoteReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn credit(
    caller: Caller,
    State(api): State<Api>,
    Path(invoice): Path<String>,
    stamped: Stamped,
    Json(new): Json<NewCreditNote>,
) -> Result<(StatusCode, Json<CreditNoteReport>), Problem> {
    let lines = new.lines.into_iter().map(|line| (line.line_id, line.amount)).collect();
    let request = CreditRequest { invoice, lines, reason: new.reason, at: Some(stamped.at) };
    let issued = billing::issue(&api.accounts()?, &caller.0, &request).await?;
    Ok((StatusCode::CREATED, Json(issued)))
}
