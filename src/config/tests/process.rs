//! Users, limits and the like: what is refused, what is inherited, and what a host cannot give.

use std::time::Duration;

use super::super::*;
use super::{check_all, context, job};

/// A host with a daemon of root, three users, a group and cgroups.
pub(super) fn host() -> Host {
    let group = |name: &str| Ok((name == "www").then_some(33));
    Host { user, group, uid: 0, gid: 0, no_controller: |_| None, starts_jobs: true }
}

fn user(name: &str) -> Result<Option<u32>, String> {
    match name {
        "root" | "0" => Ok(Some(0)),
        "www" => Ok(Some(33)),
        "ldap" => Err("the directory does not answer".to_owned()),
        _ => Ok(None),
    }
}

#[test]
fn values_that_no_process_can_have() {
    check_all(
        job,
        4,
        &[
            ("user = \"wwww\"", 8, &["this machine has no user `wwww`", "getent passwd"]),
            ("user = \"\"", 8, &["user", "empty"]),
            ("user = -1", 8, &["out of range"]),
            ("user = true", 8, &["string"]),
            ("group = \"staff\"", 9, &["this machine has no group `staff`"]),
            ("umask = \"0999\"", 9, &["`umask` is none", "octal"]),
            ("umask = \"1777\"", 9, &["\"0777\""]),
            ("umask = 27", 9, &["string", "0027"]),
            ("nice = 20", 8, &["-20 to 19"]),
            ("nice = \"10\"", 8, &["nice = 10"]),
            ("limits = \"512MiB\"", 10, &["table", "memory"]),
            ("limits = { ram = \"1GiB\" }", 12, &["unknown key `ram`"]),
            ("limits = { memory = 512 }", 21, &["string"]),
            ("limits = { memory = \"1KiB\" }", 21, &["out of range"]),
            ("limits = { cpu_time = \"1500ms\" }", 23, &["limits.cpu_time", "whole seconds"]),
            ("limits = { open_files = 3 }", 25, &["8 to"]),
            ("limits = { processes = 0 }", 24, &["out of range"]),
            ("limits = { tasks_cpu = \"0%\" }", 24, &["\"1%\""]),
            ("limits = { tasks_cpu = 0.5 }", 24, &["string", "50%"]),
            ("run_as = \"www\"", 1, &["did you mean `user`?"]),
        ],
    );
    super::check(super::bare("handler = \"echo\"\nuser = \"www\""), (4, 8), &["no effect on `handler`"]);
}

#[test]
fn parts_are_inherited_and_overridden() {
    let text = "[defaults]\nuser = \"root\"\ngroup = \"www\"\numask = \"0027\"\nlimits = { open_files = 64, processes = 9 }\n\
                [jobs.a]\nschedule = \"manual\"\ncommand = [\"x\"]\nlimits = { processes = 5, cpu_time = \"2s\" }\n\
                [jobs.b]\nschedule = \"manual\"\ncommand = [\"x\"]\nuser = 33\nnice = 5\n";
    let host = Host { user: |_| Ok(Some(0)), ..host() };
    let (config, warnings) = parse(text.as_bytes(), &Context { host, ..context() }).expect("is valid");
    assert!(warnings.is_empty());
    let (a, b) = (&config.jobs["a"].process, &config.jobs["b"].process);
    let limits = Limits { open_files: Some(64), processes: Some(5), cpu_time: Some(Duration::from_secs(2)), ..Limits::default() };
    assert_eq!((a.user.as_deref(), a.group.as_deref(), a.umask, a.nice, a.limits), (Some("root"), Some("www"), Some(0o27), None, limits));
    // The group belongs to the default user.
    assert_eq!((b.user.as_deref(), b.group.as_deref(), b.nice, b.limits.processes), (Some("33"), None, Some(5), Some(9)));
}

