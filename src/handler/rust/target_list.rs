//! The targets that a handler lists, on their way to the disk.

use std::mem;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::sync::mpsc;

use super::HandlerError;
use crate::config::{Target, TargetValue};
use crate::handler::listing::{self, Fault, Place, Take};
use crate::handler::{Attempt, Registry, StopLine, in_process, panic_message};

/// So many targets go on at once: to wake who writes them costs as much as some hundreds of them.
const BATCH: usize = 256;

/// So many batches wait to be written; `add` waits then.
const WAITING: usize = 16;

/// Takes the targets of a run, in their order.
///
/// Each has a key by which it is known: after a crash, in a retry, with `--target`. Two of the same key are a mistake that ends the run.
#[derive(Debug)]
pub struct TargetList {
    sender: mpsc::Sender<Batch>,
    /// Targets that are not a whole batch yet.
    begun: Arc<Begun>,
}

/// `None`: the end of the list.
type Batch = Option<Vec<Target>>;

#[derive(Debug, Default)]
struct Begun(Mutex<Vec<Target>>);

impl Begun {
    fn lock(&self) -> MutexGuard<'_, Vec<Target>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends what there is. In one step, so that those who add at once do not come before what they have added earlier.
    fn send(&self, place: mpsc::Permit<'_, Batch>) {
        let mut begun = self.lock();
        place.send(Some(mem::replace(&mut begun, Vec::with_capacity(BATCH))));
    }
}

impl TargetList {
    /// Adds a target: a text, which is its own key, or a [`Target::table`]. Waits while the disk is behind.
    ///
    /// # Errors
    /// The list was refused, for a reason that becomes the run's; return at once.
    pub async fn add(&self, target: impl Into<Target>) -> Result<(), HandlerError> {
        let is_whole = {
            let mut begun = self.begun.lock();
            begun.push(target.into());
            begun.len() >= BATCH
        };
        let refused = "the list of targets was refused";
        if is_whole {
            self.begun.send(self.sender.reserve().await.map_err(|_| refused)?);
        } else if self.sender.is_closed() {
            return Err(refused.into());
        }
        Ok(())
    }
}

impl From<&str> for Target {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for Target {
    fn from(text: String) -> Self {
        Self::text(&text)
    }
}

impl Target {
    /// A table under a key: anything that serde makes an object of. In the handler [`Context::target_as`](super::Context::target_as)
    /// gives it back.
    ///
    /// # Errors
    /// It is no object.
    pub fn table(key: impl std::fmt::Display, table: &impl serde::Serialize) -> Result<Self, HandlerError> {
        match serde_json::to_value(table)? {
            serde_json::Value::Object(map) => Ok(Self { key: key.to_string().into(), value: TargetValue::Table(std::sync::Arc::new(map)) }),
            _ => Err(format!("the target `{key}` is no object with fields").into()),
        }
    }
}

/// Has the handler `name` list the targets of the run of `attempt`; `take` gets each.
pub(in crate::handler) async fn list(
    attempt: &Attempt,
    registry: &Registry,
    name: &str,
    stops: &StopLine,
    take: Take,
) -> Result<(), Fault> {
    let handler = registry.steps(name).ok_or_else(|| Fault::Whole(registry.unknown(name)))?;
    let (sender, batches) = mpsc::channel(WAITING);
    let reading = tokio::task::spawn_blocking(move || keep(batches, take));
    let begun = Arc::new(Begun::default());
    let list = TargetList { sender: sender.clone(), begun: Arc::clone(&begun) };
    let context = in_process::context(attempt, stops, None);
    let listing = AssertUnwindSafe(async move { handler.plan(context, list).await }).catch_unwind();
    let listed = tokio::select! {
        listed = listing => match listed {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Fault::Whole(in_process::chain(&*error))),
            Err(panic) => Err(Fault::Whole(format!("handler panicked: {}", panic_message(&*panic)))),
        },
        () = stops.kill() => Err(Fault::Whole("handler aborted: it did not end when asked to".to_owned())),
    };
    // A task that the handler left behind may still hold its end of the list: this is the end of it.
    if let Ok(place) = sender.reserve().await {
        begun.send(place);
        let _ = sender.send(None).await;
    }
    let kept = reading.await.unwrap_or_else(|error| Err(Fault::Whole(error.to_string())));
    // What was wrong with a target is more than that the list was refused.
    kept.and(listed)
}

fn keep(mut batches: mpsc::Receiver<Batch>, mut take: Take) -> Result<(), Fault> {
    let (mut number, mut waiting) = (0, Vec::with_capacity(WAITING));
    // All that wait at once: the handler is woken for as many, and not for each.
    while batches.blocking_recv_many(&mut waiting, WAITING) > 0 {
        for batch in waiting.drain(..) {
            let Some(batch) = batch else { return Ok(()) };
            for target in batch {
                number += 1;
                let place = Place { noun: "target", number };
                listing::fit_key(&target.key).map_err(|problem| place.fault(problem))?;
                take(target, place)?;
            }
        }
    }
    Ok(())
}
