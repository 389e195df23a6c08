//! What can be typed.

use clap::{CommandFactory, FromArgMatches};

use super::Global;
use super::audit::AuditArgs;
use super::backfill::BackfillArgs;
use super::cancel::CancelArgs;
use super::check::CheckArgs;
use super::completions::CompletionsArgs;
use super::doctor::DoctorArgs;
use super::env::EnvArgs;
use super::explain::ExplainArgs;
use super::export::ExportArgs;
use super::history::HistoryArgs;
use super::import::ImportArgs;
use super::init::InitArgs;
use super::job_arguments::{given, with_options};
use super::jobs::JobsArgs;
use super::logs::LogsArgs;
use super::man::ManArgs;
use super::next::NextArgs;
use super::notify::NotifyArgs;
use super::pause::PauseArgs;
use super::reload::ReloadArgs;
use super::results::ResultsArgs;
use super::retry::RetryArgs;
use super::run::RunArgs;
use super::schema::SchemaArgs;
use super::show::ShowArgs;
use super::simulate::SimulateArgs;
use super::state::StateArgs;
use super::status::StatusArgs;
use super::top::TopArgs;
use super::trigger::TriggerArgs;
use crate::config::Job;

/// The commands by what they are for. One that is not here is listed under `More`.
const GROUPS: [(&str, &[&str]); 6] = [
    ("The file", &["check", "next", "explain", "env", "simulate"]),
    ("The work", &["run", "trigger", "retry", "cancel", "pause", "resume", "backfill"]),
    ("The story", &["jobs", "history", "show", "results", "logs", "audit"]),
    ("The daemon", &["daemon", "status", "top", "reload", "notify", "state"]),
    ("Moving in", &["init", "import", "export", "doctor"]),
    ("Its own", &["schema", "completions", "man"]),
];

const EXAMPLES: &str = "\
Examples:
  batchd run daily-report            run a job now, here, without a daemon
  batchd daemon                      fire all jobs at their times
  batchd history --failed            what went wrong lately
  batchd show daily-report           how its latest run went, and why
  batchd logs -f daily-report        follow what it says

Exit codes: 0 done, 1 the work failed, 2 usage, 4 no daemon, 5 not found, 78 the configuration is invalid, 130/143 interrupted.";

/// A cron-style batch daemon: jobs.toml in, runs with partial tasks out, every nominal time accounted for.
#[derive(Debug, clap::Parser)]
#[command(name = "batchd", version, propagate_version = true, subcommand_value_name = "COMMAND", disable_help_subcommand = true)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// One variant a command.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Fire all jobs at their times, in the foreground
    ///
    /// SIGHUP reads jobs.toml again; SIGTERM or SIGINT drains, a second one stops the live runs now; SIGUSR1 reopens the log.
    Daemon,
    /// Find every problem of jobs.toml
    Check(CheckArgs),
    /// List the coming fires
    Next(NextArgs),
    /// Put a cron expression into words, with its traps
    Explain(ExplainArgs),
    /// Print what the programs of a job find in their environment
    Env(EnvArgs),
    /// Let a stretch of time pass under a virtual clock, and tell what would run
    Simulate(SimulateArgs),
    /// Run a job now, in the foreground, without a daemon
    Run(RunArgs),
    /// Have the daemon run a job now
    Trigger(TriggerArgs),
    /// Have the daemon work on an ended run again: on what failed, or on all of it
    Retry(RetryArgs),
    /// Stop a live run
    Cancel(CancelArgs),
    /// Let a job's nominal times pass without a run
    Pause(PauseArgs),
    /// Let a paused job go on
    Resume(PauseArgs),
    /// Make a run for each nominal time of a stretch of the past
    Backfill(BackfillArgs),
    /// List the jobs: schedule, next fire, last outcome
    Jobs(JobsArgs),
    /// List the runs, newest first
    History(HistoryArgs),
    /// Tell one run in detail: why it ran, how long, what failed and what it said
    Show(ShowArgs),
    /// Print a run's gathered results, a line of JSON a partial
    Results(ResultsArgs),
    /// Print the log, or what it says of a job or run
    Logs(LogsArgs),
    /// Recompute every nominal time, and compare with the records
    Audit(AuditArgs),
    /// Tell how the daemon is, and how far its live runs are
    Status(StatusArgs),
    /// Watch jobs, running partials, rates and the log on a live page
    Top(TopArgs),
    /// Have the daemon read jobs.toml again
    Reload(ReloadArgs),
    /// Try a channel of [notify]
    Notify(NotifyArgs),
    /// Make a jobs.toml of what runs elsewhere
    Import(ImportArgs),
    /// Make of jobs.toml what others read
    Export(ExportArgs),
    /// Check the records, copy them, or save what can be read of damaged ones
    State(StateArgs),
    /// Write a first jobs.toml, or all that a systemd service needs
    Init(InitArgs),
    /// Find what would break which job on this machine
    Doctor(DoctorArgs),
    /// Print the JSON Schema of jobs.toml, for editors
    Schema(SchemaArgs),
    /// Print what a shell needs to complete commands, jobs and runs
    Completions(CompletionsArgs),
    /// Print a page of the manual, or write all of them
    Man(ManArgs),
}

