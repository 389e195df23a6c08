//! A live process and its tree: what it prints is read, what it is told is done, and what it leaves is ended.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::super::{Attempt, StopLine};
use super::cgroup::Cgroup;
use super::feed::FeedError;
use super::output::Output;
use super::source::Source;
use super::spawn::Leader;
use super::tree::{Killed, Tree};
use super::vfork::Reaped;
use super::{End, limits, usage};
use crate::config::Leftovers;
use crate::log::Stream;

/// Most programs are done sooner, and then tell by the end of their stdout that they are. Only to one that goes on for longer, or
/// closes its stdout, the daemon listens by its stderr and its end as well: to have the kernel tell of each takes as long as the pipe.
const DONE_SOON: Duration = Duration::from_millis(20);

/// So many pieces of stderr are read at once, which is all that a pipe holds; more may come for ever.
const PIECES: usize = 5;

/// After the exit, pipes that are still open are read until they kept quiet for so long …
const DRAIN_QUIET: Duration = Duration::from_secs(1);

/// … and never longer than this.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// So many processes are named in a line of the log.
const NAMED: usize = 10;

/// A live process.
pub(super) struct Watch<'a> {
    pub(super) attempt: &'a Attempt,
    pub(super) leader: Leader,
    pub(super) stdout: Source,
    pub(super) stderr: Source,
    pub(super) feeding: Option<AbortOnDropHandle<Result<(), FeedError>>>,
    /// Takes what comes on stdout instead of the log.
    pub(super) taker: Option<mpsc::Sender<Vec<u8>>>,
    pub(super) tree: Tree,
    pub(super) cgroup: Option<Arc<Cgroup>>,
    pub(super) output: Output,
    pub(super) seen: Seen,
}

/// What was seen of a process so far.
#[derive(Default)]
pub(super) struct Seen {
    /// Whether all that it may tell is listened to.
    listens: bool,
    /// Since the exit.
    drain: Option<Drain>,
    /// Whether any stop was asked for.
    stopped: bool,
    notes: Vec<String>,
    /// Stdin could not be given whole.
    half_fed: bool,
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

impl Watch<'_> {
    /// Reads, feeds and stops until the process has exited and nothing more is to be read. An error: it cannot be watched.
    pub(super) async fn until_quiet(&mut self, stops: &StopLine) -> io::Result<()> {
        let (mut asked, mut killed) = (false, false);
        let soon = Instant::now() + DONE_SOON;
        while !self.is_over()? {
            // Not biased: a process that never stops printing must not keep the stops from being seen.
            tokio::select! {
                turn = heard(&self.stdout, self.taker.as_ref()), if self.stdout.is_open() => {
                    let output = &mut self.output;
                    match turn {
                        Turn::Log => drop(self.stdout.read(|bytes| output.accept(Stream::Stdout, bytes))),
                        Turn::Take(turn) => drop(self.stdout.read(|bytes| drop(turn.send(bytes.to_vec())))),
                        Turn::Gone => self.stdout.close(),
                    }
                    self.seen.drain.iter_mut().for_each(Drain::heard);
                    if !self.seen.listens {
                        self.read_stderr();
                    }
                }
                () = tokio::time::sleep_until(soon), if !self.seen.listens => self.listen()?,
                () = self.stderr.readable(), if self.stderr.is_open() => {
                    self.read_stderr();
                    self.seen.drain.iter_mut().for_each(Drain::heard);
                }
                () = self.leader.exited(), if self.seen.drain.is_none() => self.seen.drain = Some(Drain::begin()),
                fed = fed(&mut self.feeding), if self.feeding.is_some() => {
                    self.feeding = None;
                    if let Err(error) = fed {
                        self.seen.half_fed = true;
                        self.seen.notes.push(error.message);
                        // Its stdin stays open until it is dead: it must not take a part of the results for all of them.
                        self.leader.kill();
                        self.kill().await;
                        drop(error.stdin);
                    }
                }
                () = stops.polite(), if !asked => {
                    asked = true;
                    self.ask().await;
                }
                () = stops.kill(), if !killed => {
                    killed = true;
                    self.leader.kill();
                    self.kill().await;
                }
                () = drained(self.seen.drain.as_ref().filter(|_| !is_behind(self.taker.as_ref()))) => break,
            }
        }
        Ok(())
    }

    /// Whether it has exited and its pipes have run dry: mostly all of it at once. Where nothing else is to be done before, it is reaped.
    fn is_over(&mut self) -> io::Result<bool> {
        let is_dry = !self.stdout.is_open() && !self.stderr.is_open();
        let is_at_once = !self.seen.listens && !self.seen.stopped;
        if is_dry && (self.seen.drain.is_some() || (is_at_once && self.leader.reap_if_over())) {
            return Ok(true);
        }
        if !self.seen.listens && !self.stdout.is_open() {
            self.listen()?;
        }
        Ok(false)
    }

    /// Is told of all that may come from now on.
    fn listen(&mut self) -> io::Result<()> {
        self.seen.listens = true;
        self.stderr.listen()?;
        self.leader.listen()
    }

