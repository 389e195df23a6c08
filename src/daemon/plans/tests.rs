//! A reading beside a store: what comes twice is found wherever the first of the two is, and every target has its place.

use std::hash::Hasher;
use std::time::Duration;

use jiff::{Timestamp, tz::TimeZone};

use super::*;
use crate::config::{Job, Selection, Targets, Work};
use crate::engine::{Accounted, Beginning, Cause, Decides, Record, Repeat, RunId};
use crate::schedule::Zone;
use crate::store::{Node, Sqlite, Store, Writer};

/// Of each key it sees the length alone.
#[derive(Clone, Debug, Default)]
struct Short(u64);

impl BuildHasher for Short {
    type Hasher = Self;

    fn build_hasher(&self) -> Self {
        Self(0)
    }
}

impl Hasher for Short {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 += bytes.len() as u64;
    }
}

struct Reading {
    site: tempfile::TempDir,
    writer: Writer,
    run: Arc<RunInfo>,
}

impl Reading {
    /// A run whose targets are to be read.
    fn new() -> Self {
        let zone = Zone { name: "UTC".into(), rules: TimeZone::UTC };
        let job = Arc::new(Job::plain("sync".into(), Work::Handler("sync".to_owned()), zone, Arc::default()));
        let (cause, nominal) = (Cause::Schedule, Timestamp::UNIX_EPOCH);
        let id = RunId::new("sync", cause, nominal);
        let targets = Targets::Unplanned(Selection::All);
        let run =
            Arc::new(RunInfo { key: RunKey(1), id, job: Arc::clone(&job), cause, nominal, fired: nominal, targets, args: Arc::default() });
        let site = tempfile::tempdir().expect("a directory");
        let mut store = Sqlite::open(site.path()).expect("opens");
        let epoch = store.join(&Node { name: "daemon".to_owned(), pid: 1, boot_id: "boot".to_owned() }).expect("joins");
        let writer = Writer::spawn(Box::new(store), epoch, |_| {}, |_| {}).expect("a thread");
        let accounted = Accounted { watermark: nominal, repeat: Repeat::NONE };
        writer.record(Record::Accounting { job, accounted, fingerprint: 0, beginning: Beginning::New, boot_id: None });
        writer.record(Record::Fired { run: Arc::clone(&run), decides: Decides::Nothing });
        Self { site, writer, run }
    }

    /// It has begun, and holds at most so many fingerprints.
    fn keeper<S: BuildHasher + Send + fmt::Debug>(&self, hasher: S, most: usize) -> Keeper<S> {
        let mut keeper = Keeper::with(Fingerprints::new(hasher, most), self.writer.planner(), self.site.path().into(), &self.run);
        keeper.begin().expect("begins");
        keeper
    }

    fn keys(&self) -> String {
        let planned = Reader::open(self.site.path()).expect("opens").planned(RunKey(1), 0, u32::MAX).expect("reads");
        planned.iter().map(|(index, target)| format!("{index}:{}", target.key)).collect::<Vec<_>>().join(" ")
    }
}

fn keep<S: BuildHasher + Send + fmt::Debug>(keeper: &mut Keeper<S>, keys: &str) -> Kept {
    keeper.keep(keys.split_whitespace().map(Target::text).collect()).expect("keeps")
}

fn duplicate(position: usize, key: &str, first: u32) -> Kept {
    Kept::Duplicate { position, key: key.into(), first }
}

fn ended(count: u32) -> PlanEnd {
    PlanEnd::Read { count, unlisted: Indexes::default() }
}

/// What comes of the last of the groups.
fn last<S: BuildHasher + Send + fmt::Debug>(hasher: S, most: usize, is_handed_over: bool, groups: &[&str]) -> Kept {
    let reading = Reading::new();
    let mut keeper = reading.keeper(hasher, most);
    let (last, before) = groups.split_last().expect("there is one");
    for group in before {
        assert_eq!(keep(&mut keeper, group), Kept::All);
    }
    if is_handed_over {
        keeper.hand_over().expect("is handed over");
    }
    keep(&mut keeper, last)
}

