//! TLS: rustls with ring, the one provider, and the certificates that the system trusts (`SSL_CERT_FILE` and `SSL_CERT_DIR` name
//! others).

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::HttpError;

/// Read when TLS is first wanted: a daemon that never asks anyone does not hold a hundred certificates in memory.
static CONFIG: Mutex<Option<Arc<ClientConfig>>> = Mutex::new(None);

/// Makes ring the process's provider of cryptography. First thing in `main`: with none installed, some of rustls's callers panic.
pub fn install_provider() {
    // An embedding program may have installed one, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Agrees on keys with the server, which must prove to be `name`.
pub(super) async fn start(stream: TcpStream, name: ServerName<'static>, host: &str) -> Result<TlsStream<TcpStream>, HttpError> {
    let connector = TlsConnector::from(config().await?);
    connector.connect(name, stream).await.map_err(|source| {
        // The certificates may have been renewed since they were read: the next connection reads them anew.
        if is_about_certificates(&source) {
            *cached() = None;
        }
        HttpError::Tls { host: host.to_owned(), source }
    })
}

async fn config() -> Result<Arc<ClientConfig>, HttpError> {
    if let Some(config) = &*cached() {
        return Ok(Arc::clone(config));
    }
    let read = tokio::task::spawn_blocking(read).await;
    let config = read.map_err(|error| HttpError::Certificates { reason: error.to_string() })??;
    *cached() = Some(Arc::clone(&config));
    Ok(config)
}

fn cached() -> MutexGuard<'static, Option<Arc<ClientConfig>>> {
    CONFIG.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read() -> Result<Arc<ClientConfig>, HttpError> {
    let failed = |reason: String| HttpError::Certificates { reason };
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reason = found.errors.first().map_or_else(|| "there are none; install ca-certificates".to_owned(), ToString::to_string);
        return Err(failed(reason));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let mut config = builder.map_err(|error| failed(error.to_string()))?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn is_about_certificates(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::InvalidCertificate(_)))
}
