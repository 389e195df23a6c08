//! People are told: by servers that answer and servers that do not, once, over crashes, and never in the way of a run.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use nix::sys::signal::Signal;

use crate::hook::Hook;
use crate::site::{Site, text};

/// A channel that keeps what it is told, a line of JSON a message.
const FILE: &str = "[notify.file]\ncommand = [\"/bin/sh\", \"-c\", \"cat >> told\"]\n";

fn told(site: &Site) -> Vec<serde_json::Value> {
    site.read("told").lines().map(|line| serde_json::from_str(line).expect("JSON lines")).collect()
}

#[test]
fn servers_that_misbehave_delay_no_run_and_lose_no_message() {
    let hook = Hook::new();
    let channel = |name: &str| format!("[notify.{name}]\nwebhook = \"{}/{name}\"\ntimeout = \"1s\"\n", hook.url);
    let channels = ["ok", "hang", "drip", "redirect", "broken", "endless"].map(channel).concat();
    let site = Site::new(&format!(
        "{channels}[jobs.tick]\nschedule = \"* * * * * *\"\nhandler = \"echo\"\n\
         [jobs.bad]\ndescription = \"Fails\"\nschedule = \"manual\"\nshell = \"echo {{{{ target }}}} >&2; exit 3\"\ntargets = [\"a\", \"b\"]\n\
         notify = {{ failure = [\"hang\", \"drip\", \"redirect\", \"broken\", \"endless\", \"ok\"] }}\n"
    ));
    let mut daemon = site.daemon();
    // It ends and is waited for while none of its messages can have been delivered.
    assert_eq!(site.batchd(&["trigger", "bad", "--wait"]).status.code(), Some(1));
    let asked = hook.next("POST /ok");
    let message = asked.json();
    assert_eq!(asked.header("idempotency-key"), message["id"].as_str());
    assert_eq!((&message["event"], &message["job"], &message["outcome"]), (&"failure".into(), &"bad".into(), &"failed".into()));
    assert_eq!((&message["failed"], &message["possible_duplicate"]), (&2.into(), &false.into()));
    assert_eq!(message["failed_targets"][1], serde_json::json!({"target": "b", "outcome": "failed", "error": "exit code 3: b"}));
    assert_eq!(message["retry"].as_str(), Some(format!("batchd retry {}", message["run"].as_str().expect("a run")).as_str()));

    let mut missing = vec![
        "no answer from",
        "no answer from",
        "redirect could not be told: status 302",
        "broken could not be told: status 500",
        "endless was told",
        "ok was told",
    ];
    while !missing.is_empty() {
        let line = daemon.line("");
        if let Some(at) = missing.iter().position(|part| line.contains(part)) {
            missing.remove(at);
        }
    }
    daemon.line("run succeeded");
    let status = site.ask_json(&["status"]);
    let waiting: Vec<_> = status["channels"].as_array().expect("a list").iter().map(|channel| channel["channel"].clone()).collect();
    assert_eq!(waiting, ["broken", "drip", "hang", "redirect"]);
    let shown = site.ask(&["status"]);
    assert!(shown.contains("broken: 1 message waiting") && shown.contains("status 500 Internal Server Error: sorry"), "{shown}");
    // Every second had its run, on time, whatever the servers did.
    site.ask(&["audit", "tick"]);
    let skipped = daemon.seen().iter().filter(|line| line.contains("skipped") || line.contains("missed")).count();
    assert_eq!(skipped, 0, "{:?}", daemon.seen());
}

#[test]
fn after_kill_9_a_message_comes_again_under_its_id_and_says_so() {
    let hook = Hook::new();
    let jobs = |path: &str| {
        format!(
            "[notify.ops]\nwebhook = \"{}/{path}\"\ntimeout = \"1m\"\n[jobs.bad]\nschedule = \"manual\"\ncommand = [\"false\"]\nnotify = {{ failure = \"ops\" }}\n",
            hook.url
        )
    };
    let site = Site::new(&jobs("hang"));
    let mut daemon = site.daemon();
    site.batchd(&["trigger", "bad", "--wait"]);
    let first = hook.next("POST /hang").json();
    daemon.signal(Signal::SIGKILL);
    daemon.left();

    site.write_jobs(&jobs("ok"));
    let mut next = site.daemon();
    let second = hook.next("POST /ok").json();
    assert_eq!((&first["id"], &first["run"]), (&second["id"], &second["run"]));
    assert_eq!((&first["possible_duplicate"], &second["possible_duplicate"]), (&false.into(), &true.into()));
    next.line("ops was told");
    assert_eq!(site.ask_json(&["status"])["channels"], serde_json::json!([]));
}

