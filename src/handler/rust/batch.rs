//! The traits of handlers, and what stands behind them.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

use super::{Arg, Blocking, Context, Results, TargetList};

/// Why a handler failed: any error, shown with its sources.
pub type HandlerError = Box<dyn Error + Send + Sync>;

/// The result of a partial or of a run, any JSON; [`Value::Null`] is none.
pub type HandlerResult = Result<Value, HandlerError>;

/// A handler whose jobs say themselves what their targets are.
///
/// ```
/// use batchd::handler::{Arg, Context, Handler, HandlerResult, json};
///
/// struct Cleanup;
///
/// impl Handler for Cleanup {
///     fn args(&self) -> Vec<Arg> {
///         vec![Arg::integer("days").default(30).help("what is older goes")]
///     }
///
///     async fn partial(&self, context: Context) -> HandlerResult {
///         let (directory, days) = (context.target_text()?, context.arg::<u32>("days")?);
///         context.log(format!("removes what is older than {days} days from {directory}"));
///         Ok(json!({ "removed": 0 }))
///     }
/// }
/// ```
pub trait Handler: Send + Sync + 'static {
    /// What a run can be told; nothing unless written.
    fn args(&self) -> Vec<Arg> {
        Vec::new()
    }

    /// Does the work of one partial; the value is its result. An error, and a panic, is a failed attempt, which the job's `retry`
    /// may try again.
    ///
    /// The work must leave its thread to the others (`await`, or [`blocking`](super::blocking)). On a timeout, a cancel or a drain
    /// [`Context::cancelled`] resolves; after the job's `stop.grace` the future is dropped.
    fn partial(&self, context: Context) -> impl Future<Output = HandlerResult> + Send;
}

/// A handler that also lists the targets of a run and gathers its results: the article's `targetDataList → partialProcess → gather`.
///
/// ```
/// use batchd::handler::{Arg, Batch, Context, HandlerError, HandlerResult, Results, TargetList, json};
///
/// struct DailyReport;
///
/// impl Batch for DailyReport {
///     fn args(&self) -> Vec<Arg> {
///         vec![Arg::date("day").default("{{ nominal.date }}").help("the day to report")]
///     }
///
///     async fn plan(&self, _: Context, targets: TargetList) -> Result<(), HandlerError> {
///         for shop in ["seoul", "busan", "jeju"] {
///             targets.add(shop).await?;
///         }
///         Ok(())
///     }
///
///     async fn partial(&self, context: Context) -> HandlerResult {
///         Ok(json!(context.target_text()?.len()))
///     }
///
///     async fn finish(&self, _: Context, mut results: Results) -> HandlerResult {
///         let mut sum = 0;
///         while let Some(partial) = results.next().await? {
///             sum += partial.result.as_u64().unwrap_or(0);
///         }
///         Ok(json!(sum))
///     }
/// }
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let tried = batchd::handler::Trial::of(DailyReport).run().await.unwrap();
/// assert_eq!(tried.result, json!(14));
/// # });
/// ```
pub trait Batch: Send + Sync + 'static {
    /// What a run can be told; nothing unless written.
    fn args(&self) -> Vec<Arg> {
        Vec::new()
    }

    /// Lists the targets of a run of a job that names none: once, before anything starts. They are streamed to the disk, so there
    /// may be millions, and a crash leads to one plan. An error ends the run as failed; a list without targets succeeds at once.
    ///
    /// A job that has `targets` of its own uses those, and this is not called.
    fn plan(&self, context: Context, targets: TargetList) -> impl Future<Output = Result<(), HandlerError>> + Send;

    /// As [`Handler::partial`].
    fn partial(&self, context: Context) -> impl Future<Output = HandlerResult> + Send;

    /// Folds the results, which come in the order of the targets, into the result of the run. It is called once all partials have
    /// ended, however they ended; an error makes the run fail. A job that has a `gather` command of its own uses that.
    fn finish(&self, context: Context, results: Results) -> impl Future<Output = HandlerResult> + Send;
}

