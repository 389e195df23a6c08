//! `batchd state`: whether the records hang together, a copy of them, and what can be saved when they are damaged.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;

use super::escape::escape;
use super::print::Tone;
use super::{Exit, Failure, Screen};
use crate::store::{self, DATABASE_FILE, Inspection, Reader, Repaired, Saved, StoreError};

/// The arguments of `batchd state`.
#[derive(Clone, Debug, clap::Args)]
pub struct StateArgs {
    #[command(subcommand)]
    pub command: StateCommand,
}

/// One variant a subcommand.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum StateCommand {
    /// Read all records, and name everything that is wrong with them
    Check {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy all records into a new file, also while the daemon writes them
    Backup {
        /// The new file
        file: PathBuf,
    },
    /// Save what can be read of damaged records; the damaged file is kept
    Repair,
}

pub(super) fn state(state_dir: &Path, args: &StateArgs, now: Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    match &args.command {
        StateCommand::Check { json } => check(state_dir, *json, screen),
        StateCommand::Backup { file } => backup(state_dir, file, screen),
        StateCommand::Repair => repair(state_dir, now, screen),
    }
}

fn check(state_dir: &Path, json: bool, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let inspected = match Reader::open(state_dir).and_then(|reader| reader.inspect()) {
        Ok(inspected) => inspected,
        // Damage that ends the reading is what was asked for.
        Err(damage @ StoreError::Corrupt { .. }) => Inspection { problems: vec![damage.to_string()], ..Inspection::default() },
        Err(error) => return Err(Failure::Other(error.into())),
    };
    let found = inspected.problems.len();
    if json {
        let Inspection { version, rows, problems } = inspected;
        screen.json(&serde_json::json!({ "sound": found == 0, "version": version, "rows": rows, "problems": problems }))?;
    } else {
        for problem in &inspected.problems {
            screen.line(screen.paint(Tone::Bad, &escape(problem)))?;
        }
        let rows = inspected.rows.iter().map(|(table, count)| format!("{table} {count}")).collect::<Vec<_>>().join(", ");
        match found {
            0 => screen.line(format!("{}: schema version {}, rows: {rows}", screen.paint(Tone::Good, "sound"), inspected.version))?,
            _ => screen.note("`batchd state repair` saves what can be read, while no daemon runs")?,
        }
    }
    Ok(if found == 0 { Exit::Done } else { Exit::WorkFailed })
}

fn backup(state_dir: &Path, file: &Path, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let reader = Reader::open(state_dir).context("cannot read the records")?;
    reader.backup(file).context("there is no backup")?;
    let size = file.metadata()?.len();
    screen.line(format!("{} has all records, {}", escape(&file.to_string_lossy()), bytesize::ByteSize(size)))?;
    Ok(Exit::Done)
}

fn repair(state_dir: &Path, now: Timestamp, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let Some(repaired) = store::repair(state_dir, now).context("nothing was repaired")? else {
        screen.line("nothing is wrong with the records: nothing was changed")?;
        return Ok(Exit::Done);
    };
    let Repaired { aside, saved, incomplete, problems } = repaired;
    screen.line(format!("what can be read is in {} now", escape(&state_dir.join(DATABASE_FILE).to_string_lossy())))?;
    for saved in saved {
        screen.line(format!("  {}", table(&saved)))?;
    }
    if !incomplete.is_empty() {
        screen.line("partials are lost of")?;
    }
    for run in &incomplete {
        screen.line(format!("  {}", escape(run)))?;
    }
    for problem in &problems {
        screen.line(screen.paint(Tone::Doubtful, &escape(problem)))?;
    }
    screen.line(format!("the damaged database is kept as {}", escape(&aside.to_string_lossy())))?;
    Ok(Exit::Done)
}

fn table(saved: &Saved) -> String {
    let Saved { table, rows, lost, refused, given_up } = saved;
    let lost = if *lost > 0 { format!(", up to {lost} lost") } else { String::new() };
    let refused = if *refused > 0 { format!(", {refused} without their run or unreadable") } else { String::new() };
    let rest = if *given_up { ", the rest of it is lost" } else { "" };
    format!("{table}: {rows} saved{lost}{refused}{rest}")
}
