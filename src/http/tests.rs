//! The client against servers that do as they are told, on the loopback.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const LIMITS: Limits = Limits { total: Some(Duration::from_secs(20)), body: 1_000, redirects: 0, link_local: false };

/// A server that answers each connection with the next of `answers`; what is asked comes back in order.
async fn server(answers: Vec<String>) -> (String, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let serving = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().await.expect("accept");
            let mut buffer = vec![0; 4_096];
            let count = stream.read(&mut buffer).await.expect("read");
            asked.push(String::from_utf8_lossy(&buffer[..count]).into_owned());
            // The client may have had enough of it.
            let _ = stream.write_all(answer.as_bytes()).await;
        }
        asked
    });
    (format!("http://{address}"), serving)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

async fn get(url: &str, limits: Limits) -> Result<Response, HttpError> {
    send(Request::new(Method::GET, url)?, limits).await
}

#[tokio::test]
async fn asks_and_reads() {
    let (url, serving) = server(vec![ok("hello")]).await;
    let request = Request::new(Method::POST, &url.replace("http://", "http://me:p%40ss@")).expect("usable");
    let request = request.header("x-tag", "1").expect("a header").body("question");
    let answer = send(request, LIMITS).await.expect("an answer");
    assert_eq!((answer.status.as_u16(), &*answer.body, answer.cut), (200, &b"hello"[..], false));
    let asked = serving.await.expect("served").concat();
    let host = url.trim_start_matches("http://");
    for part in
        ["POST / HTTP/1.1\r\n", &format!("host: {host}\r\n"), "authorization: Basic bWU6cEBzcw==\r\n", "x-tag: 1\r\n", "\r\n\r\nquestion"]
    {
        assert!(asked.contains(part), "{part:?} is not in {asked:?}");
    }
}

#[tokio::test]
async fn a_long_answer_is_cut_and_not_read_to_its_end() {
    let (url, serving) = server(vec![format!("HTTP/1.1 200 OK\r\ncontent-length: 10000000000\r\n\r\n{}", "x".repeat(100_000))]).await;
    let answer = get(&url, LIMITS).await.expect("an answer");
    assert_eq!((answer.body.len(), answer.cut), (1_000, true));
    serving.await.expect("served");
}

#[tokio::test]
async fn redirects_are_followed_only_when_asked_for() {
    let moved = |to: &str| format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n");
    let (url, serving) = server(vec![moved("/b"), moved("/b"), ok("there"), moved("/a"), moved("/a")]).await;
    assert_eq!(get(&url, LIMITS).await.expect("an answer").status.as_u16(), 302);
    assert_eq!(get(&url, Limits { redirects: 1, ..LIMITS }).await.expect("an answer").body, b"there");
    let lost = get(&url, Limits { redirects: 1, ..LIMITS }).await.expect_err("a circle");
    assert!(lost.to_string().contains("more often than 1 times"), "{lost}");
    assert_eq!(serving.await.expect("served").len(), 5);
}

#[tokio::test]
async fn metadata_addresses_are_refused_in_any_spelling() {
    for host in
        ["169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "[::ffff:169.254.169.254]", "[fe80::1]", "[fd00:ec2::254]"]
    {
        let refused = get(&format!("http://{host}/latest/meta-data/"), LIMITS).await.expect_err("refused");
        assert!(matches!(refused, HttpError::Refused { .. }), "{host}: {refused}");
    }
    let (url, serving) =
        server(vec!["HTTP/1.1 307 There\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n".to_owned()]).await;
    let refused = get(&url, Limits { redirects: 3, ..LIMITS }).await.expect_err("refused");
    assert!(matches!(refused, HttpError::Refused { .. }), "{refused}");
    serving.await.expect("served");
}

#[tokio::test]
async fn what_goes_wrong_is_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("an address");
    let total = Some(Duration::from_millis(50));
    let silent = get(&format!("http://{address}/"), Limits { total, ..LIMITS }).await.expect_err("no answer");
    assert!(silent.to_string().ends_with("within 50ms") && silent.may_have_arrived(), "{silent}");
    drop(listener);
    let closed = get(&format!("http://user:secret@{address}/secret?secret"), LIMITS).await.expect_err("nobody listens");
    assert!(matches!(closed, HttpError::Connect { .. }) && !closed.may_have_arrived(), "{closed}");
    assert!(!closed.to_string().contains("secret"), "{closed}");
    let (url, serving) = server(vec!["HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf".to_owned(), ok("no TLS")]).await;
    let broken = get(&url, LIMITS).await.expect_err("half an answer");
    assert!(matches!(broken, HttpError::Broken { .. }), "{broken}");
    let plain = get(&url.replace("http", "https"), LIMITS).await.expect_err("no TLS");
    assert!(matches!(plain, HttpError::Tls { .. } | HttpError::Certificates { .. }), "{plain}");
    serving.await.ok();
    for (url, reason) in [("ftp://a.test/", "neither http nor https"), ("a.test/x", "relative URL"), ("http://", "host")] {
        let refused = Request::new(Method::GET, url).expect_err("not usable").to_string();
        assert!(refused.contains(reason), "{refused}");
    }
    assert!(Request::new(Method::GET, "http://a.test/").and_then(|request| request.header("a", "b\r\nc: d")).is_err());
}
