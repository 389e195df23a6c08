//! Jobs as lines of a crontab, as far as a crontab can say them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::super::finding::{Finding, Findings, Place, Topic};
use super::super::shell::word;
use super::{CRON_SHELL, Facts, is_name, percent};
use crate::config::{CatchUpPolicy, Config, Job, Overlap, Targets, Work};
use crate::schedule::Schedule;

/// The `PATH` of a job here that sets none; that of cron is shorter.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The longest command that Debian's cron takes, in bytes.
const MAX_COMMAND: usize = 998;

/// What an export makes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Exported {
    /// A crontab without a user column.
    pub crontab: String,
    /// The jobs in it.
    pub jobs: Vec<String>,
    /// How many jobs stand in it as comments, because a crontab cannot say them.
    pub left_out: usize,
    pub findings: Vec<Finding>,
}

/// A job as a crontab says it.
struct Lines {
    name: String,
    description: Option<String>,
    zone: String,
    env: BTreeMap<String, String>,
    schedules: Vec<String>,
    shell: String,
    command: String,
    is_off: bool,
}

/// Makes a crontab of the jobs of these names, or of all.
pub fn export(config: &Config, names: &[String], facts: Facts<'_>) -> Exported {
    let mut findings = Findings::default();
    let mut said = Vec::new();
    let mut refused = Vec::new();
    for job in config.jobs.values().filter(|job| names.is_empty() || names.iter().any(|name| **name == *job.name)) {
        let place = Place { source: "jobs.toml".to_owned(), line: 0, job: Some(job.name.to_string()) };
        match lines(job, facts) {
            Ok(lines) => {
                said.push(lines);
                for (topic, message) in losses(job) {
                    findings.add(topic, message, Some(&place));
                }
            }
            Err(reason) => {
                findings.add(Topic::LeftOut, reason.clone(), Some(&place));
                refused.push((job.name.to_string(), reason));
            }
        }
    }
    let home = &config.daemon.timezone.name;
    // The jobs of the file's own zone first: what CRON_TZ sets cannot be unset.
    said.sort_by(|a, b| (*a.zone != **home, &a.zone, &a.name).cmp(&(*b.zone != **home, &b.zone, &b.name)));
    if said.iter().any(|lines| *lines.zone != **home) {
        findings.add(Topic::Zone, "cronie takes CRON_TZ as the zone of the lines below it; Debian's cron does not", None);
    }
    if !said.is_empty() {
        let message = "cron mails what a job prints, or throws it away; there is no history, no log and no `batchd show`";
        findings.add(Topic::Mail, message, None);
    }
    let crontab = written(&said, &refused, home);
    let jobs = said.into_iter().map(|lines| lines.name).collect();
    Exported { crontab, jobs, left_out: refused.len(), findings: findings.sorted() }
}

fn written(said: &[Lines], refused: &[(String, String)], home: &str) -> String {
    let mut text = String::from("# Made by `batchd export crontab`.\n");
    let shared = shared_env(said);
    for (name, value) in &shared {
        text.extend([name, "=", &quoted_value(value), "\n"]);
    }
    let (mut zone, mut shell) = (home, CRON_SHELL);
    for lines in said {
        if lines.zone != zone {
            zone = &lines.zone;
            text.extend(["\nCRON_TZ=", zone, "\n"]);
        }
        if lines.shell != shell {
            shell = &lines.shell;
            text.extend(["\nSHELL=", shell, "\n"]);
        }
        text.push('\n');
        text.push_str(&comment(lines.description.as_deref().unwrap_or(&lines.name)));
        let own: String = lines.env.iter().filter(|(name, _)| !shared.contains_key(*name)).fold(String::new(), |own, (name, value)| {
            let assignment = percent::join(&format!("export {name}={}; ", word(value)), None).unwrap_or_default();
            own + &assignment
        });
        let off = if lines.is_off { "# " } else { "" };
        for schedule in &lines.schedules {
            text.extend([off, schedule, " ", &own, &lines.command, "\n"]);
        }
    }
    for (name, reason) in refused {
        text.push('\n');
        text.push_str(&comment(&format!("left out: {name}: {reason}")));
    }
    text
}

