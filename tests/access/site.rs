//! A site with its API in this process, on SQLite, without a listener.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Body;
use axum::http::{Method, Request, StatusCode, header};
use dagbook::app::administration::Administration;
use dagbook::app::directory::Directory;
use dagbook::app::login::Logins;
use dagbook::app::operations::{Operations, Readiness};
use dagbook::app::source::Loaded;
use dagbook::app::stamp;
use dagbook::app::submit::{Stamp, submission};
use dagbook::app::tokens;
use dagbook::config::{Config, DataDir, Overrides};
use dagbook::edge::http::{Api, ApiParts, CursorKey, Limits, router};
use dagbook::wiring::{Installation, Purpose};
use dagbook_events::codec::planner::Planner;
use dagbook_events::dag::SourceBundle;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::Actor;
use dagbook_events::run::event::Source;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// Nobody asks how this one is.
pub struct Nothing;

#[async_trait]
impl Operations for Nothing {
    async fn readiness(&self) -> Readiness {
        Readiness { ready: true, parts: Vec::new() }
    }
    fn metrics(&self) -> String {
        String::new()
    }
}

/// A site.
pub struct Site {
    pub folder: TempDir,
    pub installation: Installation,
    pub administration: Administration,
    pub router: axum::Router,
    pub admin: String,
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: axum::http::HeaderMap,
    pub body: Json,
}

impl Site {
    pub async fn start() -> Self {
        Self::start_with(|_, _| None).await
    }

    /// With bounds that differ from the usual ones; how often a token comes is never one of them.
    pub async fn start_within(limits: Limits) -> Self {
        Self::start_of(limits, |_, _| None).await
    }

    /// With people who log in.
    pub async fn start_with(
        logins: impl FnOnce(&Installation, &Directory) -> Option<Logins>,
    ) -> Self {
        Self::start_of(Limits::default(), logins).await
    }

    async fn start_of(
        limits: Limits,
        logins: impl FnOnce(&Installation, &Directory) -> Option<Logins>,
    ) -> Self {
        let folder = TempDir::new().expect("a folder");
        let overrides = Overrides { file: None, data: Some(folder.path().to_path_buf()) };
        let config = Config::load(&overrides, |_| None, None).expect("a configuration");
        let data = DataDir::find(&config, None, |_| None).expect("a data folder");
        let installation =
            Installation::open(&config, &data, Purpose::Append).await.expect("opened");
        let administration = installation.administration().await.expect("read");
        let first = tokens::bootstrap(&administration).await.expect("made").expect("the first");
        let admin = first.reveal().to_string();
        let usual = Limits::default().per_peer;
        let per_peer = if limits.per_peer == usual { 1_000_000 } else { limits.per_peer };
        let limits =
            Limits { per_peer, per_token: 1_000_000, per_token_burst: 1_000_000, ..limits };
        let directory = &administration.directory;
        let api = Api::new(ApiParts {
            services: administration.services.clone(),
            authenticate: Arc::new(directory.clone()),
            operations: Arc::new(Nothing),
            logs: installation.logs(),
            limits,
            cursors: CursorKey::new(&[7; 32]),
        });
        let logins = logins(&installation, directory);
        let patience = std::time::Duration::from_secs(1);
        let evidence = installation.evidence(&config, patience).expect("a key");
        let api = api.administered(administration.clone()).with_logins(logins);
        let api = api.with_evidence(evidence);
        Self { router: router(api), folder, installation, administration, admin }
    }

    /// Sends a request as it is.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.expect("answered");
        let (parts, body) = response.into_parts();
        let bytes = axum::body::to_bytes(body, 16 << 20).await.expect("a body");
        let body = match bytes.is_empty() {
            true => Json::Null,
            false => serde_json::from_slice(&bytes)
                .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(&bytes).into_owned())),
        };
        Answer { status: parts.status, headers: parts.headers, body }
    }

    /// Asks with a token, on a tenant if one is named.
    pub async fn ask(
        &self,
        token: Option<&str>,
        tenant: Option<&str>,
        method: &str,
        path: &str,
        body: Option<Json>,
    ) -> Answer {
        let method: Method = method.to_uppercase().parse().expect("a method");
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        if let Some(tenant) = tenant {
            request = request.header("dagbook-tenant", tenant);
        }
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        self.send(request.body(body).expect("a request")).await
    }

    /// Asks, and expects that it goes well.
    pub async fn done(
        &self,
        token: &str,
        tenant: Option<&str>,
        method: &str,
        path: &str,
        body: Option<Json>,
    ) -> Json {
        let answer = self.ask(Some(token), tenant, method, path, body).await;
        assert!(answer.status.is_success(), "{method} {path}: {answer:?}");
        answer.body
    }

    /// Records a run that waits for somebody's approval: it needs no executor.
    pub async fn make_run(&self, tenant: &str) -> String {
        const DAG: &str =
            "dagbook: v1\nname: waits\nsteps:\n  a: { approval: { message: \"Go?\" } }\n";
        let files = BTreeMap::from([("dag.yaml".to_string(), DAG.to_string())]);
        let bundle = SourceBundle { entry: "dag.yaml".to_string(), files };
        let loaded = Loaded {
            source: Source { bundle, folder: None, archive: None, pipelines: BTreeMap::new() },
            hash: Sha256Digest::of(DAG.as_bytes()),
            path: "dag.yaml".into(),
        };
        let deps = self.installation.deps.clone();
        let run = stamp::run_id(deps.clock.as_ref(), deps.rng.as_ref());
        let tenant = TenantId::new(tenant).expect("a slug");
        let stamped = Stamp { run, number: 1, tenant };
        let submitted = submission(&Planner::default(), &loaded, BTreeMap::new(), stamped);
        let submitted = submitted.expect("a plan");
        let by = Actor::new("user", "carol");
        dagbook::runtime::start(deps).submit(submitted, &by).await.expect("recorded");
        run.to_string()
    }

    pub async fn make_tenant(&self, name: &str) {
        let body = json!({ "tenant": name });
        self.done(&self.admin, None, "post", "/api/v1/tenants", Some(body)).await;
    }

    /// A token of a tenant: its id and its value.
    pub async fn make_token(&self, tenant: &str, name: &str, role: &str) -> (String, String) {
        let body = json!({ "name": name, "role": role });
        let made = self.done(&self.admin, Some(tenant), "post", "/api/v1/tokens", Some(body)).await;
        let text = |key: &str| made[key].as_str().expect("text").to_string();
        (text("token"), text("value"))
    }
}
