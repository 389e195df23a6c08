//! A partial as a request: rendered, sent, and judged by the status of its answer. A stop closes the connection at once.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::{RawValue, to_raw_value};

use super::process::output::{captured, shorten};
use super::result::{RESULT_MAX_BYTES, json};
use super::secrets::Secrets;
use super::template::{self, TemplateError, Values};
use super::vault::{Vault, VaultError};
use super::{Attempt, Ended, Part, StopLine};
use crate::config::HttpWork;
use crate::engine::Hindrance;
use crate::http::{self, HttpError, Limits, Method, Request, Response, StatusCode};

/// How long a request may take in a job that sets neither `partial_timeout` nor `timeout`.
pub(super) const TOTAL_TIMEOUT: Duration = Duration::from_secs(300);

/// A longer key of a target gives way to its index in the idempotency key: servers take up to 255 characters.
const KEY_MAX_BYTES: usize = 120;

/// Why there is nothing to send.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error(transparent)]
    Template(#[from] TemplateError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("`{0}` is no method")]
    Method(String),
    #[error("`{part}`: {source}")]
    Part { part: String, source: VaultError },
}

impl PlanError {
    /// What it means for another attempt: a credential may be there next time.
    fn hindrance(&self) -> Option<Hindrance> {
        if let Self::Part { source: VaultError::Credential(_), .. } = self { None } else { Some(Hindrance::Lasting) }
    }
}

/// Sends the request of an attempt and judges the answer.
pub(super) async fn carry_out(attempt: &Attempt, work: &HttpWork, stops: &StopLine) -> Ended {
    let (request, secrets) = match request(attempt, work) {
        Ok(made) => made,
        Err(error) => return Ended::spawn_failed(&error, error.hindrance()),
    };
    let job = &attempt.run.job;
    let bounded = job.policies.partial_timeout.is_some() || job.policies.timeout.is_some();
    let kept = usize::try_from(job.policies.output_max_size).unwrap_or(usize::MAX);
    let limits = Limits {
        total: (!bounded).then_some(TOTAL_TIMEOUT),
        // A byte more tells that there is more.
        body: RESULT_MAX_BYTES.max(kept) + 1,
        redirects: work.redirects,
        link_local: work.allow_link_local,
    };
    tokio::select! {
        answer = http::send(request, limits) => match answer {
            // Some servers say what they were asked.
            Ok(answer) => judge(&Response { body: secrets.clean(&answer.body).into_owned(), ..answer }, work, kept),
            Err(error) => Ended::failed(error.to_string()),
        },
        () = stops.polite() => Ended::failed("the request was given up; it may have arrived".to_owned()),
        () = stops.kill() => Ended::failed("the request was given up; it may have arrived".to_owned()),
    }
}

/// The request, and what of it nobody is to see.
pub(super) fn request(attempt: &Attempt, work: &HttpWork) -> Result<(Request, Secrets), PlanError> {
    let vault = Vault::of_daemon(attempt.run.job.process.credentials_dir.as_deref());
    let values = Values::with_credentials(attempt, Arc::clone(&vault).open());
    let mut secrets = Secrets::default();
    let mut part = |name: &str, text: &str| {
        let made = vault.keep(template::render(text, &values), &mut secrets);
        made.map(Cow::into_owned).map_err(|source| PlanError::Part { part: name.to_owned(), source })
    };
    let method = Method::from_bytes(work.method.as_bytes()).map_err(|_| PlanError::Method(work.method.clone()))?;
    let mut request = Request::new(method, &template::render_url(&work.url, &Values::new(attempt))?)?;
    request = request.header("idempotency-key", &idempotency_key(attempt))?;
    if let Some(body) = &work.body {
        let body = part("body", body)?;
        let kind = if json(body.as_bytes()).is_some() { "application/json" } else { "text/plain; charset=utf-8" };
        request = request.header("content-type", kind)?.body(body);
    }
    for (name, value) in &work.headers {
        request = request.header(name, &part(name, value)?)?;
    }
    Ok((request, secrets))
}

