//! `batchd logs`: the log, or what it says of a job or run; works whether or not a daemon runs.

mod files;
mod kept;
mod line;
mod watch;

use std::io;
use std::path::Path;

pub(super) use self::files::{Follower, tail};
pub(super) use self::kept::kept;
use self::line::Filter;
pub(super) use self::line::LogLine;
use self::watch::{Watch, Woken};
use super::escape::escape;
use super::{Exit, Failure, Screen};

/// The arguments of `batchd logs`.
#[derive(Clone, Debug, clap::Args)]
pub struct LogsArgs {
    /// Only what belongs to this job, or to the run of this name
    #[arg(value_name = "JOB|RUN")]
    pub subject: Option<String>,
    /// Only what belongs to this target, by its key
    #[arg(long, value_name = "TARGET")]
    pub target: Option<String>,
    /// Go on with what is written from now on, until interrupted
    #[arg(short, long)]
    pub follow: bool,
    /// So many of the last lines
    #[arg(short = 'n', long = "lines", value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub lines: u32,
    /// Print a JSON object a line: time, level, job, run, partial, message
    #[arg(long)]
    pub json: bool,
}

/// Prints the last lines of the log. `None`: it has none of the subject that was asked for.
pub(super) fn logs(path: &Path, args: &LogsArgs, screen: &mut Screen<'_>) -> Result<Option<Exit>, Failure> {
    // What is written while the last lines are looked for must not be missed.
    let watch = if args.follow { Some(Watch::open(path)?) } else { None };
    let mut follower = match Follower::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && args.subject.is_some() && !args.follow => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Failure::NoLog(path.display().to_string())),
        opened => opened?,
    };
    let found = last(&mut follower, args, screen)?;
    let Some(watch) = watch else {
        return Ok((found > 0 || args.lines == 0 || args.subject.is_none()).then_some(Exit::Done));
    };
    while watch.wait(io::stdout())? == Woken::Changed {
        go_on(&mut follower, args, screen)?;
    }
    Ok(Some(Exit::Done))
}

/// Prints the last lines, and returns how many there are; what is written later, the follower has.
fn last(follower: &mut Follower, args: &LogsArgs, screen: &mut Screen<'_>) -> Result<usize, Failure> {
    let filter = filter(args);
    let lines = tail(follower, args.lines as usize, |line| filter.passes(line))?;
    for line in &lines {
        print(line, args, screen)?;
    }
    screen.flush()?;
    Ok(lines.len())
}

/// Prints what has been written since.
fn go_on(follower: &mut Follower, args: &LogsArgs, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let filter = filter(args);
    follower.read(&mut |line| if filter.passes(line) { print(line, args, screen) } else { Ok(()) })?;
    screen.flush()?;
    Ok(())
}

fn filter(args: &LogsArgs) -> Filter<'_> {
    Filter { subject: args.subject.as_deref(), target: args.target.as_deref() }
}

fn print(line: &str, args: &LogsArgs, screen: &mut Screen<'_>) -> io::Result<()> {
    if !args.json && screen.has_colour() {
        return screen.line(screen.paint_if(LogLine::read(line).tone(), &escape(line)));
    }
    if args.json { screen.json_line(&LogLine::read(line).to_json()) } else { screen.line(escape(line)) }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

    use super::*;
    use crate::cli::Look;

    const LOG: &str = "\
2026-11-23 02:00:00.001-05:00 INFO  [job=sync run=sync@20261123T070000Z] fired
2026-11-23 02:00:00.002-05:00 INFO  [job=report run=report@20261123T070000Z partial=eu] stdout| one
2026-11-23 02:00:00.003-05:00 INFO  [job=report run=report@20261123T070000Z partial=us] stdout| two
";

    fn args(subject: Option<&str>, lines: u32) -> LogsArgs {
        LogsArgs { subject: subject.map(str::to_owned), target: None, follow: false, lines, json: false }
    }

    fn printed(act: impl FnOnce(&mut Screen<'_>) -> Result<(), Failure>) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        act(&mut Screen::new(&mut out, &mut err, Look::default())).expect("it prints");
        String::from_utf8(out).expect("text")
    }

    #[track_caller]
    fn check(args: &LogsArgs, expected: &[&str]) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("batch.log");
        fs::write(&path, LOG).expect("write");
        let text = printed(|screen| logs(&path, args, screen).map(drop));
        let found: Vec<&str> = text.lines().collect();
        assert_eq!(found.len(), expected.len(), "{text}");
        assert!(found.iter().zip(expected).all(|(line, end)| line.ends_with(end)), "{text}");
    }

    #[test]
    fn the_last_lines_of_what_is_asked_for() {
        check(&args(None, 50), &["fired", "one", "two"]);
        check(&args(None, 1), &["two"]);
        check(&args(Some("report"), 50), &["one", "two"]);
        check(&args(Some("sync@20261123T070000Z"), 50), &["fired"]);
        check(&args(Some("nothing"), 50), &[]);
        check(&LogsArgs { target: Some("eu".to_owned()), ..args(None, 50) }, &["one"]);
    }

    #[test]
    fn json_has_a_stable_shape() {
        let json = r#"{"time":"2026-11-23T02:00:00.001-05:00","level":"INFO","job":"sync","run":"sync@20261123T070000Z","partial":null,"message":"fired"}"#;
        check(&LogsArgs { json: true, ..args(Some("sync"), 50) }, &[json]);
    }

    #[test]
    fn following_goes_on_where_the_tail_ended() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("batch.log");
        fs::write(&path, LOG).expect("write");
        let args = args(Some("report"), 1);
        let mut follower = Follower::open(&path).expect("open");
        let tail = printed(|screen| last(&mut follower, &args, screen).map(drop));
        let mut log = fs::OpenOptions::new().append(true).open(&path).expect("open");
        writeln!(log, "x y INFO  [job=sync] no\nx y INFO  [job=report] three\x1b[2J").expect("write");
        let rest = printed(|screen| go_on(&mut follower, &args, screen));
        assert!(tail.ends_with("two\n"), "{tail}");
        assert_eq!(rest, "x y INFO  [job=report] three\\x1b[2J\n");
    }

    #[test]
    fn a_missing_log_is_not_found() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut screen = Screen::new(&mut out, &mut err, Look::default());
        let failure = logs(Path::new("/nonexistent/batch.log"), &args(None, 1), &mut screen).expect_err("there is none");
        assert_eq!((failure.exit(), failure.to_string().as_str()), (Exit::NotFound, "there is no log at `/nonexistent/batch.log`"));
    }
}
