//! What handlers work with.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ports::Archive;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::Problem;
use super::gate::Gate;
use super::idempotency::InFlight;
use super::page::CursorKey;
use crate::app::administration::Administration;
use crate::app::audit::Evidence;
use crate::app::authenticate::Authenticate;
use crate::app::error::AppError;
use crate::app::following::Following;
use crate::app::login::Logins;
use crate::app::logs::Logs;
use crate::app::operations::Operations;
use crate::app::services::Services;
use crate::telemetry::Telemetry;

/// Bounds on what strangers and friends may ask of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request's body, where a path does not say otherwise.
    pub body_bytes: usize,
    /// Requests of one token in a minute.
    pub per_token: u32,
    /// Requests of one token that may come at once.
    pub per_token_burst: u32,
    /// Refused requests of one address in a minute.
    pub per_peer: u32,
    /// Requests at work at one time.
    pub concurrent: usize,
    /// The longest that a request is worked on; streams are not bound by it.
    pub request: Duration,
    /// The same where a tenant's log is rated or a bundle is planned.
    pub rating: Duration,
    /// Logs that are rated at one time, for requests.
    pub ratings: usize,
    /// Followers of events and logs, in this process.
    pub followers: usize,
    /// Followers of one tenant, in this process.
    pub followers_per_tenant: usize,
    /// Open connections.
    pub connections: usize,
    /// How long a client may take for a request's head, and stay without asking anything.
    pub head: Duration,
    /// How long a client may take in none of what it is sent.
    pub unread: Duration,
    /// How often a stream on which nothing happens says that it is there.
    pub heartbeat: Duration,
    /// How long open requests have to end when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 8 << 20,
            per_token: 6_000,
            per_token_burst: 600,
            per_peer: 120,
            concurrent: 512,
            request: Duration::from_secs(30),
            rating: Duration::from_secs(600),
            ratings: 4,
            followers: 200,
            followers_per_tenant: 100,
            connections: 4_096,
            head: Duration::from_secs(15),
            unread: Duration::from_secs(60),
            heartbeat: Duration::from_secs(15),
            grace: Duration::from_secs(20),
        }
    }
}

/// What an API is made of.
pub struct ApiParts {
    /// What use cases work with.
    pub services: Services,
    /// Knows whose token it is.
    pub authenticate: Arc<dyn Authenticate>,
    /// Knows how the server is.
    pub operations: Arc<dyn Operations>,
    /// Reads what attempts wrote.
    pub logs: Arc<dyn Logs>,
    /// Bounds.
    pub limits: Limits,
    /// Seals cursors.
    pub cursors: CursorKey,
}

/// The state of the API. Clones share it: every layer of every request has one.
#[derive(Clone)]
pub struct Api(Arc<ApiState>);

impl Deref for Api {
    type Target = ApiState;

    fn deref(&self) -> &ApiState {
        &self.0
    }
}

/// What the state of the API is.
#[derive(Clone)]
pub struct ApiState {
    /// What use cases work with.
    pub services: Services,
    /// Knows whose token it is.
    pub authenticate: Arc<dyn Authenticate>,
    /// What use cases of administration work with; none: this server has no part in it.
    pub administration: Option<Administration>,
    /// Logs people in, where an identity provider is configured.
    pub logins: Option<Logins>,
    /// Knows how the server is.
    pub operations: Arc<dyn Operations>,
    /// Counts requests, and takes their spans.
    pub telemetry: Telemetry,
    /// Reads what attempts wrote.
    pub logs: Arc<dyn Logs>,
    /// Where events are that have left the store; none: they never leave it.
    pub archive: Option<Arc<dyn Archive>>,
    /// Gives auditors what they check; none: this server has no part in it.
    pub evidence: Option<Evidence>,
    /// Hands what is recorded to those who follow.
    pub following: Following,
    /// Bounds.
    pub limits: Arc<Limits>,
    /// Seals cursors.
    pub cursors: CursorKey,
    /// Done when the server stops: streams end.
    pub stopping: CancellationToken,
    pub(super) gate: Arc<Gate>,
    pub(super) in_flight: InFlight,
    /// Places for requests that rate a log.
    pub(super) ratings: Arc<Semaphore>,
    pub(super) description: Arc<str>,
}

impl Api {
    /// An API over these. Must be called on a tokio runtime.
    pub fn new(parts: ApiParts) -> Self {
        let ApiParts { services, authenticate, operations, logs, limits, cursors } = parts;
        let places = (limits.followers, limits.followers_per_tenant);
        Self(Arc::new(ApiState {
            following: Following::start(&services, places.0, places.1),
            services,
            authenticate,
            administration: None,
            logins: None,
            operations,
            telemetry: Telemetry::default(),
            logs,
            archive: None,
            evidence: None,
            gate: Arc::new(Gate::new(&limits)),
            ratings: Arc::new(Semaphore::new(limits.ratings.max(1))),
            limits: Arc::new(limits),
            cursors,
            stopping: CancellationToken::new(),
            in_flight: InFlight::default(),
            description: Arc::from(""),
        }))
    }

    /// Changes it before it is shared.
    fn with(mut self, change: impl FnOnce(&mut ApiState)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// With whoever counts and traces.
    pub fn observed(self, telemetry: Telemetry) -> Self {
        self.with(|state| state.telemetry = telemetry)
    }

    /// With the administration of tenants, tokens and secrets.
    pub fn administered(self, administration: Administration) -> Self {
        self.with(|state| state.administration = Some(administration))
    }

    /// With the archive, where the store has one.
    pub fn archived(self, archive: Option<Arc<dyn Archive>>) -> Self {
        self.with(|state| state.archive = archive)
    }

    /// With what auditors check.
    pub fn with_evidence(self, evidence: Evidence) -> Self {
        self.with(|state| state.evidence = Some(evidence))
    }

    /// With people who log in, where any do.
    pub fn with_logins(self, logins: Option<Logins>) -> Self {
        self.with(|state| state.logins = logins)
    }

    /// What use cases of administration work with.
    pub(super) fn admin(&self) -> Result<&Administration, Problem> {
        self.administration.as_ref().ok_or_else(|| {
            AppError::unavailable("this server has no part in administration").into()
        })
    }

    /// What auditors check.
    pub(super) fn evidence(&self) -> Result<&Evidence, Problem> {
        self.evidence
            .as_ref()
            .ok_or_else(|| AppError::unavailable("this server has no part in audits").into())
    }

    /// With its own description, which it hands out.
    pub(super) fn described(self, description: utoipa::openapi::OpenApi) -> Self {
        let text = serde_json::to_string(&description).expect("a description is plain data");
        self.with(|state| state.description = Arc::from(text))
    }
}
