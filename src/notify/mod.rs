//! Tells people: delivers what waits in the outbox through channels and pings, beside everything else. A run never waits for it.
//!
//! A message is on disk with what it tells of before anything is sent, and each attempt is on disk before it begins. So after a
//! crash what was not delivered is delivered, under the same id, and marked as a possible duplicate where an attempt had begun.
//! A channel, like the pings of one job, is a *lane*: one message after the other, in order. `policy` says when; `message` and
//! `wording` what; `email`, `hook`, `program` and `ping` how.

mod email;
mod hook;
mod message;
mod ping;
mod policy;
mod program;
mod secret;
mod wording;

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use self::message::Message;
use self::policy::{Bucket, Fate};
use crate::config::{Channel, Config, Way};
use crate::engine::{LetterKey, Now, Posted, Record};
use crate::store::outbox::{Lane, Letter, MAX_WAITING, PING_LANE};
use crate::store::{Reader, Recorder, StoreError};

/// Deliveries under way at once.
const MAX_AT_ONCE: usize = 8;

/// How long a database that cannot be read is left alone.
const AFTER_READ_ERROR: Duration = Duration::from_secs(30);

/// It looks at least so often: the wall clock, by which messages are due, may have been set.
const LOOKS: Duration = Duration::from_secs(600);

/// How long deliveries under way may go on when the daemon leaves.
const PATIENCE: Duration = Duration::from_secs(3);

/// What the room needs of its daemon.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The one reader of the clock.
    pub clock: fn() -> Now,
    /// Absolute; the records are below it.
    pub state_dir: PathBuf,
    pub recorder: Recorder,
}

/// A delivery that did not succeed.
#[derive(Debug)]
pub struct Undelivered {
    /// For people, one line; nothing of it is a secret.
    pub error: String,
    /// Whether it may have arrived all the same.
    unsure: bool,
    /// Whether the other side has refused it, so that trying again may never help.
    refused: bool,
}

impl Undelivered {
    fn certain(error: impl Into<String>) -> Self {
        Self { error: error.into(), unsure: false, refused: false }
    }
}

/// The room at work; [`Notifier::close`] ends it.
#[derive(Debug)]
pub struct Notifier {
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

/// Tells the room that something has come to the disk.
#[derive(Clone, Debug)]
pub struct Bell(Arc<Shared>);

impl Bell {
    pub fn ring(&self) {
        self.0.rung.notify_one();
    }
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    config: Mutex<Arc<Config>>,
    reader: Mutex<Option<Reader>>,
    rung: Notify,
    leaving: CancellationToken,
    lanes: Mutex<HashMap<String, Bucket>>,
}

impl Notifier {
    /// Starts delivering, first what the last daemon left. Within a tokio runtime.
    pub fn start(settings: Settings, config: Arc<Config>) -> Self {
        let shared = Arc::new(Shared {
            settings,
            config: Mutex::new(config),
            reader: Mutex::new(None),
            rung: Notify::new(),
            leaving: CancellationToken::new(),
            lanes: Mutex::default(),
        });
        let task = tokio::spawn(deliver_all(Arc::clone(&shared)));
        Self { shared, task }
    }

    pub fn bell(&self) -> Bell {
        Bell(Arc::clone(&self.shared))
    }

    /// Other channels are in force from now on.
    pub fn configure(&self, config: Arc<Config>) {
        *lock(&self.shared.config) = config;
        self.shared.rung.notify_one();
    }

