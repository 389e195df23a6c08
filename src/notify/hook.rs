//! Webhooks: the message as the body of a POST.

use std::time::Duration;

use super::message::Message;
use super::{Undelivered, secret};
use crate::config::Hook;
use crate::handler::{Secrets, render_with_credentials};
use crate::http::{self, HttpError, Limits, Method, Request, StatusCode};

/// Of the answer, so much is read, for the error.
const ANSWER_MAX_BYTES: usize = 300;

/// Statuses of the 400s that ask for another attempt.
const COME_AGAIN: [StatusCode; 3] = [StatusCode::REQUEST_TIMEOUT, StatusCode::TOO_EARLY, StatusCode::TOO_MANY_REQUESTS];

/// Posts the JSON `body`; any status but 2xx is a failure.
pub(super) async fn send(hook: &Hook, message: &Message, body: Vec<u8>, timeout: Duration) -> Result<(), Undelivered> {
    let url = secret::read(&hook.url).await?;
    let mut request =
        Request::new(Method::POST, &url)?.header("content-type", "application/json")?.header("idempotency-key", &message.id)?;
    let mut secrets = Secrets::default();
    secrets.add(&url);
    for (name, value) in &hook.headers {
        let value = render_with_credentials(value, hook.credentials_dir.as_deref(), &mut secrets);
        request = request.header(name, &value.map_err(|error| Undelivered::certain(format!("header `{name}`: {error}")))?)?;
    }
    let posted = post(request.body(body), timeout, hook.allow_link_local).await;
    // Some servers say what they were asked.
    posted.map_err(|undelivered| Undelivered { error: secrets.redact(&undelivered.error).into_owned(), ..undelivered })
}

pub(super) async fn post(request: Request, timeout: Duration, link_local: bool) -> Result<(), Undelivered> {
    let limits = Limits { total: Some(timeout), body: ANSWER_MAX_BYTES, redirects: 0, link_local };
    let answer = http::send(request, limits).await?;
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&answer.body).split_whitespace().collect::<Vec<_>>().join(" ");
    let error = if said.is_empty() { format!("status {status}") } else { format!("status {status}: {said}") };
    let refused = status.is_client_error() && !COME_AGAIN.contains(&status);
    Err(Undelivered { error, unsure: false, refused })
}

impl From<HttpError> for Undelivered {
    fn from(error: HttpError) -> Self {
        Self { unsure: error.may_have_arrived(), error: error.to_string(), refused: false }
    }
}
