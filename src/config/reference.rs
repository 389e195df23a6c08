//! Every key of `jobs.toml` once: its type, default and meaning. The JSON Schema and the manual page are made of it.

/// What a value may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    Text,
    Flag,
    Integer {
        least: i64,
        most: i64,
    },
    Number {
        least: f64,
        most: f64,
    },
    /// `"1h 30m"`
    Duration,
    /// `"5MiB"`
    Size,
    Choice(&'static [&'static str]),
    /// At least one text.
    Texts,
    /// At least one whole number in a range.
    Integers {
        least: i64,
        most: i64,
    },
    /// Names with texts.
    Names,
    /// Any table.
    AnyTable,
    Table(&'static [Key]),
    List(&'static Kind),
    OneOf(&'static [Kind]),
}

/// A key.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Key {
    pub name: &'static str,
    pub kind: Kind,
    /// As TOML, or in words where it is no fixed value; empty for none.
    pub default: &'static str,
    /// One or two sentences.
    pub meaning: &'static str,
}

/// A table of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Section {
    /// `daemon` for `[daemon]`; `jobs` holds a table for each job.
    pub name: &'static str,
    pub meaning: &'static str,
    pub keys: &'static [Key],
}

const fn key(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Key {
    Key { name, kind, default, meaning }
}

/// The keys that stand above the tables.
pub const TOP: &[Key] =
    &[key("include", Kind::Texts, "", "More files, which hold `[jobs.NAME]` tables only: patterns as a shell matches them.")];

/// The tables, in the order of the documentation.
pub const SECTIONS: &[Section] = &[
    Section { name: "daemon", meaning: "The daemon itself.", keys: DAEMON },
    Section { name: "log", meaning: "The log, one line an event.", keys: LOG },
    Section { name: "history", meaning: "How long ended runs are kept.", keys: HISTORY },
    Section {
        name: "defaults",
        meaning: "What every job has that does not say otherwise: any key of a job but its schedule, work and targets.",
        keys: JOB,
    },
    Section { name: "jobs", meaning: "The jobs, each a table with its name: letters, digits, `_`, `-` and `.`.", keys: JOB },
    Section {
        name: "notify",
        meaning: "Channels, each a table with its name: exactly one of webhook, slack, email and command.",
        keys: CHANNEL,
    },
];

const SECRET: &[Key] =
    &[key("file", Kind::Text, "", "A file that holds it."), key("credential", Kind::Text, "", "A credential of the systemd unit.")];

const URL: Kind = Kind::OneOf(&[Kind::Text, Kind::Table(SECRET)]);

const EMAIL: &[Key] = &[
    key("host", Kind::Text, "", "The SMTP server."),
    key("port", Kind::Integer { least: 1, most: 65_535 }, "587, 465 or 25, by `tls`", "Its port."),
    key("tls", Kind::Choice(&["starttls", "tls", "none"]), "\"starttls\"", "How the connection is encrypted."),
    key("user", Kind::Text, "", "Who signs in."),
    key("password", Kind::Table(SECRET), "", "Where the password is."),
    key("from", Kind::Text, "", "The address it comes from."),
    key("to", Kind::OneOf(&[Kind::Text, Kind::Texts]), "", "The addresses it goes to."),
];

const CHANNEL: &[Key] = &[
    key("webhook", URL, "", "A URL that gets JSON."),
    key("slack", URL, "", "A webhook of Slack, or of what understands the same."),
    key("email", Kind::Table(EMAIL), "", "A mail over SMTP."),
    key("command", Kind::Texts, "", "A program that gets JSON on its stdin."),
    key("timeout", Kind::Duration, "", "How long one attempt may take."),
    key("headers", Kind::Names, "{}", "Headers of the request."),
    key("allow_link_local", Kind::Flag, "false", "Whether link-local addresses may be reached."),
];

const HTTP: &[Key] = &[
    key("url", Kind::Text, "", "A template; values are percent-encoded. Required."),
    key("method", Kind::Choice(&["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]), "GET; with a body POST", "The method."),
    key("headers", Kind::Names, "{}", "Names and values; values are templates."),
    key("body", Kind::Text, "", "A template."),
    key(
        "expect",
        Kind::OneOf(&[
            Kind::Text,
            Kind::Integer { least: 100, most: 599 },
            Kind::List(&Kind::OneOf(&[Kind::Text, Kind::Integer { least: 100, most: 599 }])),
        ]),
        "\"2xx\"",
        "The answers that are a success: a class, a status, or a list of them.",
    ),
    key("redirects", Kind::Integer { least: 0, most: 20 }, "0", "How many redirects are followed."),
    key("allow_link_local", Kind::Flag, "false", "Whether link-local addresses may be reached."),
];

const NAMES: Kind = Kind::OneOf(&[Kind::Text, Kind::List(&Kind::Text)]);

const FAILING: &[Key] = &[
    key("for", Kind::Integer { least: 1, most: 10_000 }, "", "After so many failed runs one after the other."),
    key("to", NAMES, "", "The channels."),
];

const TELLING: &[Key] = &[
    key("failure", NAMES, "", "Told of a run that failed."),
    key("recovery", NAMES, "", "Told of the first success after it."),
    key("missed", NAMES, "", "Told of nominal times that were missed."),
    key("late", NAMES, "", "Told of what `expect` waits for."),
    key("failing", Kind::Table(FAILING), "", "Told when it goes on failing."),
];

const EXPECT: &[Key] = &[
    key("within", Kind::Duration, "", "A run takes at most this long."),
    key("every", Kind::Duration, "", "A success comes at least this often."),
];

const DAEMON: &[Key] = &[
    key("timezone", Kind::Text, "the system's zone", "IANA name of the zone of jobs that name none, and of the log."),
    key("state_dir", Kind::Text, "\"state\"", "The directory of the database, the lock and the socket."),
    key("max_partials", Kind::Integer { least: 1, most: 65_536 }, "64", "Partials in flight at once, over all jobs."),
    key("drain_timeout", Kind::Duration, "\"30s\"", "After SIGTERM live runs may go on for this long."),
    key("env", Kind::Names, "{}", "Added to the environment of every job; values may be templates."),
    key("credentials_dir", Kind::Text, "systemd's", "A directory with a file for each credential."),
];

const LOG: &[Key] = &[
    key("dir", Kind::Text, "\"logs\"", "The directory of the log."),
    key("file", Kind::Text, "\"batch.log\"", "The name of the log's file."),
    key("max_size", Kind::Size, "\"5MiB\"", "At this size the file is rotated; at least 1 KiB."),
    key("backups", Kind::Integer { least: 0, most: 1_000 }, "5", "How many rotated files are kept."),
    key("level", Kind::Choice(&["error", "warn", "info", "debug", "trace"]), "\"info\"", "What is logged."),
    key("format", Kind::Choice(&["text", "json"]), "\"text\"", "How a line looks."),
    key("console", Kind::Flag, "when stderr is a terminal or the journal", "Whether lines also go to stderr."),
];

const HISTORY: &[Key] = &[
    key("keep", Kind::Duration, "\"90d\"", "Ended runs are kept for this long."),
    key("keep_runs", Kind::Integer { least: 1, most: 10_000_000 }, "1000", "At most so many runs of each job are kept, the latest."),
    key("max_size", Kind::Size, "\"2GiB\"", "Captured output of all runs; beyond it the oldest is cut. At least 1 MiB."),
];

const DST: &[Key] = &[
    key("gap", Kind::Choice(&["run_after", "skip"]), "\"run_after\"", "A time that the clock jumps over runs right after it, or not."),
    key("fold", Kind::Choice(&["first", "second", "both"]), "\"first\"", "Of a time that comes twice, which one runs."),
];

const EXCEPT_FILE: &[Key] = &[key("file", Kind::Text, "", "A calendar (.ics), or a list with a date or range a line.")];

const RETRY: &[Key] = &[
    key("attempts", Kind::Integer { least: 1, most: 1_000 }, "1", "How often a partial is tried, the first time included."),
    key("delay", Kind::Duration, "\"5s\"", "Before the second attempt."),
    key("factor", Kind::Number { least: 1.0, most: 100.0 }, "2.0", "By which the delay grows with each attempt."),
    key("max_delay", Kind::Duration, "\"5m\"", "The longest delay."),
    key("jitter", Kind::Number { least: 0.0, most: 1.0 }, "0.2", "The share of the delay by which it may be shortened."),
    key("on_exit", Kind::Integers { least: 1, most: 255 }, "[]", "Only these exit codes are tried again; empty for every failure."),
];

const OVERLAPS: &[&str] = &["skip", "queue", "replace", "allow"];

const OVERLAP: &[Key] = &[
    key("policy", Kind::Choice(OVERLAPS), "", "What a fire does while a run of the job is live."),
    key("max", Kind::Integer { least: 1, most: 100_000 }, "10", "How many runs wait, with `queue`."),
];

const CATCH_UPS: &[&str] = &["none", "latest", "all"];

const CATCH_UP: &[Key] = &[
    key("policy", Kind::Choice(CATCH_UPS), "\"latest\"", "Which of the nominal times that were found late are run."),
    key("window", Kind::Duration, "\"24h\"", "What is older is missed."),
    key("max", Kind::Integer { least: 1, most: 100_000 }, "100", "The newest so many are run, with `all`."),
];

const STOP: &[Key] = &[
    key("signal", Kind::Text, "\"SIGTERM\"", "The first signal, to the whole process tree."),
    key("grace", Kind::Duration, "\"10s\"", "How long it may take after that, before SIGKILL."),
    key("leftovers", Kind::Choice(&["kill", "leave"]), "\"kill\"", "What becomes of processes that outlive the attempt."),
];

const OUTPUT: &[Key] = &[key("max_size", Kind::Size, "\"1MiB\"", "How much is kept of an attempt's output, head and tail.")];

const SOURCE: &[Key] = &[
    key("range", Kind::Text, "", "Whole numbers, the end left out: \"0..1000\"."),
    key("file", Kind::Text, "", "A file: .csv, .tsv, .jsonl, .json or .txt."),
    key("glob", Kind::Text, "", "The paths that match."),
    key("command", Kind::Texts, "", "A program that prints them, in `format`."),
    key("http", Kind::OneOf(&[Kind::Text, Kind::Table(HTTP)]), "", "A URL or a request, whose answer has them."),
    key("pointer", Kind::Text, "", "Of JSON: a pointer to the array, such as \"/items\"."),
    key("format", Kind::Choice(&["lines", "jsonl", "json", "csv", "tsv"]), "", "How they are written."),
    key("on_empty", Kind::Choice(&["succeed", "fail"]), "\"succeed\"", "What a run does that finds none."),
];

const JOB: &[Key] = &[
    key("description", Kind::Text, "", "What the job is for."),
    key(
        "schedule",
        Kind::OneOf(&[Kind::Text, Kind::Texts]),
        "",
        "When it runs: five cron fields, six with seconds first, @hourly … @yearly, @reboot, \"@every 90s\", or \"manual\". Required, but for a job with `after`.",
    ),
    key("after", Kind::Texts, "", "Jobs whose runs for the same nominal time must have succeeded."),
    key("timezone", Kind::Text, "that of [daemon]", "IANA name of the zone of this job."),
    key(
        "except",
        Kind::OneOf(&[Kind::Text, Kind::Table(EXCEPT_FILE), Kind::List(&Kind::OneOf(&[Kind::Text, Kind::Table(EXCEPT_FILE)]))]),
        "",
        "Days on which it does not run: dates, ranges of dates, and files.",
    ),
    key("dst", Kind::Table(DST), "{ gap = \"run_after\", fold = \"first\" }", "What daylight saving does to fixed times."),
    key("jitter", Kind::Duration, "\"0s\"", "Each fire starts up to this much later."),
    key("enabled", Kind::Flag, "true", "A disabled job is only run by hand."),
    key("command", Kind::Texts, "", "What to run: a program and its arguments, each a template; no shell."),
    key("shell", Kind::Text, "", "What to run: a script for /bin/sh; each {{ … }} becomes one quoted word."),
    key("handler", Kind::Text, "", "What to run: a Rust handler that the embedding program registered."),
    key("http", Kind::Table(HTTP), "", "What to run: a request."),
    key(
        "args",
        Kind::AnyTable,
        "{}",
        "What a run can be told by hand, each a table with `type`, `default`, `help` and `choices`; in templates `args.NAME`.",
    ),
    key(
        "targets",
        Kind::OneOf(&[Kind::Texts, Kind::List(&Kind::AnyTable), Kind::Table(SOURCE)]),
        "none: one partial",
        "What the run works on, one partial each: texts, tables, or where they are read.",
    ),
    key("target_key", Kind::Text, "\"id\", then \"name\"", "The field of a table that tells targets apart."),
    key("concurrency", Kind::Integer { least: 1, most: 65_536 }, "8", "Partials of this run at once."),
    key("chunk", Kind::Integer { least: 1, most: 10_000 }, "1", "So many targets a process."),
    key("rate", Kind::Text, "", "How fast attempts of a run start: \"50/s\", \"100/m\" or \"1000/h\"."),
    key(
        "canary",
        Kind::Integer { least: 1, most: 10_000_000 },
        "",
        "So many targets go first; the rest starts when all of them have succeeded.",
    ),
    key("partial_timeout", Kind::Duration, "", "How long one attempt may take."),
    key("retry", Kind::Table(RETRY), "one attempt", "Attempts of a partial that fails."),
    key("retries", Kind::Integer { least: 0, most: 999 }, "0", "Short for `retry = { attempts = … }`: attempts after the first."),
    key(
        "max_failures",
        Kind::OneOf(&[Kind::Integer { least: 0, most: 4_294_967_295 }, Kind::Text]),
        "\"any\"",
        "How many partials may fail before the rest is cancelled: a number, a share such as \"10%\", or \"any\".",
    ),
    key("gather", Kind::Texts, "", "A program that runs once when all partials have ended, with their results on stdin."),
    key("timeout", Kind::Duration, "", "How long the whole run may take, gather included."),
    key(
        "overlap",
        Kind::OneOf(&[Kind::Choice(OVERLAPS), Kind::Table(OVERLAP)]),
        "\"skip\"",
        "What a fire does while a run of the job is live.",
    ),
    key(
        "catch_up",
        Kind::OneOf(&[Kind::Choice(CATCH_UPS), Kind::Table(CATCH_UP)]),
        "\"latest\"",
        "What becomes of nominal times that are found late.",
    ),
    key(
        "on_interrupted",
        Kind::Choice(&["resume", "fail", "rerun"]),
        "\"resume\"",
        "What becomes of a run that a crash of the daemon interrupted.",
    ),
    key("stop", Kind::Table(STOP), "{ signal = \"SIGTERM\", grace = \"10s\" }", "How attempts are stopped."),
    key("cwd", Kind::Text, "the directory of the file", "Where it starts."),
    key("env", Kind::Names, "{}", "Added to the environment; values may be templates."),
    key("env_file", Kind::Text, "", "A file of KEY=VALUE lines, read at each start."),
    key(
        "inherit_env",
        Kind::List(&Kind::Text),
        "PATH, HOME, USER, LOGNAME, SHELL, LANG, LC_ALL, TMPDIR, TZ",
        "Names passed on from the daemon's own environment.",
    ),
    key("user", ACCOUNT, "the daemon's own", "The user it runs as, by name or number."),
    key("group", ACCOUNT, "that of the user", "The group it runs as, by name or number."),
    key("umask", Kind::Text, "the daemon's own", "In octal digits, as in \"0027\"."),
    key("nice", Kind::Integer { least: -20, most: 19 }, "the daemon's own", "How much it gives way to others."),
    key("limits", Kind::Table(LIMITS), "", "What it may use."),
    key(
        "notify",
        Kind::OneOf(&[Kind::Text, Kind::List(&Kind::Text), Kind::Table(TELLING)]),
        "",
        "Which channels of `[notify]` are told of what.",
    ),
    key("expect", Kind::Table(EXPECT), "", "What is told as late."),
    key("ping", Kind::Text, "", "A URL that is pinged when a run starts, succeeds or fails."),
    key("output", Kind::Table(OUTPUT), "{ max_size = \"1MiB\" }", "What is kept of the output."),
];

const ACCOUNT: Kind = Kind::OneOf(&[Kind::Text, Kind::Integer { least: 0, most: 4_294_967_294 }]);

const LIMITS: &[Key] = &[
    key("memory", Kind::Size, "", "Of all processes of an attempt together; needs a control group."),
    key("cpu_time", Kind::Duration, "", "Of the processor, for each process; whole seconds."),
    key("open_files", Kind::Integer { least: 8, most: 1_048_576 }, "", "Of each process."),
    key("processes", Kind::Integer { least: 1, most: 4_194_304 }, "", "Of an attempt; without a control group of its user."),
    key(
        "tasks_cpu",
        Kind::Text,
        "",
        "A share of one processor, such as \"50%\", for all processes of an attempt together; needs a control group.",
    ),
];

#[cfg(test)]
mod tests {
    use super::super::keys::{NOT_DEFAULTS, Place};
    use super::*;

    /// A key that is read is described, and the other way round.
    #[test]
    fn every_key_is_described() {
        for (section, place) in SECTIONS.iter().zip([Place::Daemon, Place::Log, Place::History, Place::Defaults, Place::Job]) {
            let described: Vec<&str> = section.keys.iter().map(|key| key.name).collect();
            let mut read = place.keys().to_vec();
            let mut sorted = described.clone();
            read.sort_unstable();
            sorted.sort_unstable();
            assert_eq!(sorted, read, "[{}]", section.name);
        }
        let tables: Vec<&str> = SECTIONS.iter().map(|section| section.name).collect();
        let mut known = Place::Top.keys().to_vec();
        known.retain(|name| !tables.contains(name));
        assert_eq!(known, TOP.iter().map(|key| key.name).collect::<Vec<_>>(), "what stands above the tables");
        assert!(NOT_DEFAULTS.iter().all(|name| JOB.iter().any(|key| key.name == *name)));
    }
}
