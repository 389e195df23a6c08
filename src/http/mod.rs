//! The one HTTP client: jobs with `http`, notifications and pings all ask through it.
//!
//! A connection a request, HTTP/1.1, TLS by rustls with the certificates of the system. Made for a daemon that is told its URLs
//! by people and by data: only `http` and `https`; no redirect unless asked for; no proxy from the environment; every part
//! bounded in time and size; link-local and metadata addresses refused, whatever name or spelling leads there ([`address`]).
//! Errors name the host and never the rest of a URL, which is often a secret.

mod address;
mod connection;
mod redirect;
#[cfg(test)]
mod tests;
mod tls;

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
pub use hyper::header::HeaderName;
use hyper::header::{self, HeaderMap, HeaderValue};
pub use hyper::{Method, StatusCode};
use url::Url;

pub use tls::install_provider;

/// How long finding the address, connecting and agreeing on keys may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

const USER_AGENT: &str = concat!("batchd/", env!("CARGO_PKG_VERSION"));

/// A request; nothing of it is shown but the host.
#[derive(Clone)]
pub struct Request {
    method: Method,
    url: Url,
    headers: HeaderMap,
    body: Bytes,
}

/// What a request may cost, and where it may go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// From the first look at the address to the last byte.
    pub total: Option<Duration>,
    /// Bytes of the answer's body that are read; the rest is left unread.
    pub body: usize,
    /// Redirects that are followed; with none, a redirect is an answer like any other.
    pub redirects: u32,
    /// Whether link-local and metadata addresses may be reached.
    pub link_local: bool,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    /// The beginning of the body, as far as [`Limits::body`] lets it be read.
    pub body: Vec<u8>,
    /// Whether there was more.
    pub cut: bool,
}

/// Why there is no answer. `host` is the host with its port.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("the URL is not usable: {reason}")]
    Url { reason: String },
    #[error("the header `{}` has a name or value that no header can have", name.escape_debug())]
    Header { name: String },
    #[error("`{host}` cannot be resolved: {source}")]
    Resolve { host: String, source: io::Error },
    #[error("`{host}` is {address}, a link-local or metadata address, which is refused unless `allow_link_local` is set")]
    Refused { host: String, address: IpAddr },
    #[error("cannot connect to `{host}` ({address}): {source}")]
    Connect { host: String, address: IpAddr, source: io::Error },
    #[error("no connection to `{host}` within {}", humantime::format_duration(*limit))]
    ConnectTimeout { host: String, limit: Duration },
    #[error("the system's certificates cannot be read: {reason}")]
    Certificates { reason: String },
    #[error("no TLS with `{host}`: {source}")]
    Tls { host: String, source: io::Error },
    #[error("no answer from `{host}` within {}", humantime::format_duration(*limit))]
    Timeout { host: String, limit: Duration },
    #[error("`{host}` broke off: {reason}")]
    Broken { host: String, reason: String },
    #[error("`{host}` redirects, {reason}")]
    Redirect { host: String, reason: String },
}

impl HttpError {
    /// Whether the request may have reached the other side, so that sending it again may do its work twice.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Broken { .. } | Self::Redirect { .. })
    }
}

impl Request {
    /// A request to an absolute `http` or `https` URL. A user and password in it become an `Authorization` header.
    ///
    /// # Errors
    /// [`HttpError::Url`] says what is wrong without repeating the URL.
    pub fn new(method: Method, url: &str) -> Result<Self, HttpError> {
        let mut url = parse(url)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(credentials) = take_credentials(&mut url) {
            headers.insert(header::AUTHORIZATION, credentials);
        }
        Ok(Self { method, url, headers, body: Bytes::new() })
    }

    /// Sets a header, in the place of an earlier one of the name.
    ///
    /// # Errors
    /// [`HttpError::Header`]: the name is none, or the value has a line break or another control character.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, HttpError> {
        let bad = || HttpError::Header { name: name.to_owned() };
        let key = HeaderName::from_bytes(name.as_bytes()).map_err(|_| bad())?;
        let mut value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| bad())?;
        value.set_sensitive(true);
        self.headers.insert(key, value);
        Ok(self)
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// The host with its port: all of the URL that may be shown.
    pub fn host(&self) -> String {
        shown_host(&self.url)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("method", &self.method).field("host", &self.host()).finish_non_exhaustive()
    }
}

/// Sends the request and reads its answer. Dropped, it closes the connection at once.
pub async fn send(request: Request, limits: Limits) -> Result<Response, HttpError> {
    let host = request.host();
    match limits.total {
        Some(limit) => tokio::time::timeout(limit, follow(request, limits)).await.unwrap_or(Err(HttpError::Timeout { host, limit })),
        None => follow(request, limits).await,
    }
}

