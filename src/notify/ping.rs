//! Pings as healthchecks.io and its like understand them: `URL/start`, `URL` for a success, `URL/fail` and `URL/log`, with the run
//! as `rid`, so that the other side can tell how long it took.

use std::time::Duration;

use url::Url;

use super::message::Message;
use super::{Undelivered, hook};
use crate::engine::Kind;
use crate::http::{Method, Request};
use crate::schedule::fnv_1a;

/// How long one ping may take.
const TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn send(url: &str, message: &Message) -> Result<(), Undelivered> {
    let notice = message.notices.first().ok_or_else(|| Undelivered::certain("there is nothing to say"))?;
    let url = signal(url, message.kind(), notice.run.as_deref().unwrap_or_default())?;
    let body = if notice.output.is_empty() { message.subject() } else { notice.output.clone() };
    let request = Request::new(Method::POST, url.as_str())?.header("content-type", "text/plain; charset=utf-8")?;
    hook::post(request.header("idempotency-key", &message.id)?.body(body), TIMEOUT, false).await
}

/// The URL that says it.
fn signal(base: &str, kind: Kind, run: &str) -> Result<Url, Undelivered> {
    let word = match kind {
        Kind::Start => Some("start"),
        Kind::Fail => Some("fail"),
        Kind::Log => Some("log"),
        _ => None,
    };
    let mut url = Url::parse(base).map_err(|error| Undelivered::certain(format!("the URL is not usable: {error}")))?;
    if let (Some(word), Ok(mut segments)) = (word, url.path_segments_mut()) {
        segments.pop_if_empty().push(word);
    }
    url.query_pairs_mut().append_pair("rid", &rid(run));
    Ok(url)
}

/// The run as a UUID, version 8: two hashes of its name.
fn rid(run: &str) -> String {
    let [high, low] = [b'a', b'b'].map(|mark| fnv_1a([mark].into_iter().chain(run.bytes())));
    let number = (u128::from(high) << 64) | u128::from(low);
    let number = number & !(0xf << 76) & !(0x3 << 62) | (0x8 << 76) | (0x2 << 62);
    let hex = format!("{number:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_says_it() {
        let rid = rid("a@20260311T170000Z");
        for (base, kind, expected) in [
            ("https://hc-ping.com/uuid", Kind::Start, "https://hc-ping.com/uuid/start?rid="),
            ("https://hc-ping.com/uuid/", Kind::Fail, "https://hc-ping.com/uuid/fail?rid="),
            ("https://hc-ping.com/uuid", Kind::Success, "https://hc-ping.com/uuid?rid="),
            ("http://a.test/x?create=1", Kind::Log, "http://a.test/x/log?create=1&rid="),
        ] {
            assert_eq!(signal(base, kind, "a@20260311T170000Z").expect("a URL").as_str(), format!("{expected}{rid}"));
        }
        assert_eq!((rid.len(), &rid[14..15]), (36, "8"));
        assert!("89ab".contains(&rid[19..20]), "{rid}");
    }
}
