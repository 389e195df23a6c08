//! What a run is told by hand, on the real binary: by `run` and `trigger`, kept by a retry and through a crash.

use nix::sys::signal::Signal;

use crate::site::{Site, text};

const JOB: &str = r#"[jobs.report]
schedule = "manual"
args = { date = { type = "date", default = "{{ nominal.date }}", help = "the day to report" }, full = { type = "bool", default = false }, dry-run = { default = "no" }, mode = { choices = ["fast", "slow"], default = "fast" } }
shell = "echo {{ args.date }} $BATCHD_ARG_DATE {{ args.dry_run }} $BATCHD_ARG_FULL {% if args.full %}all{% endif %} >> out; test ! -e fail || exit 1; test ! -e wait || cat wait"

[jobs.asked]
schedule = "manual"
args = { count = { type = "int" } }
command = ["true"]
"#;

#[test]
fn the_help_of_a_job_lists_its_arguments() {
    let site = Site::new(JOB);
    let help = site.ask(&["run", "report", "--help"]);
    let (_, arguments) = help.split_once("Arguments of report:\n").expect("a section of its own");
    insta::assert_snapshot!(arguments, @r"
    --date <DATE>       the day to report [default: {{ nominal.date }}]
    --dry-run <STRING>  [default: no]
    --full[=<BOOL>]     [default: false]
    --mode <CHOICE>     [default: fast] [possible values: fast, slow]
    ");
}

#[test]
fn wrong_values_start_nothing() {
    let site = Site::new(JOB);
    let _daemon = site.daemon();
    for (line, said) in [
        (&["report", "--date", "yesterday"][..], "argument `date` cannot be \"yesterday\": allowed is a date such as 2026-01-31"),
        (&["report", "--mode=other"], "argument `mode` cannot be \"other\": allowed is one of `fast`, `slow`"),
        (&["report", "--full=maybe"], "argument `full` cannot be \"maybe\": allowed is `true` or `false`"),
        (&["asked"], "argument `count` is missing and has no default: give a whole number, of 64 bits with `--count`"),
        (&["asked", "--count", "many"], "argument `count` cannot be \"many\": allowed is a whole number"),
        (&["asked", "--date", "2026-01-31"], "unexpected argument '--date'"),
    ] {
        for command in ["run", "trigger"] {
            let output = site.batchd(&[&[command], line].concat());
            assert_eq!(output.status.code(), Some(2), "{command} {line:?}");
            assert!(text(&output.stderr).contains(said), "{command} {line:?}: {}", text(&output.stderr));
        }
    }
    assert_eq!(site.ask_json(&["history"])["runs"].as_array().map(Vec::len), Some(0));
}

#[test]
fn values_reach_the_job_and_stay_with_the_run() {
    let site = Site::new(JOB);
    let mut daemon = site.daemon();
    site.batchd(&["run", "report", "--date", "2026-01-31", "--full"]);
    site.batchd(&["run", "report", "--nominal", "2026-03-01T00:00:00Z"]);
    std::fs::write(site.path("fail"), "").expect("ours");
    site.batchd(&["trigger", "report", "--wait", "--date=2025-12-24", "--dry-run", "it's"]);
    std::fs::remove_file(site.path("fail")).expect("ours");
    let shown = site.ask_json(&["show", "report"]);
    let told = serde_json::json!({"date": "2025-12-24", "dry-run": "it's", "full": false, "mode": "fast"});
    assert_eq!(shown["run"]["args"], told, "{shown}");
    site.ask(&["retry", "report", "--wait"]);

    nix::unistd::mkfifo(&site.path("wait"), nix::sys::stat::Mode::S_IRWXU).expect("ours");
    let id = site.ask(&["trigger", "report", "--date", "2024-02-29"]);
    daemon.line("report@");
    while !std::fs::read_to_string(site.path("out")).expect("is written").contains("2024-02-29") {}
    daemon.signal(Signal::SIGKILL);
    daemon.left();
    std::fs::remove_file(site.path("wait")).expect("ours");
    let _daemon = site.daemon();
    while site.ask_json(&["show", id.trim()])["run"]["ended"].is_null() {}
    assert_eq!(
        std::fs::read_to_string(site.path("out")).expect("is written"),
        "2026-01-31 2026-01-31 no true all\n2026-03-01 2026-03-01 no false\n2025-12-24 2025-12-24 it's false\n\
         2025-12-24 2025-12-24 it's false\n2024-02-29 2024-02-29 no false\n2024-02-29 2024-02-29 no false\n"
    );
}

/// Arguments stand in requests, in what is gathered, and in where targets come from.
#[test]
fn values_reach_every_kind_of_template() {
    let hook = crate::hook::Hook::new();
    let args = "args = { day = { type = \"date\", default = \"{{ nominal.date }}\" } }";
    let site = Site::new(&format!(
        "[jobs.ask]\nschedule = \"manual\"\n{args}\n\
         http = {{ url = \"{0}/echo/{{{{ args.day }}}}/{{{{ target }}}}\", headers = {{ X-Day = \"{{{{ args.day }}}}\" }}, body = \"{{{{ args.day }}}}\" }}\n\
         targets = {{ file = \"{{{{ args.day }}}}.txt\" }}\n\
         gather = [\"/bin/sh\", \"-c\", \"wc -l > /dev/null; echo '{{{{ args.day }}}}' | sed 's/.*/\\\"&\\\"/'\"]\n\
         [jobs.command]\nschedule = \"manual\"\n{args}\ncommand = [\"echo\", \"7\"]\n\
         targets = {{ command = [\"echo\", \"{{{{ args.day }}}}\"] }}\n\
         [jobs.web]\nschedule = \"manual\"\n{args}\nhandler = \"echo\"\n\
         targets = {{ http = {{ url = \"{0}/shops.csv/{{{{ args.day }}}}\", headers = {{ X-Day = \"{{{{ args.day }}}}\" }} }}, format = \"csv\" }}\n",
        hook.url
    ));
    std::fs::write(site.path("2026-01-31.txt"), "seoul\n").expect("ours");
    site.ask(&["run", "ask", "--day", "2026-01-31"]);
    let asked = hook.next("POST /echo/2026-01-31/seoul ");
    assert_eq!((asked.header("x-day"), &*asked.body), (Some("2026-01-31"), "2026-01-31"));
    assert_eq!(site.ask_json(&["show", "ask"])["run"]["result"], "2026-01-31");
    site.ask(&["run", "command", "--day", "2026-01-31"]);
    assert!(site.ask(&["results", "command"]).contains("\"target\":\"2026-01-31\""));
    site.ask(&["run", "web", "--day", "2026-01-31"]);
    assert_eq!(hook.next("GET /shops.csv/2026-01-31 ").header("x-day"), Some("2026-01-31"));
    assert_eq!(site.ask_json(&["show", "web"])["run"]["succeeded"], 3);
}
