//! One process and its tree, from spawn to gone.
//!
//! An attempt ends when its process has exited and its pipes have run dry, or kept quiet for [`DRAIN_QUIET`], at the latest
//! [`DRAIN_MAX`] after the exit: a child that holds a pipe open cannot hold up a run. What is left of the tree is then killed.

pub(super) mod descriptors;
pub(crate) mod feed;
pub mod leftovers;
pub(super) mod output;
mod spawn;
pub(super) mod tree;
#[expect(unsafe_code, reason = "system calls that no safe crate has")]
mod vfork;

use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::command::Plan;
use super::{Attempt, StopLine};
use crate::engine::{CapturedOutput, Usage};
use crate::log::Stream;
use feed::{FeedError, ResultLines};
use nix::sys::resource::{UsageWho, getrusage};
use output::Output;
pub(super) use spawn::SpawnError;
use spawn::{Leader, Source, Spawned};
use tokio::sync::{Semaphore, mpsc};
use tree::{Killed, Tree, reap_orphans};
use vfork::Reaped;

/// So many programs are being started at once; a start takes one of the runtime's threads for as long. Ten thousand that fall
/// due together would else all be started before the end of the first is seen, and every start copies the table of all the
/// descriptors that the others hold.
static STARTS: Semaphore = Semaphore::const_new(4);

/// After the exit, pipes that are still open are read until they kept quiet for so long …
const DRAIN_QUIET: Duration = Duration::from_secs(1);

/// … and never longer than this.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// How a process ended, and what it left.
#[derive(Debug)]
pub(super) struct End {
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    /// The last line of stdout that is not blank; empty when there is none.
    pub(super) last_stdout: Vec<u8>,
    /// The last line of stderr that is not blank, shortened.
    last_stderr: String,
    /// What people should know besides, one line each.
    pub(super) notes: Vec<String>,
    /// False when stdin could not be given whole.
    pub(super) fed: bool,
    /// Stdout was still open when it was given up.
    pub(super) cut: bool,
    pub(super) output: Option<CapturedOutput>,
    /// `None` when nobody can tell.
    pub(super) usage: Option<Usage>,
}

/// What goes in and out of a process beside the log.
#[derive(Default)]
pub(super) struct Streams {
    pub(super) stdin: Option<ResultLines>,
    /// Takes what comes on stdout; when it is gone, stdout is closed.
    pub(super) stdout: Option<mpsc::Sender<Vec<u8>>>,
}

impl End {
    /// What went wrong, for people; `None` for exit code 0.
    pub(super) fn failure(&self) -> Option<String> {
        let failure = match (self.exit_code, self.signal) {
            (Some(0), _) => return None,
            (_, Some(signal)) => format!("killed by {}", signal_name(signal)),
            (Some(code), None) => format!("exit code {code}"),
            (None, None) => "exit status unknown".to_owned(),
        };
        Some(if self.last_stderr.is_empty() { failure } else { format!("{failure}: {}", self.last_stderr) })
    }
}

/// Spawns the process and sees it, and its tree, to the end.
pub(super) async fn run(plan: &Plan, attempt: &Attempt, result_path: &Path, streams: Streams, stops: &StopLine) -> Result<End, SpawnError> {
    let turn = STARTS.acquire().await;
    let spawned = spawn::spawn(plan, streams.stdin.is_some());
    drop(turn);
    let Spawned { leader, stdout, stderr, stdin } = spawned?;
    let feeding = streams.stdin.zip(stdin).map(|(lines, stdin)| AbortOnDropHandle::new(tokio::spawn(feed::feed(lines, stdin))));
    let tree = Tree::new(leader.pid(), result_path);
    let mut watch = Watch {
        leader,
        stdout,
        stderr,
        feeding,
        taker: streams.stdout,
        tree,
        output: Output::new(attempt),
        stop_signal: attempt.run.job.stop.signal,
        drain: None,
        stopped: false,
        notes: Vec::new(),
        fed: true,
    };
    watch.until_quiet(stops).await;
    Ok(watch.settle().await)
}

/// A live process.
struct Watch {
    leader: Leader,
    stdout: Source,
    stderr: Source,
    feeding: Option<AbortOnDropHandle<Result<(), FeedError>>>,
    /// Takes what comes on stdout instead of the log.
    taker: Option<mpsc::Sender<Vec<u8>>>,
    tree: Tree,
    output: Output,
    stop_signal: i32,
    /// Since the exit.
    drain: Option<Drain>,
    /// Whether any stop was asked for.
    stopped: bool,
    notes: Vec<String>,
    fed: bool,
}

/// The reading that goes on after the exit.
struct Drain {
    end: Instant,
    quiet: Instant,
}

impl Drain {
    fn begin() -> Self {
        let now = Instant::now();
        Self { end: now + DRAIN_MAX, quiet: now + DRAIN_QUIET }
    }

    fn heard(&mut self) {
        self.quiet = Instant::now() + DRAIN_QUIET;
    }
}

