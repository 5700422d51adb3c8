//! Prices, contracts, periods and budgets.

use axum::extract::State;
use axum::http::StatusCode;
use dagbook_events::billing::{BudgetAction, BudgetSet, exponent_of, parse_decimal};
use dagbook_events::dag::FindingDto;
use dagbook_events::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query};
use crate::app::billing::{self, Accounts, OpenAsk, Published};
use crate::app::error::AppError;
use crate::app::reports::{
    BudgetReport, ContractReport, PeriodReport, PublishedReport, RateCardReport, RateCardRow,
};

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list_cards, publish_card))
        .routes(routes!(show_card))
        .routes(routes!(list_card_versions))
        .routes(routes!(assign_card))
        .routes(routes!(list_contracts, publish_contract))
        .routes(routes!(list_periods, open_period))
        .routes(routes!(close_period))
        .routes(routes!(list_budgets))
        .routes(routes!(set_budget, remove_budget))
}

impl Api {
    /// What use cases of billing work with.
    pub(super) fn accounts(&self) -> Result<Accounts, Problem> {
        Ok(self.admin()?.accounts())
    }
}

/// A file to be published.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSource {
    /// The file: YAML, at most 24 KiB.
    #[schema(min_length = 1, max_length = 24_576)]
    pub source: String,
    /// From when on it holds, in RFC 3339, in the place of what the file says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub effective_from: Option<String>,
}

/// From when on something holds.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Effective {
    /// In RFC 3339; left out: from now on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub effective_from: Option<String>,
}

/// A period to be opened: a month or a week by its name, a custom one with its end, or with none
/// of it the one behind the last.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewPeriod {
    /// `2026-11`, `2026-W47`, or what a custom one is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    pub period: Option<String>,
    /// Where a custom one begins; by default where the last one ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub from: Option<String>,
    /// Where a custom one ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub to: Option<String>,
    /// Its IANA zone; by default that of the last one, or the tenant's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How long after its end late usage is waited for; by default as before, or 48 hours.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 5_356_800_000_u64)]
    pub grace_ms: Option<u64>,
    /// ISO 4217, where nothing says it yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: Option<String>,
}

/// Why a period is closed before its grace is over.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Closing {
    /// Left out: it is closed only when its grace is over.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    pub force_reason: Option<String>,
}

/// A budget.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBudget {
    /// Money for each period, as a decimal number.
    #[schema(pattern = "^[0-9]{1,15}(\\.[0-9]{1,4})?$")]
    pub amount: String,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
    /// What happens when it would be exceeded.
    pub on_exceed: OnExceed,
}

/// What happens when a budget would be exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExceed {
    /// It is said.
    Warn,
    /// Nothing that would exceed it is started.
    HoldNew,
    /// Nothing is started, and what runs is cancelled.
    Stop,
}

/// Which version.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct VersionQuery {
    /// By default the newest.
    #[param(minimum = 1)]
    pub version: Option<u32>,
}

/// An instant that a request names.
pub(super) fn instant(text: Option<&String>) -> Result<Option<Timestamp>, Problem> {
    text.map(|text| {
        Timestamp::parse_rfc3339(text)
            .filter(|at| at.0 >= 0)
            .ok_or_else(|| Problem::invalid(format!("`{}` is no time of RFC 3339", cut(text))))
    })
    .transpose()
}

fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

/// A page of what is all at hand, by the names of its items.
pub(super) fn page<T>(
    api: &Api,
    of: Cursor<'_>,
    query: &PageQuery,
    items: Vec<T>,
    name: impl Fn(&T) -> String,
) -> Result<Json<Page<T>>, Problem> {
    let limit = query.limit()?;
    let after = query.cursor.as_deref().map(|cursor| api.cursors.open(of, cursor)).transpose()?;
    let from = match &after {
        None => 0,
        Some(after) => items.iter().position(|it| name(it) == *after).map_or(0, |at| at + 1),
    };
    let mut items: Vec<T> = items.into_iter().skip(from).take(limit + 1).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next = last.map(|last| api.cursors.seal(of, &name(last)));
    Ok(Json(Page::new(items, next)))
}