#[test]
fn failure_failing_and_recovery_are_told_in_turn() {
    let site = Site::new(&format!(
        "{FILE}[jobs.flaky]\nschedule = \"manual\"\nshell = \"test -e mended\"\n\
         notify = {{ failure = \"file\", recovery = \"file\", failing = {{ for = 2, to = \"file\" }} }}\n"
    ));
    let mut daemon = site.daemon();
    for expected in ["flaky failed", "flaky has failed 2 times in a row", "flaky failed"] {
        site.batchd(&["trigger", "flaky", "--wait"]);
        daemon.line(&format!("file was told: {expected}"));
    }
    fs::write(site.path("mended"), "").expect("write");
    site.ask(&["trigger", "flaky", "--wait"]);
    daemon.line("file was told: flaky has recovered after 3 failures");
    site.ask(&["trigger", "flaky", "--wait"]);
    let events: Vec<_> = told(&site).iter().map(|message| message["event"].clone()).collect();
    assert_eq!(events, ["failure", "failing", "failure", "recovery"]);
}

#[test]
fn what_comes_too_fast_comes_together_and_nothing_is_lost() {
    let job =
        |number: u32| format!("[jobs.bad{number}]\nschedule = \"@reboot\"\ncommand = [\"false\"]\nnotify = {{ failure = \"file\" }}\n");
    let jobs = (0..30).map(job).collect::<Vec<_>>().concat();
    let site = Site::new(&format!("{FILE}{jobs}"));
    let mut daemon = site.daemon();
    daemon.line("messages about");
    let messages = told(&site);
    let held_back: u64 = messages.iter().filter_map(|message| message["count"].as_u64()).sum();
    assert_eq!((messages.len(), held_back), (10, 21), "{messages:?}");
    assert_eq!(messages[9]["event"], "held_back");
}

#[test]
fn what_is_late_is_told_once_also_over_a_restart() {
    let jobs = format!(
        "{FILE}[jobs.slow]\nschedule = \"manual\"\nshell = \"head -c 1 < fifo\"\nnotify = {{ late = \"file\" }}\nexpect = {{ within = \"100ms\" }}\n\
         [jobs.silent]\nschedule = \"manual\"\ncommand = [\"true\"]\nnotify = {{ late = \"file\", recovery = \"file\" }}\nexpect = {{ every = \"1s\" }}\n"
    );
    let site = Site::new(&jobs);
    nix::unistd::mkfifo(&site.path("fifo"), nix::sys::stat::Mode::S_IRWXU).expect("mkfifo");
    let mut daemon = site.daemon();
    site.ask(&["trigger", "slow"]);
    let mut missing = vec!["slow is late: it takes longer than 100ms", "silent is late: it has not succeeded for 1s"];
    while !missing.is_empty() {
        let line = daemon.line("file was told");
        missing.retain(|part| !line.contains(part));
    }
    fs::write(site.path("fifo"), "x").expect("the job reads");
    daemon.line("run succeeded");
    daemon.signal(Signal::SIGKILL);
    daemon.left();
    let mut next = site.daemon();
    site.ask(&["trigger", "silent", "--wait"]);
    next.line("file was told: silent has recovered");
    next.line("file was told: silent is late");
    let events: Vec<_> = told(&site).iter().map(|message| format!("{} {}", message["job"], message["event"]).replace('"', "")).collect();
    assert_eq!(events[2..], ["silent recovery", "silent late"], "{events:?}");
}

