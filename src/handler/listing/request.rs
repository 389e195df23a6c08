//! Targets from the web: the answer is read as it comes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Fault, Take, parse_pieces};
use crate::config::{HttpWork, Source};
use crate::handler::http::{TOTAL_TIMEOUT, request, unexpected};
use crate::handler::secrets::Secrets;
use crate::handler::{Attempt, StopLine};
use crate::http::{self, HttpError, Limits, Request};

/// A longer answer is refused.
const MAX_BODY: u64 = 1 << 30;

/// Of an answer that is none of the expected, so much is read, for the error.
const SAID: usize = 300;

/// Asks for the targets; returns the host that was asked.
pub(super) async fn read(attempt: &Attempt, work: &HttpWork, source: Arc<Source>, stops: &StopLine, take: Take) -> Result<String, Fault> {
    let (request, secrets) = request(attempt, work).map_err(|error| Fault::whole(&error))?;
    let host = request.host();
    let (sender, reading) = parse_pieces(source, take);
    let limits = Limits { total: None, body: usize::MAX, redirects: work.redirects, link_local: work.allow_link_local };
    // A run with a timeout is stopped by that.
    let limit = if attempt.until.is_some() { Duration::MAX } else { TOTAL_TIMEOUT };
    let fetched = tokio::select! {
        fetched = tokio::time::timeout(limit, fetch(request, limits, work, &secrets, sender)) => {
            fetched.unwrap_or_else(|_| Err(Fault::whole(&HttpError::Timeout { host: host.clone(), limit })))
        }
        () = stops.polite() => Err(Fault::Whole("stopped".to_owned())),
        () = stops.kill() => Err(Fault::Whole("stopped".to_owned())),
    };
    let parsed = reading.await;
    // An answer that broke off is not to be understood either: the first reason is the one.
    fetched?;
    parsed.map_err(|fault| fault.of(&host))?;
    Ok(host)
}

/// Hands the answer on until its reader has had enough of it.
async fn fetch(request: Request, limits: Limits, work: &HttpWork, secrets: &Secrets, sender: mpsc::Sender<Vec<u8>>) -> Result<(), Fault> {
    let (host, failed) = (request.host(), |error: HttpError| Fault::whole(&error));
    let mut answer = http::open(request, limits).await.map_err(failed)?;
    if !work.expect.iter().any(|expected| expected.has(answer.status.as_u16())) {
        let status = answer.status;
        let said = answer.rest(SAID).await.map_err(failed)?.body;
        return Err(Fault::Whole(unexpected(status, &secrets.clean(&said), work)).of(&host));
    }
    let mut left = MAX_BODY;
    while let Some(piece) = answer.piece().await.map_err(failed)? {
        let too_long = || Fault::Whole(format!("the answer is longer than {MAX_BODY} bytes")).of(&host);
        left = left.checked_sub(piece.len() as u64).ok_or_else(too_long)?;
        if sender.send(piece.to_vec()).await.is_err() {
            return Ok(());
        }
    }
    Ok(())
}
