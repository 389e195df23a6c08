//! `batchd doctor`: what is wrong with this machine for these jobs, before they find out.
//!
//! `machine` looks at the machine, `sandbox` at the unit that the daemon runs in, `job` at what one job needs, `limits` at what
//! one is to be held to.

mod job;
mod limits;
mod machine;
mod sandbox;

#[cfg(test)]
mod tests;

use std::io;

use serde::Serialize;

use self::machine::Machine;
use self::sandbox::Sandbox;
use super::escape::escape;
use super::human::count;
use super::print::Tone;
use super::{Exit, Failure, Screen};
use crate::config::Config;

/// The arguments of `batchd doctor`.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct DoctorArgs {
    /// Show only what is wrong
    #[arg(short, long)]
    pub quiet: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Good,
    /// It may go wrong, or something is not as good as it could be.
    Doubtful,
    /// Something would break.
    Bad,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Check {
    verdict: Verdict,
    /// `clock`, `state`, …; `job` for what concerns one.
    area: &'static str,
    job: Option<String>,
    message: String,
    help: Option<String>,
}

impl Check {
    fn new(verdict: Verdict, area: &'static str, message: impl Into<String>) -> Self {
        Self { verdict, area, job: None, message: message.into(), help: None }
    }

    fn good(area: &'static str, message: impl Into<String>) -> Self {
        Self::new(Verdict::Good, area, message)
    }

    fn doubtful(area: &'static str, message: impl Into<String>) -> Self {
        Self::new(Verdict::Doubtful, area, message)
    }

    fn bad(area: &'static str, message: impl Into<String>) -> Self {
        Self::new(Verdict::Bad, area, message)
    }

    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// What `--json` prints.
#[derive(Serialize)]
struct Answer<'a> {
    ok: bool,
    checks: &'a [Check],
}

pub(super) fn doctor(config: &Config, args: DoctorArgs, now: jiff::Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    examine(config, &Machine::here(now), args, screen)
}

fn examine(config: &Config, machine: &Machine, args: DoctorArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let sandbox = Sandbox::of_unit(machine);
    let mut checks = vec![Check::good("file", format!("{}, no problem", count(config.jobs.len() as u64, "job")))];
    checks.extend(machine.checks(config));
    checks.extend(sandbox.as_ref().map(Sandbox::summary));
    for job in config.jobs.values() {
        let found = job::checks(job, machine, sandbox.as_ref());
        checks.extend(found.into_iter().map(|check| Check { job: Some(job.name.to_string()), ..check }));
    }
    let ok = checks.iter().all(|check| check.verdict != Verdict::Bad);
    if args.json {
        screen.json(&Answer { ok, checks: &checks })?;
    } else {
        print(&checks, args.quiet, screen)?;
    }
    Ok(if ok { Exit::Done } else { Exit::WorkFailed })
}

fn print(checks: &[Check], quiet: bool, screen: &mut Screen<'_>) -> io::Result<()> {
    for check in checks.iter().filter(|check| !quiet || check.verdict != Verdict::Good) {
        let (mark, tone) = match check.verdict {
            Verdict::Good => ("ok", Tone::Good),
            Verdict::Doubtful => ("doubtful", Tone::Doubtful),
            Verdict::Bad => ("wrong", Tone::Bad),
        };
        let area = check.job.as_ref().map_or_else(|| check.area.to_owned(), |job| format!("job {}", escape(job)));
        let mark = screen.paint(tone, &format!("{mark:8}"));
        screen.line(format!("{mark}  {area}: {}", escape(&check.message)))?;
        if let Some(help) = &check.help {
            screen.line(format!("          → {}", escape(help)))?;
        }
    }
    let number = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let summary = match (number(Verdict::Bad), number(Verdict::Doubtful)) {
        (0, 0) => "nothing is wrong".to_owned(),
        (0, doubtful) => format!("nothing is wrong, {doubtful} doubtful"),
        (bad, doubtful) => format!("{bad} wrong, {doubtful} doubtful"),
    };
    screen.line(format!("\n{summary}"))
}
