//! What systemd is told: ready, reloading, stopping, a line of status, and that the loop is alive. See `sd_notify(3)`.
//!
//! The watchdog is fed by the loop itself, at the end of a turn in which nothing that was due was left undone: a loop that stands
//! still, or turns without getting on, is killed and started again. Without `NOTIFY_SOCKET` nothing is sent, and nothing wakes up.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use sd_notify::NotifyState;
use tracing::warn;

use super::narrate::plural;
use super::status::Facts;
use crate::engine::{Engine, Now, Wakeup};
use crate::store::Health;

/// The line of status is looked at so often, while things happen.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// While the daemon leaves, systemd is asked every `EXTEND_EVERY` to wait for `EXTEND_BY` more; so a drain may be longer than
/// `TimeoutStopSec`, and a daemon that hangs is still killed.
const EXTEND_EVERY: Duration = Duration::from_secs(2);
const EXTEND_BY: Duration = Duration::from_secs(15);

/// Recovery may have to migrate a large database, in one step.
const OPENING: Duration = Duration::from_secs(600);

/// A loop that leaves undone for so long what is due does not get on.
const STUCK: SignedDuration = SignedDuration::from_secs(10);

/// See the module's documentation. Times are of the monotonic clock.
#[derive(Debug)]
pub(super) struct Systemd {
    listens: bool,
    /// Half of what systemd allows; `None`: no watchdog.
    beat_every: Option<Duration>,
    beat_at: Duration,
    status: String,
    status_at: Duration,
    /// Something has happened since the line of status was made.
    changed: bool,
    extend_at: Option<Duration>,
    /// The last message could not be sent.
    failed: bool,
}

impl Systemd {
    /// As the environment says: `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub(super) fn find() -> Self {
        let listens = std::env::var_os("NOTIFY_SOCKET").is_some();
        Self::new(listens, sd_notify::watchdog_enabled().filter(|_| listens))
    }

    fn new(listens: bool, watchdog: Option<Duration>) -> Self {
        Self {
            listens,
            beat_every: watchdog.map(|timeout| timeout / 2),
            beat_at: Duration::ZERO,
            status: String::new(),
            status_at: Duration::ZERO,
            changed: false,
            extend_at: None,
            failed: false,
        }
    }

    /// The records are about to be read.
    pub(super) fn opening(&mut self) {
        self.send(&[NotifyState::Status("reading the records"), extension(OPENING)]);
    }

    /// The daemon is up, but waits for the clock to be set.
    pub(super) fn waiting_for_the_clock(&mut self) {
        self.send(&[NotifyState::Ready, NotifyState::Status("waiting for the clock to be set")]);
    }

    pub(super) fn ready(&mut self) {
        self.changed = true;
        self.send(&[NotifyState::Ready]);
    }

    pub(super) fn reloading(&mut self) {
        if let Ok(monotonic) = NotifyState::monotonic_usec_now() {
            self.send(&[NotifyState::Reloading, monotonic]);
        }
    }

    pub(super) fn stopping(&mut self, now: Now) {
        self.extend_at = Some(now.monotonic + EXTEND_EVERY);
        self.send(&[NotifyState::Stopping, extension(EXTEND_BY)]);
    }

    /// When the loop has to turn at the latest: as the engine wants it, or to tell systemd something.
    pub(super) fn wakeup(&self, engine: Wakeup) -> Wakeup {
        if !self.listens {
            return engine;
        }
        let beat = self.beat_every.map(|_| self.beat_at);
        let status = self.changed.then_some(self.status_at);
        Wakeup { monotonic: [engine.monotonic, beat, status, self.extend_at].into_iter().flatten().min(), ..engine }
    }

    /// A turn of the loop has ended; `wakeup` is what the engine wants next, `events` how many it took.
    pub(super) fn turned(&mut self, now: Now, wakeup: Wakeup, events: usize, status: impl FnOnce() -> String) {
        if !self.listens {
            return;
        }
        self.changed |= events > 0;
        if let Some(every) = self.beat_every
            && now.monotonic >= self.beat_at
            && gets_on(now, wakeup)
        {
            self.beat_at = now.monotonic + every;
            self.send(&[NotifyState::Watchdog]);
        }
        if self.changed && now.monotonic >= self.status_at {
            self.changed = false;
            self.status_at = now.monotonic + STATUS_EVERY;
            let status = status();
            if status != self.status {
                self.send(&[NotifyState::Status(&status)]);
                self.status = status;
            }
        }
        if self.extend_at.is_some_and(|at| now.monotonic >= at) {
            self.extend_at = Some(now.monotonic + EXTEND_EVERY);
            self.send(&[extension(EXTEND_BY)]);
        }
    }

    fn send(&mut self, states: &[NotifyState<'_>]) {
        let sent = if self.listens { sd_notify::notify(states) } else { Ok(()) };
        if let Err(error) = &sent
            && !self.failed
        {
            warn!("cannot notify systemd: {error}");
        }
        self.failed = sent.is_err();
    }
}

