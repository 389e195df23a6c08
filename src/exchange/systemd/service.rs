//! A service as the work and the process of a job.

use std::collections::BTreeMap;

use super::exec::{self, Exec, Specifiers};
use super::unit::{Unit, duration, is_true, milliseconds};
use crate::exchange::finding::Topic;
use crate::exchange::sheet::{Entry, Setting, Value, literal};

/// Where a service starts that says nothing about it.
const DIRECTORY: &str = "/";

/// Attempts that `Restart=` makes within a short time before it gives up (`StartLimitBurst=`).
const BURST: u32 = 5;

/// Settings that mean nothing to a job, or are what a job does anyway.
const SILENT: [&str; 9] = [
    "Type",
    "RemainAfterExit",
    "StandardOutput",
    "StandardError",
    "StandardInput",
    "SyslogIdentifier",
    "KillMode",
    "SendSIGKILL",
    "TimeoutSec",
];

/// The beginnings of the names of settings that fence a service in.
const SANDBOX: [&str; 18] = [
    "Protect",
    "Private",
    "Restrict",
    "SystemCall",
    "Capability",
    "Ambient",
    "NoNewPrivileges",
    "ReadWrite",
    "ReadOnly",
    "Inaccessible",
    "Device",
    "LockPersonality",
    "MemoryDeny",
    "RemoveIPC",
    "DynamicUser",
    "Bind",
    "TemporaryFileSystem",
    "ProcSubset",
];

/// Takes over what the service says.
///
/// # Errors
/// Why its work cannot be said.
pub(super) fn service(unit: &Unit, specifiers: &Specifiers<'_>, entry: &mut Entry) -> Result<(), String> {
    let mut pass = Pass { unit, specifiers, entry, read: Vec::new() };
    let kind = pass.value("Type").unwrap_or("simple").to_owned();
    if matches!(kind.as_str(), "forking" | "dbus" | "notify" | "notify-reload") {
        pass.find(Topic::Process, format!("Type={kind}: a job has ended when its processes have, whatever they tell systemd"));
    }
    pass.work()?;
    pass.process()?;
    pass.ending(kind == "oneshot");
    pass.bounds();
    pass.remaining();
    Ok(())
}

struct Pass<'a> {
    unit: &'a Unit,
    specifiers: &'a Specifiers<'a>,
    entry: &'a mut Entry,
    /// The keys that were looked at.
    read: Vec<&'static str>,
}

