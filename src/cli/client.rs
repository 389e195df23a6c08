//! Asks the daemon over its socket or, where none runs, the records on the disk through the same API.

use std::io;
use std::path::{Path, PathBuf};

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tower::ServiceExt;

use super::Exit;
use crate::web::api::{ErrorBody, ErrorDetail};
use crate::web::connect;

/// The longest answer that is kept in memory; results come line by line instead.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// The longest single line of results.
const MAX_RESULT_LINE: usize = 16 * 1024 * 1024;

/// What stands in a path or a query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@').remove(b':');

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no daemon reachable at `{}`: {reason}", socket.display())]
    NoDaemon { socket: PathBuf, reason: String, denied: bool },
    /// In the API's own words.
    #[error("{}", .0.message)]
    Refused(ErrorDetail),
    #[error("the connection to the daemon broke: {0}")]
    Broken(String),
    #[error("the daemon's answer cannot be read: {0}; are daemon and command of the same version?")]
    Unexpected(String),
}

impl ClientError {
    /// The exit code it leads to.
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoDaemon { .. } | Self::Broken(_) => Exit::NoDaemon,
            Self::Refused(detail) => match detail.code.as_str() {
                "unknown_job" | "unknown_run" | "unknown_target" => Exit::NotFound,
                "bad_request" | "wrong_argument" | "ambiguous_run" => Exit::Usage,
                "no_daemon" | "leaving" => Exit::NoDaemon,
                _ => Exit::WorkFailed,
            },
            Self::Unexpected(_) => Exit::WorkFailed,
        }
    }

    /// What to do about it.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::NoDaemon { denied: true, .. } => {
                Some("root, the daemon's user and members of the socket's group may: add the user to the group, or use sudo")
            }
            Self::NoDaemon { .. } => Some("start it with `batchd daemon` or `systemctl start batchd`; `--config` says which one is meant"),
            Self::Refused(detail) => detail.help.as_deref(),
            Self::Broken(_) => Some("`batchd status` tells whether it still runs"),
            Self::Unexpected(_) => None,
        }
    }
}

/// Where questions go.
#[derive(Clone, Debug)]
pub struct Client {
    route: Route,
    socket: PathBuf,
}

#[derive(Clone, Debug)]
enum Route {
    Socket,
    Records(Router),
}

impl Client {
    /// Asks the daemon that listens on `socket`; where nobody does, the records, which `records` opens.
    pub fn open<E: From<ClientError>>(socket: PathBuf, records: impl FnOnce() -> Result<Router, E>) -> Result<Self, E> {
        let route = match connect(&socket) {
            Ok(_) => Route::Socket,
            Err(error) if is_absent(&error) => Route::Records(records()?),
            Err(error) => return Err(unreachable(&socket, &error).into()),
        };
        Ok(Self { route, socket })
    }

    /// Asks a router in this process, whether it has a daemon behind it or not.
    pub fn within(router: Router, socket: PathBuf) -> Self {
        Self { route: Route::Records(router), socket }
    }

    /// Who is asked, for people.
    pub fn describe(&self) -> String {
        let socket = self.socket.display();
        match self.route {
            Route::Socket => format!("asking the daemon at `{socket}`"),
            Route::Records(_) => format!("no daemon at `{socket}`: reading the records"),
        }
    }

    /// The answer to a question.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        parse(self.send(Method::GET, path, Body::empty()).await?).await
    }

    /// The answer to an order.
    pub async fn post<T: DeserializeOwned>(&self, path: &str, order: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(order).map_err(|error| ClientError::Unexpected(error.to_string()))?;
        parse(self.send(Method::POST, path, Body::from(body)).await?).await
    }

    /// The lines of an answer, one after the other, however many there are.
    pub async fn lines(&self, path: &str) -> Result<Lines, ClientError> {
        let response = self.send(Method::GET, path, Body::empty()).await?;
        Ok(Lines { body: response.into_body(), received: Vec::new(), read: 0, searched: 0 })
    }

    /// The response, where it is not a refusal.
    async fn send(&self, method: Method, path: &str, body: Body) -> Result<Response<Body>, ClientError> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "batchd")
            .header(header::CONTENT_TYPE, "application/json")
            .body(body)
            .map_err(|error| ClientError::Unexpected(error.to_string()))?;
        let response = match &self.route {
            Route::Socket => self.send_over_socket(request).await?,
            Route::Records(router) => router.clone().oneshot(request).await.unwrap_or_else(|never| match never {}),
        };
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refusal(response).await)
    }

    async fn send_over_socket(&self, request: Request<Body>) -> Result<Response<Body>, ClientError> {
        let broken = |error: hyper::Error| ClientError::Broken(error.to_string());
        let stream = connect(&self.socket).map_err(|error| unreachable(&self.socket, &error))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
        // What goes wrong with the connection shows in the response.
        tokio::spawn(connection);
        Ok(sender.send_request(request).await.map_err(broken)?.map(Body::new))
    }

    async fn refusal(&self, response: Response<Body>) -> ClientError {
        let status = response.status();
        match collect(response).await.map(|body| serde_json::from_slice::<ErrorBody>(&body)) {
            Ok(Ok(body)) if body.error.code == "no_daemon" => {
                ClientError::NoDaemon { socket: self.socket.clone(), reason: "nobody listens there".to_owned(), denied: false }
            }
            Ok(Ok(body)) => ClientError::Refused(body.error),
            Ok(Err(_)) => ClientError::Unexpected(describe(status)),
            Err(error) => error,
        }
    }
}

