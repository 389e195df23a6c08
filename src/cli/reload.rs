//! `batchd reload`: the daemon reads its configuration again, or tells what would change.

use jiff::Timestamp;

use super::client::path;
use super::escape::escape;
use super::print::Tone;
use super::table::{Column, ENOUGH_FOR_A_NAME, Table, Text};
use super::{Client, Exit, Failure, Screen, human};
use crate::web::api::{ChangedJob, ReloadReport, ReloadRequest};

/// The arguments of `batchd reload`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReloadArgs {
    /// Only tell what would change
    #[arg(long)]
    pub plan: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) async fn reload(client: &Client, args: &ReloadArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let report: ReloadReport = client.post(&path(&["reload"]), &ReloadRequest { plan: args.plan }).await?;
    let exit = if report.problems.is_empty() { Exit::Done } else { Exit::InvalidConfig };
    if args.json {
        screen.json(&report)?;
        return Ok(exit);
    }
    for warning in &report.warnings {
        screen.note(format!("{} {}", screen.paint_note(Tone::Doubtful, "warning:"), escape(warning)))?;
    }
    if exit == Exit::InvalidConfig {
        for problem in &report.problems {
            screen.note(format!("{} {}", screen.paint_note(Tone::Bad, "error:"), escape(problem)))?;
        }
        let problems = human::count(report.problems.len() as u64, "problem");
        screen.note(format!("not reloaded, {problems}: the old configuration stays in force"))?;
        return Ok(exit);
    }
    changes(&report, screen)?;
    screen.line(if report.applied { "reloaded" } else { "nothing was changed: this is the plan" })?;
    Ok(exit)
}

fn changes(report: &ReloadReport, screen: &mut Screen<'_>) -> Result<(), Failure> {
    let groups =
        [("added", Tone::Good, &report.added), ("removed", Tone::Bad, &report.removed), ("changed", Tone::Doubtful, &report.changed)];
    let rows = groups.iter().flat_map(|(kind, tone, jobs)| jobs.iter().map(|job| row(tone.text(*kind), job)));
    for setting in &report.settings {
        screen.line(format!("setting {}", escape(setting)))?;
    }
    if groups.iter().all(|(_, _, jobs)| jobs.is_empty()) {
        screen.line("no job differs")?;
        return Ok(());
    }
    let columns = [
        Column::text(""),
        Column::name("job").enough(ENOUGH_FOR_A_NAME),
        Column::text("keys").spare(1),
        Column::text("next fire before"),
        Column::text("after"),
    ];
    screen.table(&Table::with_rows(columns, rows))?;
    Ok(())
}

fn row(kind: Text, changed: &ChangedJob) -> Vec<Text> {
    let fire = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| human::local(at, &changed.zone));
    let keys = if changed.what.is_empty() { "-".to_owned() } else { escape(&changed.what.join(", ")).into_owned() };
    vec![kind, escape(&changed.job).into_owned().into(), keys.into(), fire(changed.next_before).into(), fire(changed.next_after).into()]
}
