//! What README and docs show is true: every `jobs.toml` in them is valid, and every session prints what it shows.

use std::fs;
use std::path::Path;

use crate::site::{Site, text};

/// The blocks of a Markdown file that are marked with `language`.
fn blocks(file: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let content = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let opening = format!("```{language}\n");
    content.split(&opening).skip(1).filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}

/// Whether the output is what the session shows; `…` stands for anything, over lines when alone on one.
fn matches(shown: &str, output: &str) -> bool {
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (shown, output) = (squeezed(shown), squeezed(output));
    let mut parts = shown.split('…');
    let Some(mut rest) = output.strip_prefix(parts.next().unwrap_or_default().trim_end()) else { return false };
    let mut open = !shown.contains('…');
    for part in parts.map(str::trim) {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
        open = !part.is_empty();
    }
    !open || rest.trim().is_empty()
}

/// The commands of a session with what each prints.
fn commands(session: &str) -> Vec<(String, String)> {
    let command = |part: &str| part.split_once('\n').map(|(command, shown)| (command.to_owned(), shown.to_owned()));
    format!("\n{session}").split("\n$ ").skip(1).filter_map(|part| command(&format!("{part}\n"))).collect()
}

#[test]
fn the_readme_runs() {
    let configuration = blocks("README.md", "toml").concat();
    let site = Site::bare(&configuration);
    let session = blocks("README.md", "console").concat();
    let commands = commands(&session);
    assert!(commands.len() >= 4, "the session has become too short to show anything");
    for (command, shown) in commands {
        let arguments = words(command.strip_prefix("batchd ").expect("a session runs batchd"));
        let output = site.batchd(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        let stdout = text(&output.stdout);
        assert!(output.status.success(), "{command}: {}", text(&output.stderr));
        assert!(matches(&shown, &stdout), "{command} prints\n{stdout}\nbut is shown as\n{shown}");
    }
}

#[test]
fn the_sample_is_valid() {
    let sample = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("jobs.toml")).expect("the sample");
    Site::bare(&sample).ask(&["check", "--deny-warnings"]);
}

#[test]
fn a_shown_output_that_differs_is_found() {
    for (shown, output, expected) in [
        ("a b\n", "a   b\n", true),
        ("a … c", "a b\nx c", true),
        ("a …", "a b c", true),
        ("… c", "a b c", true),
        ("a … d", "a b c", false),
        ("a b", "a b c", false),
        ("b …", "a b", false),
    ] {
        assert_eq!(matches(shown, output), expected, "{shown:?} {output:?}");
    }
}

/// The words of a command line; double quotes hold some together.
fn words(line: &str) -> Vec<String> {
    let quoted = line.split('"').enumerate();
    quoted
        .flat_map(|(at, part)| if at % 2 == 1 { vec![part.to_owned()] } else { part.split_whitespace().map(str::to_owned).collect() })
        .collect()
}
