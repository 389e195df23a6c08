//! `http`: a request instead of a process.

use toml::de::DeValue;

use super::field::{Field, fields};
use super::policy::each;
use super::problem::{Problem, Report, nearest, shown};

/// The most redirects that are followed.
const MAX_REDIRECTS: i64 = 20;

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// Headers that belong to the connection, or that batchd sets itself.
const RESERVED: [&str; 6] = ["host", "connection", "content-length", "transfer-encoding", "upgrade", "idempotency-key"];

/// The request of a partial. URL, values of headers and body are templates; in the URL, values are percent-encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpWork {
    /// In capitals; unless configured GET, with a body POST.
    pub method: String,
    pub url: String,
    /// In the order of the file.
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
    /// The answers that are a success; 2xx unless configured.
    pub expect: Vec<Expected>,
    /// How many redirects are followed; none unless configured.
    pub redirects: u32,
    /// Whether link-local and metadata addresses may be asked.
    pub allow_link_local: bool,
}

/// A status, or a class of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Status(u16),
    /// 2 for 2xx.
    Class(u16),
}

impl Expected {
    pub fn has(self, status: u16) -> bool {
        match self {
            Self::Status(expected) => status == expected,
            Self::Class(class) => status / 100 == class,
        }
    }
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "{status}"),
            Self::Class(class) => write!(f, "{class}xx"),
        }
    }
}

impl HttpWork {
    /// A request that says nothing but where it goes.
    pub(super) fn get(url: String) -> Self {
        let (headers, expect) = (Vec::new(), vec![Expected::Class(2)]);
        Self { method: "GET".to_owned(), url, headers, body: None, expect, redirects: 0, allow_link_local: false }
    }
}

pub(super) fn read(field: Field<'_>, report: &mut Report) -> Option<HttpWork> {
    const KEYS: &[&str] = &["method", "url", "headers", "body", "expect", "redirects", "allow_link_local"];
    let table = field.table("{ url = \"https://…\" }", report)?;
    let (mut method, mut url, mut body, mut expect) = (None, None, None, None);
    let (mut headers, mut redirects, mut allow_link_local) = (Vec::new(), 0, false);
    let errors = report.errors();
    each(field, table, KEYS, report, |key, field, report| match key {
        "method" => method = read_method(field, report),
        "url" => url = read_url(field, report),
        "headers" => headers = read_headers(field, report),
        "body" => body = field.text("write the body as one string", report).map(str::to_owned),
        "expect" => expect = read_expect(field, report),
        "redirects" => redirects = field.integer(0..=MAX_REDIRECTS, report).and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        _ => allow_link_local = field.boolean(report).unwrap_or(false),
    });
    if url.is_none() && report.errors() == errors {
        report.push(Problem::error(field.span(), format!("`{}` has no `url`", field.name)).help("write `http = { url = \"https://…\" }`"));
    }
    let method = method.unwrap_or_else(|| if body.is_some() { "POST" } else { "GET" }.to_owned());
    let expect = expect.unwrap_or_else(|| vec![Expected::Class(2)]);
    Some(HttpWork { method, url: url?, headers, body, expect, redirects, allow_link_local })
}

fn read_method(field: Field<'_>, report: &mut Report) -> Option<String> {
    let help = format!("allowed are {}", METHODS.join(", "));
    let text = field.filled(&help, report)?;
    if METHODS.contains(&text) {
        return Some(text.to_owned());
    }
    let help = nearest(text, METHODS).map_or(help, |near| format!("did you mean \"{near}\"?"));
    report.push(Problem::error(field.span(), format!("unknown method \"{}\" in `{}`", shown(text), field.name)).help(help));
    None
}

/// A URL begins with its scheme, unless it comes whole from a value.
pub(super) fn read_url(field: Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.filled("write a URL such as \"https://example.org/\"", report)?.trim();
    if !["http://", "https://", "{{", "{%"].iter().any(|start| text.starts_with(start)) {
        let problem = Problem::error(field.span(), format!("`{}` does not begin with http:// or https://", field.name));
        report.push(problem.help("write a URL such as \"https://example.org/\""));
        return None;
    }
    Some(text.to_owned())
}

pub(super) fn read_headers(field: Field<'_>, report: &mut Report) -> Vec<(String, String)> {
    let Some(table) = field.table("{ Accept = \"application/json\" }", report) else { return Vec::new() };
    let mut headers = Vec::with_capacity(table.len());
    for (key, span, value) in fields(table) {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if key.is_empty() || !key.bytes().all(token) {
            report.error(span, format!("`{}` has a name that no header can have: \"{}\"", field.name, shown(key)));
        } else if RESERVED.contains(&key.to_ascii_lowercase().as_str()) {
            report.error(span, format!("`{}` cannot set `{}`: batchd sets it itself", field.name, shown(key)));
        }
        let name = format!("{}.{}", field.name, shown(key));
        let value = Field { name: &name, value, source: field.source };
        headers.extend(value.text("write the value in quotes", report).map(|value| (key.to_owned(), value.to_owned())));
    }
    headers
}

/// `"2xx"`, 200, or a list of such.
fn read_expect(field: Field<'_>, report: &mut Report) -> Option<Vec<Expected>> {
    let list: Vec<Field<'_>> = match field.as_array() {
        Some(array) => array.iter().map(|value| field.with(value)).collect(),
        None => vec![field],
    };
    if list.is_empty() {
        report.error(field.span(), format!("`{}` is an empty list: nothing would be a success", field.name));
        return None;
    }
    list.into_iter().map(|item| expected(item, report)).collect()
}

fn expected(field: Field<'_>, report: &mut Report) -> Option<Expected> {
    match field.value.get_ref() {
        DeValue::Integer(_) => field.integer(100..=599, report).and_then(|status| u16::try_from(status).ok()).map(Expected::Status),
        DeValue::String(text) => {
            let class = text.strip_suffix("xx").and_then(|class| class.parse().ok()).filter(|class| (1..=5).contains(class));
            if class.is_none() {
                let problem = Problem::error(field.span(), format!("`{}` is no class of answers: \"{}\"", field.name, shown(text)));
                report.push(problem.help("write \"2xx\", 200 or [200, 204]"));
            }
            class.map(Expected::Class)
        }
        _ => {
            field.wrong_type("a status or a class of them", "write \"2xx\", 200 or [200, 204]", report);
            None
        }
    }
}
