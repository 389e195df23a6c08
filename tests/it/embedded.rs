//! A program with handlers of its own: the example, built, and run as its README says and as a daemon.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use nix::sys::signal::Signal;

use crate::readme::{blocks, play, root};
use crate::site::{Site, text};

const EXAMPLE: &str = "examples/django_shop";

/// What cargo tells a test of its package. A build with it would not be the same build, and compile everything anew.
const OF_THE_TEST: [&str; 4] = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"];

/// Built where it is not fresh: `cargo test --test it` alone builds no examples.
static SHOP: LazyLock<PathBuf> = LazyLock::new(|| {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars().filter(|(name, _)| OF_THE_TEST.iter().any(|prefix| name.starts_with(prefix))) {
        cargo.env_remove(name);
    }
    let built = cargo
        .current_dir(root())
        .args(["build", "--quiet", "--locked", "--package", "shop"])
        .args((!cfg!(debug_assertions)).then_some("--release"))
        .status();
    assert!(built.expect("cargo runs").success());
    PathBuf::from(env!("CARGO_BIN_EXE_batchd")).with_file_name("shop")
});

fn site() -> Site {
    let jobs = fs::read_to_string(root().join(EXAMPLE).join("jobs.toml")).expect("the jobs of the example");
    Site::bare(&format!("{jobs}\n[log]\nconsole = true\n"))
}

#[test]
fn the_example_does_what_its_readme_says() {
    let (shop, site) = (&*SHOP, site());
    let shell = |line: &str| site.shell(&format!("shop() {{ '{}' \"$@\"; }}\n{line}", shop.display()));
    let readme = fs::read_to_string(root().join(EXAMPLE).join("README.md")).expect("the README of the example");
    let sessions: Vec<_> = blocks(EXAMPLE, &readme).into_iter().filter(|block| block.language == "console").collect();
    assert!(!sessions.is_empty());
    for session in &sessions {
        play(session, shell);
    }
    assert_eq!(shell("shop check --deny-warnings > /dev/null; echo $?"), "0\n");
}

/// The handlers are the daemon's as well, over its death.
#[test]
fn a_daemon_with_handlers_goes_on_where_it_was_killed() {
    let (shop, site) = (&*SHOP, site());
    fs::create_dir_all(site.path("orders/2026-11-23")).expect("ours");
    fs::write(site.path("shops.csv"), "id,city\n1,Seoul\n2,Busan\n").expect("ours");
    fs::write(site.path("orders/2026-11-23/1.txt"), "1000\n").expect("ours");
    // Whoever opens it waits until somebody writes to it.
    nix::unistd::mkfifo(&site.path("orders/2026-11-23/2.txt"), nix::sys::stat::Mode::S_IRWXU).expect("ours");
    let mut daemon = site.start_embedded(shop);
    daemon.line("ready");
    // Only the program itself knows what its handlers can be told.
    let mut trigger = Command::new(shop);
    let output = trigger.current_dir(site.path("")).args(["trigger", "daily-report", "--day", "2026-11-23"]).output().expect("it runs");
    let id = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    daemon.line("partial=targets] log| all shops are listed");
    daemon.line("partial=1] log| Seoul: 1000 KRW");
    let live = loop {
        let status = site.ask_json(&["status"]);
        if status["runs"][0]["oldest"][0]["progress"].is_string() {
            break status["runs"][0].clone();
        }
    };
    assert_eq!(
        (&live["oldest"][0]["target"], &live["oldest"][0]["progress"]),
        (&"2".into(), &"reads orders/2026-11-23/2.txt".into()),
        "{live}"
    );
    while site.ask_json(&["show", id.trim()])["run"]["succeeded"] != 1 {}
    daemon.signal(Signal::SIGKILL);
    daemon.left();

    fs::remove_file(site.path("orders/2026-11-23/2.txt")).expect("ours");
    fs::write(site.path("orders/2026-11-23/2.txt"), "30\n4\n").expect("ours");
    let mut daemon = site.start_embedded(shop);
    daemon.line("partial=2] log| Busan: 34 KRW");
    while site.ask_json(&["show", id.trim()])["run"]["ended"].is_null() {}
    let run = &site.ask_json(&["show", id.trim()])["run"];
    let result = serde_json::json!({"day": "2026-11-23", "currency": "KRW", "total": 1034, "missing": []});
    assert_eq!((&run["outcome"], &run["result"]), (&"succeeded".into(), &result), "{run}");
    assert!(!daemon.seen().iter().any(|line| line.contains("Seoul")), "what had succeeded does not run again");
    daemon.signal(Signal::SIGTERM);
    assert!(daemon.left().success());
}