/// What a host refuses of a job with this line, one line a problem; warnings too.
#[track_caller]
fn check_host(line: &str, host: Host, expected: &[&str]) {
    let text = format!("[defaults]\n{line}\n{}[jobs.other]\nschedule = \"manual\"\ncommand = [\"x\"]\n", job(""));
    let found = match parse(text.as_bytes(), &Context { host, ..context() }) {
        Ok((_, warnings)) => warnings,
        Err(problems) => problems,
    };
    assert_eq!(found.one_line(), expected, "{line}");
}

#[test]
fn what_the_host_cannot_give_is_refused_by_who_starts_the_jobs() {
    let no_controller: fn(Controller) -> Option<String> = |_| Some("there is none".to_owned());
    let poor = || Host { uid: 1000, gid: 1000, no_controller, ..host() };
    check_host("user = \"www\"", host(), &[]);
    check_host(
        "user = \"ldap\"",
        poor(),
        &["jobs.toml:2:8: `user`: `ldap` cannot be looked up now: the directory does not answer; each start looks again"],
    );
    check_host("user = \"www\"", poor(), &["jobs.toml:2:8: `user`: a daemon of user 1000 cannot start processes of user `www`"]);
    check_host("group = \"www\"", poor(), &["jobs.toml:2:9: `group`: a daemon of user 1000 cannot start processes of group `www`"]);
    check_host("user = \"www\"\ngroup = \"www\"", Host { uid: 33, gid: 33, ..poor() }, &[]);
    check_host("limits = { memory = \"1GiB\", processes = 3 }", host(), &[]);
    check_host(
        "limits = { memory = \"1GiB\", processes = 3 }",
        poor(),
        &["jobs.toml:2:21: `limits.memory` needs a delegated cgroup v2: there is none"],
    );
    check_host(
        "limits = { tasks_cpu = \"50%\" }",
        poor(),
        &["jobs.toml:2:24: `limits.tasks_cpu` needs a delegated cgroup v2: there is none"],
    );
    check_host(
        "limits = { processes = 3 }",
        Host { no_controller, ..host() },
        &["jobs.toml:2:24: `limits.processes` does not hold root without a cgroup: there is none"],
    );
    check_host("limits = { processes = 3 }\nuser = \"www\"", Host { no_controller, ..host() }, &[]);
    let only_pids = |controller| (controller != Controller::Pids).then(|| "it is not there".to_owned());
    check_host("limits = { processes = 3 }", Host { no_controller: only_pids, ..host() }, &[]);
    check_host(
        "user = \"www\"\nlimits = { memory = \"1GiB\", tasks_cpu = \"10%\" }",
        Host { no_controller: |controller| (controller == Controller::Memory).then(|| "it is not there".to_owned()), ..host() },
        &["jobs.toml:3:21: `limits.memory` needs a delegated cgroup v2: it is not there"],
    );
    check_host(
        "user = \"www\"\nlimits = { memory = \"1GiB\", processes = 3 }",
        Host { starts_jobs: false, ..poor() },
        &["jobs.toml:3:21: `limits.memory` cannot be held on this machine: there is none"],
    );
}

#[test]
fn credentials_stand_in_the_environment_only() {
    let words: &[&str] = &["a credential in arguments is seen by everybody", "set it in `env"];
    check_all(
        super::bare,
        3,
        &[("command = [\"a\", \"{{ credential('x') }}\"]", 21, words), ("shell = \"echo {{ credential('x') }}\"", 18, words)],
    );
    super::check(job("gather = [\"a\", \"{{ credential('x') }}\"]"), (4, 20), words);
    super::check(job("env = { A = \"{{ credential.x }}\" }"), (4, 17), &["`credential` is a function"]);
    let text = |command: &str| format!("[daemon]\nenv = {{ A = \"{{{{ credential('x') }}}}\" }}\n{}", super::bare(command));
    assert!(parse(text("command = [\"a\"]").as_bytes(), &context()).is_ok());
    super::check(text("command = [\"a\", \"{{ credential('x') }}\"]"), (5, 21), words);
}
