//! Work that blocks its thread: on threads for that, or on a lane.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::Semaphore;

use super::batch::Steps;
use super::{Arg, Context, HandlerError, HandlerResult, Lane};

/// So many pieces of blocking work go on at once in the process; what comes then waits. The runtime has more threads than that, which
/// the daemon needs for its own work: a handler that never returns must not keep it from that.
const MAX_AT_ONCE: usize = 256;

static THREADS: Semaphore = Semaphore::const_new(MAX_AT_ONCE);

/// Does work that blocks on a thread of its own, and waits for it: the counterpart of Django's
/// `sync_to_async(…, thread_sensitive=False)`. At most 256 pieces are under way at once.
///
/// ```
/// # use batchd::handler::{Context, HandlerResult, blocking, json};
/// # fn resize(_: &str) -> std::io::Result<u64> { Ok(3) }
/// async fn thumbnail(context: Context) -> HandlerResult {
///     let path = context.target_text()?.to_owned();
///     let bytes = blocking(move || resize(&path)).await??;
///     Ok(json!(bytes))
/// }
/// ```
///
/// A panic in it goes on in the handler, and is a failed attempt. Nothing can stop a thread: when the attempt is stopped and its grace
/// is over, the attempt ends, and the work goes on unseen to its end, in its place among the 256. Long work asks
/// [`Context::check_cancelled`] now and then.
///
/// # Errors
/// The runtime is leaving.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, HandlerError> {
    let place = THREADS.acquire().await?;
    let done = tokio::task::spawn_blocking(move || {
        let _place = place;
        work()
    });
    match done.await {
        Ok(value) => Ok(value),
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        Err(error) => Err(error.into()),
    }
}

/// A handler whose partials block: a plain function, each partial of which has a thread of its own, as with [`blocking`].
///
/// ```
/// use batchd::daemon::Daemon;
/// use batchd::handler::{Arg, Blocking, Context, HandlerResult, Lane, json};
///
/// fn convert(context: &Context) -> HandlerResult {
///     let path = context.target_text()?;
///     Ok(json!(std::fs::metadata(path)?.len()))
/// }
///
/// let printer = Lane::new("printer");
/// let builder = Daemon::builder()
///     .handler("convert", Blocking::new(convert).arg(Arg::flag("fast").default(false)))
///     .handler("print", Blocking::on(&printer, convert)); // one at a time, always on the same thread
/// # drop(builder);
/// ```
pub struct Blocking<F> {
    pub(super) args: Arc<[Arg]>,
    pub(super) work: F,
    pub(super) place: Option<Lane>,
}

impl<F> Blocking<F>
where
    F: Fn(&Context) -> HandlerResult + Send + Sync + 'static,
{
    /// Each partial on a thread of its own.
    pub fn new(work: F) -> Self {
        Self { args: Arc::default(), work, place: None }
    }

    /// All partials on the thread of the lane, one after the other.
    pub fn on(lane: &Lane, work: F) -> Self {
        Self { place: Some(lane.clone()), ..Self::new(work) }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: Arg) -> Self {
        self.args = self.args.iter().cloned().chain([arg]).collect();
        self
    }
}

impl<F> std::fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Blocking").field("args", &self.args).field("place", &self.place).finish_non_exhaustive()
    }
}

pub(super) struct OfBlocking<F> {
    work: F,
    place: Option<Lane>,
}

impl<F> OfBlocking<F> {
    pub(super) fn new(work: F, place: Option<Lane>) -> Self {
        Self { work, place }
    }
}

impl<F> Steps for OfBlocking<F>
where
    F: Fn(&Context) -> HandlerResult + Send + Sync + 'static,
{
    fn partial(self: Arc<Self>, context: Context) -> BoxFuture<'static, HandlerResult> {
        Box::pin(async move {
            let own = Arc::clone(&self);
            match &self.place {
                None => blocking(move || (own.work)(&context)).await?,
                Some(lane) => lane.run(move || (own.work)(&context)).await?,
            }
        })
    }
}
