//! `batchd check`: every problem of the configuration, or a table of its jobs with their next fire.

use std::collections::HashMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use jiff::Timestamp;
use serde::Serialize;

use super::place::{CANDIDATES, config_path};
use super::{Exit, Global};
use crate::config::{Config, Job, JobName, Problem, Problems, Severity};
use crate::daemon::source::LoadError;

/// The most characters of a job's schedules that the table shows.
const MAX_SCHEDULE: usize = 48;

/// The arguments of `batchd check`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct CheckArgs {
    /// The file to check [default: as --config]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Fail on warnings too
    #[arg(long)]
    pub deny_warnings: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    problems: Vec<ProblemRow<'a>>,
    jobs: Vec<JobRow<'a>>,
}

/// A problem; without a line and column when the file could not be read at all.
#[derive(Serialize)]
struct ProblemRow<'a> {
    line: Option<usize>,
    column: Option<usize>,
    severity: &'static str,
    message: &'a str,
    help: Option<&'a str>,
}

#[derive(Serialize)]
struct JobRow<'a> {
    name: &'a str,
    schedule: &'a [String],
    /// The jobs it runs after.
    after: &'a [JobName],
    timezone: &'a str,
    enabled: bool,
    /// In UTC; null when the job is disabled, manual, or fires at boot only.
    next: Option<Timestamp>,
}

/// Checks the file and tells the result: the answer to `out`, problems to `err`. `slow`: how long a slow run of each job takes, by
/// the records.
///
/// # Errors
/// Only when the answer cannot be written.
pub fn check(
    global: &Global,
    args: &CheckArgs,
    load: impl FnOnce(&Path) -> Result<(Config, Problems), LoadError>,
    slow: impl FnOnce(&Config) -> HashMap<JobName, Duration>,
    now: Timestamp,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> anyhow::Result<Exit> {
    let path = args.file.clone().or_else(|| global.config.clone()).unwrap_or_else(default_file);
    let (config, problems) = match load(&path) {
        Ok((config, warnings)) => {
            let slow = slow(&config);
            let warnings = warnings.with_schedules(&config, now, &|job| slow.get(&job.name).copied());
            (Some(config), warnings)
        }
        Err(LoadError::Invalid(problems)) => (None, problems),
        Err(LoadError::Source(error)) => {
            let message = error.to_string();
            if args.json {
                let row = ProblemRow { line: None, column: None, severity: Severity::Error.name(), message: &message, help: None };
                write_json(out, &Answer { ok: false, problems: vec![row], jobs: Vec::new() })?;
            } else {
                writeln!(err, "error: {message}")?;
            }
            return Ok(Exit::InvalidConfig);
        }
    };
    let ok = config.is_some() && (problems.is_empty() || !args.deny_warnings);
    if args.json {
        let rows = problems.list().iter().map(|problem| problem_row(&problems, problem)).collect();
        let jobs = config.iter().flat_map(|config| config.jobs.values()).map(|job| job_row(job, now)).collect();
        write_json(out, &Answer { ok, problems: rows, jobs })?;
    } else {
        err.write_all(problems.render(colored(global.color)).as_bytes())?;
        match &config {
            Some(config) if ok => writeln!(out, "{}", table(config, now))?,
            Some(_) => writeln!(err, "{}: warnings are denied", count(problems.count(), "warning"))?,
            None => writeln!(err, "{}", count(problems.count(), "problem"))?,
        }
    }
    Ok(if ok { Exit::Done } else { Exit::InvalidConfig })
}

/// The first default file that exists; the first of all when none does, so that the message names it.
fn default_file() -> PathBuf {
    config_path(None).unwrap_or_else(|_| CANDIDATES[0].into())
}

fn colored(choice: clap::ColorChoice) -> bool {
    match choice {
        clap::ColorChoice::Always => true,
        clap::ColorChoice::Never => false,
        clap::ColorChoice::Auto => anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never,
    }
}

fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn write_json(out: &mut dyn Write, answer: &Answer<'_>) -> anyhow::Result<()> {
    serde_json::to_writer(&mut *out, answer)?;
    Ok(writeln!(out)?)
}

fn problem_row<'a>(problems: &Problems, problem: &'a Problem) -> ProblemRow<'a> {
    let (line, column) = problems.position(problem);
    ProblemRow {
        line: Some(line),
        column: Some(column),
        severity: problem.severity.name(),
        message: &problem.message,
        help: problem.help.as_deref(),
    }
}

fn job_row(job: &Job, now: Timestamp) -> JobRow<'_> {
    JobRow {
        name: &job.name,
        schedule: &job.schedule_text,
        after: &job.after,
        timezone: &job.timetable.zone.name,
        enabled: job.enabled,
        next: job.next_fire(now),
    }
}

fn table(config: &Config, now: Timestamp) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["JOB", "SCHEDULE", "ZONE", "NEXT FIRE"]);
    for job in config.jobs.values() {
        let next = match job.next_fire(now) {
            Some(next) => next.to_zoned_datetime(job.timetable.zone.rules.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string(),
            None if !job.enabled => "disabled".to_owned(),
            None if !job.after.is_empty() => "after others".to_owned(),
            None if job.timetable.fires_at_boot() => "at boot".to_owned(),
            None => "by hand".to_owned(),
        };
        table.add_row([job.name.to_string(), schedule(job), job.timetable.zone.name.to_string(), next]);
    }
    table
}

