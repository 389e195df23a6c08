//! The one reader of the clock, and the alarm that wakes the loop at an instant of the wall clock.

use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use jiff::Timestamp;
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
        let farthest = Timestamp::now() + FARTHEST;
        let at = at.map_or(farthest, |at| at.min(farthest));
        if self.set_to == Some(at) {
            return Ok(());
        }
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
