//! The steps of Rust handlers: polled in the attempt's own task, so a partial costs no process and no second task.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use futures::FutureExt;
use futures::future::{BoxFuture, CatchUnwind};
use serde_json::Value;
use serde_json::value::to_raw_value;

use super::result::RESULT_MAX_BYTES;
use super::rust::{Around, Spoken};
use super::{Attempt, Context, Ended, Handler, HandlerResult, Part, Registry, ResultPages, Results, StopLine};
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
    match Begun::partial(attempt, registry, name, spoken, stops) {
        Ok(begun) => begun.end().await,
        Err(ended) => *ended,
    }
}

/// Has the handler `name` fold the results of its run.
pub(super) async fn finish(attempt: &Attempt, registry: &Registry, name: &str, pages: ResultPages, stops: &StopLine) -> Ended {
    let Some(handler) = registry.steps(name) else { return Ended::spawn_failed(&registry.unknown(name), None) };
    let context = context(attempt, stops, None);
    let results = Results::new(pages, context.count);
    match Begun::new(|| handler.finish(context, results), stops) {
        Ok(begun) => begun.end().await,
        Err(ended) => *ended,
    }
}

/// A step of a handler that has begun. A panic of the handler fails the attempt and nothing else.
pub(crate) struct Begun<'a> {
    work: CatchUnwind<AssertUnwindSafe<BoxFuture<'a, HandlerResult>>>,
    stops: StopLine,
}

impl Begun<'static> {
    /// The work of one partial with the handler `name`.
    pub(crate) fn partial(
        attempt: &Attempt,
        registry: &Registry,
        name: &str,
        spoken: &Arc<Spoken>,
        stops: &StopLine,
    ) -> Result<Self, Box<Ended>> {
        let handler = registry.steps(name).ok_or_else(|| Box::new(Ended::spawn_failed(&registry.unknown(name), None)))?;
        Self::new(|| Arc::clone(handler).partial(context(attempt, stops, Some(spoken))), stops)
    }
}

impl<'a> Begun<'a> {
    /// Not asynchronous: what `work` makes is moved once, into its box.
    fn new(work: impl FnOnce() -> BoxFuture<'a, HandlerResult>, stops: &StopLine) -> Result<Self, Box<Ended>> {
        let work = catch_unwind(AssertUnwindSafe(work)).map_err(|panic| Box::new(panicked(&panic)))?;
        Ok(Self { work: AssertUnwindSafe(work).catch_unwind(), stops: stops.clone() })
    }

    /// How it has ended, if it ends at once. Nothing wakes it else: [`Self::end`] polls it again.
    pub(crate) fn end_at_once(&mut self) -> Option<AtOnce> {
        match self.work.poll_unpin(&mut task::Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(Ok(result))) => {
                self.stops.end();
                Some(AtOnce::Succeeded(result))
            }
            Poll::Ready(end) => Some(AtOnce::Ended(Box::new(self.ended(end)))),
            Poll::Pending => None,
        }
    }

    /// Sees it to its end.
    pub(crate) async fn end(mut self) -> Ended {
        tokio::select! {
            // A handler that is ready at once never registers with the stop.
            biased;
            end = &mut self.work => self.ended(end),
            () = self.stops.kill() => {
                self.stops.end();
                Ended::failed("handler aborted: it did not end when asked to".to_owned())
            }
        }
    }

    fn ended(&self, end: Result<HandlerResult, Panic>) -> Ended {
        self.stops.end();
        end.map_or_else(|panic| panicked(&panic), ended)
    }
}

/// How a step has ended that ended at once.
pub(crate) enum AtOnce {
    Succeeded(Value),
    Ended(Box<Ended>),
}

impl AtOnce {
    pub(crate) fn into_ended(self) -> Ended {
        match self {
            Self::Succeeded(result) => ended(Ok(result)),
            Self::Ended(ended) => *ended,
        }
    }
}

type Panic = Box<dyn Any + Send>;

fn ended(end: HandlerResult) -> Ended {
    match end {
        Ok(Value::Null) => Ended::succeeded(None),
        Ok(result) => match to_raw_value(&result) {
            Ok(result) if result.get().len() > RESULT_MAX_BYTES => {
                let note = format!("result ignored: more than {RESULT_MAX_BYTES} bytes");
                Ended { error: Some(note), ..Ended::succeeded(None) }
            }
            Ok(result) => Ended::succeeded(Some(result)),
            Err(error) => Ended::failed(format!("the handler's result is not JSON: {error}")),
        },
        Err(error) => Ended::failed(chain(&*error)),
    }
}

fn panicked(panic: &Panic) -> Ended {
    Ended::failed(format!("handler panicked: {}", panic_message(&**panic)))
}

/// `spoken`: where it says how far it is, if anybody looks.
pub(super) fn context(attempt: &Attempt, stops: &StopLine, spoken: Option<&Arc<Spoken>>) -> Context {
    let run = &attempt.run;
    let (index, label) = match attempt.part {
        Part::Partial { index, .. } => (index, ""),
        Part::Gather => (0, "gather"),
        Part::Plan => (0, "targets"),
    };
    let around = Around { info: Arc::clone(run), spoken: spoken.cloned(), stops: stops.clone(), label };
    let target = attempt.target().cloned();
    Context::new(around, target, index, attempt.number(), attempt.until)
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
