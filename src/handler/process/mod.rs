//! One process and its tree, from spawn to gone.
//!
//! An attempt ends when its process has exited and its pipes have run dry, or kept quiet for a second, at the latest
//! five seconds after the exit: a child that holds a pipe open cannot hold up a run. What is left of the tree is then killed.

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
mod source;
mod spawn;
pub(super) mod tree;
#[expect(unsafe_code, reason = "system calls that no safe crate has")]
mod vfork;
mod watch;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::command::Plan;
use super::{Attempt, StopLine};
use crate::engine::{CapturedOutput, Usage};
use cgroup::Cgroup;
use feed::ResultLines;
use output::Output;
pub(super) use spawn::SpawnError;
use spawn::Spawned;
use tree::Tree;
use vfork::Reaped;
use watch::{Seen, Watch};

/// So many programs are being started at once; a start takes one of the runtime's threads for as long. Ten thousand that fall
/// due together would else all be started before the end of the first is seen, and every start copies the table of all the
/// descriptors that the others hold.
static STARTS: Semaphore = Semaphore::const_new(4);

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
            () = stops.kill() => return Err(SpawnError::Unready { program: plan.program.clone() }),
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
        seen: Seen::default(),
    };
    let watched = watch.until_quiet(stops).await;
    watched.map_err(|source| SpawnError::Watch { program: plan.program.clone(), source })?;
    let reaped = watch.settle().await;
    Ok(watch.end(reaped))
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

/// `SIGTERM` and the like; realtime signals by number.
fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal).map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned())
}
