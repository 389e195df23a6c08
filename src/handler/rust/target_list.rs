//! The targets that a handler lists, on their way to the disk.

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::sync::mpsc;

use super::HandlerError;
use crate::config::{Target, TargetValue};
use crate::handler::listing::{self, Fault, Place, Take};
use crate::handler::{Attempt, Registry, StopLine, in_process, panic_message};

/// So many targets wait to be written; `add` waits then.
const WAITING: usize = 4_096;

/// Takes the targets of a run, in their order.
///
/// Each has a key by which it is known: after a crash, in a retry, with `--target`. Two of the same key are a mistake that ends the run.
#[derive(Debug)]
pub struct TargetList {
    sender: mpsc::Sender<Option<Target>>,
}

impl TargetList {
    /// Adds a target: a text, which is its own key, or a [`Target::table`]. Waits while the disk is behind.
    ///
    /// # Errors
    /// The list was refused, for a reason that becomes the run's; return at once.
    pub async fn add(&self, target: impl Into<Target>) -> Result<(), HandlerError> {
        self.sender.send(Some(target.into())).await.map_err(|_| "the list of targets was refused".into())
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
    let (sender, targets) = mpsc::channel(WAITING);
    let reading = tokio::task::spawn_blocking(move || keep(targets, take));
    let list = TargetList { sender: sender.clone() };
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
    let _ = sender.send(None).await;
    let kept = reading.await.unwrap_or_else(|error| Err(Fault::Whole(error.to_string())));
    // What was wrong with a target is more than that the list was refused.
    kept.and(listed)
}

fn keep(mut targets: mpsc::Receiver<Option<Target>>, mut take: Take) -> Result<(), Fault> {
    let mut number = 0;
    while let Some(Some(target)) = targets.blocking_recv() {
        number += 1;
        let place = Place { noun: "target", number };
        listing::fit_key(&target.key).map_err(|problem| place.fault(problem))?;
        take(target, place)?;
    }
    Ok(())
}