/// List rate cards that you may know of, by name
#[utoipa::path(
    get, path = "/api/v1/rate-cards", operation_id = "list_rate_cards", tag = "billing",
    params(PageQuery), responses((status = 200, body = Page<RateCardRow>)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn list_cards(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<RateCardRow>>, Problem> {
    let limit = query.limit()?;
    let of = Cursor { list: "rate-cards", tenant: caller.tenant() };
    let after = query.cursor.as_deref().map(|cursor| api.cursors.open(of, cursor)).transpose()?;
    let accounts = api.accounts()?;
    let mut items = billing::list(&accounts, &caller.0, after.as_deref(), limit + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next = last.map(|last| api.cursors.seal(of, &last.name));
    Ok(Json(Page::new(items, next)))
}

/// Publish a version of a rate card
#[utoipa::path(
    post, path = "/api/v1/rate-cards", operation_id = "publish_rate_card", tag = "billing",
    request_body = NewSource, responses((status = 201, body = PublishedReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn publish_card(
    caller: Caller,
    State(api): State<Api>,
    Json(new): Json<NewSource>,
) -> Result<(StatusCode, Json<PublishedReport>), Problem> {
    let effective = instant(new.effective_from.as_ref())?;
    let file = (new.source.as_bytes(), "rate-card.yaml");
    let published = billing::publish(&api.accounts()?, &caller.0, file, effective).await?;
    let Published { card, is_new, adopted_by, warnings } = published;
    let report = PublishedReport {
        published: card,
        is_new,
        adopted_by: adopted_by.iter().map(ToString::to_string).collect(),
        warnings: warnings.iter().map(FindingDto::from).collect(),
    };
    Ok((StatusCode::CREATED, Json(report)))
}

/// Look at a version of a rate card
#[utoipa::path(
    get, path = "/api/v1/rate-cards/{name}", operation_id = "show_rate_card", tag = "billing",
    params(("name" = String, Path), VersionQuery),
    responses((status = 200, body = RateCardReport)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn show_card(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<VersionQuery>,
) -> Result<Json<RateCardReport>, Problem> {
    let accounts = api.accounts()?;
    Ok(Json(billing::show(&accounts, &caller.0, &name, query.version).await?))
}

/// List the versions of a rate card, oldest first
#[utoipa::path(
    get, path = "/api/v1/rate-cards/{name}/versions", operation_id = "list_rate_card_versions",
    tag = "billing", params(("name" = String, Path), PageQuery),
    responses((status = 200, body = Page<RateCardReport>)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn list_card_versions(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<RateCardReport>>, Problem> {
    let items = billing::versions(&api.accounts()?, &caller.0, &name).await?;
    let list = format!("rate-card-versions/{name}");
    let of = Cursor { list: &list, tenant: caller.tenant() };
    page(&api, of, &query, items, |it| it.card.version.to_string())
}

/// Give a rate card to the tenant; says what holds for it then
#[utoipa::path(
    post, path = "/api/v1/rate-cards/{name}/assign", operation_id = "assign_rate_card",
    tag = "billing", params(("name" = String, Path)), request_body = Effective,
    responses((status = 200, body = Vec<RateCardReport>)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn assign_card(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(from): Json<Effective>,
) -> Result<Json<Vec<RateCardReport>>, Problem> {
    let effective = instant(from.effective_from.as_ref())?;
    Ok(Json(billing::assign(&api.accounts()?, &caller.0, &name, effective).await?))
}

/// List the tenant's contracts, newest first
#[utoipa::path(
    get, path = "/api/v1/contracts", operation_id = "list_contracts", tag = "billing",
    params(PageQuery), responses((status = 200, body = Page<ContractReport>)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn list_contracts(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<ContractReport>>, Problem> {
    let items = billing::contracts(&api.accounts()?, &caller.0).await?;
    let of = Cursor { list: "contracts", tenant: caller.tenant() };
    page(&api, of, &query, items, |it| format!("{}.{}", it.contract.name, it.contract.version))
}

/// Publish a version of the tenant's contract
#[utoipa::path(
    post, path = "/api/v1/contracts", operation_id = "publish_contract", tag = "billing",
    request_body = NewSource, responses((status = 201, body = ContractReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn publish_contract(
    caller: Caller,
    State(api): State<Api>,
    Json(new): Json<NewSource>,
) -> Result<(StatusCode, Json<ContractReport>), Problem> {
    let effective = instant(new.effective_from.as_ref())?;
    let file = (new.source.as_bytes(), "contract.yaml");
    let accounts = api.accounts()?;
    let (report, _) = billing::publish_contract(&accounts, &caller.0, file, effective).await?;
    Ok((StatusCode::CREATED, Json(report)))
}

/// List the tenant's periods, newest first
#[utoipa::path(
    get, path = "/api/v1/periods", operation_id = "list_periods", tag = "billing",
    params(PageQuery), responses((status = 200, body = Page<PeriodReport>)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn list_periods(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<PeriodReport>>, Problem> {
    let items = billing::periods(&api.accounts()?, &caller.0).await?;
    let of = Cursor { list: "periods", tenant: caller.tenant() };
    page(&api, of, &query, items, |it| it.period.clone())
}

/// Open a period
#[utoipa::path(
    post, path = "/api/v1/periods", operation_id = "open_period", tag = "billing",
    request_body = NewPeriod, responses((status = 201, body = PeriodReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn open_period(
    caller: Caller,
    State(api): State<Api>,
    Json(new): Json<NewPeriod>,
) -> Result<(StatusCode, Json<PeriodReport>), Problem> {
    let ask = OpenAsk {
        from: instant(new.from.as_ref())?,
        to: instant(new.to.as_ref())?,
        period: new.period,
        zone: new.zone,
        grace: new.grace_ms.map(Millis),
        currency: new.currency,
    };
    let opened = billing::open(&api.accounts()?, &caller.0, &ask).await?;
    Ok((StatusCode::CREATED, Json(opened)))
}

/// Close a period, and issue its invoice
#[utoipa::path(
    post, path = "/api/v1/periods/{period}/close", operation_id = "close_period",
    tag = "billing", params(("period" = String, Path)), request_body = Closing,
    responses((status = 200, body = PeriodReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn close_period(
    caller: Caller,
    State(api): State<Api>,
    Path(period): Path<String>,
    Json(how): Json<Closing>,
) -> Result<Json<PeriodReport>, Problem> {
    let forced = how.force_reason.as_deref();
    Ok(Json(billing::close(&api.accounts()?, &caller.0, &period, forced).await?))
}

/// List the tenant's budgets, by name
#[utoipa::path(
    get, path = "/api/v1/budgets", operation_id = "list_budgets", tag = "billing",
    params(PageQuery), responses((status = 200, body = Page<BudgetReport>)),
    extensions(("x-permission" = json!("read_audit"))),
)]
async fn list_budgets(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<BudgetReport>>, Problem> {
    let items = billing::budgets(&api.accounts()?, &caller.0).await?;
    let of = Cursor { list: "budgets", tenant: caller.tenant() };
    page(&api, of, &query, items, |it| it.name.clone())
}

/// Set or change a budget
#[utoipa::path(
    put, path = "/api/v1/budgets/{name}", operation_id = "set_budget", tag = "billing",
    params(("name" = String, Path)), request_body = NewBudget,
    responses((status = 200, body = BudgetReport)),
    extensions(("x-permission" = json!("manage_tenant"))),
)]
async fn set_budget(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(new): Json<NewBudget>,
) -> Result<Json<BudgetReport>, Problem> {
    let budget = new.named(name)?;
    Ok(Json(billing::set_budget(&api.accounts()?, &caller.0, &budget).await?))
}

/// Remove a budget
#[utoipa::path(
    delete, path = "/api/v1/budgets/{name}", operation_id = "remove_budget", tag = "billing",
    params(("name" = String, Path)), responses((status = 200, body = BudgetReport)),
    extensions(("x-permission" = json!("manage_tenant"))),
)]
async fn remove_budget(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<BudgetReport>, Problem> {
    Ok(Json(billing::remove_budget(&api.accounts()?, &caller.0, &name).await?))
}

impl NewBudget {
    /// The budget of this name.
    ///
    /// # Errors
    /// Where the amount is none of its currency.
    pub fn named(self, name: String) -> Result<BudgetSet, AppError> {
        let Self { amount, currency, on_exceed } = self;
        let exponent = exponent_of(&currency).ok_or_else(|| {
            AppError::Invalid(format!("ISO 4217 has no currency `{}`", cut(&currency)))
        })?;
        let minor = parse_decimal(&amount, exponent)
            .map_err(|why| AppError::Invalid(format!("the amount `{}` {why}", cut(&amount))))?;
        let on_exceed = match on_exceed {
            OnExceed::Warn => BudgetAction::Warn,
            OnExceed::HoldNew => BudgetAction::HoldNew,
            OnExceed::Stop => BudgetAction::Stop,
        };
        Ok(BudgetSet { name, minor, currency, on_exceed })
    }
}
