//! Handlers of the embedding program: polled in the attempt's own task, so a partial costs no process and no second task.

use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::{Attempt, Context, Ended, Handler, HandlerError, Part, Registry, StopLine};
use crate::config::TargetValue;

/// The built-in handler `echo`: its result is its target.
#[derive(Debug)]
pub(super) struct Echo;

impl Handler for Echo {
    fn partial(&self, context: Context) -> BoxFuture<'static, Result<Value, HandlerError>> {
        let result = match context.target.map(|target| target.value) {
            Some(TargetValue::Text(text)) => Value::from(&*text),
            Some(TargetValue::Table(table)) => Value::Object((*table).clone()),
            None => Value::Null,
        };
        Box::pin(std::future::ready(Ok(result)))
    }
}

/// Runs the handler `name`. A panic of it fails the attempt and nothing else.
pub(super) async fn carry_out(attempt: &Attempt, registry: &Registry, name: &str, stops: &StopLine) -> Ended {
    let Some(handler) = registry.get(name) else {
        let known: Vec<&str> = registry.names().collect();
        return Ended::spawn_failed(&format_args!("no handler `{name}` is registered; there are `{}`", known.join("`, `")), None);
    };
    let context = context(attempt, stops);
    let work = AssertUnwindSafe(async move { handler.partial(context).await }).catch_unwind();
    tokio::select! {
        // A handler that is ready at once never registers with the stop.
        biased;
        end = work => match end {
            Ok(Ok(Value::Null)) => Ended::succeeded(None),
            Ok(Ok(result)) => match to_raw_value(&result) {
                Ok(result) => Ended::succeeded(Some(result)),
                Err(error) => Ended::failed(format!("the handler's result is not JSON: {error}")),
            },
            Ok(Err(error)) => Ended::failed(chain(&*error)),
            Err(panic) => Ended::failed(format!("handler panicked: {}", panic_message(&*panic))),
        },
        () = stops.kill.cancelled() => Ended::failed("handler aborted: it did not end when asked to".to_owned()),
    }
}

fn context(attempt: &Attempt, stops: &StopLine) -> Context {
    let run = &attempt.run;
    Context {
        job: run.job.name.clone(),
        run: run.id.clone(),
        cause: run.cause,
        nominal: run.nominal,
        target: attempt.target().cloned(),
        args: run.args.clone(),
        index: match attempt.part {
            Part::Partial { index, .. } => index,
            Part::Gather | Part::Plan => 0,
        },
        count: run.targets.partials(),
        attempt: attempt.number(),
        cancel: stops.polite.clone(),
    }
}

/// An error with its sources, in one line.
fn chain(error: &dyn std::error::Error) -> String {
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
