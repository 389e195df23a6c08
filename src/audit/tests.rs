//! What an audit says about records that are right, and about each way in which they can be wrong.

use jiff::SignedDuration;

use super::*;
use crate::schedule::{Dst, Schedule, Zone};

/// Minutes after a midnight.
fn at(minutes: i64) -> Timestamp {
    Timestamp::from_second(1_800_057_600).expect("in range") + SignedDuration::from_mins(minutes)
}

/// Every ten minutes.
fn accounting(number: i64, since: i64, upto: i64) -> Accounting {
    let schedules = vec![Schedule::parse("*/10 * * * *").expect("is valid")];
    let timetable = Timetable { schedules, zone: Zone::utc(), dst: Dst::default(), except: None };
    let (since, upto) = (at(since), at(upto));
    Accounting { number, since, upto, open: false, beginning: Beginning::New, timetable }
}

fn decided(accounting: i64, first: i64, last: i64, count: u64, decision: Decision) -> Decided {
    Decided { accounting, first: at(first), last: at(last), count, decision }
}

fn ran(minutes: i64) -> Decided {
    decided(1, minutes, minutes, 1, Decision::Ran)
}

/// The problems and notes in words, minutes for times; `adds up` for none.
#[track_caller]
fn check(accountings: &[Accounting], decisions: &[Decided], since: i64, expected: &str) {
    let audit = audit(accountings, decisions, at(since), at(60));
    let minutes = |time: &Timestamp| time.duration_since(at(0)).as_mins();
    let problem = |problem: &Problem| match problem {
        Problem::Hole { nominal } => format!("hole {}", minutes(nominal)),
        Problem::Double { nominal, decision } => format!("double {} {decision}", minutes(nominal)),
        Problem::Stray { first, last, decision } => format!("stray {}..{} {decision}", minutes(first), minutes(last)),
        Problem::Miscounted { first, last, count, named, .. } => {
            format!("{}..{} says {count}, are {named}", minutes(first), minutes(last))
        }
    };
    let note = |note: &Note| match note {
        Note::Dropped { after, upto, count } => format!("dropped {count} in {}..{}", minutes(after), minutes(upto)),
        Note::Repeated { since } => format!("repeated from {}", minutes(since)),
    };
    let mut words: Vec<String> = audit.problems.iter().map(problem).chain(audit.notes.iter().map(note)).collect();
    if words.is_empty() {
        words.push("adds up".to_owned());
    }
    assert_eq!(words.join(", "), expected);
    assert_eq!(audit.found, audit.problems.len() as u64);
}

#[test]
fn what_adds_up() {
    check(&[], &[], 0, "adds up");
    check(&[accounting(1, 0, 30)], &[ran(10), ran(20), ran(30)], 0, "adds up");
    check(&[accounting(1, 5, 30)], &[decided(1, 10, 20, 2, Decision::Missed), ran(30)], 0, "adds up");
    // What lies before the stretch is left out, also where a decision reaches into it.
    check(&[accounting(1, 0, 30)], &[decided(1, 10, 20, 2, Decision::Missed), ran(30)], 15, "adds up");
}

#[test]
fn what_does_not() {
    let one = [accounting(1, 0, 30)];
    check(&one, &[ran(10), ran(30)], 0, "hole 20");
    check(&one, &[ran(20), ran(30)], 0, "hole 10");
    check(&one, &[ran(10)], 0, "hole 20, hole 30");
    check(&one, &[ran(10), ran(20), ran(20), ran(30)], 0, "double 20 ran");
    check(&one, &[ran(10), ran(20), decided(1, 20, 30, 2, Decision::Missed)], 0, "double 20 missed");
    check(&one, &[ran(10), ran(15), ran(20), ran(30)], 0, "stray 15..15 ran");
    check(&one, &[decided(1, 10, 30, 4, Decision::Coalesced)], 0, "10..30 says 4, are 3");
    check(&one, &[ran(10), ran(20), ran(30), ran(40)], 0, "stray 40..40 ran");
}

#[test]
fn several_accountings_are_apart() {
    let changed = Accounting { beginning: Beginning::Changed, ..accounting(2, 25, 40) };
    let two = |decision| decided(2, 30, 40, 2, decision);
    check(&[accounting(1, 0, 20), changed.clone()], &[ran(10), ran(20), two(Decision::Ran)], 0, "adds up");
    // 20 was never decided, and the new definition begins after it.
    check(&[accounting(1, 0, 10), changed.clone()], &[ran(10), two(Decision::Ran)], 0, "dropped 1 in 10..25");
    // A decision of another accounting does not help.
    check(
        &[accounting(1, 0, 20), changed],
        &[ran(10), ran(20), ran(30), decided(2, 40, 40, 1, Decision::Ran)],
        0,
        "stray 30..30 ran, hole 30",
    );
    let again = Accounting { beginning: Beginning::ClockSet, ..accounting(2, 5, 20) };
    let decisions = [ran(10), ran(20), decided(2, 10, 20, 2, Decision::Missed)];
    check(&[accounting(1, 0, 20), again], &decisions, 0, "repeated from 5");
}

#[test]
fn what_has_come_and_is_not_decided_is_pending() {
    let open = Accounting { open: true, ..accounting(1, 0, 20) };
    let audit = audit(&[open], &[ran(10), ran(20)], at(0), at(60));
    assert_eq!((audit.expected, audit.pending, audit.found), (2, 4, 0));
    assert_eq!(audit.decided, BTreeMap::from([("ran", 2)]));
}

#[test]
fn the_list_of_problems_is_bounded() {
    let audit = audit(&[accounting(1, 0, 1_000)], &[], at(0), at(1_000));
    assert_eq!((audit.problems.len(), audit.found), (MAX_LISTED, 100));
}
