//! Crontabs: of users, of the system, and what packages put into `/etc/cron.d`.
//!
//! `line` reads a line, `percent` the `%` of a command, `dialect` finds what other crons make of a schedule, `hint` what there is
//! a better way for here. `export` goes the other way.

mod dialect;
mod export;
mod hint;
mod line;
mod percent;

#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;

pub use export::{Exported, export};

use self::line::Line;
use super::finding::Topic;
use super::name;
use super::sheet::{Entry, Imported, Setting, Sheet, Value, literal};

/// What a cron sets where the table does not, after crontab(5).
const CRON_PATH: &str = "/usr/bin:/bin";
const CRON_SHELL: &str = "/bin/sh";

/// Shells that take a here-document.
const POSIX_SHELLS: [&str; 7] = ["sh", "bash", "dash", "ash", "ksh", "mksh", "zsh"];

/// The longest comment above an entry that becomes its description, in characters.
const MAX_DESCRIPTION: usize = 160;

/// A crontab.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a> {
    /// Where it comes from, for people.
    pub source: &'a str,
    pub text: &'a [u8],
    /// Whether a user stands before each command, as in `/etc/crontab` and `/etc/cron.d`.
    pub has_users: bool,
}

/// What the text of a crontab does not say.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// Whose crontab a table without users is.
    pub owner: Option<&'a str>,
    /// The home directory of a user.
    pub home: &'a dyn Fn(&str) -> Option<String>,
}

/// Makes a `jobs.toml` of crontabs.
pub fn import(tables: &[Table<'_>], facts: Facts<'_>) -> Imported {
    let sources = tables.iter().map(|table| table.source).collect::<Vec<_>>().join(", ");
    let mut sheet = Sheet::new(vec![
        format!("# From {sources}, by `batchd import crontab`: what cron ran, when cron ran it."),
        "# The report that came with it says what is not quite the same.".to_owned(),
    ]);
    let beside = Setting::text("overlap", "allow");
    sheet.default_setting(beside.remark("as cron, which starts a job beside its last run; without this line: \"skip\""));
    let lost = Setting::text("catch_up", "none");
    sheet.default_setting(lost.remark("as cron, which forgets what fell due while it was down; without this line: \"latest\""));
    let mut has_entries = false;
    for table in tables {
        let mut pass = Pass { table, facts, variables: BTreeMap::new(), comments: Vec::new(), has_entries: false };
        for (at, line) in table.text.split(|byte| *byte == b'\n').enumerate() {
            pass.line(at + 1, line, &mut sheet);
        }
        let rest = std::mem::take(&mut pass.comments);
        sheet.comments(trimmed(rest));
        has_entries |= pass.has_entries;
    }
    if has_entries {
        general(&mut sheet);
    }
    sheet.finish()
}

/// What is so for every entry.
fn general(sheet: &mut Sheet) {
    sheet.note(
        Topic::Environment,
        "cron gives a job HOME, LOGNAME, SHELL and PATH, which are kept, and what the table sets; a job here also gets LANG=C.UTF-8, \
         BATCHD_JOB and the like. What PAM adds, as from /etc/environment, does not come along: set it in `env` or `env_file`",
    );
    sheet.note(
        Topic::Mail,
        "cron mails what a job prints to its owner, or to MAILTO; here it goes to the log, `batchd logs JOB`, and is kept for `batchd show`",
    );
    sheet.note(
        Topic::Schedule,
        "a time that daylight saving skips or repeats is treated as Debian's cron does, in each job's own zone; other crons differ",
    );
}

/// One pass over a table.
struct Pass<'a> {
    table: &'a Table<'a>,
    facts: Facts<'a>,
    /// What is set at this point.
    variables: BTreeMap<String, String>,
    /// Since the last entry; an empty line is an empty text.
    comments: Vec<String>,
    has_entries: bool,
}

