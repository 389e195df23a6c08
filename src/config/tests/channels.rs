//! `[notify]`, and who a job tells.

use std::time::Duration;

use super::super::*;
use super::{check, context, job};

fn load(text: &str) -> Config {
    match parse(text.as_bytes(), &context()) {
        Ok((config, _)) => config,
        Err(problems) => panic!("{}", problems.render(false)),
    }
}

/// A channel with one line, the second.
fn channel(line: &str) -> String {
    format!("[notify.ops]\n{line}\n{}", job(""))
}

#[test]
fn channels_that_reach_nobody() {
    for (line, column, words) in [
        ("", 1, &["`ops` reaches nobody", "exactly one"][..]),
        ("webhook = \"example.org\"", 11, &["http:// or https://"]),
        ("webhook = {}", 11, &["exactly one source"]),
        ("webhook = { credential = \"../x\" }", 26, &["without a directory"]),
        ("webhok = \"https://a\"", 1, &["unknown key `webhok`", "did you mean `webhook`?"]),
        ("headers = { X = \"{{ job }}\" }\nwebhook = \"https://a\"", 21, &["`job` has no value in the headers of a channel", "credential"]),
        ("command = \"page\"", 11, &["array of strings"]),
        ("email = { host = \"a\", from = \"b@c\" }", 9, &["no `to`"]),
        ("email = { host = \"a\", from = \"b\", to = \"c@d\" }", 30, &["no mail address"]),
        ("email = { host = \"a\", from = \"b@c\", to = \"c@d\", user = \"e\" }", 9, &["`user` and `password`"]),
        (
            "email = { host = \"a\", from = \"b@c\", to = \"c@d\", user = \"e\", password = \"f\" }",
            72,
            &["must not stand in the file", "credential"],
        ),
        ("email = { host = \"a\", tls = \"ssl\", from = \"b@c\", to = \"c@d\" }", 29, &["tls", "starttls"]),
    ] {
        let place = (if line.is_empty() { 1 } else { 2 }, column);
        check(channel(line), place, words);
    }
    check(channel("webhook = \"https://a\"\nslack = \"https://b\""), (3, 1), &["both `webhook` and `slack`"]);
    check(channel("command = [\"page\"]\nheaders = {}"), (3, 11), &["`webhook` and `slack` only"]);
    let plain = "email = { host = \"a\", tls = \"none\", from = \"b@c\", to = \"c@d\", user = \"e\", password = { file = \"f\" } }";
    check(channel(plain), (2, 9), &["unencrypted"]);
}

#[test]
fn jobs_that_tell_nobody_they_name() {
    let with = |line: &str| format!("{}[notify.ops]\nslack = \"https://a\"\n", job(line));
    check(with("notify = [\"opps\"]"), (4, 11), &["names no channel", "did you mean \"ops\"?"]);
    check(with("notify = { failure = \"pager\" }"), (4, 22), &["names no channel", "[notify.pager]"]);
    check(with("notify = { failur = \"ops\" }"), (4, 12), &["did you mean `failure`?"]);
    check(with("notify = { failing = { for = 3 } }"), (4, 22), &["both `for` and `to`"]);
    check(with("notify = { failing = { for = 0, to = \"ops\" } }"), (4, 30), &["1 to 10000"]);
    check(with("notify = 3"), (4, 10), &["a name of a channel"]);
    check(with("expect = { within = \"0s\" }"), (4, 21), &["longer than zero"]);
    check(with("expect = \"10m\""), (4, 10), &["table"]);
    check(with("ping = \"hc-ping.com/x\""), (4, 8), &["http:// or https://"]);
    check(format!("[defaults]\nping = \"https://a\"\n{}", job("")), (2, 1), &["cannot have a default"]);
}

#[test]
fn what_is_told_is_inherited_part_by_part() {
    let config = load(&format!(
        "[notify.a]\nslack = \"https://a\"\n[notify.b]\nslack = \"https://b\"\n\
         [defaults]\nnotify = \"a\"\nexpect = {{ every = \"1d\" }}\n{}",
        job("notify = { failure = [], late = [\"b\", \"b\"], failing = { for = 3, to = \"b\" } }\nping = \"https://c\"")
    ));
    let job = &config.jobs["backup"];
    let telling = job.telling.as_ref().expect("somebody is told");
    let names = |names: &[ChannelName]| names.join(",");
    assert_eq!((names(&telling.failure), names(&telling.recovery), names(&telling.late)), (String::new(), "a".to_owned(), "b".to_owned()));
    assert_eq!(telling.failing.as_ref().map(|(count, to)| (*count, names(to))), Some((3, "b".to_owned())));
    assert_eq!(
        (job.policies.expect.every, job.policies.expect.within, job.ping.as_deref()),
        (Some(Duration::from_secs(86_400)), None, Some("https://c"))
    );
}

#[test]
fn channels_are_read_and_their_secrets_are_not_shown() {
    let config = load(&format!(
        "[notify.hook]\nwebhook = \"https://me:secret@a/secret\"\ntimeout = \"3s\"\nheaders = {{ A = \"1\" }}\n\
         [notify.mail]\nemail = {{ host = \"a\", from = \"A <b@c>\", to = [\"d@e\"], user = \"f\", password = {{ file = \"pw\" }} }}\n\
         [notify.page]\ncommand = [\"page\", \"{{{{ job }}}}\"]\n{}",
        job("")
    ));
    let hook = &config.channels["hook"];
    assert_eq!(hook.timeout, Duration::from_secs(3));
    assert!(!format!("{hook:?}").contains("secret"), "{hook:?}");
    let Way::Email(email) = &config.channels["mail"].way else { panic!("mail") };
    assert_eq!(
        (email.port, email.tls, email.user.as_ref().map(|(_, password)| password.clone())),
        (587, SmtpTls::StartTls, Some(Secret::File("/srv/batch/pw".into())))
    );
    let Way::Command(job) = &config.channels["page"].way else { panic!("a program") };
    assert_eq!(job.gather.as_ref().and_then(Gather::argv).map(<[String]>::len), Some(2));
}
