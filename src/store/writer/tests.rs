use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::tests::{decided, fired};
use super::super::{Node, StoreError};
use super::*;
use crate::config::Targets;
use crate::engine::{Recovery, RunId};

/// What happened, in order.
#[derive(Debug, PartialEq)]
enum Seen {
    /// A transaction, as the number of its records.
    Commit(usize),
    Then(Then),
    Health(&'static str),
}

/// Answers the first appends with `failures`, then commits.
struct Scripted {
    failures: VecDeque<StoreError>,
    seen: Sender<Seen>,
}

impl Store for Scripted {
    fn join(&mut self, _: &Node) -> Result<Epoch, StoreError> {
        Ok(Epoch(1))
    }

    fn recover(&mut self) -> Result<Recovery, StoreError> {
        Ok(Recovery::default())
    }

    fn append(&mut self, _: Epoch, records: &[Record]) -> Result<(), StoreError> {
        if let Some(failure) = self.failures.pop_front() {
            return Err(failure);
        }
        self.seen.send(Seen::Commit(records.len())).unwrap();
        Ok(())
    }

    fn finish_abandoned(&mut self, _: Epoch, _: jiff::Timestamp, _: &dyn Fn(u32, &str) -> bool) -> Result<Vec<RunId>, StoreError> {
        Ok(Vec::new())
    }
}

fn writer(failures: impl IntoIterator<Item = StoreError>) -> (Writer, Receiver<Seen>) {
    let (seen, receiver) = channel();
    let store = Box::new(Scripted { failures: failures.into_iter().collect(), seen: seen.clone() });
    let (thens, healths) = (seen.clone(), seen);
    let notify = move |then| thens.send(Seen::Then(then)).unwrap();
    let on_health = move |health: &Health| {
        let name = match health {
            Health::Good => "good",
            Health::Degraded { .. } => "degraded",
            Health::Failed { .. } => "failed",
        };
        healths.send(Seen::Health(name)).unwrap();
    };
    (Writer::spawn(store, Epoch(1), notify, on_health).unwrap(), receiver)
}

fn full() -> StoreError {
    StoreError::Full { path: "batchd.db".into() }
}

fn claimed(upto: u32) -> Then {
    Then::Claimed { run: RunKey(1), upto }
}

fn missed() -> Record {
    decided("sync", None, 60)
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn what_is_awaited_is_told_after_its_commit_and_in_order() {
    let (writer, seen) = writer([]);
    writer.record(missed());
    writer.when_durable(claimed(1));
    writer.when_durable(Then::Finished);
    writer.close(PATIENCE).unwrap();
    let seen: Vec<_> = seen.iter().collect();
    assert_eq!(seen.iter().filter(|seen| matches!(seen, Seen::Then(_))).count(), 2);
    assert_eq!(seen[0], Seen::Commit(1));
    assert_eq!(seen[1..], [Seen::Then(claimed(1)), Seen::Then(Then::Finished)]);
}

#[test]
fn nothing_to_write_is_durable_at_once() {
    let (writer, seen) = writer([]);
    writer.when_durable(Then::Finished);
    assert_eq!(seen.recv().unwrap(), Seen::Then(Then::Finished));
    writer.close(PATIENCE).unwrap();
}

#[test]
fn a_lone_record_is_written_without_being_asked_for() {
    let (writer, seen) = writer([]);
    writer.record(missed());
    assert_eq!(seen.recv().unwrap(), Seen::Commit(1));
    writer.close(PATIENCE).unwrap();
}

#[test]
fn a_full_disk_loses_nothing() {
    let (writer, seen) = writer([full(), full()]);
    writer.record(missed());
    writer.when_durable(Then::Finished);
    assert_eq!(seen.recv().unwrap(), Seen::Health("degraded"));
    assert!(matches!(writer.health(), Health::Degraded { .. }));
    assert_eq!(writer.backlog(), 1);
    assert_eq!(seen.recv().unwrap(), Seen::Commit(1));
    assert_eq!(seen.recv().unwrap(), Seen::Health("good"));
    assert_eq!(seen.recv().unwrap(), Seen::Then(Then::Finished));
    writer.close(PATIENCE).unwrap();
}

#[test]
fn close_gives_up_in_time_and_says_what_is_lost() {
    let (writer, _seen) = writer(std::iter::repeat_with(full).take(1000));
    writer.record(missed());
    let unwritten = writer.close(Duration::from_millis(20)).unwrap_err().to_string();
    assert_eq!(unwritten, "1 records were not written: no space left to write the database `batchd.db`; free some");
}

#[test]
fn a_fenced_writer_stops_for_good() {
    let (writer, seen) = writer([StoreError::Fenced { node: "daemon".into(), ours: 1, latest: 2 }]);
    writer.record(missed());
    writer.when_durable(Then::Finished);
    assert_eq!(seen.recv().unwrap(), Seen::Health("failed"));
    assert_eq!(writer.close(PATIENCE).unwrap_err().records, 1);
    assert_eq!(seen.iter().count(), 0);
}

/// The sizes of the transactions that these messages become when all are waiting.
fn check_groups(records: impl IntoIterator<Item = Record>, expected: &[usize]) {
    let mut queue = Queue { messages: records.into_iter().map(Message::Record).collect(), ..Queue::default() };
    let mut sizes = Vec::new();
    while !queue.messages.is_empty() {
        sizes.push(take_group(&mut queue).records.len());
    }
    assert_eq!(sizes, expected);
}

#[test]
fn a_group_has_an_end_but_tears_no_fire() {
    let many = || std::iter::repeat_with(missed);
    let fire = || [decided("sync", Some(1), 60), fired(1, "sync", 60, Targets::None)];
    check_groups(many().take(2500), &[1000, 1000, 500]);
    check_groups(many().take(999).chain(fire()), &[1001]);
    check_groups(many().take(998).chain(fire()).chain(many().take(5)), &[1000, 5]);
}

#[test]
fn a_lone_half_of_a_fire_is_noticed() {
    let waiting = |records: Vec<Record>| records.into_iter().map(Message::Record).collect::<VecDeque<_>>();
    assert!(ends_in_half(&waiting(vec![missed(), decided("sync", Some(1), 60)])));
    assert!(!ends_in_half(&waiting(vec![decided("sync", Some(1), 60), fired(1, "sync", 60, Targets::None)])));
    assert!(!ends_in_half(&waiting(vec![missed()])));
}
