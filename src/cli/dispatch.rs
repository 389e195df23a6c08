//! From what was typed to the exit code.

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use jiff::Timestamp;

use super::arguments::{Arguments, Command};
use super::client::Client;
use super::escape::escape;
use super::failure::Failure;
use super::place::{Place, config_path};
use super::print::{Look, Screen, Tone};
use super::rooms::Rooms;
use super::{
    Exit, Global, audit, backfill, cancel, check, completions, doctor, env, explain, export, history, import, init, job_arguments, jobs,
    logs, man, next, notify, pause, reload, results, retry, run, schema, show, simulate, state, status, top, trigger,
};
use crate::config::{Config, Job};
use crate::daemon::source::LoadError;
use crate::store::{Reader, StoreError};
use crate::web::{self, JobView};

/// Reads the process's arguments, carries out the command and returns the exit code. Prints on stdout and stderr. `config`: the file that
/// is meant where nobody names one.
pub(super) fn main(rooms: &dyn Rooms, config: Option<PathBuf>) -> Exit {
    if let Some(exit) = completions::answer() {
        return exit;
    }
    let line: Vec<_> = std::env::args_os().collect();
    let job = job_of(rooms, &line, config.as_deref());
    let mut arguments = match Arguments::read_about(line, job.as_deref()) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Whoever closed stdout does not want to read it.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Done };
        }
    };
    arguments.global.config = arguments.global.config.or(config);
    let look = Look::of_terminals(arguments.global.color);
    // Not locked: the progress of a run draws on stderr, too.
    let (mut out, mut err) = (BufWriter::new(io::stdout()), io::stderr());
    let mut screen = Screen::new(&mut out, &mut err, look);
    let result = carry_out(rooms, &arguments, &mut screen);
    let result = result.and_then(|exit| screen.flush().map(|()| exit).map_err(Failure::from));
    result.unwrap_or_else(|failure| tell(&failure, &mut screen))
}

/// The job whose own options the line may hold. A file that cannot be read is told of by the command itself.
fn job_of(rooms: &dyn Rooms, line: &[OsString], config: Option<&Path>) -> Option<Arc<Job>> {
    let asked = job_arguments::asked(line)?;
    let named = job_arguments::from_environment();
    let path = config_path(asked.config.or(named.as_deref().map(Path::new)).or(config)).ok()?;
    let (config, _) = rooms.examine(&path).ok()?;
    asked.words.iter().find_map(|word| config.jobs.get(*word)).map(Arc::clone)
}

fn carry_out(rooms: &dyn Rooms, Arguments { global, command }: &Arguments, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let now = rooms.now();
    let site = Site { rooms, global, needs_jobs: false };
    match command {
        Command::Daemon => rooms.serve(&config_path(global.config.as_deref())?),
        Command::Check(args) => {
            let slow = |config: &Config| match Reader::open(&config.daemon.state_dir) {
                Ok(reader) => simulate::slow(&reader, config),
                // Nothing has run yet, or the records are of no use here: they are no part of the file.
                Err(_) => HashMap::new(),
            };
            check::check(global, args, |path| rooms.examine(path), slow, now, screen)
        }
        Command::Next(args) => {
            let load = || config(rooms, &config_path(global.config.as_deref())?);
            next::next(args, load, now, screen)
        }
        Command::Explain(args) => explain::explain(args, now, screen),
        Command::Env(args) => {
            let config = config(rooms, &config_path(global.config.as_deref())?)?;
            let state_dir = &config.daemon.state_dir;
            let records = || Ok::<_, Failure>(open_records(rooms, state_dir, Vec::new()));
            let daemon = runtime()?
                .block_on(async { Ok::<_, Failure>(env::daemon(&Client::open(state_dir.join(web::SOCKET_FILE), records)?).await) })?;
            env::env(&config, args, daemon, now, screen)
        }
        Command::Simulate(args) => {
            let config = Arc::new(config(rooms, &config_path(global.config.as_deref())?)?);
            let typical = || match Reader::open(&config.daemon.state_dir) {
                Ok(reader) => simulate::typical(&reader, &config),
                // Nothing has run yet.
                Err(StoreError::NoState { .. }) => Ok(HashMap::new()),
                Err(error) => Err(Failure::Other(error.into())),
            };
            simulate::simulate(&config, args, typical, screen)
        }
        Command::Run(args) => run::run(rooms, global, args, screen),
        Command::Trigger(args) => site.ask(screen, async |client, screen| trigger::trigger(&client, args, screen).await),
        Command::Retry(args) => site.ask(screen, async |client, screen| retry::retry(&client, args, screen).await),
        Command::Cancel(args) => site.ask(screen, async |client, screen| cancel::cancel(&client, args, screen).await),
        Command::Pause(args) => site.ask(screen, async |client, screen| pause::pause(&client, args, screen).await),
        Command::Resume(args) => site.ask(screen, async |client, screen| pause::resume(&client, args, screen).await),
        Command::Backfill(args) => site.ask(screen, async |client, screen| backfill::backfill(&client, args, screen).await),
        Command::Jobs(args) => site.with_jobs().ask(screen, async |client, screen| jobs::jobs(&client, args, now, screen).await),
        Command::History(args) => site.ask(screen, async |client, screen| history::history(&client, args, now, screen).await),
        Command::Show(args) => site.ask(screen, async |client, screen| show::show(&client, args, screen).await),
        Command::Results(args) => site.ask(screen, async |client, screen| results::results(&client, args, screen).await),
        Command::Logs(args) => match (logs::logs(&place(global)?.log, args, screen)?, &args.subject) {
            (None, Some(subject)) => site.ask(screen, async |client, screen| logs::kept(&client, subject, args, screen).await),
            (exit, _) => Ok(exit.unwrap_or(Exit::Done)),
        },
        Command::Audit(args) => {
            let reader = Reader::open(&place(global)?.state_dir).context("cannot read the records")?;
            audit::audit(&reader, args, now, screen)
        }
        Command::Status(args) => site.ask(screen, async |client, screen| status::status(&client, args, now, screen).await),
        Command::Notify(args) => notify::notify(rooms, &config(rooms, &config_path(global.config.as_deref())?)?, args, screen),
        Command::State(args) => state::state(&place(global)?.state_dir, args, now, screen),
        Command::Top(_) => {
            top::refuse_without_terminal()?;
            let (log, clock, colour) = (place(global)?.log, || rooms.now(), screen.has_colour());
            site.ask(screen, async |client, _| top::top(&client, &top::Around { log: &log, clock: &clock, colour }).await)
        }
        Command::Reload(args) => site.ask(screen, async |client, screen| reload::reload(&client, args, screen).await),
        Command::Init(args) => init::init(global, args, screen),
        Command::Doctor(args) => doctor::doctor(&config(rooms, &config_path(global.config.as_deref())?)?, *args, now, screen),
        Command::Schema(args) => Ok(schema::schema(*args, screen)?),
        Command::Completions(args) => Ok(completions::completions(args, screen)?),
        Command::Man(args) => man::man(args, screen),
        Command::Import(args) => import::import(args, screen),
        Command::Export(args) => export::export(&config(rooms, &config_path(global.config.as_deref())?)?, args, screen),
    }
}

