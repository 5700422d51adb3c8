//! The diagram of the attempt machine in the documentation is the one of the table.

use std::path::Path;

use dagbook_events::step::transition::diagram;

#[test]
fn the_documented_diagram_is_made_from_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/docs/attempt-machine.md");
    let text = format!(
        "# The attempt machine\n\nMade from the table in `events/src/step/transition.rs`; \
         a test compares them. Observations that are known already, or that come after the end, \
         change nothing and are not drawn.\n\n```mermaid\n{}```\n",
        diagram()
    );
    if std::env::var_os("DAGBOOK_BLESS").is_some() {
        std::fs::write(&path, &text).expect("written");
    }
    let documented = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(documented, text, "run this test with DAGBOOK_BLESS=1");
}
