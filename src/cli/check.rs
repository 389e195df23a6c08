//! `batchd check`: every problem of the configuration, or a table of its jobs with their next fire.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::escape::escape;
use super::place::{CANDIDATES, config_path};
use super::print::Tone;
use super::table::{Column, ENOUGH_FOR_A_NAME, Table, Text};
use super::{Exit, Failure, Global, Screen, human};
use crate::config::{Config, Job, JobName, Problem, Problems, Severity};
use crate::daemon::source::LoadError;

/// The most characters of a job's schedules that the table shows on a terminal.
pub(super) const MAX_SCHEDULE: usize = 48;

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
    /// Where it is not in the file itself: the included file.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
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

/// Checks the file and tells the result: the answer on stdout, problems on stderr. `slow`: how long a slow run of each job takes, by
/// the records.
pub(super) fn check(
    global: &Global,
    args: &CheckArgs,
    load: impl FnOnce(&Path) -> Result<(Config, Problems), LoadError>,
    slow: impl FnOnce(&Config) -> HashMap<JobName, Duration>,
    now: Timestamp,
    screen: &mut Screen<'_>,
) -> Result<Exit, Failure> {
    let path = args.file.clone().or_else(|| global.config.clone()).unwrap_or_else(default_file);
    let (config, problems) = match load(&path) {
        Ok((config, warnings)) => {
            let slow = slow(&config);
            let warnings = warnings.with_schedules(&config, now, &|job| slow.get(&job.name).copied());
            (Some(config), warnings)
        }
        Err(LoadError::Invalid(problems)) => (None, problems),
        Err(error @ (LoadError::Source(_) | LoadError::Exposed(_))) if args.json => {
            let message = error.to_string();
            let row = ProblemRow { file: None, line: None, column: None, severity: Severity::Error.name(), message: &message, help: None };
            screen.json_compact(&Answer { ok: false, problems: vec![row], jobs: Vec::new() })?;
            return Ok(Exit::InvalidConfig);
        }
        Err(error @ (LoadError::Source(_) | LoadError::Exposed(_))) => return Err(error.into()),
    };
    let ok = config.is_some() && (problems.is_empty() || !args.deny_warnings);
    let exit = if ok { Exit::Done } else { Exit::InvalidConfig };
    if args.json {
        let own = problems.path();
        let all = problems.files().flat_map(|file| file.list().iter().map(move |problem| (file, problem)));
        let rows = all.map(|(file, problem)| problem_row(file, problem, own)).collect();
        let jobs = config.iter().flat_map(|config| config.jobs.values()).map(|job| job_row(job, now)).collect();
        screen.json_compact(&Answer { ok, problems: rows, jobs })?;
        return Ok(exit);
    }
    if !problems.is_empty() {
        screen.note(problems.render(screen.has_colour_on_stderr()))?;
    }
    let found = problems.count() as u64;
    match &config {
        Some(config) if ok && config.jobs.is_empty() => screen.note("the file is valid, and has no jobs")?,
        Some(config) if ok => screen.table(&table(config, now))?,
        Some(_) => screen.note(format!("\n{}: warnings are denied", human::count(found, "warning")))?,
        None => screen.note(format!("\n{}", human::count(found, "problem")))?,
    }
    Ok(exit)
}

/// The first default file that exists; the first of all when none does, so that the message names it.
fn default_file() -> PathBuf {
    config_path(None).unwrap_or_else(|_| CANDIDATES[0].into())
}

fn problem_row<'a>(problems: &Problems, problem: &'a Problem, main: &Path) -> ProblemRow<'a> {
    let (line, column) = problems.position(problem);
    ProblemRow {
        file: (problems.path() != main).then(|| problems.path().to_string_lossy().into_owned()),
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
    let columns = [
        Column::name("job").enough(ENOUGH_FOR_A_NAME),
        Column::text("schedule").at_most(MAX_SCHEDULE).spare(1),
        Column::name("zone").spare(3),
        Column::text("next fire"),
        Column::text("due").spare(2),
    ];
    Table::with_rows(columns, config.jobs.values().map(|job| row(job, now)))
}