#[test]
fn missed_times_are_told() {
    let jobs = |schedule: &str| {
        format!(
            "{FILE}[jobs.often]\nschedule = \"{schedule}\"\nhandler = \"echo\"\ncatch_up = \"none\"\nnotify = {{ missed = \"file\" }}\n"
        )
    };
    let site = Site::new(&jobs("@every 1h"));
    let mut daemon = site.daemon();
    daemon.signal(Signal::SIGTERM);
    daemon.left();
    let records = rusqlite::Connection::open(site.path("state/batchd.db")).expect("the records");
    records.execute("UPDATE job SET watermark = watermark - 36000000000", []).expect("ten hours ago");
    let mut daemon = site.daemon();
    daemon.line("file was told: often missed");
    let message = &told(&site)[0];
    assert!(message["missed"].as_u64().is_some_and(|missed| (9..=10).contains(&missed)), "{message}");
}

#[test]
fn pings_say_start_success_and_fail_with_what_was_said() {
    let hook = Hook::new();
    let site = Site::new(&format!(
        "[jobs.good]\nschedule = \"manual\"\ncommand = [\"true\"]\nping = \"{0}/ok/good\"\n\
         [jobs.bad]\nschedule = \"manual\"\nshell = \"echo the reason; exit 1\"\nping = \"{0}/ok/bad/\"\n",
        hook.url
    ));
    let _daemon = site.daemon();
    for (job, end) in [("good", ""), ("bad", "/fail")] {
        site.batchd(&["trigger", job, "--wait"]);
        let start = hook.next("/start").line;
        let rid = start.split("?rid=").nth(1).and_then(|rest| rest.split(' ').next()).expect("an rid").to_owned();
        assert_eq!(start, format!("POST /ok/{job}/start?rid={rid} HTTP/1.1"));
        let slash = if job == "bad" && end.is_empty() { "/" } else { "" };
        let asked = hook.next(&format!("/ok/{job}"));
        assert_eq!(asked.line, format!("POST /ok/{job}{end}{slash}?rid={rid} HTTP/1.1"));
        assert!(job == "good" || asked.body.contains("the reason"), "{asked:?}");
    }
}

#[test]
fn a_channel_can_be_tried() {
    let hook = Hook::new();
    let site = Site::new(&format!(
        "{FILE}[notify.chat]\nslack = {{ file = \"url\" }}\n[notify.broken]\nwebhook = \"{}/broken\"\n[jobs.a]\nschedule = \"manual\"\ncommand = [\"true\"]\n",
        hook.url
    ));
    fs::write(site.path("url"), format!("{}/ok\n", hook.url)).expect("write");
    site.ask(&["notify", "test", "file"]);
    assert_eq!(told(&site)[0]["event"], "test");
    site.ask(&["notify", "test", "chat"]);
    assert!(hook.next("/ok").json()["text"].as_str().is_some_and(|text| text.contains("a test of the channel chat")));
    let broken = site.batchd(&["notify", "test", "broken"]);
    assert_eq!((broken.status.code(), text(&broken.stderr).contains("status 500")), (Some(1), true));
    assert_eq!(site.batchd(&["notify", "test", "nobody"]).status.code(), Some(5));
}

