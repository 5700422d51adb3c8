//! Help, versions and completions.

use dagbook_tests::project::Project;

const COMMANDS: [&str; 40] = [
    "run",
    "submit",
    "lint",
    "plan",
    "graph",
    "schema",
    "runs",
    "show",
    "logs",
    "events",
    "why",
    "cancel",
    "pause",
    "resume",
    "retry",
    "approve",
    "reject",
    "signal",
    "replay",
    "retention",
    "audit",
    "rate-card",
    "contract",
    "period",
    "budget",
    "usage",
    "invoice",
    "serve",
    "pipeline",
    "schedule",
    "secret",
    "tenant",
    "token",
    "migrate",
    "relay",
    "witness",
    "timeline",
    "doctor",
    "completions",
    "version",
];

#[test]
fn every_command_is_listed_and_has_help() {
    let project = Project::new();
    let top = project.dagbook(&["--help"]);
    assert_eq!(top.code, 0, "{}", top.stderr);
    for command in COMMANDS {
        let line = format!("\n  {command} ");
        assert!(top.stdout.contains(&line), "`{command}` is missing in: {}", top.stdout);
        let help = project.dagbook(&[command, "--help"]);
        assert_eq!(help.code, 0, "{command}: {}", help.stderr);
        assert!(help.stdout.contains("Usage: dagbook "), "{command}: {}", help.stdout);
        assert!(help.stdout.contains("--output <FORMAT>"), "{command}: {}", help.stdout);
    }
    for code in 0..=6 {
        assert!(top.stdout.contains(&format!("{code} ")), "exit code {code} is not explained");
    }
}

#[test]
fn nothing_asked_shows_the_help_and_is_a_wrong_call() {
    let said = Project::new().dagbook(&[]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("Usage: dagbook"), "{}", said.stderr);
}

#[test]
fn versions() {
    let project = Project::new();
    let number = env!("CARGO_PKG_VERSION");
    assert_eq!(project.dagbook(&["version"]).stdout, format!("dagbook {number}\n"));
    assert_eq!(project.dagbook(&["--version"]).stdout, format!("dagbook {number}\n"));
    assert_eq!(project.json(&["version"])["leaf_format"], 1);
}

#[test]
fn completions_name_the_commands() {
    let project = Project::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = project.dagbook(&["completions", shell]).stdout;
        assert!(script.contains("replay") && script.contains("doctor"), "{shell}");
    }
}
