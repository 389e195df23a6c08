//! The writer thread over a store that does as it is told.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::super::{Node, PlanAnswer, PlanStep, StoreError};
use super::queue::{MAX_GROUP, Queue, take_group};
use super::*;
use crate::engine::{Recovery, RunId, RunKey};

/// What happened, in order.
#[derive(Debug, PartialEq)]
enum Seen {
    /// A transaction, as the number of its records.
    Commit(usize),
    Then(Then),
    Health(&'static str),
    Forget,
    Plan,
}

/// Answers the first appends with `failures`, then commits.
struct Scripted {
    failures: VecDeque<StoreError>,
    /// Whether it lives on the reserve, each time that it is asked; at the end not.
    short: VecDeque<bool>,
    /// So many steps of forgetting are to be done.
    steps: u32,
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
        self.seen.send(Seen::Commit(records.len())).expect("the test listens");
        Ok(())
    }

    fn is_over(&self, _: &Retention) -> bool {
        false
    }

    fn room(&mut self) -> Result<(), StoreError> {
        if self.short.pop_front() == Some(true) { Err(StoreError::Short { path: "batchd.db".into() }) } else { Ok(()) }
    }

    fn forget(&mut self, _: Epoch, _: &Retention) -> Result<bool, StoreError> {
        self.seen.send(Seen::Forget).expect("the test listens");
        self.steps -= 1;
        Ok(self.steps > 0)
    }

    fn plan(&mut self, _: Epoch, _: &PlanStep) -> Result<PlanAnswer, StoreError> {
        if let Some(failure) = self.failures.pop_front() {
            return Err(failure);
        }
        self.seen.send(Seen::Plan).expect("the test listens");
        Ok(PlanAnswer::More)
    }

    fn finish_abandoned(&mut self, _: Epoch, _: jiff::Timestamp, _: &dyn Fn(u32, &str) -> bool) -> Result<Vec<RunId>, StoreError> {
        Ok(Vec::new())
    }
}

fn writer(failures: impl IntoIterator<Item = StoreError>) -> (Writer, Receiver<Seen>) {
    short_writer(failures, [])
}

/// `short`: whether it lives on the reserve, at the start and after each commit.
fn short_writer<const N: usize>(failures: impl IntoIterator<Item = StoreError>, short: [bool; N]) -> (Writer, Receiver<Seen>) {
    let (seen, receiver) = channel();
    let store = Box::new(Scripted { failures: failures.into_iter().collect(), short: short.into(), steps: 3, seen: seen.clone() });
    let (thens, healths) = (seen.clone(), seen);
    let notify = move |then| thens.send(Seen::Then(then)).expect("the test listens");
    let on_health = move |health: &Health| {
        let name = match health {
            Health::Good => "good",
            Health::Degraded { .. } => "degraded",
            Health::Failed { .. } => "failed",
        };
        healths.send(Seen::Health(name)).expect("the test listens");
    };
    (Writer::spawn(store, Epoch(1), notify, on_health).expect("starts"), receiver)
}

fn full() -> StoreError {
    StoreError::Full { path: "batchd.db".into() }
}

fn claimed(upto: u32) -> Then {
    Then::Claimed { run: RunKey(1), upto }
}

fn missed() -> Record {
    super::super::tests::missed("sync", 60)
}

const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn what_is_awaited_is_told_after_its_commit_and_in_order() {
    let (writer, seen) = writer([]);
    writer.record(missed());
    writer.when_durable(claimed(1));
    writer.when_durable(Then::Finished);
    writer.close(PATIENCE).expect("all is written");
    let seen: Vec<_> = seen.iter().collect();
    assert_eq!(seen.iter().filter(|seen| matches!(seen, Seen::Then(_))).count(), 2);
    assert_eq!(seen[0], Seen::Commit(1));
    assert_eq!(seen[1..], [Seen::Then(claimed(1)), Seen::Then(Then::Finished)]);
}

#[test]
fn nothing_to_write_is_durable_at_once() {
    let (writer, seen) = writer([]);
    writer.when_durable(Then::Finished);
    assert_eq!(seen.recv().expect("the thread lives"), Seen::Then(Then::Finished));
    writer.close(PATIENCE).expect("all is written");
}

#[test]
fn a_lone_record_is_written_without_being_asked_for() {
    let (writer, seen) = writer([]);
    writer.record(missed());
    assert_eq!(seen.recv().expect("the thread lives"), Seen::Commit(1));
    writer.close(PATIENCE).expect("all is written");
}