#[test]
fn a_partial_can_be_a_request() {
    let hook = Hook::new();
    let site = Site::new(&format!(
        "[jobs.ask]\nschedule = \"manual\"\nhttp = {{ url = \"{0}/echo/{{{{ target }}}}\", method = \"PUT\", body = '{{\"at\": \"{{{{ nominal.date }}}}\"}}' }}\ntargets = [\"a b\", \"c/d\"]\nconcurrency = 1\n\
         [jobs.hang]\nschedule = \"manual\"\nhttp = {{ url = \"{0}/hang\" }}\npartial_timeout = \"100ms\"\nstop = {{ grace = \"1m\" }}\n\
         [jobs.endless]\nschedule = \"manual\"\nhttp = {{ url = \"{0}/endless\" }}\n\
         [jobs.away]\nschedule = \"manual\"\nhttp = {{ url = \"{0}/redirect\", redirects = 3 }}\n",
        hook.url
    ));
    assert_eq!(site.batchd(&["run", "ask"]).status.code(), Some(0));
    let asked = hook.next("PUT /echo/a%20b ");
    let run = site.ask_json(&["show", "ask"])["run"]["id"].as_str().expect("an id").to_owned();
    assert_eq!(asked.header("idempotency-key"), Some(format!("{run}/a%20b/1").as_str()));
    assert_eq!(asked.header("content-type"), Some("application/json"));
    let results = site.ask(&["results", "ask"]);
    assert!(results.contains(r#""result":{"path": "/echo/c%2Fd"}"#), "{results}");
    for (job, error) in [("hang", "timed_out"), ("away", "169.254.169.254, a link-local or metadata address")] {
        assert_eq!(site.batchd(&["run", job]).status.code(), Some(1));
        let results = site.ask(&["results", job]);
        assert!(results.contains(error), "{results}");
    }
    assert_eq!(site.batchd(&["run", "endless"]).status.code(), Some(0));
    assert!(site.ask(&["results", "endless"]).contains("the answer has more than 1048576 bytes"));
}

/// The SMTP server of another author, and what it prints: the mails it gets.
struct Smtp {
    child: Child,
    port: u16,
    lines: BufReader<std::process::ChildStdout>,
}

impl Smtp {
    fn start(arguments: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let mut command = Command::new("aiosmtpd");
        command.args(["-n", "-l", &format!("127.0.0.1:{port}"), "-c", "aiosmtpd.handlers.Debugging"]).args(arguments).arg("stdout");
        let child = command.env("PYTHONUNBUFFERED", "1").stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = child.expect("aiosmtpd runs: apt-get install python3-aiosmtpd");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped"));
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(child.try_wait().expect("our child").is_none(), "aiosmtpd has left");
            std::thread::yield_now();
        }
        Self { child, port, lines }
    }

    /// The next mail, with its headers.
    fn mail(&mut self) -> String {
        let mut mail = String::new();
        while !mail.contains("END MESSAGE") {
            assert!(self.lines.read_line(&mut mail).expect("text") > 0, "the server has left: {mail}");
        }
        mail
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        // It may have left already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn email(port: u16, tls: &str) -> String {
    format!(
        "[notify.mail]\nemail = {{ host = \"localhost\", port = {port}, tls = \"{tls}\", from = \"Batch <batchd@example.org>\", to = [\"ops@example.org\"] }}\n\
         [jobs.bad]\nschedule = \"manual\"\nshell = \"echo kaputt >&2; exit 1\"\ntargets = [\"서울\"]\nnotify = {{ failure = \"mail\" }}\n"
    )
}

#[test]
fn a_real_mail_server_takes_the_mail() {
    let mut smtp = Smtp::start(&[]);
    let site = Site::new(&email(smtp.port, "none"));
    let mut daemon = site.daemon();
    site.batchd(&["trigger", "bad", "--wait"]);
    daemon.line("mail was told: bad failed");
    let mail = smtp.mail();
    for part in ["Subject: bad failed", "To: ops@example.org", "Auto-Submitted: auto-generated", "@batchd>", "batchd retry bad@"] {
        assert!(mail.contains(part), "{part:?} is not in {mail}");
    }
}

#[test]
fn mail_and_hooks_are_encrypted_with_the_certificates_that_are_trusted() {
    let site = Site::bare("");
    let authority = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = parameters.self_signed(&authority).expect("a root");
    let issuer = rcgen::Issuer::new(parameters, authority);
    let key = rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).and_then(|server| server.signed_by(&key, &issuer));
    let files = [("ca.pem", root.pem()), ("server.pem", certificate.expect("a certificate").pem()), ("key.pem", key.serialize_pem())];
    for (name, text) in files {
        fs::write(site.path(name), text).expect("write");
    }
    let path = |name: &str| site.path(name).display().to_string();

    let mut smtp = Smtp::start(&["--tlscert", &path("server.pem"), "--tlskey", &path("key.pem")]);
    site.write_jobs(&email(smtp.port, "starttls"));
    let mut daemon = site.start_with(&[("SSL_CERT_FILE", &path("server.pem"))]);
    daemon.line("ready");
    site.batchd(&["trigger", "bad", "--wait"]);
    let refused = daemon.line("mail could not be told");
    assert!(refused.contains("certificate"), "{refused}");
    daemon.signal(Signal::SIGKILL);
    daemon.left();

    let records = rusqlite::Connection::open(site.path("state/batchd.db")).expect("the records");
    records.execute("UPDATE outbox SET next = created", []).expect("due at once");
    drop(records);
    let ca = path("ca.pem");
    let mut daemon = site.start_with(&[("SSL_CERT_FILE", &ca)]);
    daemon.line("mail was told: bad failed");
    assert!(smtp.mail().contains("Subject: bad failed"));
}