/// Whether nothing is left undone that was due long ago, on either clock.
fn gets_on(now: Now, wakeup: Wakeup) -> bool {
    let on_time = wakeup.wall.is_none_or(|due| now.wall.duration_since(due) < STUCK);
    on_time && wakeup.monotonic.is_none_or(|due| now.monotonic.saturating_sub(due) < STUCK.unsigned_abs())
}

fn extension(by: Duration) -> NotifyState<'static> {
    NotifyState::ExtendTimeoutUsec(u32::try_from(by.as_micros()).unwrap_or(u32::MAX))
}

/// The line of `systemctl status`: what is wrong first, then what runs and what comes next.
pub(super) fn status(facts: &Facts, engine: &Engine, zone: &TimeZone, now: Timestamp) -> String {
    let running = engine.live_runs();
    let doing = if facts.leaving > 0 {
        format!("draining, {}", plural(running as u64, "live run"))
    } else {
        let next = engine.next_fire().map(|(at, job)| format!(", next {job} {}", clock_time(at, zone, now)));
        format!("{running} running{}", next.unwrap_or_default())
    };
    let store = match &facts.health {
        Health::Good => None,
        Health::Degraded { reason, .. } | Health::Failed { reason } => Some(format!("nothing new is started: {reason}; ")),
    };
    let problems = facts.reload_problems.len() as u64;
    let refused = (problems > 0).then(|| format!("the last reload was refused, {}; ", plural(problems, "problem")));
    [store, refused].into_iter().flatten().chain([doing]).collect()
}

/// `02:30` within a day, with the date beyond; seconds only where there are some.
fn clock_time(at: Timestamp, zone: &TimeZone, now: Timestamp) -> String {
    let format = match (at.duration_since(now) < SignedDuration::from_hours(24), at.as_second() % 60 == 0) {
        (true, true) => "%H:%M",
        (true, false) => "%H:%M:%S",
        (false, true) => "%F %H:%M",
        (false, false) => "%F %H:%M:%S",
    };
    zone.to_datetime(at).strftime(format).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Now = Now { wall: Timestamp::UNIX_EPOCH, monotonic: Duration::from_secs(100) };

    #[test]
    fn a_loop_that_leaves_undone_what_is_due_does_not_get_on() {
        let check = |wall: Option<i64>, monotonic: Option<u64>, expected: bool| {
            let wakeup = Wakeup {
                wall: wall.map(|seconds| NOW.wall + SignedDuration::from_secs(seconds)),
                monotonic: monotonic.map(Duration::from_secs),
            };
            assert_eq!(gets_on(NOW, wakeup), expected, "{wakeup:?}");
        };
        check(None, None, true);
        check(Some(60), Some(160), true);
        check(Some(-9), None, true);
        check(Some(-10), None, false);
        check(None, Some(91), true);
        check(None, Some(90), false);
    }

    #[test]
    fn the_watchdog_and_a_changed_status_wake_the_loop_and_nothing_does_without_systemd() {
        let engine = Wakeup { wall: None, monotonic: Some(Duration::from_secs(500)) };
        let mut silent = Systemd::new(false, None);
        silent.turned(NOW, engine, 1, || unreachable!("nobody listens"));
        assert_eq!(silent.wakeup(engine), engine);
        let mut watched = Systemd::new(true, Some(Duration::from_secs(30)));
        watched.beat_at = Duration::from_secs(115);
        assert_eq!(watched.wakeup(engine).monotonic, Some(Duration::from_secs(115)));
        watched.status_at = Duration::from_secs(101);
        watched.turned(NOW, engine, 1, || unreachable!("it is too early"));
        assert_eq!(watched.wakeup(engine).monotonic, Some(Duration::from_secs(101)), "for the status");
    }

    #[test]
    fn times_are_as_short_as_they_can_be() {
        let check = |seconds: i64, expected: &str| {
            assert_eq!(clock_time(NOW.wall + SignedDuration::from_secs(seconds), &TimeZone::UTC, NOW.wall), expected);
        };
        check(9_000, "02:30");
        check(9_001, "02:30:01");
        check(86_400 + 9_000, "1970-01-02 02:30");
    }
}
