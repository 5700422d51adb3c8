//! Clients of a site that has several doors: whatever happens to one of them, a request is sent
//! again, to another one and under the same key, until it was accepted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dagbook_events::ids::{RunId, TenantId};
use dagbook_tests::servers::eventually;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::SOON;
use crate::served::Served;

/// How long one answer is waited for: a server may stand still.
const ANSWER: Duration = Duration::from_secs(6);
/// How long a client lets a site alone that did not take its request.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a client asks before it says that the site is gone.
const PATIENCE: Duration = Duration::from_secs(120);

/// The clients. Cheap to clone.
#[derive(Clone)]
pub struct Api {
    client: Client,
    doors: Arc<Mutex<Vec<String>>>,
    tokens: Arc<BTreeMap<String, String>>,
    turn: Arc<AtomicUsize>,
}

/// An answer: its status and its JSON.
pub type Answer = (u16, Value);

impl Api {
    /// Makes the tenants through the site's first server, with a token for each.
    pub async fn prepare(server: &Served, tenants: &[&str]) -> Self {
        let client = Client::builder().timeout(ANSWER).build().expect("a client");
        let admin = server.admin.as_deref().expect("the first server says the first token");
        let mut this = Self {
            client,
            doors: Arc::new(Mutex::new(vec![server.url.clone()])),
            tokens: Arc::default(),
            turn: Arc::default(),
        };
        let mut tokens = BTreeMap::new();
        for tenant in tenants {
            let post = |path: &str| {
                let post = this.client.post(format!("{}/api/v1/{path}", server.url));
                post.bearer_auth(admin)
            };
            // Until record and copy were compared nothing can be made.
            let made = eventually("a tenant", SOON, || async {
                let made = answer(post("tenants").json(&json!({ "tenant": tenant }))).await?;
                (made.0 != 503).then_some(made)
            });
            assert!(matches!(made.await, (201, _)), "{tenant} was not made");
            // Who may act on a tenant is known a moment after the tenant was made.
            let token = eventually("a token", SOON, || async {
                let wanted = json!({ "name": "drill", "role": "maintainer" });
                let post = post("tokens").header("dagbook-tenant", *tenant).json(&wanted);
                let (status, issued) = answer(post).await?;
                (status == 201).then(|| issued["value"].as_str().map(str::to_string))?
            });
            tokens.insert(tenant.to_string(), token.await);
        }
        this.tokens = Arc::new(tokens);
        for tenant in tenants {
            let known = || async { (this.get(tenant, "me").await?.0 == 200).then_some(()) };
            eventually("the token to be known", SOON, known).await;
        }
        this
    }

