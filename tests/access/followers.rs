//! More followers than a server takes: as many as it takes are served to the end, all others are
//! refused politely, and the server is none the worse for it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dagbook_tests::project::Project;
use dagbook_tests::served::Served;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longest wait for what many do at once.
const PATIENCE: Duration = Duration::from_secs(180);
/// Most memory of the server (debug builds and their caches included).
const MEMORY_MAX_KIB: u64 = 1 << 20;
/// Files beside the connections of the test.
const FILES_BESIDE: u64 = 500;

const DAG: &str = "dagbook: v1\nname: long\nsteps:\n  a: { run: \"echo begun; sleep 600\" }\n";

/// How many come, and how many of them are served.
struct Crowd {
    coming: usize,
    served: usize,
    of_a_tenant: usize,
}

/// Whoever follows: what it was answered, and its connection.
struct Follower {
    status: u16,
    head: String,
    stream: BufReader<TcpStream>,
}

/// Asks to follow, and reads the head of the answer.
async fn follow(port: u16, path: &str, token: &str) -> std::io::Result<Follower> {
    let mut stream = BufReader::new(TcpStream::connect(("127.0.0.1", port)).await?);
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    let head = head.to_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Follower { status: status.expect("a status"), head, stream })
}

impl Follower {
    /// Refused with a word when to come again, and with its reason as a problem: its code.
    async fn refusal(mut self) -> String {
        assert!([429, 503].contains(&self.status), "{}", self.head);
        assert!(self.head.contains("\r\nretry-after: "), "{}", self.head);
        assert!(self.head.contains("application/problem+json"), "{}", self.head);
        let length = self.head.split("content-length: ").nth(1).expect("a length");
        let length: usize = length.lines().next().and_then(|n| n.parse().ok()).expect("a number");
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.expect("its body");
        let problem: Json = serde_json::from_slice(&body).expect("a problem");
        problem["code"].as_str().expect("a code").to_string()
    }

    /// Everything until the end of what it follows; the connection itself stays open.
    async fn rest(mut self) -> String {
        let mut said = Vec::new();
        while !said.ends_with(b"\r\n0\r\n\r\n") {
            let mut piece = [0; 4_096];
            match self.stream.read(&mut piece).await.expect("more, or an end") {
                0 => panic!("cut off behind {}", String::from_utf8_lossy(&said)),
                n => said.extend_from_slice(&piece[..n]),
            }
        }
        String::from_utf8_lossy(&said).into_owned()
    }
}

/// Lets this process, and what it starts, open so many files.
fn allow_files(wanted: u64) {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_none_or(|current| current >= wanted) {
        return;
    }
    let raised = Rlimit { current: Some(wanted), maximum: now.maximum };
    setrlimit(Resource::Nofile, raised).unwrap_or_else(|error| {
        panic!(
            "this test needs {wanted} open files, and may have {:?} ({error}): raise the hard \
             limit (`ulimit -Hn`) of whoever runs it",
            now.maximum
        )
    });
}

fn memory_kib(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("a process");
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("its memory");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

async fn ask(served: &Served, method: &str, tenant: &str, path: &str, body: Json) -> (u16, Json) {
    let method = method.parse().expect("a method");
    let request = reqwest::Client::new()
        .request(method, format!("{}{path}", served.url()))
        .bearer_auth(&served.token)
        .header("dagbook-tenant", tenant)
        .header("content-type", "application/json")
        .body(body.to_string());
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Json::Null))
}

