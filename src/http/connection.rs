//! From a URL to a connection that speaks HTTP/1.1: the name resolved, the address looked at, TLS where the URL wants it.

use std::io;
use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use super::address::is_link_local;
use super::{HttpError, shown_host, tls};

/// Keeps the connection going; dropped, it closes it.
pub(super) type Driver = AbortOnDropHandle<()>;

/// Connects to the host of the URL. `link_local`: whether it may be a link-local or metadata address.
pub(super) async fn open(url: &Url, link_local: bool) -> Result<(SendRequest<Full<Bytes>>, Driver), HttpError> {
    let host = shown_host(url);
    let stream = connect(url, &host, link_local).await?;
    // Requests are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    if url.scheme() == "https" {
        let stream = tls::start(stream, server_name(url)?, &host).await?;
        speak(TokioIo::new(stream), host).await
    } else {
        speak(TokioIo::new(stream), host).await
    }
}

async fn speak(io: impl Read + Write + Unpin + Send + 'static, host: String) -> Result<(SendRequest<Full<Bytes>>, Driver), HttpError> {
    let (sender, connection) = handshake(io).await.map_err(|error| super::broken(&host, &error))?;
    // What goes wrong shows in the answer that does not come.
    let driver = tokio::spawn(async move { drop(connection.await) });
    Ok((sender, AbortOnDropHandle::new(driver)))
}

/// The first address of the host that takes the connection.
async fn connect(url: &Url, host: &str, link_local: bool) -> Result<TcpStream, HttpError> {
    let mut failure = None;
    for address in resolve(url, host).await? {
        if !link_local && is_link_local(address.ip()) {
            failure.get_or_insert(HttpError::Refused { host: host.to_owned(), address: address.ip() });
            continue;
        }
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(source) => failure = Some(HttpError::Connect { host: host.to_owned(), address: address.ip(), source }),
        }
    }
    let nothing = || HttpError::Resolve { host: host.to_owned(), source: io::Error::other("it has no address") };
    Err(failure.unwrap_or_else(nothing))
}

async fn resolve(url: &Url, host: &str) -> Result<Vec<SocketAddr>, HttpError> {
    let port = url.port_or_known_default().unwrap_or(80);
    match url.host() {
        Some(Host::Ipv4(address)) => Ok(vec![(address, port).into()]),
        Some(Host::Ipv6(address)) => Ok(vec![(address, port).into()]),
        Some(Host::Domain(name)) => {
            let found = tokio::net::lookup_host((name, port)).await;
            found.map(Iterator::collect).map_err(|source| HttpError::Resolve { host: host.to_owned(), source })
        }
        None => Ok(Vec::new()),
    }
}

/// What the server's certificate must be for.
fn server_name(url: &Url) -> Result<ServerName<'static>, HttpError> {
    let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    ServerName::try_from(name).map_err(|error| HttpError::Url { reason: error.to_string() })
}