    /// From now on these are its doors.
    pub fn at<'a>(&self, servers: impl IntoIterator<Item = &'a Served>) {
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        *doors = servers.into_iter().map(|server| server.url.clone()).collect();
    }

    /// One of the doors, another one each time.
    fn door(&self) -> String {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        doors[turn % doors.len()].clone()
    }

    /// A request of a tenant to one of the doors.
    pub fn request(&self, method: Method, tenant: &str, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}/api/v1/{path}", self.door()));
        request.bearer_auth(&self.tokens[tenant])
    }

    /// The same clients, who wait for an answer as long as it takes.
    pub fn patient(&self) -> Self {
        let client = Client::builder().timeout(PATIENCE).build().expect("a client");
        Self { client, ..self.clone() }
    }

    /// Asks once.
    pub async fn get(&self, tenant: &str, path: &str) -> Option<Answer> {
        answer(self.request(Method::GET, tenant, path)).await
    }

    /// Asks for something once that is not asked for again.
    pub async fn put(&self, tenant: &str, method: Method, path: &str, body: Value) -> Answer {
        let asked = self.request(method, tenant, path).json(&body);
        answer(asked).await.expect("an answer")
    }

    /// Submits a run once, without a key.
    pub async fn try_submit(&self, tenant: &str, dag: &str) -> Option<Answer> {
        answer(self.request(Method::POST, tenant, "runs").json(&json!({ "dag": dag }))).await
    }

    /// Submits a run until it was accepted, under one key.
    pub async fn submit(&self, tenant: &str, dag: &str) -> RunId {
        let (key, began) = (uuid::Uuid::now_v7().to_string(), Instant::now());
        loop {
            let post = self.request(Method::POST, tenant, "runs").header("idempotency-key", &key);
            match answer(post.json(&json!({ "dag": dag }))).await {
                Some((201, row)) => {
                    return row["run"].as_str().and_then(|id| id.parse().ok()).expect("its id");
                }
                // It is not there now, or the first try is being worked on.
                None | Some((429 | 503 | 504, _)) => {}
                Some((409, problem)) if problem.to_string().contains("key-in-use") => {}
                Some(other) => panic!("a run of {tenant} was refused: {other:?}"),
            }
            assert!(began.elapsed() < PATIENCE, "no server took a run within {PATIENCE:?}");
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Submits so many runs of each tenant, spread over a time.
    pub fn load(&self, counts: &[(&str, usize)], dag: &str, over: Duration) -> Load {
        let mut clients = JoinSet::new();
        for (tenant, count) in counts {
            let (api, tenant, dag, count) =
                (self.clone(), tenant.to_string(), dag.to_string(), *count);
            let every = (over / u32::try_from(count).expect("few")).max(Duration::from_millis(1));
            clients.spawn(async move {
                let mut pace = tokio::time::interval(every);
                let id = TenantId::new(&tenant).expect("a slug");
                let mut accepted = BTreeMap::new();
                for _ in 0..count {
                    pace.tick().await;
                    accepted.insert(api.submit(&tenant, &dag).await, id.clone());
                }
                accepted
            });
        }
        Load(clients)
    }
}

/// Clients at work.
pub struct Load(JoinSet<BTreeMap<RunId, TenantId>>);

impl Load {
    /// Waits for them; the runs that were accepted.
    pub async fn accepted(mut self) -> BTreeMap<RunId, TenantId> {
        let mut all = BTreeMap::new();
        while let Some(accepted) = self.0.join_next().await {
            all.extend(accepted.expect("every run is accepted"));
        }
        all
    }
}

/// None: nobody answered, or not to the end.
async fn answer(request: RequestBuilder) -> Option<Answer> {
    let answer = request.send().await.ok()?;
    let status = answer.status().as_u16();
    let text = answer.text().await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
}

/// What a server says of one of its parts.
pub async fn part(server: &Served, name: &str) -> Option<String> {
    let client = Client::builder().timeout(ANSWER).build().expect("a client");
    let (_, ready) = answer(client.get(format!("{}/readyz", server.url))).await?;
    let part = ready["parts"].as_array()?.iter().find(|part| part["name"] == name)?;
    part["detail"].as_str().map(str::to_string)
}

/// How a server says that it stands: the status of `/readyz`, and its parts that are not well.
pub async fn readiness(server: &Served) -> Option<(u16, BTreeMap<String, String>)> {
    let client = Client::builder().timeout(ANSWER).build().expect("a client");
    let (status, ready) = answer(client.get(format!("{}/readyz", server.url))).await?;
    let parts = ready["parts"].as_array()?.iter();
    let failing = parts.filter(|part| part["ok"] == false);
    let text = |of: &Value| of.as_str().unwrap_or_default().to_string();
    Some((status, failing.map(|part| (text(&part["name"]), text(&part["detail"]))).collect()))
}

/// The status of `/healthz`: whether the process answers at all.
pub async fn health(server: &Served) -> Option<u16> {
    let client = Client::builder().timeout(ANSWER).build().expect("a client");
    Some(client.get(format!("{}/healthz", server.url)).send().await.ok()?.status().as_u16())
}