/// The last of the groups has this duplicate, whatever the fingerprints are and wherever the first of the two is by then.
fn check(groups: &[&str], expected: &Kept) {
    for (most, is_handed_over) in [(0, false), (2, false), (1_000, false), (1_000, true)] {
        let found = [last(RandomState::new(), most, is_handed_over, groups), last(Short::default(), most, is_handed_over, groups)];
        assert!(found.iter().all(|found| found == expected), "{most}, {is_handed_over}: {found:?}");
    }
}

#[test]
fn what_comes_twice_is_found_wherever_the_first_is() {
    check(&["a b a c"], &duplicate(2, "a", 0));
    check(&["a b", "c d", "e f c"], &duplicate(2, "c", 2));
    check(&["a b", "c d", "e f e a"], &duplicate(2, "e", 4));
    check(&["a", "b", "c", "d", "e", "f b"], &duplicate(1, "b", 1));
}

#[test]
fn fingerprints_that_are_alike_are_no_duplicates() {
    let reading = Reading::new();
    let mut keeper = reading.keeper(Short::default(), 1_000);
    assert_eq!(keep(&mut keeper, "a b c"), Kept::All);
    assert_eq!(keep(&mut keeper, "d e"), Kept::All);
    assert_eq!(keeper.end(), Ok(ended(5)));
    assert_eq!(reading.keys(), "0:a 1:b 2:c 3:d 4:e");
}

#[test]
fn a_list_that_is_too_long_for_the_fingerprints_goes_on_in_rows() {
    let reading = Reading::new();
    let mut keeper = reading.keeper(RandomState::new(), 4);
    assert_eq!((keep(&mut keeper, "a b c"), keeper.at_once()), (Kept::All, LISTED_AT_ONCE));
    assert_eq!((keep(&mut keeper, "d e"), keeper.at_once()), (Kept::All, KEPT_AT_ONCE));
    assert_eq!(keep(&mut keeper, "f g"), Kept::All);
    assert_eq!((keeper.end(), reading.keys().as_str()), (Ok(ended(7)), "0:a 1:b 2:c 3:d 4:e 5:f 6:g"));
    assert_eq!(keep(&mut keeper, "h a"), duplicate(1, "a", 0));
}

/// More than are one transaction, and than a step unpacks.
#[test]
fn a_long_list_is_kept_in_order() {
    for most in [20_000, 1_000_000] {
        let reading = Reading::new();
        let mut keeper = reading.keeper(RandomState::new(), most);
        let keys: Vec<String> = (0..30_000).map(|number| format!("a-rather-long-name-of-a-target-with-the-number-{number}")).collect();
        for group in keys.chunks(256) {
            assert_eq!(keep(&mut keeper, &group.join(" ")), Kept::All);
        }
        assert_eq!(keeper.end(), Ok(ended(30_000)));
        let planned = Reader::open(reading.site.path()).expect("opens").planned(RunKey(1), 0, u32::MAX).expect("reads");
        assert!(planned.iter().map(|(_, target)| &*target.key).eq(keys.iter().map(String::as_str)), "{most}");
    }
}

#[test]
fn a_store_that_ends_ends_the_reading() {
    let Reading { site, writer, run } = Reading::new();
    let mut keeper = Keeper::with(Fingerprints::new(RandomState::new(), 10), writer.planner(), site.path().into(), &run);
    keeper.begin().expect("begins");
    writer.close(Duration::from_secs(60)).expect("closes");
    assert_eq!(keep(&mut keeper, "a"), Kept::All);
    assert_eq!(keeper.end(), Err("the store takes nothing any more".to_owned()));
}

/// A failure of the step that was on its way when the next targets came is told by then.
#[test]
fn what_fails_on_its_way_is_told() {
    let reading = Reading::new();
    let mut keeper = reading.keeper(RandomState::new(), 10);
    keep(&mut keeper, "a");
    let connection = rusqlite::Connection::open(reading.site.path().join(crate::store::DATABASE_FILE)).expect("opens");
    connection.execute_batch("DROP TABLE listed").expect("is SQL");
    keeper.hand_over().expect("is on its way");
    keep(&mut keeper, "b");
    let error = keeper.hand_over().expect_err("has failed");
    assert!(error.contains("no such table: main.listed") || error.contains("no such table: listed"), "{error}");
}
