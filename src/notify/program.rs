//! A program of your own: its argv as configured, the JSON on its stdin, run and stopped as a gather command is.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Undelivered;
use super::message::Message;
use crate::config::{Gather, Job, Targets};
use crate::engine::{Cause, Now, Outcome, RunId, RunInfo, RunKey, Stop};
use crate::handler::{self, Attempt, Part, ResultFiles, StopLine};

/// After the timeout, the program gets the stop signal, and so long after it SIGKILL.
const GRACE: Duration = Duration::from_secs(5);

/// Runs the gather command of `job`; exit code 0 is a success.
pub(super) async fn send(job: &Arc<Job>, message: &Message, state_dir: &Path, timeout: Duration, now: Now) -> Result<(), Undelivered> {
    let argv = job.gather.as_ref().and_then(Gather::argv).unwrap_or_default();
    let run = run_of(job, message, now);
    let attempt = Attempt { run, part: Part::Gather, until: None };
    let (results, stops) = (ResultFiles::new(state_dir), StopLine::default());
    let mut json = Some(message.json());
    let lines = Box::new(move || json.take());
    let mut program = std::pin::pin!(handler::gather(&attempt, argv, lines, &results, &stops));
    let mut timed_out = false;
    for (wait, stop) in [(timeout, Stop::Polite), (GRACE, Stop::Kill)] {
        if let Ok(ended) = tokio::time::timeout(wait, &mut program).await {
            return judge(ended, timed_out, timeout);
        }
        timed_out = true;
        stops.pull(stop);
    }
    judge(program.await, timed_out, timeout)
}

/// The run that the program belongs to, for its log lines and environment. Its key is no run's.
fn run_of(job: &Arc<Job>, message: &Message, now: Now) -> Arc<RunInfo> {
    let notice = message.notices.first();
    let id = notice.and_then(|notice| notice.run.as_deref()).unwrap_or(&message.id).into();
    Arc::new(RunInfo {
        key: RunKey(-now.wall.as_microsecond()),
        id: RunId(id),
        job: Arc::clone(job),
        cause: notice.and_then(|notice| notice.cause).unwrap_or(Cause::Manual),
        nominal: notice.map_or(now.wall, |notice| notice.nominal),
        fired: now.wall,
        targets: Targets::None,
        args: Arc::default(),
    })
}

fn judge(ended: handler::Ended, timed_out: bool, timeout: Duration) -> Result<(), Undelivered> {
    match ended.outcome {
        Outcome::Succeeded if !timed_out => Ok(()),
        Outcome::SpawnFailed => Err(Undelivered::certain(ended.error.unwrap_or_default())),
        outcome => {
            let late = format!("it took longer than {}", humantime::format_duration(timeout));
            let error = if timed_out { late } else { ended.error.unwrap_or_else(|| outcome.name().to_owned()) };
            Err(Undelivered { error, unsure: true, refused: false })
        }
    }
}
