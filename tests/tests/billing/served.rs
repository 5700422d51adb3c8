//! The same on a server, whose leader closes what is due by itself.

use dagbook_tests::served::{Client, Served};
use dagbook_tests::servers::wait_for;
use serde_json::{Value as Json, json};

use crate::support::{HOUR, PATIENCE, at, json, project};

fn ok(client: &Client<'_>, args: &[&str]) -> Json {
    json(&client.dagbook(&[args, &["--output", "json"]].concat()))
}

#[test]
fn a_server_bills_what_it_ran_and_closes_and_opens_periods_by_itself() {
    let project = project();
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let (_, said) = client.run(&["dag.yaml"]);
    assert_eq!(said.code, 0, "{}", said.stderr);

    ok(&client, &["rate-card", "publish", "card.yaml"]);
    let from = at(-HOUR);
    ok(&client, &["rate-card", "assign", "standard", "--effective", &from]);
    let late = client.dagbook(&["rate-card", "publish", "dearer.yaml"]);
    assert_eq!(late.code, 2, "{}", late.stderr);
    assert!(late.stderr.contains("--effective"), "{}", late.stderr);
    let second = ok(&client, &["rate-card", "publish", "dearer.yaml", "--effective", &at(HOUR)]);
    assert_eq!(second["adopted_by"], json!(["local"]));
    ok(&client, &["contract", "publish", "contract.yaml", "--effective", &from]);
    ok(&client, &["budget", "set", "month", "500", "--currency", "EUR"]);
    assert_eq!(ok(&client, &["budget", "list"])["budgets"][0]["amount"], "500.00");

    let end = at(3_000);
    ok(&client, &["period", "open", "launch", "--from", &from, "--to", &end, "--grace", "0s"]);
    let periods = wait_for("the leader to close it", PATIENCE, || {
        let periods = ok(&client, &["period", "list"]);
        let all = periods["periods"].as_array().expect("a list").clone();
        let launch = all.iter().find(|it| it["period"] == "launch").expect("it is there").clone();
        (launch["status"] == "closed").then_some(all)
    });
    assert!(periods.len() >= 2, "the next one was opened before: {periods:?}");
    assert_eq!(periods[periods.len() - 2]["start"], periods[periods.len() - 1]["end"]);

    let there = ok(&client, &["invoice", "--period", "launch"]);
    assert_eq!((&there["number"], &there["total"]), (&json!("local-000001"), &json!("1.03")));
    let other = ok(&client, &["invoice", "--period", "launch", "--rate-card", "dearer.yaml"]);
    assert_eq!(other["what_if"]["total_minor"], "147");
    let line = ok(&client, &["invoice", "show", "000001", "--events", "--period", "launch"]);
    assert_eq!(line["facts"].as_array().map(Vec::len), Some(1));
    let note = ok(&client, &["invoice", "credit", "--period", "launch", "--reason", "an outage"]);
    assert_eq!((&note["number"], &note["total_minor"]), (&json!("local-CN-000001"), &json!("103")));

    // What a server says is what the command line says here.
    for args in [
        &["invoice", "--period", "launch"][..],
        &["invoice", "list"],
        &["usage", "--period", "launch", "--by", "pipeline"],
        &["rate-card", "list"],
        &["contract", "list"],
        &["budget", "list"],
        &["show", "latest"],
        &["invoice", "--period", "launch", "--focus"],
    ] {
        for output in ["text", "json"] {
            let args = [args, &["--output", output]].concat();
            let (there, here) = (client.dagbook(&args), project.dagbook(&args));
            assert_eq!((there.code, here.code), (0, 0), "{}{}", there.stderr, here.stderr);
            assert_eq!(there.stdout, here.stdout, "{args:?}");
        }
    }
}
