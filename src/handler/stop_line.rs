//! How the runner tells an attempt to stop.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::engine::Stop;

const POLITE: u8 = 1;
const KILL: u8 = 2;
const OVER: u8 = 4;

/// Both rungs stay pulled: nothing is lost when nobody listens yet. One small allocation: a million partials have one each.
#[derive(Clone, Debug, Default)]
pub(crate) struct StopLine(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    /// Bits.
    pulled: AtomicU8,
    changed: Notify,
    /// For those who want the first rung as a token.
    token: OnceLock<CancellationToken>,
}

impl StopLine {
    pub(crate) fn pull(&self, stop: Stop) {
        match stop {
            Stop::Polite => {
                self.set(POLITE);
                // After the bit: a token that is made meanwhile sees it.
                self.0.token.get().inspect(|token| token.cancel());
            }
            Stop::Kill => self.set(KILL),
        }
    }

    /// Whether any stop was asked for.
    pub(crate) fn is_pulled(&self) -> bool {
        self.has(POLITE | KILL)
    }

    pub(crate) fn is_polite(&self) -> bool {
        self.has(POLITE)
    }

    /// Resolves when it is asked to stop.
    pub(crate) async fn polite(&self) {
        self.wait_for(POLITE).await;
    }

    /// Resolves when it is to be killed.
    pub(crate) async fn kill(&self) {
        self.wait_for(KILL).await;
    }

    /// Cancelled when it is asked to stop.
    pub(crate) fn token(&self) -> CancellationToken {
        let token = self.0.token.get_or_init(CancellationToken::new);
        if self.is_polite() {
            token.cancel();
        }
        token.clone()
    }

    /// The attempt has ended: what a thread or task does that it left behind belongs to nobody.
    pub(crate) fn end(&self) {
        self.0.pulled.fetch_or(OVER, Ordering::SeqCst);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.has(OVER)
    }

    fn set(&self, bit: u8) {
        self.0.pulled.fetch_or(bit, Ordering::SeqCst);
        self.0.changed.notify_waiters();
    }

    fn has(&self, bits: u8) -> bool {
        self.0.pulled.load(Ordering::SeqCst) & bits != 0
    }

    async fn wait_for(&self, bit: u8) {
        loop {
            let changed = self.0.changed.notified();
            // It hears of what is pulled from its making on.
            if self.has(bit) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    /// Which of the rungs are seen to be pulled: by those who wait, by those who ask, and as a token made before and after.
    fn seen(pulls: &[Stop]) -> String {
        let line = StopLine::default();
        let before = line.token();
        let (early_polite, early_kill) = (line.polite().shared(), line.kill().shared());
        assert!(early_polite.clone().now_or_never().is_none() && early_kill.clone().now_or_never().is_none());
        for stop in pulls {
            line.pull(*stop);
        }
        let polite = [
            early_polite.now_or_never().is_some(),
            line.polite().now_or_never().is_some(),
            line.is_polite(),
            before.is_cancelled(),
            line.token().is_cancelled(),
        ];
        let kill = [early_kill.now_or_never().is_some(), line.kill().now_or_never().is_some()];
        assert!(polite.iter().all(|seen| *seen == polite[0]) && kill[0] == kill[1], "{polite:?} {kill:?}");
        assert_eq!(line.is_pulled(), polite[0] || kill[0]);
        format!("{} {}", polite[0], kill[0])
    }

    #[test]
    fn both_rungs_stay_pulled() {
        assert_eq!(seen(&[]), "false false");
        assert_eq!(seen(&[Stop::Polite]), "true false");
        assert_eq!(seen(&[Stop::Kill]), "false true");
        assert_eq!(seen(&[Stop::Kill, Stop::Polite]), "true true");
    }

    #[test]
    fn what_has_ended_is_over_and_was_not_asked_to_stop() {
        let line = StopLine::default();
        line.end();
        assert!(line.is_over() && !line.is_pulled());
    }
}
