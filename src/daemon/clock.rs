//! The one reader of the clock, and the alarm that wakes the loop at an instant of the wall clock.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use nix::time::clock_gettime;
use tokio::io::unix::AsyncFd;

use crate::engine::Now;

/// Further ahead the alarm is not set; it then wakes once for nothing.
const FARTHEST: Duration = Duration::from_secs(400 * 24 * 3600);

/// The time now: the wall clock, and the monotonic clock since boot (suspended time left out, as timeouts want it).
pub fn now() -> Now {
    let monotonic = clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC).expect("Linux has CLOCK_MONOTONIC");
    Now { wall: Timestamp::now(), monotonic: Duration::from(monotonic) }
}

/// No clock that shows an earlier time is right: this program did not exist. A machine without a battery starts in 1970.
pub const EARLIEST: Timestamp = Timestamp::constant(1_735_689_600, 0);

/// Notices that the wall clock was set, by the clock that goes on through it and through a suspend.
#[derive(Clone, Copy, Debug)]
pub struct Steps {
    wall: Timestamp,
    boottime: Duration,
}

impl Steps {
    /// From now on.
    pub fn notice() -> Self {
        Self { wall: Timestamp::now(), boottime: boottime() }
    }

    /// The time that the wall clock would show, and the one that it shows, if it was set since the last call.
    pub fn noticed(&mut self) -> Option<(Timestamp, Timestamp)> {
        let before = std::mem::replace(self, Self::notice());
        step(before, *self)
    }
}

/// A slewed clock is not a set one: NTP corrects by at most 0.05 %.
fn step(before: Steps, now: Steps) -> Option<(Timestamp, Timestamp)> {
    let passed = now.boottime.saturating_sub(before.boottime);
    let expected = before.wall.checked_add(passed).ok()?;
    let tolerated = SignedDuration::try_from(passed / 1_000).ok()?.max(SignedDuration::from_secs(1));
    (now.wall.duration_since(expected).abs() >= tolerated).then_some((expected, now.wall))
}

fn boottime() -> Duration {
    Duration::from(clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).expect("Linux has CLOCK_BOOTTIME"))
}

/// Why the alarm rang.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// The instant has come, by the clock or by a resume from suspend.
    Due,
    /// The wall clock was set.
    ClockSet,
}

/// Rings at an instant of the wall clock, and at once when the clock is set: a timerfd on `CLOCK_REALTIME`, absolute, with
/// `TFD_TIMER_CANCEL_ON_SET` (`timerfd_create(2)`). While it waits it uses no CPU.
#[derive(Debug)]
pub struct Alarm {
    timer: AsyncFd<Timer>,
    set_to: Option<Timestamp>,
}

impl Alarm {
    pub fn new() -> io::Result<Self> {
        let timer = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC)?;
        #[expect(deprecated, reason = "its successor is unsafe only because AsRawFd may lie, and `Timer` owns its descriptor")]
        let mut alarm = Self { timer: AsyncFd::new(Timer(timer))?, set_to: None };
        alarm.set(None)?;
        Ok(alarm)
    }

    /// Rings at `at` from now on; with `None`, only when the clock is set.
    pub fn set(&mut self, at: Option<Timestamp>) -> io::Result<()> {
        let now = Timestamp::now();
        let at = at.filter(|at| *at < now + FARTHEST);
        // Without an instant in sight, one that is set far ahead stays: else each event would cost a system call.
        if at.map_or_else(|| self.set_to > Some(now + FARTHEST / 2), |at| self.set_to == Some(at)) {
            return Ok(());
        }
        let at = at.unwrap_or(now + FARTHEST);
        // An instant in the past must ring at once; zero would disarm the timer.
        let at_least = Duration::try_from(at.as_duration()).unwrap_or_default().max(Duration::from_nanos(1));
        let expiration = Expiration::OneShot(TimeSpec::from(at_least));
        let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
        self.timer.get_ref().0.set(expiration, flags)?;
        self.set_to = Some(at);
        Ok(())
    }

    /// Waits until it rings; then it must be set again.
    pub async fn ring(&mut self) -> io::Result<Ring> {
        loop {
            let mut guard = self.timer.readable().await?;
            match guard.get_inner().0.wait() {
                Ok(()) => {
                    self.set_to = None;
                    return Ok(Ring::Due);
                }
                Err(Errno::ECANCELED) => {
                    self.set_to = None;
                    return Ok(Ring::ClockSet);
                }
                Err(Errno::EAGAIN) => guard.clear_ready(),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Lends the descriptor to tokio.
#[derive(Debug)]
struct Timer(TimerFd);

impl AsRawFd for Timer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_is_noticed_and_a_slewed_one_is_not() {
        let check = |passed_ms: u64, wall_ms: i64, expected: Option<i64>| {
            let before = Steps { wall: EARLIEST, boottime: Duration::from_secs(50) };
            let now = Steps {
                wall: EARLIEST + SignedDuration::from_millis(wall_ms),
                boottime: before.boottime + Duration::from_millis(passed_ms),
            };
            let by = step(before, now).map(|(expected, now)| now.duration_since(expected).as_secs());
            assert_eq!(by, expected, "{passed_ms} ms passed, the clock went on by {wall_ms} ms");
        };
        check(0, 0, None);
        check(5_000, 5_999, None);
        check(5_000, 6_000, Some(1));
        check(5_000, -3_595_000, Some(-3_600));
        check(86_400_000, 86_443_200, None);
        check(86_400_000, 86_500_000, Some(100));
    }

    #[tokio::test]
    async fn rings_at_the_instant_and_not_before() {
        let mut alarm = Alarm::new().expect("timerfd");
        let at = now().wall + Duration::from_millis(30);
        alarm.set(Some(at)).expect("set");
        assert_eq!(alarm.ring().await.expect("ring"), Ring::Due);
        assert!(now().wall >= at);
    }

    #[tokio::test]
    async fn an_instant_in_the_past_rings_at_once() {
        let mut alarm = Alarm::new().expect("timerfd");
        for past in [Timestamp::UNIX_EPOCH, Timestamp::MIN, now().wall - Duration::from_secs(1)] {
            alarm.set(Some(past)).expect("set");
            assert_eq!(alarm.ring().await.expect("ring"), Ring::Due);
        }
    }
}