/// What all jobs have alike, and a line of a crontab can hold.
fn shared_env(said: &[Lines]) -> BTreeMap<String, String> {
    let Some((first, rest)) = said.split_first() else { return BTreeMap::new() };
    let is_shared = |name: &String, value: &String| rest.iter().all(|lines| lines.env.get(name) == Some(value));
    let shared = first.env.iter().filter(|(name, value)| is_shared(name, value) && !(value.contains('\'') && value.contains('"')));
    shared.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn lines(job: &Job, facts: Facts<'_>) -> Result<Lines, String> {
    if job.targets != Targets::None || job.gather.is_some() {
        return Err("a crontab has no targets and no gather".to_owned());
    }
    if !job.after.is_empty() {
        return Err("a crontab has no job after another".to_owned());
    }
    let schedules: Option<Vec<String>> =
        job.timetable.schedules.iter().zip(&job.schedule_text).map(|(parsed, text)| schedule(parsed, text)).collect();
    let schedules = schedules.filter(|list| !list.is_empty()).ok_or_else(|| format!("a crontab cannot say `{}`", job.timing()))?;
    let mut env = BTreeMap::from([("PATH".to_owned(), PATH.to_owned())]);
    for (name, value) in &job.process.env {
        let value = plain(value).filter(|value| !value.contains('\n') && is_name(name));
        env.insert(name.clone(), value.ok_or_else(|| format!("a crontab cannot say the value of `{name}`"))?.to_owned());
    }
    let shell = env.remove("SHELL").filter(|shell| is_shell_of(job, shell)).unwrap_or_else(|| CRON_SHELL.to_owned());
    let command = command(job, &shell, facts)?;
    if command.len() > MAX_COMMAND {
        return Err(format!("its command is longer than the {MAX_COMMAND} bytes that cron takes"));
    }
    Ok(Lines {
        name: job.name.to_string(),
        description: job.description.clone(),
        zone: job.timetable.zone.name.to_string(),
        env,
        schedules,
        shell,
        command,
        is_off: !job.enabled,
    })
}

/// Whether the job is a script for this shell.
fn is_shell_of(job: &Job, shell: &str) -> bool {
    matches!(&job.work, Work::Command(argv) if matches!(argv.as_slice(), [program, flag, _] if program == shell && flag == "-c"))
}

fn command(job: &Job, shell: &str, facts: Facts<'_>) -> Result<String, String> {
    const TEMPLATE: &str = "a crontab has no templates";
    let script = |script: &str| {
        let script = plain(script).ok_or(TEMPLATE)?;
        Ok::<_, String>(match percent::without_input(script) {
            Some((command, input)) => (command.to_owned(), Some(input.to_owned())),
            None => (script.to_owned(), None),
        })
    };
    let (script, input) = match &job.work {
        Work::Shell(text) => script(text)?,
        Work::Command(argv) if is_shell_of(job, shell) => script(&argv[2])?,
        Work::Command(argv) => {
            let words: Option<Vec<String>> = argv.iter().map(|argument| plain(argument).map(word)).collect();
            (words.ok_or(TEMPLATE)?.join(" "), None)
        }
        Work::Handler(_) | Work::Http(_) => return Err("a crontab runs programs only".to_owned()),
    };
    let directory = job.process.directory().to_string_lossy().into_owned();
    let home = facts.owner.and_then(facts.home);
    let script = if home.as_deref() == Some(&*directory) { script } else { format!("cd {} && {script}", word(&directory)) };
    percent::join(&script, input.as_deref()).ok_or_else(|| "a crontab has one line a command, and no spelling for some inputs".to_owned())
}

/// The text of a template that has none, without the quotes around its braces.
fn plain(template: &str) -> Option<&str> {
    let has_none = |text: &str| !["{{", "{%", "{#"].iter().any(|opening| text.contains(opening));
    if has_none(template) {
        return Some(template);
    }
    let inner = template.strip_prefix("{% raw %}")?.strip_suffix("{% endraw %}")?;
    (!inner.contains("endraw")).then_some(inner)
}

/// A schedule as every cron reads it.
fn schedule(parsed: &Schedule, text: &str) -> Option<String> {
    match parsed {
        Schedule::Reboot => Some("@reboot".to_owned()),
        Schedule::Every(interval) => every(*interval),
        Schedule::Cron(_) if text.starts_with('@') => Some(text.to_owned()),
        Schedule::Cron(_) => {
            let fields: Vec<&str> = text.split([' ', '\t']).filter(|field| !field.is_empty()).collect();
            let fields = match fields.as_slice() {
                ["0" | "00", five @ ..] if five.len() == 5 => five,
                all => all,
            };
            if fields.len() != 5 {
                return None;
            }
            let fields: Option<Vec<String>> = fields.iter().map(|field| plain_field(field)).collect();
            Some(fields?.join(" "))
        }
    }
}

/// Whole minutes that divide the hour, whole hours that divide the day.
fn every(interval: Duration) -> Option<String> {
    let minutes = Some(interval.as_secs() / 60).filter(|minutes| *minutes > 0 && minutes * 60 == interval.as_secs())?;
    match minutes {
        1 => Some("* * * * *".to_owned()),
        minutes if 60 % minutes == 0 => Some(format!("*/{minutes} * * * *").replace("*/60", "0")),
        minutes if minutes % 60 == 0 && 24 % (minutes / 60) == 0 => Some(format!("0 */{} * * *", minutes / 60).replace("*/24", "0")),
        _ => None,
    }
}

/// A field without what only batchd reads; `FRI-SUN` as `FRI-7`, which Debian's cron reads as well.
fn plain_field(field: &str) -> Option<String> {
    let is_value = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        digits || (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()))
    };
    let items: Option<Vec<String>> = field
        .split(',')
        .map(|item| {
            let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
            let range = match range.split_once('-') {
                Some((first, last)) if is_value(first) && is_value(last) => {
                    let is_sunday = last.eq_ignore_ascii_case("sun") || (last == "0" && first != "0");
                    format!("{first}-{}", if is_sunday { "7" } else { last })
                }
                None if range == "*" || is_value(range) => range.to_owned(),
                _ => return None,
            };
            Some(step.map_or(range.clone(), |step| format!("{range}/{step}")))
        })
        .collect();
    Some(items?.join(","))
}

