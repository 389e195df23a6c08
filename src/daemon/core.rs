//! The engine together with what performs its effects; the daemon and a foreground run drive the same one.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::error;

use super::{Progress, clock, narrate};
use crate::engine::{self, Answer, Effect, Engine, Event, Record, RunInfo, RunKey, Ticket};
use crate::runner::Runner;
use crate::store::{Reader, Writer};

/// See the module's documentation.
pub(super) struct Core {
    pub(super) engine: Engine,
    writer: Writer,
    runner: Runner,
    database: PathBuf,
    /// Runs whose end is not recorded yet, for the log.
    live: HashMap<RunKey, Arc<RunInfo>>,
    tickets: HashMap<Ticket, oneshot::Sender<Answer>>,
    last_ticket: u64,
    progress: Option<Box<dyn Progress>>,
    /// The engine has said that nothing is live and all is on disk.
    pub(super) finished: bool,
}

impl Core {
    pub(super) fn new(engine: Engine, writer: Writer, runner: Runner, database: PathBuf) -> Self {
        let live: HashMap<_, _> = engine.runs().map(|run| (run.info.key, Arc::clone(run.info))).collect();
        for run in engine.runs() {
            narrate::resumed(run.info, run.counts.succeeded);
        }
        let tickets = HashMap::new();
        Self { engine, writer, runner, database, live, tickets, last_ticket: 0, progress: None, finished: false }
    }

    /// Reports the progress of runs to `progress` from now on.
    pub(super) fn observe(&mut self, progress: Box<dyn Progress>) {
        self.progress = Some(progress);
    }

    /// Lets the engine take one event, and performs what it asks for.
    pub(super) fn handle(&mut self, event: Event) {
        let effects = self.engine.handle(clock::now(), event);
        self.perform(effects);
    }

    /// A ticket whose answer goes to `reply`.
    pub(super) fn ticket(&mut self, reply: oneshot::Sender<Answer>) -> Ticket {
        self.last_ticket += 1;
        let ticket = Ticket(self.last_ticket);
        self.tickets.insert(ticket, reply);
        ticket
    }

    pub(super) fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Record(record) => self.record(record),
                Effect::WhenDurable(then) => self.writer.when_durable(then),
                Effect::Start { run, index, attempt, target } => self.runner.start(run, index, attempt, target),
                Effect::Stop { run, index, stop } => self.runner.stop(run, index, stop),
                Effect::Gather { run } => self.gather(run),
                Effect::StopGather { run, stop } => self.runner.stop_gather(run, stop),
                Effect::Answer { ticket, answer } => {
                    if let Some(reply) = self.tickets.remove(&ticket) {
                        // Whoever asked may have gone; the deed is done all the same.
                        let _ = reply.send(answer);
                    }
                }
                Effect::Finished => self.finished = true,
            }
        }
    }

    fn record(&mut self, record: Record) {
        let run = match &record {
            Record::Fired { run } => {
                self.live.insert(run.key, Arc::clone(run));
                Some(Arc::clone(run))
            }
            Record::Partial(partial) => self.live.get(&partial.run).cloned(),
            Record::Finished(summary) => self.live.remove(&summary.run),
            Record::Watermark { .. } | Record::Decided { .. } | Record::Claimed { .. } => None,
        };
        let job = match &record {
            Record::Decided { job, .. } => self.engine.job(job),
            _ => None,
        };
        narrate::record(&record, run.as_deref(), job);
        if let (Some(progress), Some(run)) = (&mut self.progress, &run) {
            progress.record(run, &record);
        }
        self.writer.record(record);
    }

    fn gather(&mut self, run: Arc<RunInfo>) {
        match Reader::open(&self.database) {
            Ok(reader) => {
                let lines = reader.result_lines(run.key);
                self.runner.gather(run, lines);
            }
            Err(error) => {
                error!(job = &*run.job.name, run = &*run.id.0, "cannot read the results to gather: {error}");
                let now = clock::now().wall;
                let end = engine::AttemptEnd {
                    outcome: engine::Outcome::Failed,
                    started: now,
                    ended: now,
                    duration: Duration::ZERO,
                    exit_code: None,
                    signal: None,
                    result: None,
                    error: Some(format!("cannot read the results: {error}").into()),
                    output: None,
                };
                self.handle(Event::GatherEnded { run: run.key, end: Box::new(engine::GatherEnd { end }) });
            }
        }
    }
}