/// Run, target and attempt: `sync@20261123T020000Z/seoul/1`, percent-encoded. The same attempt is never made twice.
fn idempotency_key(attempt: &Attempt) -> String {
    let key = attempt.target().map(|target| plain(&target.key)).filter(|key| key.len() <= KEY_MAX_BYTES);
    let number = || if let Part::Plan = attempt.part { "targets".to_owned() } else { attempt.index().to_string() };
    let target = key.unwrap_or_else(number);
    format!("{}/{target}/{}", plain(&attempt.run.id.0), attempt.number())
}

/// The text with all but the characters of names percent-encoded.
fn plain(text: &str) -> String {
    const NAMES: &percent_encoding::AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'@').remove(b'+');
    utf8_percent_encode(text, NAMES).to_string()
}

fn judge(answer: &Response, work: &HttpWork, kept: usize) -> Ended {
    let output = captured(&answer.body, kept);
    let status = answer.status;
    if !work.expect.iter().any(|expected| expected.has(status.as_u16())) {
        return Ended { output, ..Ended::failed(unexpected(status, &answer.body, work)) };
    }
    match result(answer) {
        Ok(result) => Ended { output, ..Ended::succeeded(result) },
        Err(note) => Ended { output, error: Some(note), ..Ended::succeeded(None) },
    }
}

/// What is to be said of an answer that is no success.
pub(super) fn unexpected(status: StatusCode, body: &[u8], work: &HttpWork) -> String {
    let expected = work.expect.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let said = shorten(&String::from_utf8_lossy(body).split_whitespace().take(100).collect::<Vec<_>>().join(" "));
    let said = if said.is_empty() { said } else { format!(": {said}") };
    format!("status {status}, expected {expected}{said}")
}

/// The body as the result: JSON as it is, other text as a string. The error says why it is left out.
fn result(answer: &Response) -> Result<Option<Box<RawValue>>, String> {
    if answer.cut || answer.body.len() > RESULT_MAX_BYTES {
        return Err(format!("result ignored: the answer has more than {RESULT_MAX_BYTES} bytes"));
    }
    if answer.body.trim_ascii().is_empty() {
        return Ok(None);
    }
    if let Some(json) = json(&answer.body) {
        return Ok(Some(json));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| "result ignored: the answer is neither JSON nor text".to_owned())?;
    Ok(to_raw_value(text).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Expected;

    fn check(status: u16, body: &[u8], expected: &str) {
        let work = HttpWork {
            method: "GET".to_owned(),
            url: String::new(),
            headers: Vec::new(),
            body: None,
            expect: vec![Expected::Class(2), Expected::Status(404)],
            redirects: 0,
            allow_link_local: false,
        };
        let status = http::StatusCode::from_u16(status).expect("a status");
        let ended = judge(&Response { status, body: body.to_vec(), cut: false }, &work, 100);
        let result = ended.result.map(|result| result.get().to_owned()).unwrap_or_default();
        assert_eq!(format!("{} {result} {}", ended.outcome, ended.error.unwrap_or_default()).trim_end(), expected);
    }

    #[test]
    fn answers_are_judged_by_their_status() {
        check(200, b" {\"n\": 1} ", "succeeded {\"n\": 1}");
        check(204, b"", "succeeded");
        check(200, b"fine", "succeeded \"fine\"");
        check(404, b"null", "succeeded null");
        check(200, b"\xff\xfe", "succeeded  result ignored: the answer is neither JSON nor text");
        check(200, &vec![b'x'; RESULT_MAX_BYTES + 1], "succeeded  result ignored: the answer has more than 1048576 bytes");
        check(302, b"", "failed  status 302 Found, expected 2xx, 404");
        check(500, b"no\nway\n", "failed  status 500 Internal Server Error, expected 2xx, 404: no way");
    }
}
