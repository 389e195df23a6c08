//! Where a redirect leads, and what of the request goes along.

use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Method, StatusCode};

use super::{HttpError, Request, parse, shown_host};

/// Headers that may go along to another host; any other may be a credential.
const KEPT: [&str; 4] = ["user-agent", "accept", "content-type", "idempotency-key"];

/// Whether an answer with this status and a `Location` is a redirect.
pub(super) fn leads_on(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// The request that follows from a redirect, as browsers make it: what is no GET becomes one for 301 to 303, and credentials stay
/// with the host they were meant for.
pub(super) fn next(request: &Request, status: StatusCode, location: &HeaderValue) -> Result<Request, HttpError> {
    let refused = |reason: &str| HttpError::Redirect { host: shown_host(&request.url), reason: reason.to_owned() };
    let location = location.to_str().map_err(|_| refused("to what is no URL"))?;
    let url = request.url.join(location).map_err(|_| refused("to what is no URL"))?;
    let url = parse(url.as_str()).map_err(|_| refused("to what is neither http nor https"))?;
    if request.url.scheme() == "https" && url.scheme() == "http" {
        return Err(refused("from https to http, where anyone could read along"));
    }
    let mut next = Request { url, ..request.clone() };
    if next.url.origin() != request.url.origin() {
        let own: Vec<_> = next.headers.keys().filter(|name| !KEPT.contains(&name.as_str())).cloned().collect();
        for name in own {
            next.headers.remove(name);
        }
    }
    if matches!(status.as_u16(), 301..=303) && !matches!(next.method, Method::GET | Method::HEAD) {
        next.method = Method::GET;
        next.body = Bytes::new();
        next.headers.remove(header::CONTENT_TYPE);
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Either both of them, or none.
    fn has_secrets(headers: &header::HeaderMap) -> bool {
        let found = ["authorization", "x-api-key"].map(|name| headers.contains_key(name));
        assert_eq!(found[0], found[1]);
        found[0]
    }

    /// Method and URL, or why not.
    fn check(from: &str, status: u16, location: &str, expected: &str) {
        let request = Request::new(Method::POST, from)
            .and_then(|request| request.header("authorization", "secret"))
            .and_then(|request| request.header("x-api-key", "secret"))
            .expect("usable");
        let status = StatusCode::from_u16(status).expect("a status");
        let found = next(&request, status, &HeaderValue::from_str(location).expect("a header"));
        let found = match found {
            Ok(request) => format!("{} {} {}", request.method, request.url, has_secrets(&request.headers)),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{from} {status} {location}");
    }

    #[test]
    fn where_it_leads() {
        check("http://a.test/x/y?q", 307, "z", "POST http://a.test/x/z true");
        check("http://a.test/x", 308, "/z", "POST http://a.test/z true");
        check("http://a.test/x", 302, "//b.test/z", "GET http://b.test/z false");
        check("http://a.test/x", 303, "https://a.test/", "GET https://a.test/ false");
        check("https://a.test/x", 307, "http://a.test/", "`a.test:443` redirects, from https to http, where anyone could read along");
        check("http://a.test/x", 307, "file:///etc/passwd", "`a.test:80` redirects, to what is neither http nor https");
    }
}