impl Pass<'_> {
    fn line(&mut self, number: usize, line: &[u8], sheet: &mut Sheet) {
        let (line, has_return) = match line.strip_suffix(b"\r") {
            Some(line) => (line, true),
            None => (line, false),
        };
        let Ok(text) = std::str::from_utf8(line) else {
            let comments = self.attached(sheet);
            let original = String::from_utf8_lossy(line);
            return sheet.left_out(self.table.source, number, &original, comments, "the line is not UTF-8, which a jobs.toml is");
        };
        match line::read(text, self.table.has_users) {
            Line::Blank => self.comments.push(String::new()),
            Line::Comment(comment) => self.comments.push(comment.to_owned()),
            Line::Variable { name, value } => self.variable(name, value),
            Line::Entry { schedule, user, command } => {
                self.has_entries = true;
                let comments = self.attached(sheet);
                let mut entry = self.entry(number, text, comments, &schedule, user, command);
                if has_return {
                    let message = "the line ends with a carriage return, which cron hands to the command; it is taken away";
                    entry.findings.push((Topic::Process, message.to_owned()));
                }
                take(entry, command, sheet);
            }
            Line::Bad(reason) => {
                let comments = self.attached(sheet);
                sheet.left_out(self.table.source, number, text, comments, &format!("{reason}; cron refuses the whole table"));
            }
        }
    }

    fn variable(&mut self, name: String, value: String) {
        // What is mailed is not said in a job: the comment keeps it for whoever sets up notifications.
        if is_about_mail(&name) && !value.is_empty() {
            self.comments.push(format!("# {name}={value}"));
            self.comments.push(String::new());
        }
        self.variables.insert(name, value);
    }

    /// The comments right above an entry; those further up go to the sheet.
    fn attached(&mut self, sheet: &mut Sheet) -> Vec<String> {
        let mut comments = std::mem::take(&mut self.comments);
        let start = comments.iter().rposition(String::is_empty).map_or(0, |blank| blank + 1);
        let attached = comments.split_off(start);
        sheet.comments(trimmed(comments));
        attached
    }

    fn entry(&self, line: usize, original: &str, comments: Vec<String>, schedule: &str, user: Option<&str>, command: &str) -> Entry {
        let (command, input) = percent::split(command);
        let mut entry = Entry {
            source: self.table.source.to_owned(),
            line,
            original: original.to_owned(),
            comments,
            name: name::of_command(&command),
            settings: Vec::new(),
            findings: Vec::new(),
        };
        describe(&mut entry);
        self.when(schedule, &mut entry);
        self.work(&command, input.as_deref(), &mut entry);
        self.process(user, &mut entry);
        entry.findings.extend(hint::hints(&command, &entry));
        entry
    }

    fn when(&self, schedule: &str, entry: &mut Entry) {
        let read = dialect::read(schedule);
        entry.findings.extend(read.differences.into_iter().map(|message| (Topic::Schedule, message)));
        entry.settings.push(Setting::text("schedule", read.schedule));
        if let Some(zone) = self.variables.get("CRON_TZ") {
            entry.settings.push(Setting::text("timezone", zone));
            let message =
                "CRON_TZ is the zone of the schedule, as in cronie; Debian's cron has no such variable and takes the system's zone";
            entry.findings.push((Topic::Zone, message.to_owned()));
        } else if self.variables.contains_key("TZ") {
            let message = "TZ is only what the command sees, as in cron; for the schedule write `timezone`";
            entry.findings.push((Topic::Zone, message.to_owned()));
        }
        let delay = self.variables.get("RANDOM_DELAY").and_then(|delay| delay.parse::<u32>().ok()).filter(|delay| *delay > 0);
        let jitter = read.jitter_minutes.unwrap_or(0) + delay.unwrap_or(0).min(100_000);
        if jitter > 0 {
            entry.settings.push(Setting::text("jitter", format!("{jitter}m")));
        }
        if delay.is_some() {
            let message =
                "RANDOM_DELAY is drawn once by cronie; here the delay is drawn for each nominal time, and is the same after a restart";
            entry.findings.push((Topic::Schedule, message.to_owned()));
        }
    }

    fn work(&self, command: &str, input: Option<&str>, entry: &mut Entry) {
        let shell = self.variables.get("SHELL").map_or(CRON_SHELL, String::as_str);
        let is_posix = POSIX_SHELLS.contains(&shell.rsplit('/').next().unwrap_or(shell));
        let script = match input {
            None => command.to_owned(),
            Some(input) if is_posix => {
                let message = "what stands behind the first `%` is the command's standard input, here as a here-document";
                entry.findings.push((Topic::Input, message.to_owned()));
                percent::with_input(command, input)
            }
            Some(_) => return,
        };
        if command.contains('%') {
            let message = "`\\%` is written as `%`, which means nothing special here";
            entry.findings.push((Topic::Input, message.to_owned()));
        }
        let Some(script) = literal(&script) else { return };
        entry.settings.push(if shell == CRON_SHELL {
            Setting::text("shell", script)
        } else {
            Setting::new("command", Value::List(vec![shell.to_owned(), "-c".to_owned(), script]))
        });
    }

    fn process(&self, user: Option<&str>, entry: &mut Entry) {
        if let Some(user) = user {
            entry.settings.push(Setting::text("user", user));
        } else {
            let message = "cron runs a user's table as that user; here its jobs run as the daemon's user";
            entry.findings.push((Topic::User, message.to_owned()));
        }
        let owner = user.or(self.facts.owner);
        let home = self.variables.get("HOME").cloned().or_else(|| (self.facts.home)(owner?));
        if let Some(home) = home {
            entry.settings.push(Setting::text("cwd", home).remark("the home directory, where cron starts a job"));
        } else {
            let who = owner.unwrap_or("its owner");
            let message = format!("cron starts it in the home directory of `{who}`, which is not known here: set `cwd`");
            entry.findings.push((Topic::Process, message));
        }
        let env = self.env(entry);
        entry.settings.push(Setting::new("env", Value::Table(env)));
    }

    fn env(&self, entry: &mut Entry) -> BTreeMap<String, String> {
        let mut env = BTreeMap::from([("PATH".to_owned(), CRON_PATH.to_owned())]);
        for (name, value) in &self.variables {
            match name.as_str() {
                "CRON_TZ" | "RANDOM_DELAY" => {}
                // What a job has here as well.
                "SHELL" if value == CRON_SHELL => {}
                name if is_about_mail(name) => mail(name, value, entry),
                "LOGNAME" | "USER" => {
                    let message = format!("cron sets {name} itself, whatever the table says; it is left out");
                    entry.findings.push((Topic::Environment, message));
                }
                name if !is_name(name) => {
                    let message = format!("`{name}` is no name that a shell takes for a variable; it is left out");
                    entry.findings.push((Topic::Environment, message));
                }
                name => match literal(value) {
                    Some(value) => drop(env.insert(name.to_owned(), value)),
                    None => entry.findings.push((Topic::Environment, format!("the value of `{name}` cannot be quoted; it is left out"))),
                },
            }
        }
        env
    }
}

