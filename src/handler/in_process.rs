//! The steps of Rust handlers: polled in the attempt's own task, so a partial costs no process and no second task.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::result::RESULT_MAX_BYTES;
use super::rust::{Around, Spoken};
use super::{Attempt, Context, Ended, Handler, HandlerResult, Part, Registry, ResultLines, Results, StopLine};
use crate::config::TargetValue;

/// The built-in handler `echo`: its result is its target.
#[derive(Debug)]
pub(super) struct Echo;

impl Handler for Echo {
    async fn partial(&self, context: Context) -> HandlerResult {
        Ok(match context.target.map(|target| target.value) {
            Some(TargetValue::Text(text)) => Value::from(&*text),
            Some(TargetValue::Table(table)) => Value::Object((*table).clone()),
            None => Value::Null,
        })
    }
}

/// Does the work of one partial with the handler `name`.
pub(super) async fn carry_out(attempt: &Attempt, registry: &Registry, name: &str, spoken: &Arc<Spoken>, stops: &StopLine) -> Ended {
    let Some(handler) = registry.steps(name) else { return Ended::spawn_failed(&registry.unknown(name), None) };
    let context = context(attempt, stops, Some(spoken));
    see_through(async move { handler.partial(context).await }, stops).await
}

/// Has the handler `name` fold the results of its run.
pub(super) async fn finish(attempt: &Attempt, registry: &Registry, name: &str, lines: ResultLines, stops: &StopLine) -> Ended {
    let Some(handler) = registry.steps(name) else { return Ended::spawn_failed(&registry.unknown(name), None) };
    let context = context(attempt, stops, None);
    let results = Results::new(lines, context.count);
    see_through(async move { handler.finish(context, results).await }, stops).await
}

/// A panic of the handler fails the attempt and nothing else.
async fn see_through(work: impl Future<Output = HandlerResult>, stops: &StopLine) -> Ended {
    let ended = tokio::select! {
        // A handler that is ready at once never registers with the stop.
        biased;
        end = AssertUnwindSafe(work).catch_unwind() => match end {
            Ok(Ok(Value::Null)) => Ended::succeeded(None),
            Ok(Ok(result)) => match to_raw_value(&result) {
                Ok(result) if result.get().len() > RESULT_MAX_BYTES => {
                    let note = format!("result ignored: more than {RESULT_MAX_BYTES} bytes");
                    Ended { error: Some(note), ..Ended::succeeded(None) }
                }
                Ok(result) => Ended::succeeded(Some(result)),
                Err(error) => Ended::failed(format!("the handler's result is not JSON: {error}")),
            },
            Ok(Err(error)) => Ended::failed(chain(&*error)),
            Err(panic) => Ended::failed(format!("handler panicked: {}", panic_message(&*panic))),
        },
        () = stops.kill.cancelled() => Ended::failed("handler aborted: it did not end when asked to".to_owned()),
    };
    // A thread or task that it left behind is on its own.
    stops.kill.cancel();
    ended
}

/// `spoken`: where it says how far it is, if anybody looks.
pub(super) fn context(attempt: &Attempt, stops: &StopLine, spoken: Option<&Arc<Spoken>>) -> Context {
    let run = &attempt.run;
    let (index, label) = match attempt.part {
        Part::Partial { index, .. } => (index, ""),
        Part::Gather => (0, "gather"),
        Part::Plan => (0, "targets"),
    };
    let around = Around { info: Arc::clone(run), spoken: spoken.cloned(), over: stops.kill.clone(), label };
    let target = attempt.target().cloned();
    Context::new(around, target, index, attempt.number(), attempt.until, stops.polite.clone())
}

/// An error with its sources, in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    std::iter::once(error.to_string()).chain(sources.map(ToString::to_string)).collect::<Vec<_>>().join(": ")
}

/// What a panic said, as far as it was text.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no message",
    }
}
