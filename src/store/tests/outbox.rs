//! What waits to be delivered, from the record that it tells of to its end.

use super::*;
use crate::engine::{Kind, Notice, Posted, Tell};
use crate::store::outbox::{MAX_WAITING, MAX_WAITING_PINGS};

pub(super) fn tell(kind: Kind, to: &[&str], about: &str, run: Option<i64>) -> Tell {
    let notice = Notice { event: kind, job: "sync".to_owned(), ..Notice::test("sync", at(70)) };
    Tell { to: to.iter().map(|name| Arc::from(*name)).collect(), about: about.to_owned(), run: run.map(RunKey), notice }
}

fn told(kind: Kind, to: &[&str], about: &str) -> Record {
    Record::Told(Box::new(tell(kind, to, about, None)))
}

/// The letters that wait in a lane: key, attempts, whether unsure, the first of those that went together, failed targets.
fn waiting(opened: &Opened, lane: &str) -> String {
    let letters = opened.reader().letters(lane, 10).expect("reads");
    let lead = |lead: Option<i64>| lead.map_or("alone".to_owned(), |lead| format!("with {lead}"));
    let letter = letters.iter().map(|letter| {
        let failed: Vec<&str> = letter.notice.failed_targets.iter().filter_map(|failed| failed.target.as_deref()).collect();
        let unsure = if letter.unsure { "unsure" } else { "sure" };
        format!("{} {} {unsure} {} {}", letter.key, letter.attempts, lead(letter.lead), failed.join(",")).trim_end().to_owned()
    });
    letter.collect::<Vec<_>>().join("; ")
}

#[test]
fn the_same_is_told_once_to_each_channel() {
    let mut opened = Opened::with(&[watermark("sync"), told(Kind::Late, &["a", "b"], "1"), told(Kind::Late, &["a", "c"], "1")]);
    opened.append(&[told(Kind::Missed, &["a"], "1"), told(Kind::Late, &["a"], "2")]).expect("is recorded");
    let lanes: Vec<_> = opened.reader().lanes().expect("reads").into_iter().map(|lane| lane.name).collect();
    assert_eq!((lanes.join(" "), waiting(&opened, "a")), ("a b c".to_owned(), "1 0 sure alone; 4 0 sure alone; 5 0 sure alone".to_owned()));
}

#[test]
fn a_failure_names_the_targets_that_failed() {
    let Record::Finished(mut summary) = finished(1, RunOutcome::Failed) else { panic!("an end") };
    summary.tells = vec![tell(Kind::Failure, &["a"], "1", Some(1)), tell(Kind::Fail, &[], "1", Some(1))];
    summary.standing = Some(Standing { failures: 3, heard: at(5) });
    let ends = [ended(1, 0, Outcome::Failed), ended(1, 1, Outcome::Succeeded), ended(1, 2, Outcome::TimedOut)];
    let before = [watermark("sync"), fired(1, "sync", 60, range(3)), claimed(1, 3)];
    let mut opened = Opened::with(&before.into_iter().chain(ends).chain([Record::Finished(summary)]).collect::<Vec<_>>());
    assert_eq!(waiting(&opened, "a"), "1 0 sure alone 10,12");
    assert_eq!(opened.reader().letters("ping:sync", 1).expect("reads")[0].notice.output, "sum\n");
    let job = opened.store.recover().expect("reads back").jobs.pop().expect("one job");
    assert_eq!(job.standing, Some(Standing { failures: 3, heard: at(5) }));
}

#[test]
fn a_delivery_is_followed_to_its_end() {
    let mut opened =
        Opened::with(&[watermark("sync"), told(Kind::Late, &["a"], "1"), told(Kind::Late, &["a"], "2"), told(Kind::Start, &[], "1")]);
    let mut check = |posted: Posted, expected: &str| {
        opened.append(&[Record::Posted(posted)]).expect("is recorded");
        assert_eq!(waiting(&opened, "a"), expected);
    };
    let trying = || Posted::Trying { letters: vec![1, 2] };
    let deferred = |unsure| Posted::Deferred { letters: vec![1, 2], next: at(80), error: "no".to_owned(), unsure };
    check(trying(), "1 1 unsure with 1; 2 1 unsure with 1");
    check(deferred(false), "1 1 sure with 1; 2 1 sure with 1");
    check(deferred(true), "1 1 unsure with 1; 2 1 unsure with 1");
    check(trying(), "1 2 unsure with 1; 2 2 unsure with 1");
    check(Posted::Delivered { letters: vec![1], at: at(81) }, "2 2 unsure with 1");
    check(Posted::GivenUp { letters: vec![2], at: at(82), error: "gone".to_owned() }, "");
    check(Posted::Delivered { letters: vec![3], at: at(83) }, "");
    let channels = opened.reader().channels().expect("reads");
    let shown: Vec<_> =
        channels.iter().map(|view| (view.channel.as_str(), view.waiting, view.given_up, view.given_up_error.as_deref())).collect();
    assert_eq!(shown, [("a", 0, 1, Some("gone"))]);
    let rows = |sql: &str| {
        rusqlite::Connection::open(opened.dir.path().join(DATABASE_FILE)).expect("opens").query_row(sql, [], |row| row.get::<_, i64>(0))
    };
    assert_eq!(rows("SELECT count(*) FROM outbox").expect("counts"), 2, "a ping that was delivered is gone");
}

#[test]
fn no_lane_grows_without_end() {
    let flood =
        |kind: Kind, to: &[&str], count: u32| -> Vec<Record> { (0..count).map(|about| told(kind, to, &about.to_string())).collect() };
    let mut opened = Opened::with(&flood(Kind::Late, &["a"], MAX_WAITING + 5));
    opened.append(&flood(Kind::Start, &[], MAX_WAITING_PINGS + 3)).expect("is recorded");
    let channels = opened.reader().channels().expect("reads");
    let shown: Vec<_> = channels.iter().map(|view| (view.channel.as_str(), view.waiting, view.given_up)).collect();
    assert_eq!(shown, [("a", MAX_WAITING, 5), ("ping", MAX_WAITING_PINGS, 3)]);
}