async fn follow(request: Request, limits: Limits) -> Result<Response, HttpError> {
    open(request, limits).await?.rest(limits.body).await
}

/// Sends the request and reads the head of its answer, whose body is then read piece by piece: whoever asks bounds its size and time.
pub async fn open(mut request: Request, limits: Limits) -> Result<Answer, HttpError> {
    let mut left = limits.redirects;
    loop {
        let (status, location, body) = exchange(&request, limits).await?;
        let Some(location) = location.filter(|_| limits.redirects > 0 && redirect::leads_on(status)) else {
            return Ok(Answer { status, host: request.host(), body });
        };
        let to_many = || format!("more often than {} times", limits.redirects);
        left = left.checked_sub(1).ok_or_else(|| HttpError::Redirect { host: request.host(), reason: to_many() })?;
        request = redirect::next(&request, status, &location)?;
    }
}

/// One request and the head of its answer.
async fn exchange(request: &Request, limits: Limits) -> Result<(StatusCode, Option<HeaderValue>, Body), HttpError> {
    let host = request.host();
    let limit = CONNECT_TIMEOUT;
    let connecting = tokio::time::timeout(limit, connection::open(&request.url, limits.link_local));
    let (mut sender, driver) = connecting.await.unwrap_or_else(|_| Err(HttpError::ConnectTimeout { host: host.clone(), limit }))?;
    let mut head = hyper::Request::builder().method(request.method.clone()).uri(target(&request.url));
    if let Some(headers) = head.headers_mut() {
        headers.clone_from(&request.headers);
        headers.entry(header::HOST).or_insert(host_header(&request.url)?);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let message = head.body(Full::new(request.body.clone())).map_err(|error| HttpError::Url { reason: error.to_string() })?;
    let answer = sender.send_request(message).await.map_err(|error| broken(&host, &error))?;
    let location = answer.headers().get(header::LOCATION).cloned();
    Ok((answer.status(), location, Body { incoming: answer.into_body(), _driver: driver }))
}

/// An answer whose body is still to be read.
pub struct Answer {
    pub status: StatusCode,
    host: String,
    body: Body,
}

/// A body, and what keeps its connection going.
struct Body {
    incoming: Incoming,
    _driver: connection::Driver,
}

impl Answer {
    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, HttpError> {
        while let Some(frame) = self.body.incoming.frame().await {
            let frame = frame.map_err(|error| broken(&self.host, &error))?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// The rest of the body, up to so many bytes.
    pub async fn rest(mut self, most: usize) -> Result<Response, HttpError> {
        let mut body = Vec::new();
        while let Some(data) = self.piece().await? {
            let room = most - body.len();
            body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                return Ok(Response { status: self.status, body, cut: true });
            }
        }
        Ok(Response { status: self.status, body, cut: false })
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).field("host", &self.host).finish_non_exhaustive()
    }
}

fn broken(host: &str, error: &hyper::Error) -> HttpError {
    let sources = std::iter::successors(std::error::Error::source(error), |error| error.source());
    let reason = std::iter::once(error.to_string()).chain(sources.map(ToString::to_string)).collect::<Vec<_>>().join(": ");
    HttpError::Broken { host: host.to_owned(), reason }
}

/// An absolute URL that can be asked.
fn parse(text: &str) -> Result<Url, HttpError> {
    let bad = |reason: String| HttpError::Url { reason };
    let url = Url::parse(text.trim()).map_err(|error| bad(error.to_string()))?;
    match url.scheme() {
        "http" | "https" if url.has_host() => Ok(url),
        scheme => Err(bad(format!("`{}` is neither http nor https", scheme.escape_debug()))),
    }
}

/// Takes the user and password out of the URL, as the header that says the same.
fn take_credentials(url: &mut Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let plain = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [plain(url.username()), b":".to_vec(), plain(url.password().unwrap_or_default())].concat();
    let mut value = HeaderValue::try_from(format!("Basic {}", BASE64_STANDARD.encode(pair))).ok()?;
    value.set_sensitive(true);
    // Both succeed on a URL with a host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(value)
}

fn shown_host(url: &Url) -> String {
    let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", url.host_str().unwrap_or_default())
}

/// The port only where it is not the usual one, as servers expect it.
fn host_header(url: &Url) -> Result<HeaderValue, HttpError> {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let host = format!("{}{port}", url.host_str().unwrap_or_default());
    HeaderValue::try_from(host).map_err(|error| HttpError::Url { reason: error.to_string() })
}

fn target(url: &Url) -> String {
    url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()))
}
