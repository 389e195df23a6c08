//! Every command by its whole output: exit code, stdout, stderr.

mod json;
mod json_of_orders;
mod live;
mod records;
mod terminal;

use std::ffi::OsString;
use std::path::PathBuf;

use super::arguments::{Arguments, Command};
use super::{
    Client, Exit, Failure, Look, Screen, backfill, cancel, dispatch, history, jobs, logs, pause, reload, results, retry, show, status,
    trigger,
};
use crate::engine::{Answer, RunId};
use crate::web::api::{LiveStatus, ReloadReport};
use crate::web::fake::{FakeDaemon, FakeHistory, NOW, at};
use crate::web::{self, fake};

/// What the commands talk to in a test.
struct World {
    daemon: Option<FakeDaemon>,
    history: FakeHistory,
}

impl World {
    fn client(self) -> Client {
        let history = self.history.share();
        let router = match self.daemon {
            Some(daemon) => web::live(daemon.start(), history),
            None => web::offline(fake::jobs(), history),
        };
        Client::within(router, PathBuf::from("/srv/state/batchd.sock"))
    }
}

fn answering(answer: Answer) -> World {
    World { daemon: Some(FakeDaemon::answering(answer)), history: FakeHistory::example() }
}

fn daemon() -> World {
    answering(Answer::Stopping)
}

fn triggering(id: &str) -> World {
    answering(Answer::Run(RunId(id.into())))
}

fn with_status(status: LiveStatus) -> World {
    World { daemon: Some(FakeDaemon { status, ..FakeDaemon::answering(Answer::Stopping) }), ..daemon() }
}

fn with_report(report: ReloadReport) -> World {
    World { daemon: Some(FakeDaemon { report, ..FakeDaemon::answering(Answer::Stopping) }), ..daemon() }
}

fn only(history: FakeHistory) -> World {
    World { daemon: None, history }
}

fn records() -> World {
    only(FakeHistory::example())
}

fn nothing() -> World {
    only(FakeHistory::default())
}

fn typed(line: &str) -> Command {
    let words = std::iter::once("batchd").chain(line.split_whitespace()).map(OsString::from);
    Arguments::read(words).expect("the line is right").command
}

/// What a user sees of the command typed so.
fn seen(world: World, line: &str) -> String {
    seen_with(world, line, Look::default())
}

fn seen_with(world: World, line: &str, look: Look) -> String {
    let runtime = dispatch::runtime().expect("a runtime");
    seen_of(look, |screen| runtime.block_on(async { carry_out(&world.client(), &typed(line), screen).await }))
}

/// What a user sees of what `act` prints.
pub(super) fn seen_of(look: Look, act: impl FnOnce(&mut Screen<'_>) -> Result<Exit, Failure>) -> String {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut screen = Screen::new(&mut out, &mut err, look);
    let result = act(&mut screen);
    let exit = result.unwrap_or_else(|failure| dispatch::tell(&failure, &mut screen));
    let text = |bytes| String::from_utf8(bytes).expect("text");
    format!("{exit:?}\n{}---\n{}", text(out), text(err))
}

async fn carry_out(client: &Client, command: &Command, screen: &mut Screen<'_>) -> Result<Exit, Failure> {
    let now = at(NOW);
    match command {
        Command::Trigger(args) => trigger::trigger(client, args, screen).await,
        Command::Retry(args) => retry::retry(client, args, screen).await,
        Command::Pause(args) => pause::pause(client, args, screen).await,
        Command::Resume(args) => pause::resume(client, args, screen).await,
        Command::Backfill(args) => backfill::backfill(client, args, screen).await,
        Command::Cancel(args) => cancel::cancel(client, args, screen).await,
        Command::Jobs(args) => jobs::jobs(client, args, now, screen).await,
        Command::History(args) => history::history(client, args, now, screen).await,
        Command::Show(args) => show::show(client, args, screen).await,
        Command::Logs(args) => logs::kept(client, args.subject.as_deref().expect("a subject"), args, screen).await,
        Command::Results(args) => results::results(client, args, screen).await,
        Command::Status(args) => status::status(client, args, now, screen).await,
        Command::Reload(args) => reload::reload(client, args, screen).await,
        other => panic!("{other:?} talks to nobody"),
    }
}
