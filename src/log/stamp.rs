//! The time at the head of a line, in the daemon's zone: `2026-11-23 20:36:12.345+09:00`.
//!
//! This is the log's own view of the wall clock: it stamps lines and paces the writer, and no decision of the daemon depends
//! on it. Date, time and offset are worked out once a second and kept.

use std::fmt::Write as _;
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// The wall clock, for stamping lines.
pub(super) fn wall_now() -> Timestamp {
    Timestamp::now()
}

/// The monotonic clock, for pacing rotations and checks.
pub(super) fn monotonic_now() -> Instant {
    Instant::now()
}

/// The last second written, ready to be copied.
#[derive(Clone, Debug, Default)]
pub(super) struct Stamp {
    second: Option<i64>,
    date_time: String,
    offset: String,
}

impl Stamp {
    /// Appends `at`; `zone` is asked only when the second is another than the last, so that a changed zone shows from the
    /// next second on. `separator` stands between date and time: a space, or `T` in JSON.
    pub(super) fn push(&mut self, out: &mut String, at: Timestamp, separator: char, zone: impl FnOnce() -> TimeZone) {
        if self.second != Some(at.as_second()) {
            self.renew(at, zone());
        }
        let (date, time) = self.date_time.split_at(self.date_time.len() - TIME_LENGTH);
        out.push_str(date);
        out.push(separator);
        out.push_str(time);
        let millisecond = at.subsec_millisecond();
        out.push('.');
        for place in [100, 10, 1] {
            out.push(char::from(b'0' + u8::try_from(millisecond / place % 10).unwrap_or(0)));
        }
        out.push_str(&self.offset);
    }

    fn renew(&mut self, at: Timestamp, zone: TimeZone) {
        let local = at.to_zoned_datetime(zone);
        self.date_time.clear();
        self.offset.clear();
        let _ = write!(self.date_time, "{}", local.strftime("%Y-%m-%d%H:%M:%S"));
        let _ = write!(self.offset, "{}", local.strftime("%:z"));
        self.second = Some(at.as_second());
    }
}

/// The length of `20:36:12`.
const TIME_LENGTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(at: &str, zone: &str, expected: &str) {
        let mut out = String::new();
        let zone = TimeZone::get(zone).expect("the zone exists");
        Stamp::default().push(&mut out, at.parse().expect("an instant"), ' ', || zone);
        assert_eq!(out, expected);
    }

    #[test]
    fn shows_local_time_with_offset() {
        check("2026-11-23T11:36:12.345Z", "Asia/Tokyo", "2026-11-23 20:36:12.345+09:00");
        check("2026-11-23T11:36:12.0059Z", "UTC", "2026-11-23 11:36:12.005+00:00");
    }

    #[test]
    fn the_offset_tells_the_two_hours_of_a_fold_apart() {
        check("2026-10-25T00:30:00Z", "Europe/Berlin", "2026-10-25 02:30:00.000+02:00");
        check("2026-10-25T01:30:00Z", "Europe/Berlin", "2026-10-25 02:30:00.000+01:00");
    }

    #[test]
    fn the_zone_is_asked_once_a_second() {
        let (mut stamp, mut asked, mut out) = (Stamp::default(), 0, String::new());
        for at in ["2026-01-01T00:00:00.1Z", "2026-01-01T00:00:00.9Z", "2026-01-01T00:00:01Z"] {
            stamp.push(&mut out, at.parse().expect("an instant"), 'T', || {
                asked += 1;
                TimeZone::UTC
            });
        }
        assert_eq!(asked, 2);
        assert!(out.ends_with("2026-01-01T00:00:01.000+00:00"));
    }
}