impl<'a> Pass<'a> {
    fn value(&mut self, key: &'static str) -> Option<&'a str> {
        self.read.push(key);
        self.unit.value("Service", key)
    }

    fn list(&mut self, key: &'static str) -> Vec<&'a str> {
        self.read.push(key);
        self.unit.list("Service", key)
    }

    fn find(&mut self, topic: Topic, message: impl Into<String>) {
        self.entry.findings.push((topic, message.into()));
    }

    fn set(&mut self, setting: Setting) {
        self.entry.settings.push(setting);
    }

    fn commands(&mut self, key: &'static str) -> Result<Vec<Exec>, String> {
        let mut commands = Vec::new();
        for line in self.list(key) {
            let line = self.specifiers.replace(line)?;
            commands.extend(exec::read(&line).ok_or_else(|| format!("{key}={line} is no command line"))?);
        }
        Ok(commands)
    }

    /// One command without variables is an argv; all else is a script, each command after the success of the last.
    fn work(&mut self) -> Result<(), String> {
        let before = self.commands("ExecStartPre")?;
        let main = self.commands("ExecStart")?;
        let after = self.commands("ExecStartPost")?;
        if main.is_empty() {
            return Err("the service has no ExecStart=".to_owned());
        }
        if before.iter().chain(&main).chain(&after).any(|exec| exec.is_privileged) {
            self.find(Topic::User, "`+` or `!` before a program gives it the rights of root; here all of a job runs as one user");
        }
        let all: Vec<&Exec> = before.iter().chain(&main).chain(&after).collect();
        let work = match all.as_slice() {
            [one] if !one.may_fail => one.argv().map(|argv| (argv.iter().map(|word| literal(word)).collect::<Option<Vec<_>>>(), argv)),
            _ => None,
        };
        if let Some((argv, _)) = work {
            let argv = argv.ok_or("its command has the words of a template and `endraw`, which cannot be quoted")?;
            self.set(Setting::new("command", Value::List(argv)));
            return Ok(());
        }
        let lines: Vec<String> = all.iter().map(|exec| exec.script()).collect();
        let script = if let [one] = lines.as_slice() { one.clone() } else { format!("set -e\n{}\n", lines.join("\n")) };
        let script = literal(&script).ok_or("its command has the words of a template and `endraw`, which cannot be quoted")?;
        self.set(Setting::text("shell", script));
        if all.len() > 1 {
            self.find(Topic::Process, "several commands of the unit became one script; the first that fails ends it");
        }
        Ok(())
    }

    fn process(&mut self) -> Result<(), String> {
        let directory = match self.value("WorkingDirectory").map(|path| path.trim_start_matches('-')) {
            None => DIRECTORY.to_owned(),
            Some("~") => self.specifiers.home.ok_or("the home directory of its user is not known here")?.to_owned(),
            Some(path) => self.specifiers.replace(path)?,
        };
        self.set(Setting::text("cwd", directory));
        let mut env = BTreeMap::new();
        for line in self.list("Environment") {
            for word in exec::words(&self.specifiers.replace(line)?).unwrap_or_default() {
                let pair = word.split_once('=').and_then(|(name, value)| Some((name.to_owned(), literal(value)?)));
                match pair {
                    Some((name, value)) => drop(env.insert(name, value)),
                    None => self.find(Topic::Environment, format!("Environment=`{word}` cannot be said; it is left out")),
                }
            }
        }
        if !env.is_empty() {
            self.set(Setting::new("env", Value::Table(env)));
        }
        if let Some(names) = self.value("PassEnvironment") {
            self.find(Topic::Environment, format!("PassEnvironment={names}: add the names to `inherit_env`"));
        }
        let files = self.list("EnvironmentFile");
        if let [first, rest @ ..] = files.as_slice() {
            if first.starts_with('-') {
                self.find(Topic::Environment, "a missing EnvironmentFile=- is no failure for systemd; a missing `env_file` is one here");
            }
            let path = self.specifiers.replace(first.trim_start_matches('-'))?;
            self.set(Setting::text("env_file", path));
            for file in rest {
                self.find(Topic::Environment, format!("EnvironmentFile={file}: a job has one `env_file`; it is left out"));
            }
        }
        Ok(())
    }

    /// How long it may take, how it is stopped, and what follows a failure.
    fn ending(&mut self, is_oneshot: bool) {
        let (start, runtime) = (self.value("TimeoutStartSec"), self.value("RuntimeMaxSec"));
        let limit = if is_oneshot { start } else { runtime };
        if let Some(limit) = limit.and_then(duration).filter(|limit| limit != "0ms") {
            self.set(Setting::text("timeout", limit));
        }
        let signal = self.value("KillSignal").map(|signal| format!("signal = \"{signal}\""));
        let grace = self.value("TimeoutStopSec").and_then(duration).map(|grace| format!("grace = \"{grace}\""));
        let stop: Vec<String> = signal.into_iter().chain(grace).collect();
        if !stop.is_empty() {
            self.set(Setting::new("stop", Value::Raw(format!("{{ {} }}", stop.join(", ")))));
        }
        let delay = self.value("RestartSec").and_then(milliseconds).unwrap_or(100);
        let burst = self.unit.value("Unit", "StartLimitBurst").and_then(|burst| burst.parse::<u32>().ok()).unwrap_or(BURST);
        match self.value("Restart") {
            None | Some("no") => {}
            Some(restart) => {
                let delay = super::written(delay);
                let retry =
                    format!("{{ attempts = {}, delay = \"{delay}\", max_delay = \"{delay}\", factor = 1.0, jitter = 0.0 }}", burst.max(1));
                self.set(Setting::new("retry", Value::Raw(retry)));
                self.find(Topic::Process, format!("Restart={restart} became `retry`: at most {burst} attempts, after a failure only"));
            }
        }
    }

    /// As whom it runs, and within what bounds.
    fn bounds(&mut self) {
        let text = |value: &str| Value::Text(value.to_owned());
        let mut keys: Vec<(&'static str, Value)> = Vec::new();
        keys.extend(self.value("User").map(|user| ("user", text(user))));
        keys.extend(self.value("Group").map(|group| ("group", text(group))));
        keys.extend(self.value("UMask").map(|umask| ("umask", text(umask))));
        let nice = self.value("Nice").filter(|nice| nice.parse::<i8>().is_ok());
        keys.extend(nice.map(|nice| ("nice", Value::Raw(nice.to_owned()))));
        let whole = |value: &'a str| value.split(':').next_back().filter(|number| number.parse::<u64>().is_ok());
        let files = self.value("LimitNOFILE").and_then(whole).map(|files| format!("open_files = {files}"));
        let memory = self.value("MemoryMax").and_then(size).map(|memory| format!("memory = \"{memory}\""));
        let limits: Vec<String> = memory.into_iter().chain(files).collect();
        if !limits.is_empty() {
            keys.push(("limits", Value::Raw(format!("{{ {} }}", limits.join(", ")))));
        }
        for (key, value) in keys {
            self.set(Setting::new(key, value));
        }
    }

    /// All that nothing here does.
    fn remaining(&mut self) {
        let unread: Vec<&str> =
            self.unit.keys("Service").into_iter().filter(|key| !self.read.contains(key) && !SILENT.contains(key)).collect();
        let (sandbox, other): (Vec<&str>, Vec<&str>) =
            unread.into_iter().partition(|key| SANDBOX.iter().any(|start| key.starts_with(start)));
        if !sandbox.is_empty() {
            self.find(
                Topic::Process,
                format!("not taken over: {}; a job lives in the sandbox of the daemon's own unit", sandbox.join(", ")),
            );
        }
        if !other.is_empty() {
            self.find(Topic::Process, format!("not taken over, of the service: {}", other.join(", ")));
        }
        let conditions: Vec<&str> =
            self.unit.keys("Unit").into_iter().filter(|key| key.starts_with("Condition") || key.starts_with("Assert")).collect();
        if !conditions.is_empty() {
            self.find(Topic::Process, format!("not checked before a run: {}", conditions.join(", ")));
        }
        if let Some(units) = self.unit.value("Unit", "OnFailure") {
            self.find(Topic::Mail, format!("OnFailure={units} is not started: `notify = {{ failure = [\"NAME\"] }}` tells the channel `[notify.NAME]`, such as a command"));
        }
        if self.unit.value("Service", "DynamicUser").is_some_and(is_true) {
            self.find(Topic::User, "DynamicUser= makes up a user for each run; a job has a fixed one");
        }
    }
}

/// `512M` as `512MiB`: the units of systemd are binary.
fn size(text: &str) -> Option<String> {
    let (number, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len()));
    number.parse::<u64>().ok()?;
    let unit = match unit {
        "" => "B",
        "K" => "KiB",
        "M" => "MiB",
        "G" => "GiB",
        "T" => "TiB",
        _ => return None,
    };
    Some(format!("{number}{unit}"))
}
