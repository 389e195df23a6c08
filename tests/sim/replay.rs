//! Replay equals memory: an engine that recovered from the records this instant would know what the living one knows.

use std::collections::BTreeMap;
use std::sync::Arc;

use batchd::config::Interrupted;
use batchd::engine::{Engine, RunSnapshot};

use crate::world::World;

/// To be called while nothing is on its way to the disk.
pub(crate) fn check(world: &World) {
    let (replayed, _) = Engine::recover(Arc::clone(&world.config), world.disk.recovery(), world.boot_id(), world.now);
    let jobs = |engine: &Engine| -> Vec<_> { engine.jobs().map(|job| (job.job.name.clone(), job.next, job.paused)).collect() };
    assert_eq!(jobs(&replayed), jobs(&world.engine), "the next fires by the records, and in memory");
    assert_eq!(runs(&replayed, world), runs(&world.engine, world), "the live runs by the records, and in memory");
}

/// The live runs with the successes of each, as far as a restart goes on with them.
fn runs(engine: &Engine, world: &World) -> BTreeMap<String, Option<u32>> {
    let policy = |run: &RunSnapshot<'_>| world.config.jobs[&run.info.job.name].policies.on_interrupted;
    // One that is not on disk follows from the end of one that has nothing left to do.
    let is_known = |run: &RunSnapshot<'_>| world.disk.runs.contains_key(&run.info.key);
    let goes_on = |run: &RunSnapshot<'_>| is_known(run) && policy(run) != Interrupted::Fail && has_work(run, world);
    // Where all is run again, the successes so far do not count any more.
    let known = |run: &RunSnapshot<'_>| (policy(run) == Interrupted::Resume).then_some(run.counts.succeeded);
    engine.runs().filter(goes_on).map(|run| (run.info.id.to_string(), known(&run))).collect()
}

/// Whether something is left to do of what is listed now: a restart drops the rest, and ends a run that has nothing else.
fn has_work(run: &RunSnapshot<'_>, world: &World) -> bool {
    let (planned, listed) = (&run.info.targets, &world.config.jobs[&run.info.job.name].targets);
    if planned == listed || planned.are_stored() {
        return true;
    }
    let row = &world.disk.runs[&run.info.key];
    let targets = || (0..planned.partials()).filter_map(|index| Some((index, planned.get(index)?.key)));
    let is_listed = |key: &str| (0..listed.partials()).filter_map(|index| listed.get(index)).any(|target| *target.key == *key);
    let joins = (0..listed.partials()).filter_map(|index| listed.get(index)).any(|new| targets().all(|(_, key)| key != new.key));
    (run.info.cause.grows() && joins)
        || targets().any(|(index, key)| is_listed(&key) && row.successes.get(&index).is_none_or(|count| *count == 0))
}
