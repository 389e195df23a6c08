//! How a job goes about its runs: what no run has to say again, and most jobs have in common.

use std::time::Duration;

use super::Expect;

/// The policies of a job.
#[derive(Clone, Debug, PartialEq)]
pub struct Policies {
    /// Partials of one run in flight at once; at least 1, 8 unless configured.
    pub concurrency: usize,
    /// Targets that one process works on; 1 unless configured.
    pub chunk: u32,
    /// So many targets go first, and the rest only when all of them have succeeded; 0 unless configured.
    pub canary: u32,
    /// How fast attempts of one run may start.
    pub rate: Option<Rate>,
    /// How long one attempt of a partial may take.
    pub partial_timeout: Option<Duration>,
    /// How long the whole run may take, gather included.
    pub timeout: Option<Duration>,
    pub retry: Retry,
    pub max_failures: MaxFailures,
    pub overlap: Overlap,
    pub catch_up: CatchUp,
    pub on_interrupted: Interrupted,
    pub stop: StopPolicy,
    pub expect: Expect,
    /// Bytes of output kept per partial; 1 MiB unless configured.
    pub output_max_size: u64,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            concurrency: 8,
            chunk: 1,
            canary: 0,
            rate: None,
            partial_timeout: None,
            timeout: None,
            retry: Retry::default(),
            max_failures: MaxFailures::default(),
            overlap: Overlap::default(),
            catch_up: CatchUp::default(),
            on_interrupted: Interrupted::default(),
            stop: StopPolicy::default(),
            expect: Expect::default(),
            output_max_size: 1 << 20,
        }
    }
}

/// Attempts of one partial.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Counts the first; at least 1, which is the default.
    pub attempts: u32,
    /// Before the second attempt; 5 s unless configured.
    pub delay: Duration,
    /// By which the delay grows with each attempt; 2.0 unless configured.
    pub factor: f64,
    /// 5 min unless configured, and never less than `delay`.
    pub max_delay: Duration,
    /// 0.0 … 1.0: the share of the delay that is drawn from a hash; 0.2 unless configured.
    pub jitter: f64,
    /// Exit codes that are retried; empty for all failures.
    pub on_exit: Vec<i32>,
}

impl Default for Retry {
    fn default() -> Self {
        let (delay, max_delay) = (Duration::from_secs(5), Duration::from_secs(300));
        Self { attempts: 1, delay, factor: 2.0, max_delay, jitter: 0.2, on_exit: Vec::new() }
    }
}

/// So many starts in so much time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At least 1.
    pub starts: u32,
    /// A second, a minute or an hour.
    pub per: Duration,
}

/// How many partials may fail before the rest is cancelled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxFailures {
    Count(u32),
    /// Of all partials, 0–100.
    Percent(u8),
    /// Try all; the run has failed when any failed.
    #[default]
    Any,
}

/// What a fire does while a run of the same job is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    #[default]
    Skip,
    /// Wait; at most `max` runs wait.
    Queue {
        max: usize,
    },
    Replace,
    Allow,
}

/// What happens with fires found late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CatchUp {
    pub policy: CatchUpPolicy,
    /// Fires older than this are missed; 24 h unless configured.
    pub window: Duration,
    /// At most this many runs are caught up; the oldest beyond are missed.
    pub max: usize,
}

impl Default for CatchUp {
    fn default() -> Self {
        Self { policy: CatchUpPolicy::default(), window: Duration::from_secs(86_400), max: 100 }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CatchUpPolicy {
    None,
    #[default]
    Latest,
    All,
}

/// What happens with a run that a crash of the daemon interrupted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Interrupted {
    /// Only partials without a recorded success run again.
    #[default]
    Resume,
    Fail,
    /// All partials run again.
    Rerun,
}

/// What happens to processes that outlive the one that was started, when that ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leftovers {
    #[default]
    Kill,
    Leave,
}

/// How attempts are stopped: the signal to the whole tree, then SIGKILL after the grace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StopPolicy {
    /// A signal number, SIGTERM unless configured.
    pub signal: i32,
    /// 10 s unless configured.
    pub grace: Duration,
    pub leftovers: Leftovers,
}

impl Default for StopPolicy {
    fn default() -> Self {
        Self { signal: nix::sys::signal::Signal::SIGTERM as i32, grace: Duration::from_secs(10), leftovers: Leftovers::default() }
    }
}
