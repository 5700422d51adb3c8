//! A client that keeps its connections and tries nothing twice: what fails is not to be measured.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use dagbook::telemetry::metrics::{Exposed, parse};
use reqwest::{RequestBuilder, Response, header};
use serde_json::{Value, json};

/// How long any request may take, streams included.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a number is looked at that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Clones share their connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    url: String,
    token: String,
}

/// An event of a run as the API tells it.
#[derive(Debug, serde::Deserialize)]
pub struct Told {
    /// Its type.
    pub event: String,
    /// The step that it is about.
    pub step: Option<String>,
    /// When, in RFC 3339.
    pub at: String,
}

#[derive(serde::Deserialize)]
struct Page {
    items: Vec<Told>,
    next: Option<String>,
}

impl Client {
    /// Of the server at `HOST:PORT`.
    pub fn new(address: &str) -> Result<Self> {
        let builder = reqwest::Client::builder()
            .no_proxy()
            .timeout(PATIENCE)
            .pool_max_idle_per_host(1_024)
            // A server closes what is idle for longer; a request must not meet that.
            .pool_idle_timeout(Duration::from_secs(5))
            .tcp_nodelay(true);
        let url = format!("http://{address}");
        Ok(Self { http: builder.build()?, url, token: String::new() })
    }

    /// With this token from now on.
    pub fn authorize(&mut self, token: &str) -> Result<()> {
        ensure!(!token.is_empty(), "an empty token");
        self.token = token.to_string();
        Ok(())
    }

    /// Whether it says that requests should come.
    pub async fn is_ready(&self) -> bool {
        let answer = self.http.get(format!("{}/readyz", self.url)).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// The least that a request can be.
    pub async fn health(&self) -> Result<()> {
        let answer = checked(self.http.get(format!("{}/healthz", self.url))).await?;
        answer.bytes().await?;
        Ok(())
    }

    /// Submits a DAG; says the run once it is durable.
    pub async fn submit(&self, dag: &str) -> Result<String> {
        let request = self.http.post(format!("{}/api/v1/runs", self.url));
        let run: Value = self.json(request.json(&json!({ "dag": dag }))).await?;
        Ok(run["run"].as_str().context("the run's id")?.to_string())
    }

    /// Tells a run of an event that it waits for.
    pub async fn signal(&self, run: &str, name: &str) -> Result<()> {
        let request = self.http.post(format!("{}/api/v1/runs/{run}/signal", self.url));
        self.json(request.json(&json!({ "name": name }))).await.map(drop)
    }

    /// Follows a run until it tells of an event of this type; says when that was heard. The
    /// stream is read to its end, so that the connection is kept.
    pub async fn follow(&self, run: &str, until: &str) -> Result<Instant> {
        let request = self.http.get(format!("{}/api/v1/runs/{run}/events/stream", self.url));
        let mut answer = checked(request.bearer_auth(&self.token)).await?;
        let wanted = format!("event: {until}\n");
        let (mut text, mut heard, mut status) = (Vec::new(), None, String::new());
        while let Some(piece) = answer.chunk().await? {
            text.extend_from_slice(&piece);
            while let Some(end) = find(&text, b"\n\n") {
                let event = String::from_utf8_lossy(&text[..end + 2]).into_owned();
                text.drain(..end + 2);
                if event.contains(&wanted) {
                    heard.get_or_insert_with(Instant::now);
                }
                if event.contains("event: run.finished\n") {
                    status = event;
                }
            }
        }
        ensure!(status.contains("\"succeeded\""), "run {run} did not succeed: {status}");
        heard.with_context(|| format!("the stream of {run} ended without {until}"))
    }

    /// All events of a run.
    pub async fn events(&self, run: &str) -> Result<Vec<Told>> {
        let (mut told, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let request = self.http.get(format!("{}/api/v1/runs/{run}/events", self.url));
            let request = request.query(&[("limit", "500")]);
            let request = cursor.iter().fold(request, |it, at| it.query(&[("cursor", at)]));
            let page: Page = serde_json::from_value(self.json(request).await?)?;
            told.extend(page.items);
            match page.next {
                Some(next) => cursor = Some(next),
                None => return Ok(told),
            }
        }
    }

    /// Its metrics.
    pub async fn metrics(&self) -> Result<Exposed> {
        let request = self.http.get(format!("{}/metrics", self.url));
        let text = checked(request.bearer_auth(&self.token)).await?.text().await?;
        parse(&text).map_err(|error| anyhow::anyhow!("the metrics: {error}"))
    }

    /// How many runs have come to their end, by how they ended.
    pub async fn finished(&self) -> Result<Finished> {
        let metrics = self.metrics().await?;
        let mut finished = Finished::default();
        let points = metrics.family("dagbook_runs_finished").map(|family| &family.points);
        for point in points.into_iter().flatten() {
            let succeeded =
                point.labels.iter().any(|(name, value)| name == "status" && value == "succeeded");
            // Counts are exact far beyond what is reached here.
            let count = point.value as u64;
            finished.all += count;
            finished.succeeded += if succeeded { count } else { 0 };
        }
        Ok(finished)
    }

    /// Waits until so many runs more than before have ended; all must have succeeded.
    pub async fn all_finish(&self, before: Finished, runs: u64) -> Result<()> {
        let begun = Instant::now();
        loop {
            let now = self.finished().await?;
            let (all, well) = (now.all - before.all, now.succeeded - before.succeeded);
            ensure!(all == well, "{} of {all} runs did not succeed", all - well);
            if all >= runs {
                return Ok(());
            }
            if begun.elapsed() > PATIENCE * 3 {
                bail!("{all} of {runs} runs ended within {:?}", begun.elapsed());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn json(&self, request: RequestBuilder) -> Result<Value> {
        let answer = checked(request.bearer_auth(&self.token)).await?;
        Ok(serde_json::from_slice(&answer.bytes().await?)?)
    }
}

/// How many runs ended.
#[derive(Debug, Clone, Copy, Default)]
pub struct Finished {
    /// However they did.
    pub all: u64,
    /// As they should.
    pub succeeded: u64,
}

async fn checked(request: RequestBuilder) -> Result<Response> {
    let answer = request.header(header::ACCEPT, "*/*").send().await?;
    if answer.status().is_success() {
        return Ok(answer);
    }
    let status = answer.status();
    let text = answer.text().await.unwrap_or_default();
    bail!("{status}: {}", text.chars().take(500).collect::<String>())
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}
