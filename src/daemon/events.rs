//! Everything that can happen to the daemon, taken from its sources in one place.

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::clock::{Alarm, Ring};
use super::reload::Reloaded;
use super::signals::{Signal, SignalStream};
use crate::engine::{self, Now, Wakeup};
use crate::store::Health;
use crate::web::Request;

/// So many events are taken before the loop acts on them.
const MAX_BATCH: usize = 4_096;

/// Everything that can happen to the daemon.
pub(super) enum Event {
    /// An end, or a record that has become durable.
    Engine(engine::Event),
    /// The store has become able or unable to take records.
    Store(Health),
    Signal(Signal),
    /// The embedding program asks to leave.
    Shutdown,
    Request(Request),
    /// The file has been read again.
    Loaded(Box<Reloaded>),
    /// An instant has come, on either clock.
    Rang(Ring),
}

impl Event {
    /// What is acted on first: ends, then control, then fires.
    fn order(&self) -> u8 {
        match self {
            Self::Engine(_) | Self::Store(_) => 0,
            Self::Signal(_) | Self::Shutdown | Self::Request(_) | Self::Loaded(_) => 1,
            Self::Rang(_) => 2,
        }
    }
}

/// The sources of events.
pub(super) struct Sources {
    pub(super) engine: mpsc::UnboundedReceiver<engine::Event>,
    pub(super) store: mpsc::UnboundedReceiver<Health>,
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) loaded: mpsc::UnboundedReceiver<Reloaded>,
    pub(super) signals: Option<SignalStream>,
    pub(super) shutdown: CancellationToken,
    pub(super) alarm: Alarm,
    pub(super) shutting_down: bool,
}

impl Sources {
    /// Sources without an API, a file and an embedding program.
    pub(super) fn new(
        engine: mpsc::UnboundedReceiver<engine::Event>,
        store: mpsc::UnboundedReceiver<Health>,
        signals: Option<SignalStream>,
        alarm: Alarm,
    ) -> Self {
        let (requests, loaded) = (mpsc::channel(1).1, mpsc::unbounded_channel().1);
        Self { engine, store, requests, loaded, signals, shutdown: CancellationToken::new(), alarm, shutting_down: false }
    }

    /// Waits for an event, and takes all that are ready with it, in the order they are to be acted on.
    pub(super) async fn next(&mut self, now: Now, wakeup: Wakeup) -> std::io::Result<Vec<Event>> {
        self.alarm.set(wakeup.wall)?;
        let first = self.wait(now, wakeup).await?;
        let mut events = vec![first];
        while events.len() < MAX_BATCH
            && let Some(event) = self.take_ready()
        {
            events.push(event);
        }
        events.sort_by_key(Event::order);
        Ok(events)
    }

    async fn wait(&mut self, now: Now, wakeup: Wakeup) -> std::io::Result<Event> {
        let timeout = async {
            match wakeup.monotonic {
                Some(at) => tokio::time::sleep(at.saturating_sub(now.monotonic)).await,
                None => std::future::pending().await,
            }
        };
        let signal = async {
            match &mut self.signals {
                Some(signals) => signals.next().await,
                None => std::future::pending().await,
            }
        };
        let event = tokio::select! {
            Some(event) = self.engine.recv() => Event::Engine(event),
            Some(health) = self.store.recv() => Event::Store(health),
            signal = signal => Event::Signal(signal),
            () = self.shutdown.cancelled(), if !self.shutting_down => {
                self.shutting_down = true;
                Event::Shutdown
            }
            Some(request) = self.requests.recv() => Event::Request(request),
            Some(loaded) = self.loaded.recv() => Event::Loaded(Box::new(loaded)),
            ring = self.alarm.ring() => Event::Rang(ring?),
            () = timeout => Event::Rang(Ring::Due),
        };
        Ok(event)
    }

    fn take_ready(&mut self) -> Option<Event> {
        if let Ok(event) = self.engine.try_recv() {
            return Some(Event::Engine(event));
        }
        if let Ok(health) = self.store.try_recv() {
            return Some(Event::Store(health));
        }
        if let Ok(request) = self.requests.try_recv() {
            return Some(Event::Request(request));
        }
        self.loaded.try_recv().ok().map(|loaded| Event::Loaded(Box::new(loaded)))
    }
}