    fn read_stderr(&mut self) {
        let Self { stderr, output, .. } = self;
        let mut read = || stderr.read(|bytes| output.accept(Stream::Stderr, bytes));
        // What is not all of it, since it goes on, is read with the next event.
        let _ = (0..PIECES).all(|_| read());
    }

    /// Sends the stop signal to the group, and to those of the tree that left it.
    async fn ask(&mut self) {
        self.seen.stopped = true;
        let (tree, signal) = (self.tree.clone(), self.attempt.run.job.policies.stop.signal);
        self.leader.signal(signal);
        in_background(move || tree.signal_outside_group(signal)).await;
    }

    /// Kills the whole tree, wherever its processes have moved to; tells who was there.
    async fn kill(&mut self) -> Vec<Killed> {
        self.seen.stopped = true;
        let tree = self.tree.clone();
        in_background(move || tree.kill()).await.unwrap_or_default()
    }

    /// Reaps the process, and ends what is left of its tree.
    pub(super) async fn settle(&mut self) -> io::Result<Reaped> {
        // Before it is reaped: until then its number is its own, and its session's.
        let is_held = self.stdout.is_open() || self.stderr.is_open();
        if is_held {
            let left = self.see_off().await;
            self.seen.notes.push(held_by(left.first(), self.leaves()));
        } else if self.seen.stopped {
            self.kill().await;
        }
        let reaped = self.leader.reap();
        if !(is_held && self.leaves()) && self.tree.is_left() {
            self.see_off().await;
        }
        reaped
    }

    /// Tells how it ended.
    pub(super) fn end(mut self, reaped: io::Result<Reaped>) -> End {
        let (exit_code, signal, usage) = match reaped {
            Ok(reaped) => (reaped.status.code(), reaped.status.signal(), Some(usage(&reaped, self.cgroup.as_deref()))),
            Err(error) => {
                self.seen.notes.push(format!("cannot get the exit status: {error}"));
                (None, None, None)
            }
        };
        let limited = limits::reached(self.cgroup.as_deref(), &self.attempt.run.job.process.limits, signal);
        self.seen.notes.extend(limited.notes);
        let collected = self.output.finish();
        End {
            exit_code,
            signal,
            killer: limited.killer,
            last_stdout: collected.last_stdout,
            last_stderr: collected.last_stderr,
            notes: self.seen.notes,
            fed: !self.seen.half_fed,
            cut: self.stdout.is_open(),
            output: collected.captured,
            usage,
        }
    }

    /// Whether what outlives the process stays alive. Stopped means stopped, whatever the job says.
    fn leaves(&self) -> bool {
        self.attempt.run.job.policies.stop.leftovers == Leftovers::Leave && !self.seen.stopped
    }

    /// What outlived the process in the background is killed, or left; it is named in the log.
    async fn see_off(&mut self) -> Vec<Killed> {
        let (run, is_left) = (&self.attempt.run, self.leaves());
        let tree = self.tree.clone();
        let them = in_background(move || if is_left { tree.let_go() } else { tree.kill() }).await.unwrap_or_default();
        if !them.is_empty() {
            let what = if is_left { "left running" } else { "killed what was left" };
            let (job, run, partial) = (&*run.job.name, &*run.id.0, self.attempt.label());
            tracing::info!(job, run, partial, "{what} in the background: {}", names(&them));
        }
        them
    }
}

/// Where bytes of stdout go.
enum Turn {
    Log,
    Take(mpsc::OwnedPermit<Vec<u8>>),
    /// Whoever took them has enough.
    Gone,
}

/// Ready when there is something to read, and room for it.
async fn heard(source: &Source, taker: Option<&mpsc::Sender<Vec<u8>>>) -> Turn {
    let turn = match taker {
        None => Turn::Log,
        Some(taker) => match taker.clone().reserve_owned().await {
            Ok(permit) => Turn::Take(permit),
            Err(_) => return Turn::Gone,
        },
    };
    source.readable().await;
    turn
}

/// Whether bytes wait to be taken: then it is not the pipe that is quiet.
fn is_behind(taker: Option<&mpsc::Sender<Vec<u8>>>) -> bool {
    taker.is_some_and(|taker| !taker.is_closed() && taker.capacity() + 1 < taker.max_capacity())
}

/// As many as a line of the log should have.
fn names(processes: &[Killed]) -> String {
    let named: Vec<_> = processes.iter().take(NAMED).map(|process| format!("{} (`{}`)", process.pid, process.name)).collect();
    let rest = processes.len().saturating_sub(NAMED);
    if rest > 0 { format!("{} and {rest} more", named.join(", ")) } else { named.join(", ") }
}

fn held_by(holder: Option<&Killed>, is_left: bool) -> String {
    let fate = if is_left { "left running" } else { "killed" };
    match holder {
        Some(holder) => format!("output cut: the pipe was held by process {} (`{}`), {fate}", holder.pid, holder.name),
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