impl Arguments {
    /// What was typed. Help, the version and mistakes come as the error, which knows how to print itself.
    pub fn read(arguments: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Self, clap::Error> {
        Self::read_about(arguments, None)
    }

    /// The same for a line that is about a job, whose own options it may hold.
    pub fn read_about(arguments: impl IntoIterator<Item = std::ffi::OsString>, job: Option<&Job>) -> Result<Self, clap::Error> {
        let command = grouped(Self::command());
        let mut command = if let Some(job) = job { with_options(command, job) } else { command };
        let matches = command.try_get_matches_from_mut(arguments)?;
        let mut read = Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
        if let (Some(job), Command::Run(RunArgs { args, .. }) | Command::Trigger(TriggerArgs { args, .. })) = (job, &mut read.command) {
            *args = given(&matches, job);
        }
        Ok(read)
    }
}

/// The command with its subcommands listed by what they are for.
fn grouped(command: clap::Command) -> clap::Command {
    let is_grouped = |name: &str| GROUPS.iter().any(|(_, names)| names.contains(&name));
    let more: Vec<String> = command.get_subcommands().map(|found| found.get_name().to_owned()).filter(|name| !is_grouped(name)).collect();
    let more: Vec<&str> = more.iter().map(String::as_str).collect();
    let width = command.get_subcommands().map(|found| found.get_name().len()).max().unwrap_or(0);
    let row = |found: &clap::Command| {
        let about = found.get_about().map(ToString::to_string).unwrap_or_default();
        format!("  {:width$}  {about}\n", found.get_name())
    };
    let group = |(title, names): (&str, &[&str])| {
        let rows: String = names.iter().filter_map(|name| command.find_subcommand(name)).map(row).collect();
        if rows.is_empty() { rows } else { format!("{title}:\n{rows}\n") }
    };
    let list: String = GROUPS.into_iter().chain([("More", more.as_slice())]).map(group).collect();
    let template = format!("{{about}}\n\n{{usage-heading}} {{usage}}\n\n{list}Options:\n{{options}}{{after-help}}");
    command.help_template(template)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn help_lists_every_command() {
        let help = grouped(Arguments::command()).term_width(100).render_help().to_string();
        for command in Arguments::command().get_subcommands() {
            let about = command.get_about().expect("every command says what it does").to_string();
            assert!(help.contains(&about), "`{}` is not in the help:\n{help}", command.get_name());
        }
    }

    #[test]
    fn help_is_for_newcomers() {
        insta::assert_snapshot!(grouped(Arguments::command()).term_width(100).render_help().to_string(), @r"
        A cron-style batch daemon: jobs.toml in, runs with partial tasks out, every nominal time accounted
        for

        Usage: batchd [OPTIONS] <COMMAND>

        The file:
          check        Find every problem of jobs.toml
          next         List the coming fires
          explain      Put a cron expression into words, with its traps
          env          Print what the programs of a job find in their environment
          simulate     Let a stretch of time pass under a virtual clock, and tell what would run

        The work:
          run          Run a job now, in the foreground, without a daemon
          trigger      Have the daemon run a job now
          retry        Have the daemon work on an ended run again: on what failed, or on all of it
          cancel       Stop a live run
          pause        Let a job's nominal times pass without a run
          resume       Let a paused job go on
          backfill     Make a run for each nominal time of a stretch of the past

        The story:
          jobs         List the jobs: schedule, next fire, last outcome
          history      List the runs, newest first
          show         Tell one run in detail: why it ran, how long, what failed and what it said
          results      Print a run's gathered results, a line of JSON a partial
          logs         Print the log, or what it says of a job or run
          audit        Recompute every nominal time, and compare with the records

        The daemon:
          daemon       Fire all jobs at their times, in the foreground
          status       Tell how the daemon is, and how far its live runs are
          top          Watch jobs, running partials, rates and the log on a live page
          reload       Have the daemon read jobs.toml again
          notify       Try a channel of [notify]
          state        Check the records, copy them, or save what can be read of damaged ones

        Moving in:
          init         Write a first jobs.toml, or all that a systemd service needs
          import       Make a jobs.toml of what runs elsewhere
          export       Make of jobs.toml what others read
          doctor       Find what would break which job on this machine

        Its own:
          schema       Print the JSON Schema of jobs.toml, for editors
          completions  Print what a shell needs to complete commands, jobs and runs
          man          Print a page of the manual, or write all of them

        Options:
              --config <FILE>  The configuration file [default: ./jobs.toml, then /etc/batchd/jobs.toml]
                               [env: BATCHD_CONFIG]
              --color <WHEN>   When to use colours [default: auto] [possible values: auto, always, never]
          -v, --verbose        More detail on stderr
          -h, --help           Print help
          -V, --version        Print version

        Examples:
          batchd run daily-report            run a job now, here, without a daemon
          batchd daemon                      fire all jobs at their times
          batchd history --failed            what went wrong lately
          batchd show daily-report           how its latest run went, and why
          batchd logs -f daily-report        follow what it says

        Exit codes: 0 done, 1 the work failed, 2 usage, 4 no daemon, 5 not found, 78 the configuration is
        invalid, 130/143 interrupted.
        ");
    }

    #[test]
    fn mistakes_are_explained() {
        let error = Arguments::read(["batchd", "histroy"].map(Into::into)).expect_err("no such command");
        insta::assert_snapshot!(error.to_string(), @r"
        error: unrecognized subcommand 'histroy'

          tip: a similar subcommand exists: 'history'

        Usage: batchd [OPTIONS] <COMMAND>

        For more information, try '--help'.
        ");
    }
}
