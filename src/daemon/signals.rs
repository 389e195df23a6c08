//! The signals of the daemon. Their handlers are installed before anything else, so that an early SIGHUP does not end it.

use std::io;

use futures::StreamExt;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook_tokio::Signals;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGHUP.
    Reload,
    /// SIGUSR1.
    ReopenLog,
    /// SIGTERM.
    Terminate,
    /// SIGINT.
    Interrupt,
}

/// The stream of signals.
pub(super) struct SignalStream(Signals);

impl std::fmt::Debug for SignalStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SignalStream")
    }
}

impl SignalStream {
    /// Installs the handlers. SIGUSR2 is caught and means nothing, so that a stray one does no harm.
    pub(super) fn install() -> io::Result<Self> {
        Signals::new([SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2]).map(Self)
    }

    pub(super) async fn next(&mut self) -> Signal {
        loop {
            match self.0.next().await {
                Some(SIGHUP) => return Signal::Reload,
                Some(SIGUSR1) => return Signal::ReopenLog,
                Some(SIGTERM) => return Signal::Terminate,
                Some(SIGINT) => return Signal::Interrupt,
                Some(_) => {}
                // The stream ends only when its handle is closed, which nobody does.
                None => std::future::pending().await,
            }
        }
    }
}