    /// Lets what is under way end, for a little while. What is not delivered then waits for the next daemon.
    pub async fn close(mut self) {
        self.shared.leaving.cancel();
        if tokio::time::timeout(PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

/// Sends a message that tells nothing, to see whether the channel works.
pub async fn try_out(channel: &Channel, state_dir: &std::path::Path, now: Now) -> Result<(), Undelivered> {
    let message = Message::test(&channel.name, now.wall);
    send(channel, &message, state_dir, now).await
}

/// Looks at the lanes, and sees to those in which something is due, a few at once.
async fn deliver_all(shared: Arc<Shared>) {
    let mut under_way: JoinSet<String> = JoinSet::new();
    let mut busy: HashSet<String> = HashSet::new();
    while !shared.leaving.is_cancelled() {
        let mut wait = LOOKS;
        match shared.read(Reader::lanes).await {
            Ok(lanes) => {
                if lanes.is_empty() {
                    // Nothing waits: the connection is not held open for it.
                    *lock(&shared.reader) = None;
                }
                for lane in lanes.into_iter().filter(|lane| !busy.contains(&lane.name)).collect::<Vec<_>>() {
                    let due = shared.due_in(&lane);
                    if due > Duration::ZERO {
                        wait = wait.min(due);
                    } else if under_way.len() < MAX_AT_ONCE {
                        busy.insert(lane.name.clone());
                        under_way.spawn(deliver_lane(Arc::clone(&shared), lane.name));
                    }
                }
            }
            Err(error) => {
                warn!("messages cannot be delivered, the records cannot be read: {error}");
                wait = AFTER_READ_ERROR;
            }
        }
        tokio::select! {
            () = shared.rung.notified() => {}
            Some(done) = under_way.join_next(), if !under_way.is_empty() => match done {
                Ok(lane) => drop(busy.remove(&lane)),
                // A panic was reported by its hook; the lanes are looked at anew.
                Err(_) => busy.retain(|_| false),
            },
            () = tokio::time::sleep(wait) => {}
            () = shared.leaving.cancelled() => {}
        }
    }
    while under_way.join_next().await.is_some() {}
}

/// Delivers what is due in one lane, in order, until nothing is or something goes wrong.
async fn deliver_lane(shared: Arc<Shared>, lane: String) -> String {
    while !shared.leaving.is_cancelled() {
        let name = lane.clone();
        let Ok(mut letters) = shared.read(move |reader| reader.letters(&name, MAX_WAITING)).await else { break };
        let now = (shared.settings.clock)();
        let count = shared.take(&lane, &letters, now);
        letters.truncate(count);
        if letters.is_empty() || letters[0].next > now.wall || !shared.deliver(&lane, &letters).await {
            break;
        }
    }
    lane
}

impl Shared {
    /// Reads records on a thread that may wait for the disk.
    async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        read: impl FnOnce(&Reader) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, String> {
        let shared = Arc::clone(self);
        let read = move || {
            let mut reader = lock(&shared.reader);
            if reader.is_none() {
                *reader = Some(Reader::open(&shared.settings.state_dir)?);
            }
            let Some(open) = reader.as_ref() else { return Err(StoreError::NotJoined) };
            let answer = read(open);
            if answer.is_err() {
                *reader = None;
            }
            answer
        };
        let answer = tokio::task::spawn_blocking(read).await.map_err(|error| error.to_string())?;
        answer.map_err(|error| error.to_string())
    }

    /// How long until the first message of a lane is due, and may be sent.
    fn due_in(&self, lane: &Lane) -> Duration {
        let now = (self.settings.clock)();
        let due = Duration::try_from(lane.next.duration_since(now.wall)).unwrap_or_default();
        let rests = lock(&self.lanes).get_mut(&lane.name).map_or(Duration::ZERO, |bucket| bucket.wait(now.monotonic));
        due.max(rests)
    }

    /// How many of the letters go now, as one message; what was sent before is not counted again.
    fn take(&self, lane: &str, letters: &[Letter], now: Now) -> usize {
        let mut lanes = lock(&self.lanes);
        lanes.retain(|_, bucket| !bucket.is_full(now.monotonic));
        let is_ping = lane.starts_with(PING_LANE);
        let bucket = lanes.entry(lane.to_owned()).or_insert_with(|| Bucket::full(now.monotonic));
        let sent_before = letters.first().is_some_and(|letter| letter.lead.is_some());
        let room = if is_ping || sent_before { u32::MAX } else { bucket.tokens(now.monotonic) };
        let count = policy::batch(letters, room);
        if count > 0 && !is_ping && !sent_before {
            bucket.take(now.monotonic);
        }
        if is_ping {
            lanes.remove(lane);
        }
        count
    }

    /// Delivers letters as one message; false when it did not arrive.
    async fn deliver(&self, lane: &str, letters: &[Letter]) -> bool {
        let keys: Vec<LetterKey> = letters.iter().map(|letter| letter.key).collect();
        if !self.record(Posted::Trying { letters: keys.clone() }).await {
            return false;
        }
        let message = Message::new(letters);
        let config = Arc::clone(&lock(&self.config));
        let result = self.send(lane, &message, &config).await;
        let now = (self.settings.clock)();
        let (posted, arrived) = match result {
            Ok(()) => (Posted::Delivered { letters: keys, at: now.wall }, true),
            Err(failure) => (after_failure(lane, letters, keys, &message, failure, now.wall), false),
        };
        let recorded = self.record(posted).await;
        if recorded && arrived {
            info!("{lane} was told: {}", message.subject());
        }
        recorded && arrived
    }

    async fn send(&self, lane: &str, message: &Message, config: &Config) -> Result<(), Undelivered> {
        let now = (self.settings.clock)();
        if let Some(job) = lane.strip_prefix(PING_LANE) {
            let url = config.jobs.get(job).and_then(|job| job.ping.as_deref());
            let url = url.ok_or_else(|| Undelivered { refused: true, ..Undelivered::certain("the job has no `ping` any more") })?;
            return ping::send(url, message).await;
        }
        let channel = config.channels.get(lane);
        let channel = channel.ok_or_else(|| Undelivered { refused: true, ..Undelivered::certain("there is no such channel any more") })?;
        send(channel, message, &self.settings.state_dir, now).await
    }

    /// Records a step, and waits until it is on disk; false: it never will be.
    async fn record(&self, posted: Posted) -> bool {
        let (written, on_disk) = tokio::sync::oneshot::channel();
        self.settings.recorder.record(Record::Posted(posted));
        let tell = move || {
            // The task may have been given up meanwhile.
            let _ = written.send(());
        };
        self.settings.recorder.once_written(tell);
        on_disk.await.is_ok()
    }
}

/// What becomes of letters that did not arrive; the log says so.
fn after_failure(lane: &str, letters: &[Letter], keys: Vec<LetterKey>, message: &Message, failure: Undelivered, now: Timestamp) -> Posted {
    let Undelivered { error, unsure, refused } = failure;
    let lead = &letters[0];
    let age = Duration::try_from(now.duration_since(lead.created)).unwrap_or_default();
    let subject = message.subject();
    match policy::after_failure(lead.attempts + 1, age, refused, lane.starts_with(PING_LANE), lead.key) {
        Fate::Again(delay) => {
            let wait = humantime::format_duration(Duration::from_secs(delay.as_secs()));
            warn!("{lane} could not be told: {error}; again in {wait}: {subject}");
            Posted::Deferred { letters: keys, next: now + delay, error, unsure }
        }
        Fate::GivenUp => {
            error!("{lane} could not be told, and will not be: {error}: {subject}");
            Posted::GivenUp { letters: keys, at: now, error }
        }
    }
}

async fn send(channel: &Channel, message: &Message, state_dir: &std::path::Path, now: Now) -> Result<(), Undelivered> {
    match &channel.way {
        Way::Webhook(hook) => hook::send(hook, message, message.json(), channel.timeout).await,
        Way::Slack(hook) => hook::send(hook, message, message.slack(), channel.timeout).await,
        Way::Email(email) => email::send(email, message, channel.timeout).await,
        Way::Command(job) => program::send(job, message, state_dir, channel.timeout, now).await,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