fn row(job: &Job, now: Timestamp) -> Vec<Text> {
    let zone = &job.timetable.zone;
    let (next, due): (Text, Text) = match job.next_fire(now) {
        Some(next) => (human::local_in(next, &zone.rules).into(), human::distance(next, now).into()),
        None if !job.enabled => (Tone::Faint.text("disabled"), "-".into()),
        None if !job.after.is_empty() => ("after others".into(), "-".into()),
        None if job.timetable.fires_at_boot() => ("at boot".into(), "-".into()),
        None => ("by hand".into(), "-".into()),
    };
    vec![escape(&job.name).into_owned().into(), escape(&job.timing()).into_owned().into(), zone.name.to_string().into(), next, due]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Look;
    use crate::cli::tests::seen_of;
    use crate::daemon::source;

    fn seen_with(text: &str, args: &CheckArgs, look: Look) -> String {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("jobs.toml");
        std::fs::write(&path, text).expect("a file");
        let global = Global { config: Some(path), color: clap::ColorChoice::Never, verbose: false };
        let load = |path: &Path| source::examine(path, &[]);
        let seen = seen_of(look, |screen| check(&global, args, load, |_| HashMap::new(), Timestamp::UNIX_EPOCH, screen));
        seen.replace(&*folder.path().to_string_lossy(), "")
    }

    /// What a user sees of a check of `text`.
    fn seen(text: &str, args: &CheckArgs) -> String {
        seen_with(text, args, Look::default())
    }

    fn json() -> CheckArgs {
        CheckArgs { json: true, ..CheckArgs::default() }
    }

    fn denied() -> CheckArgs {
        CheckArgs { deny_warnings: true, ..CheckArgs::default() }
    }

    const GOOD: &str = "[daemon]\ntimezone = \"UTC\"\n[jobs.a]\nschedule = \"manual\"\ncommand = [\"true\"]\n";

    const EVERY_KIND: &str = r#"
        [daemon]
        timezone = "America/New_York"
        [jobs.nightly-report-of-all-branches]
        schedule = ["30 6 * * *", "0 12 * * MON-FRI", "15 4 1,15 * *", "0 0 24 12 *"]
        command = ["true"]
        [jobs.sync]
        schedule = "@every 90s"
        timezone = "UTC"
        command = ["true"]
        [jobs.boot]
        schedule = "@reboot"
        command = ["true"]
        [jobs.off]
        schedule = "@daily"
        enabled = false
        command = ["true"]
        [jobs.last]
        after = ["sync"]
        command = ["true"]
    "#;

    #[test]
    fn a_good_file_is_a_table_of_jobs() {
        insta::assert_snapshot!(seen(GOOD, &CheckArgs::default()), @r"
        Done
        job  schedule  zone  next fire  due
        a    manual    UTC   by hand    -
        ---
        ");
        insta::assert_snapshot!(seen("[daemon]\n", &CheckArgs::default()), @r#"
        InvalidConfig
        ---
        error: the file defines no jobs
         --> /jobs.toml:1:1
          |
        1 | [daemon]
          | ^
          |
          = help: add a table such as:
                  [jobs.backup]
                  schedule = "0 2 * * *"
                  command = ["/usr/bin/backup"]

        1 problem
        "#);
    }

    #[test]
    fn the_table_fits_the_terminal() {
        let on = |width| seen_with(EVERY_KIND, &CheckArgs::default(), Look { width, ..Look::default() });
        insta::assert_snapshot!(on(None), @r"
        Done
        job                             schedule                                                  zone              next fire                due
        boot                            @reboot                                                   America/New_York  at boot                  -
        last                            after sync                                                America/New_York  after others             -
        nightly-report-of-all-branches  30 6 * * *; 0 12 * * MON-FRI; 15 4 1,15 * *; 0 0 24 12 *  America/New_York  1970-01-01 04:15:00 EST  in 9 h
        off                             @daily                                                    America/New_York  disabled                 -
        sync                            @every 90s                                                UTC               1970-01-01 00:01:30 UTC  in 1 min
        ---
        ");
        insta::assert_snapshot!(on(Some(120)), @r"
        Done
        job                             schedule                                          next fire                due
        boot                            @reboot                                           at boot                  -
        last                            after sync                                        after others             -
        nightly-report-of-all-branches  30 6 * * *; 0 12 * * MON-FRI; 15 4 1,15 * *; 0 …  1970-01-01 04:15:00 EST  in 9 h
        off                             @daily                                            disabled                 -
        sync                            @every 90s                                        1970-01-01 00:01:30 UTC  in 1 min
        ---
        ");
        insta::assert_snapshot!(on(Some(80)), @r"
        Done
        job                          zone              next fire                due
        boot                         America/New_York  at boot                  -
        last                         America/New_York  after others             -
        nightly-repor…-all-branches  America/New_York  1970-01-01 04:15:00 EST  in 9 h
        off                          America/New_York  disabled                 -
        sync                         UTC               1970-01-01 00:01:30 UTC  in 1 min
        ---
        ");
        insta::assert_snapshot!(on(Some(50)), @r"
        Done
        job                        next fire
        boot                       at boot
        last                       after others
        nightly-repo…all-branches  1970-01-01 04:15:00 EST
        off                        disabled
        sync                       1970-01-01 00:01:30 UTC
        ---
        ");
    }

    #[test]
    fn a_bad_file_is_explained() {
        insta::assert_snapshot!(seen(&GOOD.replace("[\"true\"]", "true"), &CheckArgs::default()), @r#"
        InvalidConfig
        ---
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
        insta::assert_snapshot!(seen(GOOD, &json()), @r#"
        Done
        {"ok":true,"problems":[],"jobs":[{"name":"a","schedule":["manual"],"after":[],"timezone":"UTC","enabled":true,"next":null}]}
        ---
        "#);
        insta::assert_snapshot!(seen(&GOOD.replace("[\"true\"]", "true"), &json()), @r#"
        InvalidConfig
        {"ok":false,"problems":[{"line":5,"column":11,"severity":"error","message":"`command` must be an array of strings, a program and its arguments, found the boolean true","help":"write `command = [\"program\", \"argument\"]`, or use `shell` for a shell command line"}],"jobs":[]}
        ---
        "#);
    }

    #[test]
    fn warnings_can_be_denied() {
        let text = format!("{GOOD}concurrency = 2\n");
        insta::assert_snapshot!(seen(&text, &CheckArgs::default()), @r"
        Done
        job  schedule  zone  next fire  due
        a    manual    UTC   by hand    -
        ---
        warning: `concurrency` has no effect without `targets`: a run has one partial
         --> /jobs.toml:6:15
          |
        6 | concurrency = 2
          |               ^
        ");
        insta::assert_snapshot!(seen(&text, &denied()), @r"
        InvalidConfig
        ---
        warning: `concurrency` has no effect without `targets`: a run has one partial
         --> /jobs.toml:6:15
          |
        6 | concurrency = 2
          |               ^

        1 warning: warnings are denied
        ");
    }

    #[test]
    fn suspicious_schedules_are_shown_and_fail_only_when_denied() {
        let text = "[jobs.a]\nschedule = [\"@daily\", \"30 2 * * *\"]\ntimezone = \"America/New_York\"\ncommand = [\"true\"]\n\
                    [jobs.b]\nschedule = \"*/23 4 * * *\"\ntimezone = \"UTC\"\ncommand = [\"true\"]\n";
        insta::assert_snapshot!(seen(text, &CheckArgs::default()), @r#"
        Done
        job  schedule            zone              next fire                due
        a    @daily; 30 2 * * *  America/New_York  1970-01-01 00:00:00 EST  in 5 h
        b    */23 4 * * *        UTC               1970-01-01 04:00:00 UTC  in 4 h
        ---
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
        assert!(seen(text, &denied()).ends_with("\n2 warnings: warnings are denied\n"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let missing = CheckArgs { file: Some("/nonexistent/jobs.toml".into()), ..CheckArgs::default() };
        insta::assert_snapshot!(seen(GOOD, &missing), @r"
        InvalidConfig
        ---
        error: cannot read `/nonexistent/jobs.toml`: No such file or directory (os error 2)
        ");
        insta::assert_snapshot!(seen(GOOD, &CheckArgs { json: true, ..missing }), @r#"
        InvalidConfig
        {"ok":false,"problems":[{"line":null,"column":null,"severity":"error","message":"cannot read `/nonexistent/jobs.toml`: No such file or directory (os error 2)","help":null}],"jobs":[]}
        ---
        "#);
    }
}
