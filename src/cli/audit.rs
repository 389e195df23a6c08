//! `batchd audit`: recomputes every nominal time by scan, and compares with the records.

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::escape::escape;
use super::history::Since;
use super::print::Tone;
use super::table::{Column, ENOUGH_FOR_A_NAME, Table, Text};
use super::{Exit, Failure, Screen, human};
use crate::audit::{self, Accounting, Audit, Decided, Note, Problem};
use crate::config::Definition;
use crate::engine::Decision;
use crate::store::{AccountingView, DecisionView, Reader};

/// The decisions in the order of the table.
const DECISIONS: [Decision; 5] = [Decision::Ran, Decision::Skipped, Decision::Suppressed, Decision::Missed, Decision::Coalesced];

/// The arguments of `batchd audit`.
#[derive(Clone, Debug, clap::Args)]
pub struct AuditArgs {
    /// Only this job
    #[arg(value_name = "JOB")]
    pub job: Option<String>,
    /// Only nominal times since: a span such as 7d or 90m, or a time such as 2026-03-11T02:00:00Z
    #[arg(long, value_name = "SINCE", value_parser = Since::parse, default_value = "7d")]
    pub since: Since,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// One job of the answer.
#[derive(Debug, Serialize)]
struct Audited {
    job: String,
    #[serde(flatten)]
    audit: Audit,
}

pub(super) fn audit(reader: &Reader, args: &AuditArgs, now: Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let asked = args.since.from(now);
    let kept = reader.pruned_before().context("cannot read the records")?;
    // A decision is as old as its nominal time, or younger.
    let since = kept.map_or(asked, |kept| asked.max(kept));
    if since > asked && !args.json {
        screen.note(format!("decisions from before {} are gone (`[history] keep`)", human::local(since, "UTC")))?;
    }
    let known = reader.accounted_jobs().context("cannot read the records")?;
    let jobs = match &args.job {
        Some(job) if !known.contains(job) => return Err(Failure::unknown_job(job, known.iter().map(String::as_str))),
        Some(job) => vec![job.clone()],
        None => known,
    };
    let mut audited = Vec::new();
    for job in jobs {
        let audit = of_job(reader, &job, since, now)?;
        audited.push(Audited { job, audit });
    }
    let found: u64 = audited.iter().map(|audited| audited.audit.found).sum();
    if args.json {
        screen.json(&serde_json::json!({ "since": since, "jobs": audited, "adds_up": found == 0 }))?;
    } else {
        show(&audited, since, screen)?;
    }
    Ok(if found == 0 { Exit::Done } else { Exit::WorkFailed })
}

fn of_job(reader: &Reader, job: &str, since: Timestamp, now: Timestamp) -> Result<Audit, Failure> {
    let (accountings, decisions) = reader.accounts(job, since).context("cannot read the records")?;
    let accountings = accountings.iter().map(accounting).collect::<Result<Vec<_>, _>>()?;
    let decisions: Vec<Decided> = decisions.iter().filter_map(decided).collect();
    Ok(audit::audit(&accountings, &decisions, since, now))
}

fn accounting(view: &AccountingView) -> anyhow::Result<Accounting> {
    let about = || format!("the definition of job `{}` from {} on", escape(&view.job), view.since);
    let definition: Definition = serde_json::from_str(&view.definition).with_context(about)?;
    Ok(Accounting {
        number: view.number,
        since: view.since,
        upto: view.upto.unwrap_or(view.watermark),
        open: view.upto.is_none(),
        beginning: view.beginning,
        timetable: definition.timetable().with_context(about)?,
    })
}

/// Decisions of the first release belong to no accounting, and cannot be audited.
fn decided(view: &DecisionView) -> Option<Decided> {
    let DecisionView { first, last, count, decision, accounting, .. } = *view;
    Some(Decided { accounting: accounting?, first, last, count, decision })
}

fn show(audited: &[Audited], since: Timestamp, screen: &mut Screen<'_>) -> Result<(), Failure> {
    if audited.is_empty() {
        screen.note("no job has been accounted for yet: `batchd daemon` begins with it")?;
        return Ok(());
    }
    let columns = [
        Column::name("job").enough(ENOUGH_FOR_A_NAME),
        Column::number("nominal times"),
        Column::number("ran").spare(1),
        Column::number("skipped").spare(3),
        Column::number("suppressed").spare(4),
        Column::number("missed").spare(2),
        Column::number("coalesced").spare(5),
        Column::number("pending").spare(6),
        Column::text(""),
    ];
    screen.table(&Table::with_rows(columns, audited.iter().map(row)))?;
    for Audited { job, audit } in audited {
        for problem in &audit.problems {
            screen.line(format!("{}: {}", escape(job), screen.paint(Tone::Bad, &problem_text(problem))))?;
        }
        let more = audit.found - audit.problems.len() as u64;
        if more > 0 {
            screen.line(format!("{}: … and {more} more", escape(job)))?;
        }
        for note in &audit.notes {
            screen.note(format!("{}: {}", escape(job), note_text(note)))?;
        }
    }
    let found: u64 = audited.iter().map(|audited| audited.audit.found).sum();
    let verdict = match found {
        0 => "every nominal time has exactly one decision".to_owned(),
        1 => "1 problem: the records do not add up".to_owned(),
        found => format!("{found} problems: the records do not add up"),
    };
    screen.note(format!("since {}: {verdict}", human::local(since, "UTC")))?;
    Ok(())
}

fn row(Audited { job, audit }: &Audited) -> Vec<Text> {
    let counted = |decision: &Decision| audit.decided.get(decision.name()).copied().unwrap_or(0).to_string().into();
    let verdict = if audit.found == 0 { Tone::Good.text("adds up") } else { Tone::Bad.text(format!("{} wrong", audit.found)) };
    let mut row: Vec<Text> = vec![escape(job).into_owned().into(), audit.expected.to_string().into()];
    row.extend(DECISIONS.iter().map(counted));
    row.extend([audit.pending.to_string().into(), verdict]);
    row
}

fn problem_text(problem: &Problem) -> String {
    match problem {
        Problem::Hole { nominal } => format!("{nominal} has no decision"),
        Problem::Double { nominal, decision } => format!("{nominal} has a second decision, {decision}"),
        Problem::Stray { first, last, decision } => {
            format!("{decision} from {first} to {last}, where the schedule names no time")
        }
        Problem::Miscounted { first, last, decision, count, named } => {
            format!("{decision} from {first} to {last} claims {count} nominal times, the schedule names {named}")
        }
    }
}

fn note_text(note: &Note) -> String {
    match note {
        Note::Dropped { after, upto, count } => {
            format!("{count} nominal times of the schedule before, from {after} to {upto}, were dropped when it changed")
        }
        Note::Repeated { since } => format!("the clock was set back to {since}, and what came again was decided again"),
    }
}
