//! Targets from elsewhere: read, kept, and taken up again after a kill, by the real daemon.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use crate::hook::Hook;
use crate::site::Site;

/// So many rows; all of them, killed in the middle, are tried by hand with a hundred thousand.
const ROWS: usize = 240;

/// As many ended before the kill, at least.
const ENDED: usize = 60;

fn csv(ids: impl IntoIterator<Item = usize>) -> String {
    ids.into_iter().fold("id,city\n".to_owned(), |mut text, id| {
        writeln!(text, "{id},\"city, {id}\"").expect("a string takes everything");
        text
    })
}

/// How often each target has been started.
fn starts(site: &Site) -> BTreeMap<usize, usize> {
    let mut starts = BTreeMap::new();
    for id in site.read("started").lines() {
        *starts.entry(id.parse().expect("an id")).or_default() += 1;
    }
    starts
}

/// The ids of partials with a recorded success.
fn succeeded(site: &Site) -> Vec<usize> {
    let id = |line: &str| {
        let partial: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
        let id = partial["target"]["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
        (partial["outcome"] == "succeeded").then_some(id)
    };
    site.ask(&["results", "shops"]).lines().filter_map(id).collect()
}

#[test]
fn a_kill_in_the_middle_of_a_csv_that_is_then_edited() {
    let site = Site::new(
        "[jobs.shops]\nschedule = \"@reboot\"\nshell = \"echo {{ target.id }} >> started\"\ntargets = { file = \"shops.csv\" }\nconcurrency = 4\n",
    );
    fs::write(site.path("shops.csv"), csv(0..ROWS)).expect("write");
    let mut daemon = site.daemon();
    daemon.line(&format!("its targets have been read: {ROWS} partials"));
    for _ in 0..ENDED {
        daemon.line("succeeded in");
    }
    daemon.signal(nix::sys::signal::Signal::SIGKILL);
    daemon.left();

    let before = succeeded(&site);
    assert!(before.len() >= ENDED && before.len() < ROWS - 40, "{} had succeeded", before.len());
    // Ten that have not been started go, ten join, one that has succeeded goes too, and all are in another order.
    let (gone, done) = (ROWS - 10, before[0]);
    fs::write(site.path("shops.csv"), csv((0..gone).chain(ROWS..ROWS + 10).filter(|id| *id != done).rev())).expect("write");
    let mut daemon = site.daemon();
    daemon.line("its targets were edited since: it has 250 partials now, 10 of them dropped");
    daemon.line("run succeeded");

    let starts = starts(&site);
    for id in &before {
        assert_eq!(starts.get(id), Some(&1), "{id} had succeeded");
    }
    let expected: Vec<usize> = (0..gone).chain(ROWS..ROWS + 10).collect();
    assert_eq!(starts.keys().copied().collect::<Vec<_>>(), expected);
    let mut after = succeeded(&site);
    after.sort_unstable();
    assert_eq!(after, expected);
    let run = site.ask_json(&["show", "shops"])["run"].clone();
    assert_eq!((&run["partials"], &run["succeeded"], &run["cancelled"], &run["failed"]), (&250.into(), &240.into(), &10.into(), &0.into()));
    assert_eq!(run["reason"], "10 targets were taken out of the list while the run was interrupted");
}

/// Runs a job whose targets come from `targets`, and shows how it ended.
fn ended(site: &Site, targets: &str) -> String {
    site.write_jobs(&format!("[jobs.j]\nschedule = \"manual\"\ncommand = [\"/bin/true\"]\ngather = [\"/bin/cat\"]\ntargets = {targets}\n"));
    site.batchd(&["run", "j"]);
    let run = site.ask_json(&["show", "j"])["run"].clone();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().replace(&site.path("").display().to_string(), "SITE/");
    format!("{} {}/{}: {}", text(&run["outcome"]), run["succeeded"], run["partials"], text(&run["reason"]))
}

#[test]
fn a_source_that_fails_is_the_end_of_its_run() {
    let site = Site::new("");
    fs::write(site.path("ragged.csv"), "id,x\n1,a\n2\n").expect("write");
    fs::write(site.path("twice.txt"), "a\nb\n\na\n").expect("write");
    fs::write(site.path("empty.jsonl"), "").expect("write");
    let seen: Vec<String> = [
        "{ file = \"missing.txt\" }",
        "{ file = \"ragged.csv\" }",
        "{ file = \"twice.txt\" }",
        "{ file = \"empty.jsonl\" }",
        "{ file = \"empty.jsonl\", on_empty = \"fail\" }",
        "{ glob = \"*.none\", on_empty = \"fail\" }",
        "{ command = [\"/bin/sh\", \"-c\", \"echo a; echo gone >&2; exit 3\"] }",
        "{ command = [\"/bin/sh\", \"-c\", \"echo '{'; yes\"], format = \"jsonl\" }",
        "{ command = [\"/bin/sh\", \"-c\", \"echo id,n; echo 1,2\"], format = \"csv\" }",
        "{ glob = \"*.txt\" }",
    ]
    .into_iter()
    .map(|targets| ended(&site, targets))
    .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    failed 0/0: its targets could not be read: `missing.txt`: No such file or directory (os error 2)
    failed 0/0: its targets could not be read: `ragged.csv`: line 3: 1 field where the header has 2
    failed 0/0: its targets could not be read: `twice.txt`: line 4: duplicate target `a`, which is the same as target 1
    succeeded 0/0: 
    failed 0/0: there are no targets (on_empty = "fail")
    failed 0/0: there are no targets (on_empty = "fail")
    failed 0/0: its targets could not be read: `/bin/sh`: exit code 3: gone
    failed 0/0: its targets could not be read: `/bin/sh`: line 1: it is not JSON: EOF while parsing an object at line 1 column 1
    succeeded 1/1: 
    succeeded 1/1: 
    "#);
}

#[test]
fn chosen_targets_of_a_file() {
    let site = Site::new("[jobs.j]\nschedule = \"manual\"\nhandler = \"echo\"\ntargets = { file = \"{{ nominal.date }}.txt\" }\n");
    fs::write(site.path("2026-03-08.txt"), "a\nb\nc\n").expect("write");
    let run = |arguments: &[&str]| {
        let output = site.batchd(&[&["run", "j", "--nominal", "2026-03-08T00:00:00Z"], arguments].concat());
        let run = site.ask_json(&["show", "j"])["run"].clone();
        format!("{} {}/{} {}", output.status.code().expect("a code"), run["succeeded"], run["partials"], run["reason"])
    };
    assert_eq!(run(&[]), "0 3/3 null");
    assert_eq!(run(&["--target", "c", "--target", "a"]), "0 2/2 null");
    assert_eq!(run(&["--target", "x"]), "1 0/0 \"its targets could not be read: `2026-03-08.txt`: no target is called `x`\"");
}

#[test]
fn targets_come_from_the_web() {
    let (hook, site) = (Hook::new(), Site::new(""));
    let seen: Vec<String> = [
        "{ http = \"URL/shops\", pointer = \"/data/items\" }",
        "{ http = \"URL/shops.csv\" }",
        "{ http = \"URL/shops\" }",
        "{ http = \"URL/shops\", pointer = \"/shops\" }",
        "{ http = \"URL/none\", on_empty = \"fail\" }",
        "{ http = \"URL/broken\" }",
        "{ http = { url = \"URL/shops.csv\", expect = 204 } }",
        "{ http = \"URL/redirect\" }",
        "{ http = { url = \"URL/redirect\", redirects = 1 } }",
        "{ http = \"URL/half\" }",
        "{ http = \"http://127.0.0.1:1/\" }",
    ]
    .into_iter()
    .map(|targets| ended(&site, &targets.replace("URL", &hook.url)).replace(hook.url.trim_start_matches("http://"), "HOST"))
    .collect();
    insta::assert_snapshot!(seen.join("\n"), @r#"
    succeeded 2/2: 
    succeeded 3/3: 
    failed 0/0: its targets could not be read: `HOST`: it is no JSON array: invalid type: map, expected an array of targets at line 1 column 1
    failed 0/0: its targets could not be read: `HOST`: there is nothing at `/shops`
    failed 0/0: there are no targets (on_empty = "fail")
    failed 0/0: its targets could not be read: `HOST`: status 500 Internal Server Error, expected 2xx: sorry
    failed 0/0: its targets could not be read: `HOST`: status 200 OK, expected 204: id,city 1,Seoul 2,Busan 3,Jeju
    failed 0/0: its targets could not be read: `HOST`: status 302 Found, expected 2xx
    failed 0/0: its targets could not be read: `169.254.169.254:80` is 169.254.169.254, a link-local or metadata address, which is refused unless `allow_link_local` is set
    failed 0/0: its targets could not be read: `HOST` broke off: error reading a body from connection: end of file before message length reached
    failed 0/0: its targets could not be read: cannot connect to `127.0.0.1:1` (127.0.0.1): Connection refused (os error 111)
    "#);
}

/// What hangs and what never ends is left when the time of the run is over.
#[test]
fn a_server_that_hangs_does_not_hold_a_run() {
    let (hook, site) = (Hook::new(), Site::new(""));
    for path in ["hang", "endless", "drip"] {
        let targets = format!("{{ http = \"{}/{path}\", format = \"lines\" }}\ntimeout = \"1s\"\nstop = {{ grace = \"1s\" }}\n", hook.url);
        let seen = ended(&site, &targets);
        assert!(seen.starts_with("timed_out 0/0") || (path == "endless" && seen.contains("line 1: it is longer than")), "{path}: {seen}");
    }
}
