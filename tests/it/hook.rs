//! A web server on the loopback that hangs, drips, redirects, fails and never ends, as its paths say.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// A request that has not come by then never will.
const PATIENCE: Duration = Duration::from_secs(30);

/// So many bytes `/endless` promises.
const ENDLESS: u64 = 10_000_000_000;

/// What was asked.
#[derive(Debug)]
pub(crate) struct Asked {
    /// `POST /ok`.
    pub(crate) line: String,
    head: String,
    pub(crate) body: String,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// The server, until the test ends.
pub(crate) struct Hook {
    pub(crate) url: String,
    asked: Receiver<Asked>,
}

impl Hook {
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let (sender, asked) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || serve(stream, &sender));
            }
        });
        Self { url, asked }
    }

    /// The next request whose line contains `part`.
    #[track_caller]
    pub(crate) fn next(&self, part: &str) -> Asked {
        loop {
            let asked = self.asked.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("nobody asks for {part}"));
            if asked.line.contains(part) {
                return asked;
            }
        }
    }
}

/// Whoever has gone meanwhile does not want the rest.
fn serve(mut stream: TcpStream, sender: &Sender<Asked>) {
    let Some(asked) = read(&stream) else { return };
    let path = asked.line.split(' ').nth(1).unwrap_or_default().to_owned();
    let header = asked.header("authorization").map(str::to_owned);
    // A test that has ended does not listen any more.
    let _ = sender.send(asked);
    let mut say = |text: &str| stream.write_all(text.as_bytes()).is_ok();
    match path.split('/').nth(1).unwrap_or_default() {
        "hang" => wait_until_closed(&mut stream),
        "drip" => {
            let (_held, never) = channel::<()>();
            for letter in "HTTP/1.1 200 OK, in a while, or in a little longer than that".chars() {
                if !say(&letter.to_string()) || never.recv_timeout(Duration::from_secs(1)).is_ok() {
                    return;
                }
            }
        }
        "redirect" => drop(say("HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/latest/\r\ncontent-length: 0\r\n\r\n")),
        "broken" => drop(say("HTTP/1.1 500 Oh no\r\ncontent-length: 5\r\n\r\nsorry")),
        "endless" => {
            say(&format!("HTTP/1.1 200 OK\r\ncontent-length: {ENDLESS}\r\n\r\n"));
            let chunk = "x".repeat(1 << 16);
            while say(&chunk) {}
        }
        "says" => {
            let body = format!("you are {}", header.unwrap_or_default());
            say(&format!("HTTP/1.1 403 No\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
        }
        "shops" => drop(say(&ok(r#"{"meta": {"items": 2}, "data": {"items": [{"id": 7, "city": "Seoul"}, {"id": 8, "city": "Busan"}]}}"#))),
        "shops.csv" => drop(say(&ok("id,city\n1,Seoul\n2,Busan\n3,Jeju\n"))),
        "none" => drop(say(&ok("[]"))),
        "half" => drop(say("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[\"a\", \"b\"]")),
        "echo" => {
            say(&ok(&format!(r#"{{"path": "{path}"}}"#)));
        }
        _ => drop(say("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")),
    }
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn wait_until_closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    // Closed or broken: gone.
    let _ = stream.read_to_end(&mut rest);
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let (mut line, mut head) = (String::new(), String::new());
    reader.read_line(&mut line).ok()?;
    while reader.read_line(&mut head).ok()? > 2 {}
    let mut asked = Asked { line: line.trim().to_owned(), head, body: String::new() };
    let length = asked.header("content-length").map_or(0, |length| length.parse().unwrap_or(0));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    asked.body = String::from_utf8(body).ok()?;
    Some(asked)
}
