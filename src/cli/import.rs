//! `batchd import`: a `jobs.toml` of what runs elsewhere, on stdout; what changes its meaning, on stderr.

mod report;
mod systemd;

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command as Program;

use anyhow::{Context as _, bail};
use nix::unistd::{Uid, User};

use super::{Exit, Failure, Screen};
use crate::config::MAX_FILE_SIZE;
use crate::daemon::source;
use crate::exchange::Imported;
use crate::exchange::crontab::{self, Facts, Table};

pub(super) use report::findings;
use systemd::SystemdArgs;
pub(super) use systemd::find as find_unit;

#[cfg(test)]
mod tests;

/// Where lines name a user.
const SYSTEM_TABLES: [&str; 2] = ["/etc/crontab", "/etc/cron.d/"];

/// The arguments of `batchd import`.
#[derive(Clone, Debug, clap::Args)]
pub struct ImportArgs {
    #[command(subcommand)]
    pub from: From,
}

/// What is imported.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum From {
    /// Make a jobs.toml of crontabs: yours, or those of files
    Crontab(CrontabArgs),
    /// Make a jobs.toml of timers with their services
    Systemd(SystemdArgs),
}

/// The arguments of `batchd import crontab`.
#[derive(Clone, Debug, clap::Args)]
pub struct CrontabArgs {
    /// Crontabs, `-` for stdin [default: what `crontab -l` prints]
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Lines name a user before the command, as in /etc/crontab and /etc/cron.d, where this is the default
    #[arg(long)]
    pub system: bool,
    /// Print JSON: the file, the names of its jobs and the findings
    #[arg(long)]
    pub json: bool,
}

pub(super) fn import(args: &ImportArgs, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    match &args.from {
        From::Crontab(args) => {
            let texts = texts(args)?;
            let tables: Vec<Table<'_>> = texts
                .iter()
                .map(|(source, text)| Table {
                    source,
                    text,
                    has_users: args.system || SYSTEM_TABLES.iter().any(|system| source.starts_with(system)),
                })
                .collect();
            let owner = User::from_uid(Uid::effective()).ok().flatten().map(|user| user.name);
            let facts = Facts { owner: owner.as_deref(), home: &home };
            say(&crontab::import(&tables, facts), args.json, screen)
        }
        From::Systemd(args) => systemd::import(args, screen),
    }
}

/// The crontabs with where they come from.
fn texts(args: &CrontabArgs) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    if args.files.is_empty() {
        return Ok(vec![("crontab -l".to_owned(), own_crontab()?)]);
    }
    let read = |path: &PathBuf| {
        let text = if path == Path::new("-") { stdin()? } else { source::read(path)? };
        Ok((path.to_string_lossy().into_owned(), text))
    };
    args.files.iter().map(read).collect()
}

fn stdin() -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    io::stdin().lock().take(MAX_FILE_SIZE as u64).read_to_end(&mut text)?;
    Ok(text)
}

fn own_crontab() -> anyhow::Result<Vec<u8>> {
    let output = Program::new("crontab").arg("-l").output().context("cannot run `crontab -l`; name a file, or `-` for stdin")?;
    if !output.status.success() {
        bail!("`crontab -l` says: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(output.stdout)
}

fn home(user: &str) -> Option<String> {
    User::from_name(user).ok().flatten()?.dir.into_os_string().into_string().ok()
}

/// The file on stdout, the report on stderr. What was left out is a failure.
pub(super) fn say(imported: &Imported, json: bool, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    if json {
        screen.json(imported)?;
    } else {
        screen.line(&imported.toml)?;
        screen.flush()?;
        report::import(imported, screen)?;
    }
    let is_whole = imported.left_out == 0 && !imported.jobs.is_empty();
    Ok(if is_whole { Exit::Done } else { Exit::WorkFailed })
}
