//! `batchd completions`: what a shell needs to complete commands, options, jobs and runs. The shell asks this program at each press
//! of the key, so that a job that was written a moment ago is there.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use toml::de::{DeTable, DeValue};

use super::arguments::Arguments;
use super::place::Place;
use super::{Exit, Screen};
use crate::daemon::source;
use crate::store::{Reader, RunFilter};

/// By which the shell's script tells this program to complete a line.
const VARIABLE: &str = "COMPLETE";

/// The most runs that are offered, the latest.
const MAX_RUNS: u32 = 200;

/// The arguments of `batchd completions`.
#[derive(Clone, Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    Elvish,
    #[value(name = "powershell")]
    Power,
}

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
            Self::Elvish => "elvish",
            Self::Power => "powershell",
        }
    }
}

pub(super) fn completions(args: &CompletionsArgs, screen: &mut Screen<'_>) -> io::Result<Exit> {
    let mut script = Vec::new();
    let shells = Shells::builtins();
    if let Some(shell) = shells.completer(args.shell.name()) {
        shell.write_registration(VARIABLE, "batchd", "batchd", "batchd", &mut script)?;
    }
    screen.line(String::from_utf8_lossy(&script))?;
    if args.shell == Shell::Bash {
        // The name of a run has an `@`, at which bash would else break the word.
        screen.line("COMP_WORDBREAKS=${COMP_WORDBREAKS//@}")?;
    }
    Ok(Exit::Done)
}

/// Answers a shell that asks for completions; `None` when none does.
pub(super) fn answer() -> Option<Exit> {
    std::env::var_os(VARIABLE)?;
    let directory = std::env::current_dir().ok();
    match CompleteEnv::with_factory(command).try_complete(std::env::args_os(), directory.as_deref()) {
        Ok(true) => Some(Exit::Done),
        Ok(false) => None,
        Err(_) => Some(Exit::Usage),
    }
}

/// The command with what completes its jobs and runs.
fn command() -> clap::Command {
    Arguments::command().mut_subcommands(with_names)
}

fn with_names(command: clap::Command) -> clap::Command {
    command.mut_subcommands(with_names).mut_args(|arg| {
        let names: Vec<&str> = arg.get_value_names().unwrap_or_default().iter().map(clap::builder::Str::as_str).collect();
        match names.as_slice() {
            ["JOB"] => arg.add(ArgValueCompleter::new(|current: &OsStr| starting_with(current, jobs(), Vec::new()))),
            ["RUN" | "JOB|RUN"] => arg.add(ArgValueCompleter::new(|current: &OsStr| starting_with(current, jobs(), runs()))),
            _ => arg,
        }
    })
}

fn starting_with(current: &OsStr, jobs: BTreeMap<String, String>, runs: Vec<String>) -> Vec<CompletionCandidate> {
    let current = current.to_string_lossy();
    let jobs = jobs.into_iter().map(|(name, description)| (name, Some(description).filter(|text| !text.is_empty())));
    let all = jobs.chain(runs.into_iter().map(|run| (run, None)));
    let chosen = all.filter(|(name, _)| name.starts_with(current.as_ref()));
    chosen.map(|(name, help)| CompletionCandidate::new(name).help(help.map(Into::into))).collect()
}

/// The jobs of the file with their descriptions, also of a file that is half written.
fn jobs() -> BTreeMap<String, String> {
    let Some(text) = place().and_then(|place| source::read(&place.config).ok()) else { return BTreeMap::new() };
    let text = String::from_utf8_lossy(&text);
    let (document, _) = DeTable::parse_recoverable(&text);
    let Some(jobs) = document.get_ref().get("jobs").and_then(|jobs| jobs.get_ref().as_table()) else { return BTreeMap::new() };
    let description = |job: &DeValue<'_>| {
        job.as_table().and_then(|job| job.get("description")).and_then(|text| text.get_ref().as_str().map(str::to_owned))
    };
    jobs.iter().map(|(name, job)| (name.get_ref().to_string(), description(job.get_ref()).unwrap_or_default())).collect()
}

/// The names of the latest runs.
fn runs() -> Vec<String> {
    let Some(reader) = place().and_then(|place| Reader::open(&place.state_dir).ok()) else { return Vec::new() };
    let runs = reader.runs(&RunFilter { limit: MAX_RUNS, ..RunFilter::default() }).unwrap_or_default();
    runs.into_iter().map(|run| run.id.to_string()).collect()
}

fn place() -> Option<Place> {
    let line: Vec<OsString> = std::env::args_os().collect();
    let named = named(&line).or_else(|| std::env::var_os("BATCHD_CONFIG").map(PathBuf::from));
    Place::find(named.as_deref()).ok()
}

/// The file that the line to be completed names.
fn named(line: &[OsString]) -> Option<PathBuf> {
    let joined = line.iter().find_map(|word| word.to_str()?.strip_prefix("--config=").map(PathBuf::from));
    joined.or_else(|| line.windows(2).find(|pair| pair[0] == "--config").map(|pair| Path::new(&pair[1]).to_owned()))
}