impl Watch {
    /// Reads, feeds and stops until the process has exited and nothing more is to be read.
    async fn until_quiet(&mut self, stops: &StopLine) {
        let (mut asked, mut killed) = (false, false);
        while self.drain.is_none() || self.stdout.is_open() || self.stderr.is_open() {
            // Not biased: a process that never stops printing must not keep the stops from being seen.
            tokio::select! {
                (bytes, turn) = heard(&mut self.stdout, self.taker.clone()), if self.stdout.is_open() => {
                    match turn {
                        Turn::Log => self.output.accept(Stream::Stdout, bytes),
                        Turn::Take(turn) => drop(turn.send(bytes.to_vec())),
                        Turn::Gone => self.stdout.close(),
                    }
                    self.drain.iter_mut().for_each(Drain::heard);
                }
                bytes = self.stderr.read(), if self.stderr.is_open() => {
                    self.output.accept(Stream::Stderr, bytes);
                    self.drain.iter_mut().for_each(Drain::heard);
                }
                () = self.leader.exited(), if self.drain.is_none() => self.drain = Some(Drain::begin()),
                fed = fed(&mut self.feeding), if self.feeding.is_some() => {
                    self.feeding = None;
                    if let Err(error) = fed {
                        self.fed = false;
                        self.notes.push(error.message);
                        // Its stdin stays open until it is dead: it must not take a part of the results for all of them.
                        self.leader.kill();
                        self.kill().await;
                        drop(error.stdin);
                    }
                }
                () = stops.polite.cancelled(), if !asked => {
                    asked = true;
                    self.ask().await;
                }
                () = stops.kill.cancelled(), if !killed => {
                    killed = true;
                    self.leader.kill();
                    self.kill().await;
                }
                () = drained(self.drain.as_ref().filter(|_| !is_behind(self.taker.as_ref()))) => break,
            }
        }
    }

    /// Sends the stop signal to the group, and to those of the tree that left it.
    async fn ask(&mut self) {
        self.stopped = true;
        let (tree, signal) = (self.tree.clone(), self.stop_signal);
        self.leader.signal(signal);
        in_background(move || tree.signal_outside_group(signal)).await;
    }

    /// Kills the whole tree, wherever its processes have moved to; tells who was there.
    async fn kill(&mut self) -> Vec<Killed> {
        self.stopped = true;
        let tree = self.tree.clone();
        in_background(move || tree.kill()).await.unwrap_or_default()
    }

    /// Reaps the process, kills what is left of its tree, and tells how it ended.
    async fn settle(mut self) -> End {
        let cut = self.stdout.is_open();
        if self.stdout.is_open() || self.stderr.is_open() {
            let killed = self.kill().await;
            self.notes.push(held_by(killed.first()));
        } else if self.stopped {
            self.kill().await;
        }
        // Most have left nothing: one signal into the void, while the group's number is still theirs.
        self.leader.kill();
        let reaped = self.leader.reap();
        let had_company = self.tree.had_company();
        if reap_orphans() || had_company {
            let tree = self.tree.clone();
            let strays = in_background(move || tree.kill_strays()).await.unwrap_or_default();
            if had_company || !strays.is_empty() {
                tracing::info!(leader = self.leader.pid().as_raw_pid(), "killed what was left in the background: {strays:?}");
            }
        }
        let (exit_code, signal, usage) = match reaped {
            Ok(reaped) => (reaped.status.code(), reaped.status.signal(), Some(usage(&reaped))),
            Err(error) => {
                self.notes.push(format!("cannot get the exit status: {error}"));
                (None, None, None)
            }
        };
        let collected = self.output.finish();
        End {
            exit_code,
            signal,
            last_stdout: collected.last_stdout,
            last_stderr: collected.last_stderr,
            notes: self.notes,
            fed: self.fed,
            cut,
            output: collected.captured,
            usage,
        }
    }
}

/// The kernel counts the memory of the daemon, which the child shared until it had its program, as the child's own: a figure
/// that is no higher says nothing.
fn usage(reaped: &Reaped) -> Usage {
    let ours = getrusage(UsageWho::RUSAGE_SELF).map_or(0, |usage| u64::try_from(usage.max_rss()).unwrap_or(0) * 1024);
    Usage { cpu: reaped.cpu, max_rss: Some(reaped.max_rss).filter(|max_rss| *max_rss > ours) }
}

/// Where bytes of stdout go.
enum Turn {
    Log,
    Take(mpsc::OwnedPermit<Vec<u8>>),
    /// Whoever took them has enough.
    Gone,
}

/// The next bytes, once there is room for them.
async fn heard(source: &mut Source, taker: Option<mpsc::Sender<Vec<u8>>>) -> (&[u8], Turn) {
    let turn = match taker {
        None => Turn::Log,
        Some(taker) => match taker.reserve_owned().await {
            Ok(permit) => Turn::Take(permit),
            Err(_) => return (&[], Turn::Gone),
        },
    };
    (source.read().await, turn)
}

/// Whether bytes wait to be taken: then it is not the pipe that is quiet.
fn is_behind(taker: Option<&mpsc::Sender<Vec<u8>>>) -> bool {
    taker.is_some_and(|taker| !taker.is_closed() && taker.capacity() + 1 < taker.max_capacity())
}

fn held_by(holder: Option<&Killed>) -> String {
    match holder {
        Some(holder) => format!("output cut: the pipe was held by process {} (`{}`), killed", holder.pid, holder.name),
        None => "output cut: the pipe was held by a process that left the job".to_owned(),
    }
}

async fn drained(drain: Option<&Drain>) {
    match drain {
        Some(drain) => tokio::time::sleep_until(drain.quiet.min(drain.end)).await,
        None => std::future::pending().await,
    }
}

async fn fed(feeding: &mut Option<AbortOnDropHandle<Result<(), FeedError>>>) -> Result<(), FeedError> {
    match feeding {
        Some(feeding) => feeding.await.unwrap_or_else(|error| Err(FeedError::new(&error, None))),
        None => std::future::pending().await,
    }
}

/// A walk over `/proc` takes milliseconds: too long for a thread of the runtime.
async fn in_background<T: Send + 'static>(walk: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    match tokio::task::spawn_blocking(walk).await {
        Ok(value) => Some(value),
        Err(error) => {
            tracing::error!("a walk over the processes failed: {error}");
            None
        }
    }
}

/// `SIGTERM` and the like; realtime signals by number.
fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned())
}