/// What can be registered: a [`Batch`], a [`Handler`], a closure, or a [`Blocking`] one. `Kind` only tells the compiler which.
pub trait IntoHandler<Kind> {
    fn into_handler(self) -> Registered;
}

/// It is a [`Handler`].
#[derive(Debug)]
pub enum AsHandler {}
/// It is a [`Batch`].
#[derive(Debug)]
pub enum AsBatch {}
/// It is a closure.
#[derive(Debug)]
pub enum AsClosure {}
/// It is a [`Blocking`] closure.
#[derive(Debug)]
pub enum AsBlocking {}

/// A handler as the registry keeps it.
#[derive(Clone)]
pub struct Registered {
    pub(crate) args: Arc<[Arg]>,
    pub(crate) is_batch: bool,
    pub(crate) steps: Arc<dyn Steps>,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered").field("args", &self.args).field("is_batch", &self.is_batch).finish_non_exhaustive()
    }
}

/// The traits without their types.
pub(crate) trait Steps: Send + Sync {
    fn plan(&self, _: Context, _: TargetList) -> BoxFuture<'_, Result<(), HandlerError>> {
        std::future::ready(Err("the handler lists no targets".into())).boxed()
    }

    /// Borrows nothing: it may have to go on in a task of its own.
    fn partial(self: Arc<Self>, context: Context) -> BoxFuture<'static, HandlerResult>;

    fn finish(&self, _: Context, _: Results) -> BoxFuture<'_, HandlerResult> {
        std::future::ready(Err("the handler gathers no results".into())).boxed()
    }
}

struct OfHandler<H>(H);

impl<H: Handler> Steps for OfHandler<H> {
    fn partial(self: Arc<Self>, context: Context) -> BoxFuture<'static, HandlerResult> {
        Box::pin(async move { self.0.partial(context).await })
    }
}

impl<H: Handler> IntoHandler<AsHandler> for H {
    fn into_handler(self) -> Registered {
        Registered { args: self.args().into(), is_batch: false, steps: Arc::new(OfHandler(self)) }
    }
}

struct OfBatch<B>(B);

impl<B: Batch> Steps for OfBatch<B> {
    fn plan(&self, context: Context, targets: TargetList) -> BoxFuture<'_, Result<(), HandlerError>> {
        Box::pin(self.0.plan(context, targets))
    }

    fn partial(self: Arc<Self>, context: Context) -> BoxFuture<'static, HandlerResult> {
        Box::pin(async move { self.0.partial(context).await })
    }

    fn finish(&self, context: Context, results: Results) -> BoxFuture<'_, HandlerResult> {
        Box::pin(self.0.finish(context, results))
    }
}

impl<B: Batch> IntoHandler<AsBatch> for B {
    fn into_handler(self) -> Registered {
        Registered { args: self.args().into(), is_batch: true, steps: Arc::new(OfBatch(self)) }
    }
}

struct OfClosure<F>(F);

impl<F, Work> Steps for OfClosure<F>
where
    F: Fn(Context) -> Work + Send + Sync + 'static,
    Work: Future<Output = HandlerResult> + Send + 'static,
{
    fn partial(self: Arc<Self>, context: Context) -> BoxFuture<'static, HandlerResult> {
        Box::pin((self.0)(context))
    }
}

impl<F, Work> IntoHandler<AsClosure> for F
where
    F: Fn(Context) -> Work + Send + Sync + 'static,
    Work: Future<Output = HandlerResult> + Send + 'static,
{
    fn into_handler(self) -> Registered {
        Registered { args: Arc::default(), is_batch: false, steps: Arc::new(OfClosure(self)) }
    }
}

impl<F> IntoHandler<AsBlocking> for Blocking<F>
where
    F: Fn(&Context) -> HandlerResult + Send + Sync + 'static,
{
    fn into_handler(self) -> Registered {
        let Self { args, work, place } = self;
        let steps = super::blocking::OfBlocking::new(work, place);
        Registered { args, is_batch: false, steps: Arc::new(steps) }
    }
}