/// What a job has that a crontab does not.
fn losses(job: &Job) -> Vec<(Topic, String)> {
    let mut losses = Vec::new();
    let mut lose = |is_lost: bool, topic: Topic, message: &str| {
        if is_lost {
            losses.push((topic, message.to_owned()));
        }
    };
    lose(
        job.policies.overlap != Overlap::Allow,
        Topic::Overlap,
        "cron starts a job beside its live run, whatever `overlap` says; `flock -n FILE` keeps them apart",
    );
    lose(
        job.policies.catch_up.policy != CatchUpPolicy::None,
        Topic::Missed,
        "cron forgets what fell due while it was down; there is no `catch_up`",
    );
    lose(job.timetable.except.is_some(), Topic::Schedule, "days off (`except`) do not come along");
    lose(!job.jitter.is_zero(), Topic::Schedule, "`jitter` does not come along");
    let has_interval = job.timetable.schedules.iter().any(|schedule| matches!(schedule, Schedule::Every(_)));
    lose(has_interval, Topic::Schedule, "`@every` counts elapsed time; the fields in its place follow the clock through its changes");
    lose(
        job.policies.timeout.is_some() || job.policies.partial_timeout.is_some(),
        Topic::Process,
        "cron waits for ever; `timeout DURATION` in front of the command ends it",
    );
    lose(job.policies.retry.attempts > 1, Topic::Process, "`retry` does not come along");
    lose(job.process.env_file.is_some(), Topic::Environment, "`env_file` does not come along; source the file in the command");
    lose(!job.enabled, Topic::Schedule, "the job is not enabled: its line is a comment");
    losses
}

fn comment(text: &str) -> String {
    let clean: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    format!("# {clean}\n")
}

/// A value behind `NAME=`, which takes either kind of quotes around the whole.
fn quoted_value(value: &str) -> String {
    let quote = if value.contains('"') { '\'' } else { '"' };
    let is_bare = !value.is_empty() && value.trim() == value && !value.starts_with(['"', '\'']);
    if is_bare { value.to_owned() } else { format!("{quote}{value}{quote}") }
}
