//! The way from the API to the daemon's loop: requests, each with the place for its reply.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Mutex, MutexGuard, Semaphore, mpsc, oneshot};

use super::api::{JobView, LiveStatus, ReloadReport};
use super::refusal::Refusal;
use crate::config::{Args, JobName};
use crate::engine::{Answer, RunId};

/// What the loop is asked for. Whoever asked may be gone when the reply is sent; the deed counts all the same.
#[derive(Debug)]
pub enum Request {
    Status {
        reply: oneshot::Sender<LiveStatus>,
    },
    /// All jobs by name; the last runs are added from the records.
    Jobs {
        reply: oneshot::Sender<Vec<JobView>>,
    },
    Trigger {
        job: JobName,
        targets: Vec<Arc<str>>,
        args: Args,
        nominal: Option<Timestamp>,
        reply: oneshot::Sender<Answer>,
    },
    /// Works on these targets of an earlier run again.
    Retry {
        job: JobName,
        targets: Vec<Arc<str>>,
        args: Args,
        nominal: Timestamp,
        reply: oneshot::Sender<Answer>,
    },
    /// Pauses a job, or lets it go on.
    Pause {
        job: JobName,
        paused: bool,
        reply: oneshot::Sender<Answer>,
    },
    /// The first `most` nominal times of a job from `from` up to `to` or the present, excepted days left out; `None`: no such job.
    Nominals {
        job: JobName,
        from: Timestamp,
        to: Timestamp,
        most: usize,
        reply: oneshot::Sender<Option<Vec<Timestamp>>>,
    },
    /// A run for each nominal time; none of them has one of a backfill.
    Backfill {
        job: JobName,
        nominals: Vec<Timestamp>,
        reply: oneshot::Sender<Answer>,
    },
    Cancel {
        run: RunId,
        reply: oneshot::Sender<Answer>,
    },
    /// Answered once the end of the run is on disk; at once where it is not live.
    Ended {
        run: RunId,
        reply: oneshot::Sender<()>,
    },
    Reload {
        plan: bool,
        reply: oneshot::Sender<ReloadReport>,
    },
}

/// So many wait for the end of runs at once; further ones are answered at once, and may ask again.
const MAX_WAITING: usize = 128;

/// A handle on the daemon's loop. The channel is bounded: when the loop is busy, whoever asks waits.
#[derive(Clone, Debug)]
pub struct Control {
    requests: mpsc::Sender<Request>,
    /// Held from the look at which runs there are until those that were missing are on disk.
    backfill: Arc<Mutex<()>>,
    waiting: Arc<Semaphore>,
}

impl Control {
    pub fn new(requests: mpsc::Sender<Request>) -> Self {
        Self { requests, backfill: Arc::default(), waiting: Arc::new(Semaphore::new(MAX_WAITING)) }
    }

    /// Two backfills at once would both find a run missing, and make it twice.
    pub(super) async fn one_backfill(&self) -> MutexGuard<'_, ()> {
        self.backfill.lock().await
    }

    /// Waits until the end of the run is on disk, but no longer than so.
    pub(super) async fn wait_for_end(&self, run: RunId, at_most: Duration) -> Result<(), Refusal> {
        let Ok(_place) = self.waiting.try_acquire() else { return Ok(()) };
        let ended = self.ask(|reply| Request::Ended { run, reply });
        tokio::time::timeout(at_most, ended).await.unwrap_or(Ok(()))
    }

    /// Hands the request over and waits for its reply.
    pub(super) async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Refusal> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(request(reply)).await.map_err(|_| Refusal::Leaving)?;
        answer.await.map_err(|_| Refusal::Leaving)
    }
}
