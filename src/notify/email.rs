//! Mail, by SMTP. A message keeps its `Message-ID`, so that mail programs see one that comes twice as one.

use std::time::Duration;

use lettre::message::Mailbox;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::Error as SmtpError;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::message::Message;
use super::{Undelivered, secret};
use crate::config::{Email, SmtpTls};

/// Sends one mail to all; within `timeout`, or nobody knows.
pub(super) async fn send(email: &Email, message: &Message, timeout: Duration) -> Result<(), Undelivered> {
    let mail = compose(email, message)?;
    let transport = connect(email, timeout).await?;
    let sent = tokio::time::timeout(timeout, transport.send(mail)).await;
    let limit = humantime::format_duration(timeout);
    let late = || Undelivered { error: format!("no answer from `{}` within {limit}", email.host), unsure: true, refused: false };
    sent.map_err(|_| late())?.map(drop).map_err(|error| undelivered(email, &error))
}

fn compose(email: &Email, message: &Message) -> Result<lettre::Message, Undelivered> {
    let address =
        |text: &str| text.parse::<Mailbox>().map_err(|error| Undelivered::certain(format!("`{text}` is no mail address: {error}")));
    // By RFC 3834, this keeps answering machines quiet.
    let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
    let mut mail = lettre::Message::builder().from(address(&email.from)?).subject(message.subject());
    mail = mail.message_id(Some(format!("<{}@batchd>", message.id))).raw_header(automatic).header(ContentType::TEXT_PLAIN);
    for to in &email.to {
        mail = mail.to(address(to)?);
    }
    mail.body(message.text()).map_err(|error| Undelivered::certain(error.to_string()))
}

async fn connect(email: &Email, timeout: Duration) -> Result<AsyncSmtpTransport<Tokio1Executor>, Undelivered> {
    let host = email.host.clone();
    let encrypted = |wrap: fn(TlsParameters) -> Tls| async move {
        // Reads the system's certificates.
        let parameters =
            tokio::task::spawn_blocking(move || TlsParameters::new(host)).await.map_err(|error| Undelivered::certain(error.to_string()))?;
        parameters.map(wrap).map_err(|error| Undelivered::certain(chain(&error)))
    };
    let tls = match email.tls {
        SmtpTls::None => Tls::None,
        SmtpTls::Tls => encrypted(Tls::Wrapper).await?,
        SmtpTls::StartTls => encrypted(Tls::Required).await?,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&email.host).port(email.port).tls(tls).timeout(Some(timeout));
    if let Some((user, password)) = &email.user {
        builder = builder.credentials(Credentials::new(user.clone(), secret::read(password).await?));
    }
    // A connection a mail: without its pool, lettre keeps none open.
    Ok(builder.build())
}

fn undelivered(email: &Email, error: &SmtpError) -> Undelivered {
    let answered = error.is_permanent() || error.is_transient() || error.is_client() || error.is_tls();
    // What is neither was the network's: before the connection, nothing can have arrived.
    let text = chain(error);
    let unsure = !answered && !text.starts_with("Connection error");
    Undelivered { error: format!("`{}:{}`: {text}", email.host, email.port), unsure, refused: error.is_permanent() }
}

fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source());
    let mut texts: Vec<String> = std::iter::once(error.to_string()).chain(sources.map(ToString::to_string)).collect();
    // Some errors repeat what their source says.
    texts.dedup_by(|later, earlier| earlier.contains(later.as_str()));
    texts.join(": ")
}