fn schedule(job: &Job) -> String {
    let text = job.timing();
    match text.char_indices().nth(MAX_SCHEDULE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::source;

    /// The exit code, stdout and stderr of a check of `text`.
    fn run(text: &str, args: &CheckArgs) -> (Exit, String, String) {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("jobs.toml");
        std::fs::write(&path, text).expect("a file");
        let global = Global { config: Some(path), color: clap::ColorChoice::Never, verbose: false };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let load = |path: &Path| source::examine(path, &[]);
        let exit = check(&global, args, load, |_| HashMap::new(), Timestamp::UNIX_EPOCH, &mut out, &mut err).expect("an answer");
        let shown = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text").replace(&*folder.path().to_string_lossy(), "");
        (exit, shown(out), shown(err))
    }

    const GOOD: &str = "[daemon]\ntimezone = \"UTC\"\n[jobs.a]\nschedule = \"manual\"\ncommand = [\"true\"]\n";

    #[test]
    fn a_good_file_is_a_table_of_jobs() {
        let (exit, out, err) = run(GOOD, &CheckArgs::default());
        assert_eq!((exit, err.as_str()), (Exit::Done, ""));
        insta::assert_snapshot!(out, @"
        JOB  SCHEDULE  ZONE  NEXT FIRE 
        a    manual    UTC   by hand
        ");
    }

    #[test]
    fn a_bad_file_is_explained() {
        let (exit, out, err) = run(&GOOD.replace("[\"true\"]", "true"), &CheckArgs::default());
        assert_eq!((exit, out.as_str()), (Exit::InvalidConfig, ""));
        insta::assert_snapshot!(err, @r#"
        error: `command` must be an array of strings, a program and its arguments, found the boolean true
         --> /jobs.toml:5:11
          |
        5 | command = true
          |           ^^^^
          |
          = help: write `command = ["program", "argument"]`, or use `shell` for a shell command line

        1 problem
        "#);
    }

    #[test]
    fn json_holds_problems_and_jobs() {
        let args = CheckArgs { json: true, ..CheckArgs::default() };
        insta::assert_snapshot!(run(GOOD, &args).1, @r#"
        {"ok":true,"problems":[],"jobs":[{"name":"a","schedule":["manual"],"after":[],"timezone":"UTC","enabled":true,"next":null}]}
        "#);
        insta::assert_snapshot!(run(&GOOD.replace("[\"true\"]", "true"), &args).1, @r#"{"ok":false,"problems":[{"line":5,"column":11,"severity":"error","message":"`command` must be an array of strings, a program and its arguments, found the boolean true","help":"write `command = [\"program\", \"argument\"]`, or use `shell` for a shell command line"}],"jobs":[]}"#);
    }

    #[test]
    fn warnings_can_be_denied() {
        let text = format!("{GOOD}concurrency = 2\n");
        let (exit, _, err) = run(&text, &CheckArgs::default());
        assert_eq!(exit, Exit::Done);
        insta::assert_snapshot!(err, @r"
        warning: `concurrency` has no effect without `targets`: a run has one partial
         --> /jobs.toml:6:15
          |
        6 | concurrency = 2
          |               ^
        ");
        assert_eq!(run(&text, &CheckArgs { deny_warnings: true, ..CheckArgs::default() }).0, Exit::InvalidConfig);
    }

    #[test]
    fn suspicious_schedules_are_shown_and_fail_only_when_denied() {
        let text = "[jobs.a]\nschedule = [\"@daily\", \"30 2 * * *\"]\ntimezone = \"America/New_York\"\ncommand = [\"true\"]\n\
                    [jobs.b]\nschedule = \"*/23 4 * * *\"\ntimezone = \"UTC\"\ncommand = [\"true\"]\n";
        let (exit, _, err) = run(text, &CheckArgs::default());
        insta::assert_snapshot!(err, @r#"
        warning: `schedule`: 02:30 does not exist in America/New_York on 1970-04-26, when the clock goes from 02:00 to 03:00
         --> /jobs.toml:2:24
          |
        2 | schedule = ["@daily", "30 2 * * *"]
          |                        ^^^^^^^^^^
          |
          = help: it then runs once right after the jump (`dst.gap`); choose another time, or the zone `UTC`

        warning: `schedule`: minute `*/23` is uneven: the steps start over at the end of each round, so the last one is shorter
         --> /jobs.toml:6:13
          |
        6 | schedule = "*/23 4 * * *"
          |             ^^^^
          |
          = help: for a steady interval use `@every`
        "#);
        let (denied, out, err) = run(text, &CheckArgs { deny_warnings: true, ..CheckArgs::default() });
        assert_eq!((exit, denied, out.as_str()), (Exit::Done, Exit::InvalidConfig, ""));
        assert!(err.ends_with("2 warnings: warnings are denied\n"), "{err}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let args = CheckArgs { file: Some("/nonexistent/jobs.toml".into()), ..CheckArgs::default() };
        let (exit, _, err) = run(GOOD, &args);
        assert_eq!(
            (exit, err.as_str()),
            (Exit::InvalidConfig, "error: cannot read `/nonexistent/jobs.toml`: No such file or directory (os error 2)\n")
        );
    }
}