/// A path with user input in its segments: `["runs", "a/b"]` becomes `/v1/runs/a%2Fb`.
pub(super) fn path(segments: &[&str]) -> String {
    segments.iter().fold("/v1".to_owned(), |path, segment| format!("{path}/{}", utf8_percent_encode(segment, PLAIN)))
}

/// A query of the pairs that have a value.
pub(super) fn query(pairs: &[(&str, Option<String>)]) -> String {
    let pairs = pairs.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

/// An answer that is read line by line.
#[derive(Debug)]
pub struct Lines {
    body: Body,
    received: Vec<u8>,
    /// Bytes of `received` that were handed out.
    read: usize,
    /// Bytes of `received` that hold no further line feed.
    searched: usize,
}

impl Lines {
    /// The next whole line, without its line feed.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            let from = self.searched.max(self.read);
            if let Some(at) = self.received[from..].iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&self.received[self.read..from + at]).into_owned();
                self.read = from + at + 1;
                return Ok(Some(line));
            }
            self.received.drain(..self.read);
            self.read = 0;
            self.searched = self.received.len();
            if self.received.len() > MAX_RESULT_LINE {
                return Err(ClientError::Unexpected(format!("a line is longer than {MAX_RESULT_LINE} bytes")));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => self.received.extend(frame.into_data().unwrap_or_default()),
                Some(Err(error)) => return Err(ClientError::Broken(error.to_string())),
                None if self.received.is_empty() => return Ok(None),
                None => return Err(ClientError::Broken("it ended within a line".to_owned())),
            }
        }
    }
}

async fn parse<T: DeserializeOwned>(response: Response<Body>) -> Result<T, ClientError> {
    let body = collect(response).await?;
    serde_json::from_slice(&body).map_err(|error| ClientError::Unexpected(error.to_string()))
}

async fn collect(response: Response<Body>) -> Result<Vec<u8>, ClientError> {
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    Ok(body.map_err(|error| ClientError::Broken(error.to_string()))?.to_bytes().to_vec())
}

fn unreachable(socket: &Path, error: &io::Error) -> ClientError {
    let denied = error.kind() == io::ErrorKind::PermissionDenied;
    // The rest of the message says that it is about the socket.
    let reason = match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
        _ => error.to_string(),
    };
    ClientError::NoDaemon { socket: socket.to_owned(), reason, denied }
}

fn describe(status: StatusCode) -> String {
    format!("status {status} without an explanation")
}

/// Whether nobody listens, so that the records may be read instead.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Answer;
    use crate::web::LiveStatus;
    use crate::web::api::RunPage;
    use crate::web::fake::{FakeDaemon, FakeHistory};

    #[test]
    fn names_are_safe_in_paths_and_queries() {
        assert_eq!(path(&["runs", "a/../b?c", "results"]), "/v1/runs/a%2F..%2Fb%3Fc/results");
        assert_eq!(path(&["runs", "sync@20261123T060000.345Z+manual"]), "/v1/runs/sync@20261123T060000.345Z%2Bmanual");
        assert_eq!(query(&[("job", Some("서울 &".to_owned())), ("since", None)]), "?job=%EC%84%9C%EC%9A%B8%20%26");
        assert_eq!(query(&[("job", None)]), "");
    }

    #[tokio::test]
    async fn the_socket_is_asked_where_somebody_listens_and_the_records_elsewhere() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let socket = directory.path().join("batchd.sock");
        let records = || Ok::<_, ClientError>(crate::web::offline(Vec::new(), FakeHistory::example().share()));
        let client = Client::open(socket.clone(), records).expect("the records answer");
        assert!(matches!(client.get::<LiveStatus>("/v1/status").await, Err(ClientError::NoDaemon { .. })));
        assert_eq!(client.get::<RunPage>("/v1/runs").await.expect("runs").runs.len(), 3);

        let listener = crate::web::Listener::bind(&socket).expect("bind");
        let control = FakeDaemon::answering(Answer::Stopping).start();
        let serving = tokio::spawn(crate::web::serve(listener, control, FakeHistory::example().share()));
        let client = Client::open(socket.clone(), records).expect("the daemon answers");
        assert_eq!(client.get::<LiveStatus>("/v1/status").await.expect("a status").pid, 4_711);
        let mut lines = client.lines("/v1/runs/daily-report/results").await.expect("results");
        assert!(lines.next().await.expect("a line").is_some_and(|line| line.starts_with("{\"index\":0,")));
        serving.abort();
        assert!(serving.await.is_err(), "it was dropped");
        assert!(matches!(client.get::<LiveStatus>("/v1/status").await, Err(ClientError::NoDaemon { .. })));
    }

    #[tokio::test]
    async fn lines_are_whole_however_they_arrive() {
        let chunks = ["{\"a\"", ":1}\n{\"b\":2}\n", "", "\n"].map(Ok::<_, io::Error>);
        let body = Body::from_stream(futures::stream::iter(chunks));
        let mut lines = Lines { body, received: Vec::new(), read: 0, searched: 0 };
        for expected in [Some("{\"a\":1}"), Some("{\"b\":2}"), Some(""), None] {
            assert_eq!(lines.next().await.expect("whole lines").as_deref(), expected);
        }
    }

    #[tokio::test]
    async fn a_cut_line_is_an_error() {
        let mut lines = Lines { body: Body::from("{\"a\":"), received: Vec::new(), read: 0, searched: 0 };
        assert!(matches!(lines.next().await, Err(ClientError::Broken(_))));
    }
}
