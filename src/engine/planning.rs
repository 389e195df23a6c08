//! Targets that are read when a run begins: the plan, and from it the targets that start next.
//!
//! The engine knows how many there are. Which they are is in the store; what is claimed is loaded from there before it starts.

use std::sync::Arc;

use super::run::{Phase, StopReason};
use super::{Effect, Engine, Indexes, Now, Record, RunInfo, RunKey};
use crate::config::{OnEmpty, Target, Targets};

/// How a reading of the targets ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlanEnd {
    /// All are in the store: `count` of them, those included that an earlier reading of the run listed. `unlisted` are those of
    /// an earlier reading that this one did not list.
    Read { count: u32, unlisted: Indexes },
    /// For people, one line.
    Failed(Arc<str>),
}

impl Engine {
    /// All that the run follows from is on disk: its targets are read.
    pub(super) fn plan(&mut self, key: RunKey, effects: &mut Vec<Effect>) {
        let ready = |run: &&mut super::Run| run.phase == Phase::Planning && run.stopping.is_none() && !run.reading;
        let Some(run) = self.runs.get_mut(&key).filter(ready) else { return };
        run.reading = true;
        effects.push(Effect::Plan { run: Arc::clone(&run.info), until: run.until });
    }

    pub(super) fn plan_ended(&mut self, key: RunKey, end: PlanEnd, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key).filter(|run| run.reading) else { return };
        run.reading = false;
        match run.stopping {
            Some(StopReason::Drained) => return self.leave_unfinished(key, now, effects),
            Some(_) => return self.finish(key, None, now, effects),
            None => {}
        }
        let is_planned = run.is_planned();
        match end {
            // What it still has to do is on record.
            PlanEnd::Failed(_) if is_planned => {}
            PlanEnd::Failed(reason) => {
                run.failure = Some(format!("its targets could not be read: {reason}").into());
                return self.finish(key, None, now, effects);
            }
            PlanEnd::Read { count: 0, .. } if on_empty(run) == OnEmpty::Fail => {
                run.failure = Some("there are no targets (on_empty = \"fail\")".into());
                return self.finish(key, None, now, effects);
            }
            PlanEnd::Read { count, unlisted } => {
                let before = run.info.targets.partials();
                run.info = Arc::new(RunInfo { targets: Targets::Planned { count }, ..(*run.info).clone() });
                if !is_planned {
                    run.planned(count);
                    effects.push(Effect::Record(Record::Planned { run: Arc::clone(&run.info) }));
                } else if count != before || !unlisted.is_empty() {
                    let dropped = run.replan(before, &unlisted);
                    effects.push(Effect::Record(Record::Replanned { run: Arc::clone(&run.info), dropped, at: now.wall }));
                }
            }
        }
        run.phase = Phase::Running;
        self.claim(key, now, effects);
        self.stand_in_line(key, now);
        self.end_if_complete(key, now, effects);
    }

    /// Targets that were asked for have come from the store.
    pub(super) fn loaded(&mut self, key: RunKey, targets: Result<Vec<(u32, Target)>, Arc<str>>, now: Now, effects: &mut Vec<Effect>) {
        let Some(run) = self.runs.get_mut(&key).filter(|run| run.stopping.is_none()) else { return };
        match targets {
            Ok(targets) => {
                run.loaded.add(targets);
                self.stand_in_line(key, now);
            }
            Err(reason) => {
                run.failure = Some(format!("its targets could not be loaded: {reason}").into());
                self.stop_run(key, StopReason::Unloaded, now, effects);
            }
        }
    }
}

fn on_empty(run: &super::Run) -> OnEmpty {
    match &run.info.job.targets {
        Targets::Source(source) => source.on_empty,
        _ => OnEmpty::Succeed,
    }
}
