//! One process and its tree, from spawn to gone.
//!
//! An attempt ends when its process has exited and its pipes have run dry, or kept quiet for [`DRAIN_QUIET`], at the latest
//! [`DRAIN_MAX`] after the exit: a child that holds a pipe open cannot hold up a run. What is left of the tree is then killed.

mod capture;
pub(super) mod cgroup;
pub(super) mod descriptors;
pub(crate) mod feed;
mod handshake;
pub mod leaders;
pub mod leftovers;
mod limits;
pub(super) mod orphans;
pub(super) mod output;
mod spawn;
pub(super) mod tree;
#[expect(unsafe_code, reason = "system calls that no safe crate has")]
mod vfork;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use super::command::Plan;
use super::{Attempt, StopLine};
use crate::config::Leftovers;
use crate::engine::{CapturedOutput, Usage};
use crate::log::Stream;
use cgroup::Cgroup;
use feed::{FeedError, ResultLines};
use output::Output;
pub(super) use spawn::SpawnError;
use spawn::{Leader, Source, Spawned};
use tokio::sync::{Semaphore, mpsc};
use tree::{Killed, Tree};
use vfork::Reaped;

/// So many programs are being started at once; a start takes one of the runtime's threads for as long. Ten thousand that fall
/// due together would else all be started before the end of the first is seen, and every start copies the table of all the
/// descriptors that the others hold.
static STARTS: Semaphore = Semaphore::const_new(4);

/// After the exit, pipes that are still open are read until they kept quiet for so long …
const DRAIN_QUIET: Duration = Duration::from_secs(1);

/// … and never longer than this.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// So many processes are named in a line of the log.
const NAMED: usize = 10;

/// How a process ended, and what it left.
#[derive(Debug)]
pub(super) struct End {
    pub(super) exit_code: Option<i32>,
    pub(super) signal: Option<i32>,
    /// The last line of stdout that is not blank; empty when there is none.
    pub(super) last_stdout: Vec<u8>,
    /// Who has killed it, where that was for want of memory.
    killer: Option<String>,
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
            (_, Some(_)) if let Some(killer) = &self.killer => killer.clone(),
            (_, Some(signal)) => format!("killed by {}", signal_name(signal)),
            (Some(code), None) => format!("exit code {code}"),
            (None, None) => "exit status unknown".to_owned(),
        };
        Some(if self.last_stderr.is_empty() { failure } else { format!("{failure}: {}", self.last_stderr) })
    }
}

/// Spawns the process and sees it, and its tree, to the end.
pub(super) async fn run(plan: &Plan, attempt: &Attempt, result_path: &Path, streams: Streams, stops: &StopLine) -> Result<End, SpawnError> {
    let name = result_path.file_name().unwrap_or_default().to_string_lossy();
    let cgroup = Cgroup::make(&name, &attempt.run.job.process.limits).map_err(|source| SpawnError::Cgroup { source })?.map(Arc::new);
    let turn = STARTS.acquire().await;
    // What has ended meanwhile is seen first: else those that wait for their turn would be started back to back.
    tokio::task::yield_now().await;
    let spawned = spawn::spawn(plan, streams.stdin.is_some(), cgroup.as_deref());
    drop(turn);
    let too_little = |error| limits::starved(error, &attempt.run.job.process.limits, cgroup.as_deref());
    let Spawned { leader, stdout, stderr, stdin, handshake } = spawned.map_err(too_little)?;
    let _on_file = leaders::enter(leader.pid());
    if let Some(handshake) = handshake {
        // Without a program to stop there is only the shim to be killed, which being dropped does.
        tokio::select! {
            ready = handshake.finish(plan) => ready.map_err(too_little)?,
            () = stops.kill.cancelled() => return Err(SpawnError::Unready { program: plan.program.clone() }),
        }
    }
    let feeding = streams.stdin.zip(stdin).map(|(lines, stdin)| AbortOnDropHandle::new(tokio::spawn(feed::feed(lines, stdin))));
    let tree = Tree::new(leader.pid(), result_path, cgroup.clone());
    let mut watch = Watch {
        attempt,
        leader,
        stdout,
        stderr,
        feeding,
        taker: streams.stdout,
        tree,
        cgroup,
        output: Output::new(attempt, &plan.secrets, result_path.parent().unwrap_or(result_path)),
        drain: None,
        stopped: false,
        notes: Vec::new(),
        fed: true,
    };
    watch.until_quiet(stops).await;
    let reaped = watch.settle().await;
    Ok(watch.end(reaped))
}