/// Takes the entry in, unless its command cannot be said.
fn take(entry: Entry, command: &str, sheet: &mut Sheet) {
    if entry.settings.iter().any(|setting| matches!(setting.key, "shell" | "command")) {
        return sheet.entry(entry);
    }
    let reason = if command.contains("endraw") {
        "its command has the words of a template and `endraw`, which cannot be quoted"
    } else {
        "its input stands behind a `%`, and its SHELL has no here-documents"
    };
    sheet.left_out(&entry.source, entry.line, &entry.original, entry.comments, reason);
}

/// The comment above becomes the description where it is one line of words.
fn describe(entry: &mut Entry) {
    let [comment] = entry.comments.as_slice() else { return };
    let text = comment.trim_start_matches('#').trim();
    let is_entry = matches!(line::read(text, false), Line::Entry { schedule, .. } if config_schedule(&schedule));
    let is_words = text.chars().any(char::is_alphabetic) && text.chars().count() <= MAX_DESCRIPTION && !text.contains(char::is_control);
    if is_words && !is_entry && !comment.contains(" user = ") {
        entry.settings.push(Setting::text("description", text));
        entry.comments.clear();
    }
}

fn config_schedule(schedule: &str) -> bool {
    crate::schedule::Schedule::parse(schedule).is_ok()
}

fn mail(name: &str, value: &str, entry: &mut Entry) {
    let message = match (name, value) {
        ("MAILTO", "") => return,
        ("MAILTO", to) => {
            format!(
                "no mail goes to `{to}` (MAILTO): what the job prints is in the log, and its exit code decides whether it failed; to be \
                 mailed of that, give `[notify.mail]` an `email` and the job `notify = {{ failure = [\"mail\"] }}`"
            )
        }
        _ => format!("{name} is about cron's mail, of which there is none here; it is left out"),
    };
    entry.findings.push((Topic::Mail, message));
}

fn is_about_mail(name: &str) -> bool {
    matches!(name, "MAILTO" | "MAILFROM" | "CONTENT_TYPE" | "CONTENT_TRANSFER_ENCODING")
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Without empty lines at either end, and at most one between two others.
fn trimmed(lines: Vec<String>) -> Vec<String> {
    let mut kept: Vec<String> = Vec::with_capacity(lines.len());
    for line in lines {
        if !line.is_empty() || kept.last().is_some_and(|last| !last.is_empty()) {
            kept.push(line);
        }
    }
    if kept.last().is_some_and(String::is_empty) {
        kept.pop();
    }
    kept
}

impl std::fmt::Debug for Facts<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").field("owner", &self.owner).finish_non_exhaustive()
    }
}
