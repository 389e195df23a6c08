//! `batchd top`: a live page on the terminal.
//!
//! `page` is the state and what a key does to it, pure; `draw` puts it on the screen. Here is the loop: the terminal, the keys, and
//! what is asked of the daemon.

mod draw;
mod page;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use futures::StreamExt;
use jiff::Timestamp;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_tokio::Signals;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::MissedTickBehavior;

use self::page::{Action, Page};
use super::client::path;
use super::logs::Follower;
use super::{Client, Exit, Failure, Look, Screen, show};
use crate::web::api::{JobList, LiveStatus, Paused, RunDetail};

/// How often the daemon is asked.
const REFRESH: Duration = Duration::from_secs(1);

/// With more jobs than this, they are asked for at each tenth time only.
const MANY_JOBS: usize = 1_000;

/// The arguments of `batchd top`.
#[derive(Clone, Copy, Debug, clap::Args)]
#[command(after_help = "Keys: arrows select, enter shows the latest run, / filters, f failed only, p pauses or resumes, q leaves.")]
pub struct TopArgs {}

/// What the page shows besides the daemon's answers.
pub(super) struct Around<'a> {
    pub(super) log: &'a Path,
    pub(super) clock: &'a dyn Fn() -> Timestamp,
    pub(super) colour: bool,
}

/// Whether there is a terminal to draw on.
pub(super) fn refuse_without_terminal() -> Result<(), Failure> {
    if io::stdout().is_terminal() && io::stdin().is_terminal() { Ok(()) } else { Err(Failure::NoTerminal) }
}

/// Draws the page until somebody leaves it.
pub(super) async fn top(client: &Client, around: &Around<'_>) -> Result<Exit, Failure> {
    let mut page = Page::default();
    // A daemon that is not there is told before the screen is taken.
    page.status(client.get(&path(&["status"])).await?, (around.clock)());
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let mut keys = keys();
    let mut terminal = Terminal(ratatui::try_init()?);
    let mut follower = Follower::open(around.log).ok();
    if let Some(follower) = &mut follower {
        page.lines(super::logs::tail(follower, page::LOG_LINES, |_| true)?);
    }
    let mut refresh = tokio::time::interval(REFRESH);
    // A daemon that answers slowly is not asked faster for it.
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for count in 0_usize.. {
        terminal.0.draw(|frame| draw::draw(frame, &page, (around.clock)(), around.colour))?;
        tokio::select! {
            _ = refresh.tick() => ask(client, &mut page, around, &mut follower, count).await?,
            Some(event) = keys.recv() => {
                if let Event::Key(key) = event
                    && key.kind != KeyEventKind::Release
                    && let Some(exit) = press(client, &mut page, key).await
                {
                    return Ok(exit);
                }
            }
            Some(signal) = signals.next() => return Ok(if signal == SIGINT { Exit::Interrupted } else { Exit::Terminated }),
        }
    }
    Ok(Exit::Done)
}

/// The terminal as it was comes back however the page ends; on a panic, by ratatui's hook.
struct Terminal(DefaultTerminal);

impl Drop for Terminal {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// The keys, read on a thread of their own, which ends with the program.
fn keys() -> UnboundedReceiver<Event> {
    let (sender, keys) = unbounded_channel();
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.send(event).is_err() {
                return;
            }
        }
    });
    keys
}

/// Takes over what has changed. A daemon that does not answer is told on the page, and asked again.
async fn ask(client: &Client, page: &mut Page, around: &Around<'_>, log: &mut Option<Follower>, count: usize) -> Result<(), Failure> {
    match client.get::<LiveStatus>(&path(&["status"])).await {
        Ok(status) => page.status(status, (around.clock)()),
        Err(error) => page.trouble(error.to_string()),
    }
    if page.jobs.len() <= MANY_JOBS || count.is_multiple_of(10) {
        match client.get::<JobList>(&path(&["jobs"])).await {
            Ok(list) => page.jobs = list.jobs,
            Err(error) => page.trouble(error.to_string()),
        }
    }
    if log.is_none() {
        *log = Follower::open(around.log).ok();
    }
    if let Some(follower) = log {
        let mut lines = Vec::new();
        follower.read(&mut |line| {
            lines.push(line.to_owned());
            Ok(())
        })?;
        page.lines(lines);
    }
    Ok(())
}

/// Carries out what a key asks for; the exit when it is to leave.
async fn press(client: &Client, page: &mut Page, key: KeyEvent) -> Option<Exit> {
    let interrupts = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    match page.press(if interrupts { KeyCode::Char('q') } else { key.code }) {
        _ if interrupts => return Some(Exit::Interrupted),
        Action::Nothing => {}
        Action::Leave => return Some(Exit::Done),
        Action::Show(job) => match client.get::<RunDetail>(&path(&["runs", &job])).await {
            Ok(detail) => page.detail(told(&detail)),
            Err(error) => page.say(error.to_string()),
        },
        Action::Pause(job) => set(client, page, &job, "pause").await,
        Action::Resume(job) => set(client, page, &job, "resume").await,
    }
    None
}

async fn set(client: &Client, page: &mut Page, job: &str, order: &str) {
    let answer = client.post::<Paused>(&path(&["jobs", job, order]), &serde_json::json!({})).await;
    page.say(match answer {
        Ok(Paused { job, paused: true, .. }) => format!("{job} is paused"),
        Ok(Paused { job, .. }) => format!("{job} goes on"),
        Err(error) => error.to_string(),
    });
}

/// What `batchd show` tells of a run.
fn told(detail: &RunDetail) -> Vec<String> {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    // A vector takes everything.
    let _ = show::print(detail, &mut Screen::new(&mut out, &mut err, Look::default()));
    String::from_utf8_lossy(&out).lines().map(str::to_owned).collect()
}
