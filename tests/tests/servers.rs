//! The servers that other tests lean on do what their names say.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Duration;

use dagbook_tests::servers::{
    Nats, NatsVersion, Postgres, PostgresVersion, Proxy, SeaweedFs, wait_for,
};

const SOON: Duration = Duration::from_secs(10);

fn answers(port: u16) -> bool {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn keeps_what_was_committed(version: PostgresVersion) {
    let mut server = Postgres::start(version);
    server.database("kept");
    server.execute_in("kept", "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)");
    server.kill();
    assert!(!answers(server.port()));
    server.restart();
    server.execute_in("kept", "INSERT INTO kept SELECT 1/n FROM kept");
    server.stop_immediately();
    server.restart();
    let backup = server.base_backup();
    server.execute_in("kept", "DROP TABLE kept");
    server.restore(&backup);
    server.execute_in("kept", "INSERT INTO kept SELECT n FROM kept");
    let (port, data) = (server.port(), server.data());
    drop(server);
    assert!(!answers(port));
    assert!(!data.exists());
}

#[test]
fn debians_postgres_keeps_what_was_committed_when_it_is_killed_and_goes_back_to_a_backup() {
    keeps_what_was_committed(PostgresVersion::Debian);
}

#[test]
fn the_newest_postgres_keeps_what_was_committed_when_it_is_killed_and_goes_back_to_a_backup() {
    keeps_what_was_committed(PostgresVersion::Newest);
}

#[test]
fn both_versions_of_nats_come_back_on_their_port_after_a_kill() {
    for version in [NatsVersion::Debian, NatsVersion::Current] {
        let mut server = Nats::start_with(version, "jetstream { max_file_store: 1GB }");
        assert!(server.store().exists(), "JetStream is on");
        server.kill();
        assert!(!answers(server.port()));
        server.restart();
        assert!(answers(server.port()));
        let (port, store) = (server.port(), server.store());
        drop(server);
        assert!(!answers(port) && !store.exists());
    }
}

#[test]
fn seaweedfs_takes_objects() {
    let server = SeaweedFs::start();
    server.create_bucket("tiles");
    // It answers again when it exists already.
    server.create_bucket("tiles");
    assert!(server.endpoint().starts_with("http://127.0.0.1:"));
}

#[test]
fn servers_end_when_the_process_that_started_them_is_killed() {
    let program = env!("CARGO_BIN_EXE_server-holder");
    let mut holder = std::process::Command::new(program)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("the helper starts");
    let mut output = holder.stdout.take().expect("its output");
    let mut text = String::new();
    // Its two lines: the processes of a Postgres and of a nats-server.
    while text.lines().count() < 2 || !text.ends_with('\n') {
        let mut bytes = [0; 64];
        let count = output.read(&mut bytes).expect("its output");
        assert!(count > 0, "the helper ended early: {text}");
        text.push_str(std::str::from_utf8(&bytes[..count]).expect("numbers"));
    }
    holder.kill().expect("it is ours");
    holder.wait().expect("it has ended");
    for process in text.lines() {
        let stat = format!("/proc/{process}/stat");
        wait_for("a server to end with its holder", SOON, || {
            let dead = std::fs::read_to_string(Path::new(&stat)).map_or(true, |text| {
                text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('Z'))
            });
            dead.then_some(())
        });
    }
}

/// A server that answers each piece with itself.
fn echo() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut socket = socket;
                let mut bytes = [0; 1024];
                while let Ok(count @ 1..) = socket.read(&mut bytes) {
                    if socket.write_all(&bytes[..count]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    port
}

fn connect(proxy: &Proxy) -> TcpStream {
    let socket = TcpStream::connect((Ipv4Addr::LOCALHOST, proxy.port())).expect("the proxy");
    socket.set_read_timeout(Some(SOON)).expect("a socket");
    socket
}

fn exchange(socket: &mut TcpStream, text: &str) -> std::io::Result<String> {
    socket.write_all(text.as_bytes())?;
    let mut answer = vec![0; text.len()];
    socket.read_exact(&mut answer)?;
    Ok(String::from_utf8(answer).expect("what was sent"))
}

#[test]
fn the_proxy_passes_cuts_and_refuses() {
    let proxy = Proxy::to(echo());
    let mut socket = connect(&proxy);
    assert_eq!(exchange(&mut socket, "hello").expect("an answer"), "hello");
    proxy.cut();
    exchange(&mut socket, "hello").expect_err("the connection is gone");
    let mut socket = connect(&proxy);
    assert_eq!(exchange(&mut socket, "again").expect("an answer"), "again");
    proxy.down();
    exchange(&mut connect(&proxy), "hello").expect_err("nobody is taken");
    proxy.pass();
    assert_eq!(exchange(&mut connect(&proxy), "hello").expect("an answer"), "hello");
}

#[test]
fn the_proxy_loses_the_answer_to_what_arrived() {
    let proxy = Proxy::to(echo());
    let mut socket = connect(&proxy);
    proxy.cut_before_reply(b"COMMIT\0");
    assert_eq!(exchange(&mut socket, "BEGIN").expect("an answer"), "BEGIN");
    exchange(&mut socket, "COMMIT\0").expect_err("the answer is lost");
    assert_eq!((proxy.requested(), proxy.replied(), proxy.cuts()), (12, 5, 1));
    assert_eq!(exchange(&mut connect(&proxy), "COMMIT\0").expect("only once"), "COMMIT\0");
}

#[test]
fn the_proxy_cuts_before_a_request_and_after_so_many_bytes() {
    let proxy = Proxy::to(echo());
    proxy.cut_before_request(b"commit");
    let mut socket = connect(&proxy);
    assert_eq!(exchange(&mut socket, "com").expect("an answer"), "com");
    // The words are found although they come in two pieces.
    exchange(&mut socket, "mit").expect_err("never arrived");
    assert_eq!(proxy.requested(), 3);
    proxy.cut_after(4);
    exchange(&mut connect(&proxy), "hello").expect_err("cut in the middle");
    assert_eq!(proxy.requested(), 7);
    assert_eq!(exchange(&mut connect(&proxy), "hello").expect("only once"), "hello");
}

#[test]
fn the_proxy_holds_and_swallows() {
    let proxy = Proxy::to(echo());
    let mut socket = connect(&proxy);
    proxy.drop_replies();
    socket.write_all(b"lost").expect("sent");
    wait_for("the answer to be swallowed", SOON, || (proxy.swallowed() == 4).then_some(()));
    proxy.hold();
    socket.write_all(b"late").expect("sent");
    proxy.pass();
    let mut answer = [0; 4];
    socket.read_exact(&mut answer).expect("what was held");
    assert_eq!(&answer, b"late");
}