/// A live process.
struct Watch<'a> {
    attempt: &'a Attempt,
    leader: Leader,
    stdout: Source,
    stderr: Source,
    feeding: Option<AbortOnDropHandle<Result<(), FeedError>>>,
    /// Takes what comes on stdout instead of the log.
    taker: Option<mpsc::Sender<Vec<u8>>>,
    tree: Tree,
    cgroup: Option<Arc<Cgroup>>,
    output: Output,
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

impl Watch<'_> {
    /// Reads, feeds and stops until the process has exited and nothing more is to be read.
    async fn until_quiet(&mut self, stops: &StopLine) {
        let (mut asked, mut killed) = (false, false);
        while self.drain.is_none() || self.stdout.is_open() || self.stderr.is_open() {
            // Not biased: a process that never stops printing must not keep the stops from being seen.
            tokio::select! {
                turn = heard(&self.stdout, self.taker.as_ref()), if self.stdout.is_open() => {
                    let output = &mut self.output;
                    match turn {
                        Turn::Log => self.stdout.read(|bytes| output.accept(Stream::Stdout, bytes)),
                        Turn::Take(turn) => self.stdout.read(|bytes| drop(turn.send(bytes.to_vec()))),
                        Turn::Gone => self.stdout.close(),
                    }
                    self.drain.iter_mut().for_each(Drain::heard);
                }
                () = self.stderr.readable(), if self.stderr.is_open() => {
                    self.stderr.read(|bytes| self.output.accept(Stream::Stderr, bytes));
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
        let (tree, signal) = (self.tree.clone(), self.attempt.run.job.policies.stop.signal);
        self.leader.signal(signal);
        in_background(move || tree.signal_outside_group(signal)).await;
    }

    /// Kills the whole tree, wherever its processes have moved to; tells who was there.
    async fn kill(&mut self) -> Vec<Killed> {
        self.stopped = true;
        let tree = self.tree.clone();
        in_background(move || tree.kill()).await.unwrap_or_default()
    }

    /// Reaps the process, and ends what is left of its tree.
    async fn settle(&mut self) -> io::Result<Reaped> {
        // Before it is reaped: until then its number is its own, and its session's.
        let is_held = self.stdout.is_open() || self.stderr.is_open();
        if is_held {
            let left = self.see_off().await;
            self.notes.push(held_by(left.first(), self.leaves()));
        } else if self.stopped {
            self.kill().await;
        }
        let reaped = self.leader.reap();
        if !(is_held && self.leaves()) && self.tree.is_left() {
            self.see_off().await;
        }
        reaped
    }

    /// Tells how it ended.
    fn end(mut self, reaped: io::Result<Reaped>) -> End {
        let (exit_code, signal, usage) = match reaped {
            Ok(reaped) => (reaped.status.code(), reaped.status.signal(), Some(usage(&reaped, self.cgroup.as_deref()))),
            Err(error) => {
                self.notes.push(format!("cannot get the exit status: {error}"));
                (None, None, None)
            }
        };
        let limited = limits::reached(self.cgroup.as_deref(), &self.attempt.run.job.process.limits, signal);
        self.notes.extend(limited.notes);
        let collected = self.output.finish();
        End {
            exit_code,
            signal,
            killer: limited.killer,
            last_stdout: collected.last_stdout,
            last_stderr: collected.last_stderr,
            notes: self.notes,
            fed: self.fed,
            cut: self.stdout.is_open(),
            output: collected.captured,
            usage,
        }
    }

    /// Whether what outlives the process stays alive. Stopped means stopped, whatever the job says.
    fn leaves(&self) -> bool {
        self.attempt.run.job.policies.stop.leftovers == Leftovers::Leave && !self.stopped
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

/// The kernel counts the memory of the daemon, which the child shared until it had its program, as the child's own: a figure
/// that is no higher says nothing.
fn usage(reaped: &Reaped, cgroup: Option<&Cgroup>) -> Usage {
    let peak = cgroup.and_then(Cgroup::memory_peak);
    Usage {
        cpu: cgroup.and_then(Cgroup::cpu).unwrap_or(reaped.cpu),
        max_rss: peak.or_else(|| Some(reaped.max_rss).filter(|max_rss| exceeds_ours(*max_rss))),
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

/// Whether a process held more memory than the daemon ever did, and a little, since the kernel does not count to the page.
fn exceeds_ours(max_rss: u64) -> bool {
    const IMPRECISION: u64 = 1 << 20;
    /// As it was read last; it never falls.
    static PEAK: AtomicU64 = AtomicU64::new(0);
    if max_rss <= PEAK.load(Ordering::Relaxed) + IMPRECISION {
        return false;
    }
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    let Some(peak) = peak.map(|kib| kib * 1024) else { return false };
    PEAK.fetch_max(peak, Ordering::Relaxed);
    max_rss > peak + IMPRECISION
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

/// `SIGTERM` and the like; realtime signals by number.
fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned())
}