#[test]
fn a_full_disk_loses_nothing() {
    let (writer, seen) = writer([full(), full()]);
    writer.record(missed());
    writer.when_durable(Then::Finished);
    assert_eq!(seen.recv().expect("the thread lives"), Seen::Health("degraded"));
    assert!(matches!(writer.health(), Health::Degraded { .. }));
    assert_eq!(writer.backlog(), 1);
    assert_eq!(seen.recv().expect("the thread lives"), Seen::Commit(1));
    assert_eq!(seen.recv().expect("the thread lives"), Seen::Health("good"));
    assert_eq!(seen.recv().expect("the thread lives"), Seen::Then(Then::Finished));
    writer.close(PATIENCE).expect("all is written");
}

#[test]
fn what_is_written_on_the_last_space_of_a_disk_is_written_and_told() {
    let (writer, seen) = short_writer([], [false, true, true, false]);
    for expected in [&[Seen::Health("degraded")][..], &[], &[Seen::Health("good")]] {
        writer.record(missed());
        writer.when_durable(Then::Finished);
        assert_eq!(seen.recv().expect("the thread lives"), Seen::Commit(1));
        for health in expected {
            assert_eq!(seen.recv().expect("the thread lives"), *health);
        }
        assert_eq!(seen.recv().expect("the thread lives"), Seen::Then(Then::Finished));
    }
    writer.close(PATIENCE).expect("all is written");
}

#[test]
fn a_disk_that_has_room_again_is_noticed_while_nothing_happens() {
    let (writer, seen) = short_writer([], [true, true, false]);
    let seen: Vec<_> = seen.iter().take(2).collect();
    assert_eq!(seen, [Seen::Health("degraded"), Seen::Health("good")]);
    writer.close(PATIENCE).expect("all is written");
}

#[test]
fn close_gives_up_in_time_and_says_what_is_lost() {
    let (writer, _seen) = writer(std::iter::repeat_with(full).take(1000));
    writer.record(missed());
    let unwritten = writer.close(Duration::from_millis(20)).expect_err("the disk is full").to_string();
    assert_eq!(unwritten, "1 records were not written: no space left to write the database `batchd.db`; free some");
}

#[test]
fn a_fenced_writer_stops_for_good() {
    let (writer, seen) = writer([StoreError::Fenced { node: "daemon".into(), ours: 1, latest: 2 }]);
    writer.record(missed());
    writer.when_durable(Then::Finished);
    assert_eq!(seen.recv().expect("the thread lives"), Seen::Health("failed"));
    assert_eq!(writer.close(PATIENCE).expect_err("is fenced").records, 1);
    assert_eq!(seen.iter().count(), 0);
}

/// The sizes of the transactions that so many waiting records become.
fn check_groups(waiting: usize, expected: &[usize]) {
    let messages = std::iter::repeat_with(|| Message::Record(missed())).take(waiting).collect();
    let mut queue = Queue { messages, facts: waiting, ..Queue::default() };
    let mut sizes = Vec::new();
    while !queue.messages.is_empty() {
        sizes.push(take_group(&mut queue).records.len());
    }
    assert_eq!(sizes, expected);
}

#[test]
fn a_group_has_an_end() {
    check_groups(0, &[]);
    check_groups(MAX_GROUP, &[4_096]);
    check_groups(10_000, &[4_096, 4_096, 1_808]);
}

#[test]
fn forgetting_ends_and_holds_up_nothing() {
    let (writer, seen) = writer([]);
    writer.forget(Retention { before: jiff::Timestamp::UNIX_EPOCH, runs: 1, output: 1 });
    assert_eq!(seen.iter().take(3).collect::<Vec<_>>(), [Seen::Forget, Seen::Forget, Seen::Forget]);
    writer.record(Record::Removed { job: "a".into() });
    writer.close(Duration::from_secs(30)).expect("is written");
    assert_eq!(seen.iter().collect::<Vec<_>>(), [Seen::Commit(1)]);
}

#[test]
fn a_step_of_a_plan_comes_behind_what_was_recorded_before() {
    let (writer, seen) = writer([full()]);
    writer.record(missed());
    let planner = writer.planner();
    let answer = planner.take(PlanStep::Begin { run: RunKey(1) });
    assert!(matches!(answer, Some(Ok(PlanAnswer::More))), "{answer:?}");
    writer.close(PATIENCE).expect("closes");
    let seen: Vec<Seen> = seen.try_iter().filter(|seen| matches!(seen, Seen::Commit(_) | Seen::Plan)).collect();
    assert_eq!(seen, [Seen::Commit(1), Seen::Plan]);
    assert!(planner.take(PlanStep::Begin { run: RunKey(1) }).is_none(), "the store has ended");
}
