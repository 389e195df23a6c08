//! A lane: one thread with a name, on which one piece of work happens at a time.

use std::any::Any;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;

/// One thread that does one piece of work at a time, always the same thread: for libraries that must be used from one thread, for
/// connections that must not be shared, for devices. The counterpart of Django's `sync_to_async(thread_sensitive=True)`, but for a
/// name of your own instead of for everything.
///
/// ```
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// use batchd::handler::Lane;
///
/// let ledger = Lane::new("ledger");
/// let (first, second) = (ledger.clone(), ledger); // clones are the same lane
/// assert_eq!(first.run(|| 1 + 1).await.unwrap(), 2);
/// assert_eq!(second.run(|| std::thread::current().name().unwrap().to_owned()).await.unwrap(), "ledger");
/// # });
/// ```
///
/// Work waits in the order in which it came; how much waits is bounded by the partials in flight. What is waiting when its attempt is
/// stopped is never begun. What is under way cannot be stopped: its attempt ends after the grace, the work goes on to its end, and the
/// lane is busy until then. A panic ends the piece, not the lane.
///
/// The thread starts with the first piece of work, and leaves when the last clone of the lane is dropped and its work is done.
#[derive(Clone)]
pub struct Lane {
    name: Arc<str>,
    /// Where the thread takes its work, once there is one.
    thread: Arc<Mutex<Option<Sender<Piece>>>>,
}

type Piece = Box<dyn FnOnce() + Send>;

/// Why a piece of work was not done.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    #[error("the thread of the lane `{name}` cannot be started: {source}")]
    Start { name: Arc<str>, source: std::io::Error },
    #[error("the thread of the lane `{0}` is gone")]
    Gone(Arc<str>),
}

impl Lane {
    /// A lane of this name, which debuggers and `ps` show up to its 15th byte.
    pub fn new(name: &str) -> Self {
        // The system takes no NUL in the name of a thread.
        Self { name: name.replace('\0', "").into(), thread: Arc::default() }
    }

    /// Does the work on the lane, and waits for it. Dropped before the work has begun, the work is left out.
    ///
    /// # Errors
    /// [`LaneError`]: there is no thread.
    ///
    /// # Panics
    /// With what the work panics with.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, LaneError> {
        let (reply, done) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        self.push(Box::new(move || {
            if reply.is_closed() {
                return;
            }
            // Whoever waited may have been stopped meanwhile.
            let _ = reply.send(std::panic::catch_unwind(AssertUnwindSafe(work)));
        }))?;
        match done.await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(_) => Err(LaneError::Gone(Arc::clone(&self.name))),
        }
    }

    fn push(&self, piece: Piece) -> Result<(), LaneError> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        let sender = match &*thread {
            Some(sender) => sender,
            None => thread.insert(self.start()?),
        };
        sender.send(piece).map_err(|_| LaneError::Gone(Arc::clone(&self.name)))
    }

    fn start(&self) -> Result<Sender<Piece>, LaneError> {
        let (sender, pieces): (_, Receiver<Piece>) = channel();
        let started = thread::Builder::new().name(self.name.to_string()).spawn(move || pieces.iter().for_each(|piece| piece()));
        started.map_err(|source| LaneError::Start { name: Arc::clone(&self.name), source })?;
        Ok(sender)
    }
}

impl fmt::Debug for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lane").field(&self.name).finish()
    }
}