/// A tenant with a token and a run whose step has begun.
async fn tenant(served: &Served, name: &str) -> (String, String) {
    let (status, _) =
        ask(served, "POST", "local", "/api/v1/tenants", json!({ "tenant": name })).await;
    assert_eq!(status, 201);
    let token = json!({ "name": "follower", "role": "viewer" });
    let (_, token) = ask(served, "POST", name, "/api/v1/tokens", token).await;
    let (status, run) = ask(served, "POST", name, "/api/v1/runs", json!({ "dag": DAG })).await;
    assert_eq!(status, 201, "{run}");
    let run = run["run"].as_str().expect("a run").to_string();
    let log = format!("/api/v1/runs/{run}/steps/a/attempts/1/log");
    let deadline = Instant::now() + PATIENCE;
    while ask(served, "GET", name, &log, Json::Null).await.0 != 200 {
        assert!(Instant::now() < deadline, "the step does not begin");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (token["value"].as_str().expect("a value").to_string(), run)
}

/// Whom the one with this number follows, and as whom: half of them events, half a log, half of
/// each in either tenant.
fn wanted(tenants: &[(String, String); 2], n: usize) -> (String, String) {
    let (token, run) = &tenants[n % 2];
    let path = match (n / 2).is_multiple_of(2) {
        true => format!("/api/v1/runs/{run}/events/stream"),
        false => format!("/api/v1/runs/{run}/steps/a/attempts/1/log?follow=true"),
    };
    (path, token.clone())
}

/// All come at once: those who are served, and why the others are not.
async fn come(
    served: &Served,
    tenants: &[(String, String); 2],
    count: usize,
) -> (Vec<Follower>, BTreeMap<String, usize>) {
    let cut = Arc::new(AtomicUsize::new(0));
    let mut coming = JoinSet::new();
    for n in 0..count {
        let ((path, token), port) = (wanted(tenants, n), served.port);
        let cut = cut.clone();
        coming.spawn(async move {
            let answered = async {
                loop {
                    match follow(port, &path, &token).await {
                        Ok(follower) => return follower,
                        // The system's own queue was full: it does not answer, and sees to it
                        // that whoever asks again is heard.
                        Err(error) if error.kind() == ErrorKind::ConnectionReset => {
                            cut.fetch_add(1, Ordering::Relaxed);
                        }
                        Err(error) => panic!("no answer: {error}"),
                    }
                }
            };
            let follower = timeout(PATIENCE, answered).await.expect("an answer in time");
            match follower.status {
                200 => Ok(follower),
                _ => Err(follower.refusal().await),
            }
        });
    }
    let (mut following, mut refused) = (Vec::new(), BTreeMap::new());
    while let Some(came) = coming.join_next().await {
        match came.expect("no panic") {
            Ok(follower) => following.push(follower),
            Err(code) => *refused.entry(code).or_insert(0) += 1,
        }
    }
    let cut = cut.load(Ordering::Relaxed);
    eprintln!("{cut} connections were cut off by the queue of the system");
    assert!(cut <= count / 20, "{cut} connections were cut off without a word");
    (following, refused)
}

#[tokio::test(flavor = "multi_thread")]
async fn more_followers_than_there_are_places_for_are_refused_politely() {
    let crowd = match super::deep() {
        false => Crowd { coming: 60, served: 8, of_a_tenant: 5 },
        true => Crowd { coming: 10_000, served: 200, of_a_tenant: 100 },
    };
    allow_files(crowd.coming as u64 + FILES_BESIDE);
    let mut project = Project::new();
    let (all, of_a_tenant) = (crowd.served, crowd.of_a_tenant);
    let places = format!("followers = {all}\nfollowers_per_tenant = {of_a_tenant}\n");
    // A client of this busy process may be late with its head: that is not what is asked here.
    let often = "per_token = 1000000\nper_token_burst = 1000000\nhead_ms = 120000\n";
    project.set("DAGBOOK_HTTP_LIMITS", &format!("{places}{often}"));
    let served = Served::start(&project);
    let tenants = [tenant(&served, "acme").await, tenant(&served, "umbrella").await];

    let (mut following, refused) = come(&served, &tenants, crowd.coming).await;
    let (count, memory) = (following.len(), memory_kib(served.process()));
    eprintln!("{count} are served, refused are {refused:?}; the server took {memory} KiB");
    assert!(count <= crowd.served, "{count} are served");
    assert!(refused.contains_key("too-many-followers"), "{refused:?}");

    // Whoever was told that the server is busy comes again, until every place is taken.
    let deadline = Instant::now() + PATIENCE;
    for n in 0.. {
        let (path, token) = wanted(&tenants, n);
        let follower = follow(served.port, &path, &token).await.expect("an answer");
        match follower.status {
            200 => following.push(follower),
            _ => assert_eq!(follower.refusal().await, "too-many-followers"),
        }
        if following.len() == crowd.served && n >= 4 {
            break;
        }
        assert!(Instant::now() < deadline, "{} are served", following.len());
    }

    // It goes on as if nothing had been: each of them sees the end.
    assert_eq!(ask(&served, "GET", "local", "/readyz", Json::Null).await.0, 200);
    for (name, (_, run)) in ["acme", "umbrella"].into_iter().zip(&tenants) {
        let path = format!("/api/v1/runs/{run}/cancel");
        assert_eq!(ask(&served, "POST", name, &path, json!({ "force": true })).await.0, 200);
    }
    let mut ends = JoinSet::new();
    for follower in following {
        ends.spawn(timeout(PATIENCE, follower.rest()));
    }
    let mut told = 0;
    while let Some(said) = ends.join_next().await {
        let said = said.expect("no panic").expect("its end in time");
        assert!(said.contains("event: end") || said.contains("begun"), "{said}");
        told += 1;
    }
    assert_eq!(told, crowd.served);
    let memory = memory_kib(served.process());
    assert!(memory < MEMORY_MAX_KIB, "the server took {memory} KiB");

    // Their places are free: the run is over, and whoever asks is told so rather than refused.
    let (path, token) = wanted(&tenants, 0);
    let deadline = Instant::now() + PATIENCE;
    while follow(served.port, &path, &token).await.expect("an answer").status != 200 {
        assert!(Instant::now() < deadline, "their places are not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
