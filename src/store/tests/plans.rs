//! The targets of runs that read them from elsewhere.

use super::*;
use crate::config::{Selection, Target};
use crate::engine::RunInfo;

const RUN: i64 = 7;

fn unplanned() -> Targets {
    Targets::Unplanned(Selection::All)
}

/// A store with a run whose targets are to be read.
fn fired_run(site: &Path) -> (Box<dyn Store>, Epoch) {
    let (mut store, epoch) = join(site, "daemon");
    store.append(epoch, &[watermark("sync"), fired(RUN, "sync", 60, unplanned())]).expect("commits");
    (store, epoch)
}

fn begin(store: &mut Box<dyn Store>, epoch: Epoch) -> (i64, u32) {
    loop {
        match store.plan(epoch, &PlanStep::Begin { run: RunKey(RUN) }).expect("begins") {
            PlanAnswer::Begun { listing, recorded } => return (listing, recorded),
            PlanAnswer::Clearing => {}
            other => panic!("{other:?}"),
        }
    }
}

fn keep(store: &mut Box<dyn Store>, epoch: Epoch, (listing, next): (i64, u32), grows: bool, keys: &str) -> PlanAnswer {
    let (run, targets) = (RunKey(RUN), keys.split_whitespace().map(Target::text).collect());
    // Before the first reading none are on record.
    let step = match listing {
        1 => PlanStep::List { run, listing, next, targets },
        _ => PlanStep::Keep { run, listing, next, grows, targets },
    };
    store.plan(epoch, &step).expect("keeps")
}

/// The run has `count` partials from now on.
fn planned(store: &mut Box<dyn Store>, epoch: Epoch, count: u32) {
    let Record::Fired { run, .. } = fired(RUN, "sync", 60, Targets::Planned { count }) else { panic!("a run") };
    let run: Arc<RunInfo> = run;
    store.append(epoch, &[Record::Planned { run }]).expect("commits");
}

fn keys(site: &Path) -> String {
    let targets = Reader::open(site).expect("opens").planned(RunKey(RUN), 0, 10_000).expect("reads");
    targets.iter().map(|(index, target)| format!("{index}:{}", target.key)).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_plan_is_read_back_in_order_and_by_part() {
    let site = tempfile::tempdir().expect("a directory");
    let (mut store, epoch) = fired_run(site.path());
    let begun = begin(&mut store, epoch);
    assert_eq!(begun, (1, 0));
    assert_eq!(keep(&mut store, epoch, begun, true, "a b"), PlanAnswer::Kept { next: 2 });
    assert_eq!(keep(&mut store, epoch, (1, 2), true, "c"), PlanAnswer::Kept { next: 3 });
    planned(&mut store, epoch, 3);
    assert_eq!(keys(site.path()), "0:a 1:b 2:c");
    let recovery = store.recover().expect("recovers");
    assert_eq!(recovery.runs[0].targets, Targets::Planned { count: 3 });
    assert_eq!(Reader::open(site.path()).expect("opens").targets(RunKey(RUN), false).expect("reads"), ["a", "b", "c"]);
}

#[test]
fn a_duplicate_is_found_and_nothing_of_its_group_kept() {
    let site = tempfile::tempdir().expect("a directory");
    let (mut store, epoch) = fired_run(site.path());
    let begun = begin(&mut store, epoch);
    keep(&mut store, epoch, begun, true, "a b");
    assert_eq!(keep(&mut store, epoch, (1, 2), true, "c d b e"), PlanAnswer::Duplicate { position: 2, first: 1 });
    assert_eq!(keep(&mut store, epoch, (1, 2), true, "c c"), PlanAnswer::Duplicate { position: 1, first: 2 });
    assert_eq!(keys(site.path()), "0:a 1:b");
}

#[test]
fn a_reading_that_a_crash_ended_leaves_nothing() {
    let site = tempfile::tempdir().expect("a directory");
    let (mut store, epoch) = fired_run(site.path());
    let begun = begin(&mut store, epoch);
    let many = (0..2_500).map(|number| format!("old{number}")).collect::<Vec<_>>().join(" ");
    keep(&mut store, epoch, begun, true, &many);
    let (mut store, epoch) = join(site.path(), "daemon");
    let begun = begin(&mut store, epoch);
    assert_eq!(begun, (2, 0));
    keep(&mut store, epoch, begun, true, "x y");
    assert_eq!(keys(site.path()), "0:x 1:y");
}

#[test]
fn a_list_that_was_edited_is_compared_by_key() {
    let site = tempfile::tempdir().expect("a directory");
    let (mut store, epoch) = fired_run(site.path());
    let begun = begin(&mut store, epoch);
    keep(&mut store, epoch, begun, true, "a b c d");
    planned(&mut store, epoch, 4);
    let begun = begin(&mut store, epoch);
    assert_eq!(begun, (2, 4));
    assert_eq!(keep(&mut store, epoch, begun, true, "d x a"), PlanAnswer::Kept { next: 5 });
    assert_eq!(keep(&mut store, epoch, (2, 5), true, "d"), PlanAnswer::Duplicate { position: 0, first: 3 });
    let unlisted = Reader::open(site.path()).expect("opens").unlisted(RunKey(RUN), 2).expect("reads");
    assert_eq!(unlisted.iter().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(keys(site.path()), "0:a 1:b 2:c 3:d 4:x");
    let begun = begin(&mut store, epoch);
    assert_eq!((begun, keys(site.path()).as_str()), ((3, 4), "0:a 1:b 2:c 3:d"), "`x` belonged to a reading without an end");
    assert_eq!(keep(&mut store, epoch, begun, false, "y c"), PlanAnswer::Kept { next: 4 }, "by hand, nothing joins");
    assert_eq!(keys(site.path()), "0:a 1:b 2:c 3:d");
}

#[test]
fn results_name_the_planned_target() {
    let site = tempfile::tempdir().expect("a directory");
    let (mut store, epoch) = fired_run(site.path());
    let begun = begin(&mut store, epoch);
    keep(&mut store, epoch, begun, true, "a \"b\"");
    planned(&mut store, epoch, 2);
    let ended = |index| Record::Partials(vec![PartialRecord { planned: true, target: None, ..partial(RUN, index, Outcome::Succeeded) }]);
    store.append(epoch, &[claimed(RUN, 2), ended(0), ended(1)]).expect("commits");
    let partials = Reader::open(site.path()).expect("opens").partials(RunKey(RUN), false, None, 10).expect("reads");
    let targets: Vec<_> = partials.iter().map(|partial| partial.target.as_ref().map(|target| target.get())).collect();
    assert_eq!(targets, [Some("\"a\""), Some(r#""\"b\"""#)]);
}
