//! Inputs to start from: good files, and files with one mistake each.

use std::path::Path;

const FULL: &str = include_str!("../../../events/tests/dag/full.yaml");
const KINDS: &str = include_str!("../../../events/tests/dag/kinds.yaml");
const BAD: &str = include_str!("../../../events/tests/dag/bad.txt");

/// The files of the tests, and those below `folder` that end in `.yaml`.
pub fn corpus(folder: Option<&Path>) -> Vec<Vec<u8>> {
    let mut inputs = vec![FULL.as_bytes().to_vec(), KINDS.as_bytes().to_vec()];
    for section in BAD.split("=== ").skip(1) {
        if let Some((_, rest)) = section.split_once('\n')
            && let Some((text, _)) = rest.rsplit_once("---\n")
        {
            inputs.push(text.as_bytes().to_vec());
        }
    }
    let mut folders: Vec<_> = folder.map(Path::to_path_buf).into_iter().collect();
    while let Some(folder) = folders.pop() {
        let mut entries: Vec<_> =
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "yaml") {
                inputs.extend(std::fs::read(path).ok());
            }
        }
    }
    inputs
}