/// What commands talk to: the daemon of a configuration, or its records.
struct Site<'a> {
    rooms: &'a dyn Rooms,
    global: &'a Global,
    /// Whether the jobs are asked for, which takes a valid configuration where no daemon runs.
    needs_jobs: bool,
}

impl Site<'_> {
    fn with_jobs(self) -> Self {
        Self { needs_jobs: true, ..self }
    }

    fn ask(
        &self,
        screen: &mut Screen<'_>,
        command: impl AsyncFnOnce(Client, &mut Screen<'_>) -> Result<Exit, Failure>,
    ) -> Result<Exit, Failure> {
        let place = place(self.global)?;
        let records = || {
            let jobs = if self.needs_jobs { planned(&config(self.rooms, &place.config)?, self.rooms.now()) } else { Vec::new() };
            Ok::<_, Failure>(open_records(self.rooms, &place.state_dir, jobs))
        };
        runtime()?.block_on(async {
            let client = Client::open(place.socket(), records)?;
            if self.global.verbose {
                screen.note(escape(&client.describe()))?;
            }
            command(client, screen).await
        })
    }
}

fn place(global: &Global) -> Result<Place, Failure> {
    Ok(Place::find(global.config.as_deref())?)
}

/// The API over the records below a state directory.
pub(super) fn open_records(rooms: &dyn Rooms, state_dir: &Path, jobs: Vec<JobView>) -> Router {
    web::offline(jobs, rooms.history(state_dir))
}

pub(super) fn config(rooms: &dyn Rooms, path: &Path) -> Result<Config, Failure> {
    let (config, _) = rooms.examine(path)?;
    Ok(config)
}

fn planned(config: &Config, now: Timestamp) -> Vec<JobView> {
    config.jobs.values().map(|job| JobView::new(job, job.next_fire(now))).collect()
}

/// One thread: a command waits far more than it works.
pub(super) fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

pub(super) fn tell(failure: &Failure, screen: &mut Screen<'_>) -> Exit {
    if failure.is_closed_pipe() {
        return Exit::Done;
    }
    let said = screen.flush().and_then(|()| match failure {
        Failure::InvalidConfig(LoadError::Invalid(problems)) => screen.note(problems.render(screen.has_colour_on_stderr())),
        Failure::Refused(text) => screen.note(format!("{} {text}", screen.paint_note(Tone::Bad, "error:"))),
        failure => screen.error(&failure.to_string(), failure.help()),
    });
    // Nobody listens on stderr; the exit code still tells.
    drop(said);
    failure.exit()
}
