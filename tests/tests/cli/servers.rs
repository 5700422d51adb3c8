//! The same commands where the record is kept in Postgres and copied to NATS: only the
//! configuration differs.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout};
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::Position;
use dagbook_events::journal::bus::jetstream::{JetStreamCopy, Nats as Connection, NatsOptions};
use dagbook_events::journal::clock::SystemClock;
use dagbook_events::journal::store::postgres::{PostgresOptions, PostgresStore, PostgresUrl};
use dagbook_events::ports::{EventStore, RecordCopy, Recorded};
use dagbook_tests::servers::{Authority, Nats, NatsVersion, Postgres, PostgresVersion};
use rustix::process::{Pid, Signal, kill_process};

use dagbook_tests::project::{Project, Said};

const DAG: &str = "\
dagbook: v1
name: two
params:
  word: { type: string, default: hello }
steps:
  say:
    env: { WORD: \"${{ params.word }}\" }
    run: |
      echo \"word=$WORD\" >> \"$DAGBOOK_OUTPUT\"
      echo said
    outputs: { word: string }
  hear:
    needs: say
    env: { WORD: \"${{ steps.say.outputs.word }}\" }
    run: echo \"heard $WORD\"
";

/// A project whose record is in Postgres and copied to NATS.
struct Site {
    project: Project,
    postgres: Postgres,
    nats: Nats,
    store: String,
}

impl Site {
    fn start() -> Self {
        let postgres = Postgres::start(PostgresVersion::Debian);
        let version = match NatsVersion::Current.available() {
            true => NatsVersion::Current,
            false => NatsVersion::Debian,
        };
        let nats = Nats::start(version);
        let store = postgres.database("books");
        let mut project = Project::with("dag.yaml", DAG);
        project.set("DAGBOOK_STORE", &store);
        project.set("DAGBOOK_BUS", &nats.url());
        project.set("DAGBOOK_SITE", "books.example");
        Self { project, postgres, nats, store }
    }

    fn run(&self) -> String {
        let report = self.project.json(&["run", "dag.yaml"]);
        assert_eq!(report["status"], "succeeded", "{report}");
        report["run"].as_str().expect("an id").to_string()
    }

    fn said(&self, args: &[&str]) -> Said {
        self.project.dagbook(args)
    }

    /// The output of a command that must end with this code.
    fn ends(&self, code: i32, args: &[&str]) -> String {
        let said = self.said(args);
        assert_eq!(said.code, code, "{args:?}: {}{}", said.stdout, said.stderr);
        format!("{}{}", said.stdout, said.stderr)
    }
}

fn options(url: &str) -> PostgresOptions {
    let url = PostgresUrl::parse_with(url, |_| None).expect("an address");
    PostgresOptions::new(url, Arc::new(SystemClock))
}

/// All events of the store.
async fn events(url: &str) -> Vec<Recorded> {
    let store = PostgresStore::open(options(url)).await.expect("the store");
    store.read_after(Position(0), 10_000).await.expect("its events")
}

/// Fills the copy of another NATS server, as the relay would.
async fn copy_to(nats: &Nats, events: &[Recorded]) {
    let connection = Connection::start(NatsOptions::parse(&nats.url()).expect("an address"));
    connection.ready(Duration::from_secs(10)).await.expect("a connection");
    let copy = JetStreamCopy::new(connection);
    let last = copy.add(1, Position(0), events).await.expect("added");
    assert_eq!(last.0, events.len() as u64);
}

/// The event with one byte of its leaf changed, so that it still is a leaf.
fn changed(event: &Recorded) -> Recorded {
    let text = std::str::from_utf8(&event.leaf).expect("text").to_string();
    let other = text.replacen("tester", "tamper", 1);
    assert_ne!(text, other, "{text}");
    Recorded { leaf: Arc::from(other.into_bytes()), ..event.clone() }
}

#[test]
fn only_the_configuration_changes() {
    let mut site = Site::start();
    let run = site.run();
    let second = site.run();
    assert_eq!(site.project.json(&["runs"])["runs"].as_array().map(Vec::len), Some(2));
    assert_eq!(site.project.json(&["show", &run])["status"], "succeeded");
    assert!(site.ends(0, &["logs", &run]).contains("heard hello"));
    assert!(site.ends(0, &["events", &run]).contains("run.submitted"));
    assert!(site.ends(0, &["replay", &run, "--verify"]).contains("decided again"));
    assert!(!site.project.path().join(".dagbook/events.sqlite").exists());

    // Every keeping gives the same bytes.
    let forms: [&[&str]; 3] = [&[], &["--output", "json"], &["--at", "4"]];
    let mut expected = Vec::new();
    for form in forms {
        let shown = site.said(&[&["replay", &run], form].concat());
        assert_eq!(shown.code, 0, "{}", shown.stderr);
        for source in ["store", "postgres", "jetstream", "tiles"] {
            let other = site.said(&[&["replay", &run, "--from", source], form].concat());
            assert_eq!(other.stdout, shown.stdout, "{source}: {}", other.stderr);
        }
        expected.push(shown.stdout);
    }
    let refused = site.ends(2, &["replay", &run, "--from", "sqlite"]);
    assert!(refused.contains("Postgres"), "{refused}");

    // Also while the store is away, and by the words by which people name runs.
    site.postgres.stop();
    for source in ["jetstream", "tiles"] {
        for (form, expected) in forms.iter().zip(&expected) {
            let said = site.said(&[&["replay", &run, "--from", source], *form].concat());
            assert_eq!(&said.stdout, expected, "{source}: {}", said.stderr);
        }
        let latest = site.project.json(&["replay", "latest", "--from", source]);
        assert_eq!(latest["run"], second.as_str(), "{latest}");
        let first = site.project.json(&["replay", "#1", "--from", source]);
        assert_eq!(first["run"], run.as_str(), "{first}");
    }
    let away = site.ends(4, &["runs"]);
    assert!(away.contains("is the server running"), "{away}");
    assert!(site.ends(4, &["run", "dag.yaml"]).contains("cannot reach"));
    let both = site.ends(0, &["audit", "reconcile", "--from", "tiles", "--with", "jetstream"]);
    assert!(both.contains("hold the same"), "{both}");
}

#[test]
fn a_record_and_its_copy_are_compared_leaf_by_leaf() {
    let mut site = Site::start();
    site.run();
    let report = site.project.json(&["audit", "reconcile"]);
    assert_eq!(report["agrees"], true, "{report}");
    assert_eq!(report["logs"][0]["status"], "equal", "{report}");
    assert_eq!(report["logs"][0]["from_root"], report["logs"][0]["with_root"]);
    assert!(site.ends(0, &["audit", "reconcile", "--with", "tiles"]).contains("hold the same"));
    assert!(site.ends(2, &["audit", "reconcile", "--with", "store"]).contains("the same"));

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let events = runtime.block_on(events(&site.store));
    let middle = events.len() / 2;
    let spot = (middle..events.len())
        .find(|i| std::str::from_utf8(&events[*i].leaf).is_ok_and(|leaf| leaf.contains("tester")))
        .or_else(|| {
            events.iter().position(|e| {
                std::str::from_utf8(&e.leaf).is_ok_and(|leaf| leaf.contains("tester"))
            })
        })
        .expect("an event by a person");
    let mut tampered = events.clone();
    tampered[spot] = changed(&events[spot]);
    let other = Nats::start(NatsVersion::Debian);
    runtime.block_on(copy_to(&other, &tampered));
    site.project.set("DAGBOOK_BUS", &other.url());
    let found = site.ends(6, &["audit", "reconcile"]);
    let position = events[spot].position;
    assert!(found.contains(&format!("first at position {position}")), "{found}");
    let report = site.project.json(&["audit", "reconcile"]);
    assert_eq!(report["first_difference"], position.0, "{report}");
    assert_eq!(report["logs"][0]["difference"]["position"], position.0, "{report}");

    // A copy that is only shorter is behind, not different.
    let short = Nats::start(NatsVersion::Debian);
    runtime.block_on(copy_to(&short, &events[..events.len() - 3]));
    site.project.set("DAGBOOK_BUS", &short.url());
    let behind = site.ends(0, &["audit", "reconcile"]);
    assert!(behind.contains("jetstream is behind store by 3 events"), "{behind}");

    // Its end contradicts the record: nothing is appended.
    let mut wrong_end = events.clone();
    let last = wrong_end.len() - 1;
    wrong_end[last] = Recorded { position: events[last].position, ..changed(&events[spot]) };
    let wrong = Nats::start(NatsVersion::Debian);
    runtime.block_on(copy_to(&wrong, &wrong_end));
    site.project.set("DAGBOOK_BUS", &wrong.url());
    let halted = site.ends(6, &["run", "dag.yaml"]);
    assert!(halted.contains("halted") && halted.contains("ops/runbooks/"), "{halted}");
    assert_eq!(runtime.block_on(self::events(&site.store)).len(), events.len());
}

#[test]
fn a_witness_reads_the_copy_alone_and_co_signs() {
    let mut site = Site::start();
    site.run();
    let key = site.project.path().join("witness/witness.key").display().to_string();
    let site_key = site.project.path().join(".dagbook/keys/signing.key.vkey").display().to_string();
    // The store is away: a witness has no use for it.
    site.postgres.stop();
    let missing = site.ends(2, &["witness", "--key", &key, "--once"]);
    assert!(missing.contains("--log-key"), "{missing}");
    let args = ["witness", "--key", &key, "--name", "keeper.example", "--once"];
    let said = site.said(&[&args[..], &["--log-key", &site_key]].concat());
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let verifier = said.stdout.lines().next().expect("its key").to_string();
    assert!(verifier.starts_with("keeper.example+"), "{verifier}");
    assert!(said.stdout.contains("up to date"), "{}", said.stdout);

    site.postgres.restart();
    site.project.set("DAGBOOK_WITNESSES", &verifier);
    let kept = site.ends(0, &["relay", "--once"]);
    assert!(kept.contains("stopped at position"), "{kept}");
    let doctor = site.ends(0, &["doctor"]);
    assert!(doctor.contains("keeper.example co-signed the published head"), "{doctor}");

    // The key of the site is pinned: the witness goes on without being told again.
    site.run();
    let again = site.said(&args);
    assert_eq!(again.code, 0, "{}{}", again.stdout, again.stderr);
    assert!(again.stdout.contains("1 co-signature given"), "{}", again.stdout);
}

#[test]
fn migrations_are_run_once_and_rights_are_given() {
    let mut site = Site::start();
    let dry = site.ends(0, &["migrate", "--dry-run"]);
    assert!(dry.contains("would run 1: record"), "{dry}");
    assert!(site.ends(2, &["runs"]).contains("nothing was run here yet"));
    let ran = site.project.json(&["migrate"]);
    assert_eq!(
        (&ran["schema_before"], &ran["migrations"][0]["name"]),
        (&0.into(), &"record".into())
    );
    assert!(site.ends(0, &["migrate"]).contains("nothing to do"));

    site.postgres.execute("CREATE ROLE site LOGIN; CREATE ROLE auditor LOGIN");
    let granted = site.ends(0, &["migrate", "--grant", "site", "--grant-reader", "auditor"]);
    assert!(granted.contains("role site may append and read, and change nothing"), "{granted}");
    assert!(granted.contains("role auditor may read, and change nothing"), "{granted}");
    assert!(site.ends(1, &["migrate", "--grant", "postgres"]).contains("superuser"));
    assert!(site.ends(2, &["migrate", "--grant", "nobody"]).contains("CREATE ROLE"));

    // As the server's own role, which makes no tables.
    let as_owner = site.store.clone();
    site.project.set("DAGBOOK_STORE", &as_owner.replace("postgres@", "site@"));
    site.project.set("DAGBOOK_MIGRATE", "never");
    let run = site.run();
    let doctor = site.ends(0, &["doctor"]);
    assert!(doctor.contains("site may append and read, and change nothing"), "{doctor}");
    site.project.set("DAGBOOK_STORE", &as_owner.replace("postgres@", "auditor@"));
    assert!(site.ends(0, &["show", &run]).contains("succeeded"));

    site.project.set("DAGBOOK_STORE", &as_owner);
    site.postgres.execute_in(
        "books",
        "INSERT INTO refinery_schema_history VALUES (999, 'later', '2030-01-01T00:00:00Z', '7')",
    );
    for command in [&["runs"][..], &["run", "dag.yaml"], &["migrate"]] {
        let newer = site.ends(4, command);
        assert!(newer.contains("schema 999") && newer.contains("newer program"), "{newer}");
    }
    assert!(site.ends(1, &["doctor"]).contains("version 999"));
}

#[test]
fn sqlite_is_migrated_by_the_same_command() {
    let project = Project::with("dag.yaml", DAG);
    let dry = project.dagbook(&["migrate", "--dry-run"]);
    assert!(dry.stdout.contains("would run 1: record"), "{}{}", dry.stdout, dry.stderr);
    assert!(!project.path().join(".dagbook").exists());
    assert_eq!(project.dagbook(&["migrate"]).code, 0);
    let again = project.dagbook(&["migrate"]);
    assert!(again.stdout.contains("nothing to do"), "{}", again.stdout);
    assert_eq!(project.dagbook(&["migrate", "--grant", "x"]).code, 2);
    let alone = project.dagbook(&["relay"]);
    assert_eq!(alone.code, 2);
    assert!(alone.stderr.contains("nothing to keep up to date"), "{}", alone.stderr);
    assert_eq!(project.dagbook(&["run", "dag.yaml"]).code, 0);
    let timeline = project.json(&["timeline"]);
    assert_eq!(timeline["timeline"], 1);
    // Tiles can be had without servers, too.
    let mut project = project;
    project.set("DAGBOOK_OBJECTS", "file:published");
    assert_eq!(project.dagbook(&["relay", "--once"]).code, 0);
    let said = project.dagbook(&["audit", "reconcile"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let shown = project.dagbook(&["replay", "latest"]).stdout;
    assert_eq!(project.dagbook(&["replay", "latest", "--from", "sqlite"]).stdout, shown);
    assert_eq!(project.dagbook(&["replay", "latest", "--from", "tiles"]).stdout, shown);

    // One byte of the published leaves is changed.
    let tiles = project.path().join("published/t/local/1/tile/entries");
    let entry = std::fs::read_dir(&tiles).expect("tiles").flatten().next().expect("a tile");
    let entry = match entry.path().is_dir() {
        true => {
            std::fs::read_dir(entry.path()).expect("tiles").flatten().next().expect("one").path()
        }
        false => entry.path(),
    };
    let mut bytes = std::fs::read(&entry).expect("a tile");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&entry, bytes).expect("a changed tile");
    for command in [&["audit", "reconcile"][..], &["replay", "latest", "--from", "tiles"]] {
        let said = project.dagbook(command);
        assert_eq!(said.code, 6, "{}{}", said.stdout, said.stderr);
        assert!(said.stderr.contains("damaged"), "{}", said.stderr);
    }
}

#[test]
fn after_a_restored_backup_a_person_begins_a_new_timeline() {
    let mut site = Site::start();
    let early = site.run();
    let backup = site.postgres.base_backup();
    let late = site.run();
    site.postgres.restore(&backup);

    // The copy knows what the restored record does not: nothing is appended.
    let halted = site.ends(6, &["run", "dag.yaml"]);
    assert!(halted.contains("ops/runbooks/store-restored.md"), "{halted}");
    let halted = site.ends(6, &["relay", "--once"]);
    assert!(halted.contains("halted"), "{halted}");
    let shown = site.ends(6, &["timeline"]);
    assert!(shown.contains("restored from an older copy"), "{shown}");
    // What was lost can still be read from the copy.
    assert_eq!(site.project.json(&["replay", &late, "--from", "jetstream"])["status"], "succeeded");

    let begin = ["timeline", "new", "--after-restore", "--reason", "the disk of db1 was lost"];
    assert!(site.ends(2, &begin).contains("--yes"));
    assert!(site.ends(2, &["timeline", "new", "--reason", "x"]).contains("--after-restore"));
    let begun = site.ends(0, &[&begin[..], &["--yes"]].concat());
    assert!(begun.contains("timeline 2 is written"), "{begun}");
    assert_eq!(site.project.json(&["timeline"])["timeline"], 2);

    let third = site.run();
    assert_eq!(site.project.json(&["show", &early])["status"], "succeeded");
    let report = site.project.json(&["audit", "reconcile"]);
    assert_eq!(report["agrees"], true, "{report}");
    assert!(site.ends(0, &["replay", &third, "--verify"]).contains("decided again"));
    let shown = site.said(&["replay", &third]).stdout;
    for source in ["jetstream", "tiles"] {
        assert_eq!(site.said(&["replay", &third, "--from", source]).stdout, shown, "{source}");
    }
    // The old timeline's copy is still there, as evidence.
    let old = ["replay", &late, "--from", "jetstream", "--timeline", "1"];
    assert_eq!(site.project.json(&old)["status"], "succeeded");
    assert!(site.ends(0, &["doctor"]).contains("up to date"));
}

#[test]
fn after_a_restored_backup_the_copy_gives_back_what_was_lost() {
    let mut site = Site::start();
    let early = site.run();
    let backup = site.postgres.base_backup();
    let late = site.run();
    let before = site.said(&["replay", &late]).stdout;
    site.postgres.restore(&backup);
    site.ends(6, &["run", "dag.yaml"]);

    let looked = site.project.json(&["timeline", "recover", "--dry-run"]);
    assert!(looked["events"].as_u64() > Some(5), "{looked}");
    assert_eq!(looked["is_written"], false);
    assert!(looked["confirmed"].as_u64() >= Some(1), "{looked}");
    site.ends(6, &["timeline"]);

    let recover = ["timeline", "recover", "--reason", "the disk of db1 was lost"];
    assert!(site.ends(2, &["timeline", "recover"]).contains("--reason"));
    assert!(site.ends(2, &recover).contains("--yes"));
    let done = site.ends(0, &[&recover[..], &["--yes"]].concat());
    assert!(done.contains("are back, up to position"), "{done}");

    assert_eq!(site.said(&["replay", &late]).stdout, before);
    assert_eq!(site.project.json(&["show", &early])["status"], "succeeded");
    let report = site.project.json(&["audit", "reconcile"]);
    assert_eq!(report["agrees"], true, "{report}");
    let again = site.ends(0, &["timeline", "recover", "--dry-run"]);
    assert!(again.contains("nothing is missing"), "{again}");
    let third = site.run();
    assert!(site.ends(0, &["replay", &third, "--verify"]).contains("decided again"));
    assert_eq!(site.project.json(&["timeline"])["timeline"], 1);
}

#[test]
fn doctor_names_what_is_wrong_with_the_servers() {
    let mut site = Site::start();
    let doctor = site.ends(0, &["doctor"]);
    assert!(doctor.contains("there is none yet"), "{doctor}");
    site.run();
    let report = site.project.json(&["doctor"]);
    let status = |name: &str| {
        let checks = report["checks"].as_array().expect("checks");
        let check = checks.iter().find(|check| check["check"] == name);
        check.unwrap_or_else(|| panic!("{name} is missing in {report}"))["status"].clone()
    };
    for check in ["postgres", "durability", "protection", "schema", "nats", "copy", "tiles"] {
        assert_eq!(status(check), "ok", "{check}: {report}");
    }
    // The tests connect as a superuser.
    assert_eq!(status("role"), "warning");
    site.nats.stop();
    let unsure = site.ends(4, &["run", "dag.yaml"]);
    assert!(unsure.contains("could not be compared with its copy"), "{unsure}");
    let away = site.ends(1, &["doctor"]);
    assert!(away.contains("nats") && away.contains("relay-lagging.md"), "{away}");
    site.postgres.stop();
    let away = site.ends(1, &["doctor"]);
    assert!(away.contains("is the server running"), "{away}");
}

/// The address says nothing of TLS, and the authority is one that the machine knows.
#[test]
fn a_nats_server_that_wants_tls_gets_it_behind_a_plain_address() {
    let authority = Authority::new();
    authority.sign("server", "server", "subjectAltName=IP:127.0.0.1");
    let file = |name: &str| authority.name_of(name);
    let tls = format!(
        "tls {{ cert_file: {:?}, key_file: {:?} }}",
        file("server.pem"),
        file("server.key")
    );
    let server = Nats::start_with(NatsVersion::Debian, &tls);
    let mut project = Project::with("dag.yaml", DAG);
    project.set("DAGBOOK_BUS", &server.url());
    project.set("DAGBOOK_SITE", "books.example");
    // As a stranger it is not talked to.
    let refused = project.dagbook(&["doctor"]);
    assert_eq!(refused.code, 1, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stdout.contains("ertificate"), "{}", refused.stdout);
    project.set("SSL_CERT_FILE", &file("ca.pem"));
    let seen = project.dagbook(&["doctor"]);
    assert_eq!(seen.code, 0, "{}{}", seen.stdout, seen.stderr);
    assert!(seen.stdout.contains(", encrypted"), "{}", seen.stdout);
    let report = project.json(&["run", "dag.yaml"]);
    assert_eq!(report["status"], "succeeded", "{report}");
}

/// A command that goes on until it is told to end.
struct Going {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Going {
    fn start(project: &Project, args: &[&str]) -> Self {
        let mut child = project.command(args).spawn().expect("the program");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        Self { child, lines }
    }

    /// Reads on until a line has the words; its end is a failure.
    fn says(&mut self, words: &str) -> String {
        let mut seen = Vec::new();
        for line in self.lines.by_ref() {
            let line = line.expect("text");
            if line.contains(words) {
                return line;
            }
            seen.push(line);
        }
        panic!("it ended without `{words}`: {seen:?}");
    }

    fn told_to_end(mut self) -> i32 {
        let id = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(id, Signal::TERM).expect("a signal");
        for line in self.lines.by_ref() {
            line.expect("text");
        }
        self.child.wait().expect("its end").code().unwrap_or(-1)
    }
}

impl Drop for Going {
    fn drop(&mut self) {
        // It is gone already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn relay_and_witness_go_on_until_they_are_told_to_end() {
    let mut site = Site::start();
    // Recorded without a copy: the relay carries it over afterwards.
    let bus = site.nats.url();
    site.project.set("DAGBOOK_BUS", "memory:");
    site.run();
    site.project.set("DAGBOOK_BUS", &bus);
    let behind = site.ends(0, &["audit", "reconcile"]);
    assert!(behind.contains("jetstream is behind store"), "{behind}");
    let mut relay = Going::start(&site.project, &["relay"]);
    relay.says("up to date at position");
    let key = site.project.path().join("witness.key").display().to_string();
    let site_key = site.project.path().join(".dagbook/keys/signing.key.vkey").display().to_string();
    let args = ["witness", "--key", &key, "--log-key", &site_key, "--output", "json"];
    let mut witness = Going::start(&site.project, &args);
    witness.says("\"up to date\"");

    // Both live through a restart of NATS, and say so.
    site.nats.kill();
    relay.says("retrying");
    witness.says("\"retrying\"");
    site.nats.restart();
    relay.says("up to date");
    witness.says("\"up to date\"");
    site.run();
    assert!(site.ends(0, &["audit", "reconcile"]).contains("hold the same"));
    assert_eq!((relay.told_to_end(), witness.told_to_end()), (0, 0));
}
