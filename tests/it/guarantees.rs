//! What docs/guarantees.md names exists: each test that it says holds a promise.

use std::fs;
use std::path::Path;

fn sources(dir: &Path, all: &mut String) {
    for entry in fs::read_dir(dir).expect("a folder of the project") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, all);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            all.push_str(&fs::read_to_string(&path).expect("a source"));
        }
    }
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/guarantees.md")).expect("the page");
    let mut all = String::new();
    sources(&root.join("src"), &mut all);
    sources(&root.join("tests"), &mut all);
    let named = page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::")).map(|(_, test)| test);
    let missing: Vec<_> =
        named.clone().filter(|test| !all.contains(&format!("#[test]\nfn {test}()")) && !all.contains(&format!("fn {test}() {{"))).collect();
    assert!(named.count() > 30, "the page names its tests");
    assert_eq!(missing, [""; 0], "named on the page, and nowhere else");
    let promises = page.lines().skip_while(|line| *line != "## Promised").take_while(|line| !line.starts_with("## Where"));
    for row in promises.filter(|line| line.starts_with("| ")).skip(2) {
        assert!(row.contains("::"), "nothing holds it: {row}");
    }
}
