//! `[notify.NAME]`: the channels through which people are told.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use toml::de::DeTable;

use super::draft::{Reader, argv};
use super::field::{Field, fields};
use super::http::{read_headers, read_url};
use super::keys::unknown_in;
use super::policy::each;
use super::problem::{Problem, Report, shown};
use super::{Gather, Job, Policies, Process, StopPolicy, Work, Zone, template_check};

/// The name of a channel, unique in a configuration.
pub type ChannelName = Arc<str>;

/// How long one delivery may take, unless configured.
const TIMEOUT: Duration = Duration::from_secs(10);

const WAYS: [&str; 4] = ["webhook", "slack", "email", "command"];

/// A validated `[notify.NAME]` table.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub name: ChannelName,
    pub way: Way,
    /// How long one delivery may take; 10 s unless configured.
    pub timeout: Duration,
}

/// How a channel reaches people.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// JSON to a URL.
    Webhook(Hook),
    /// A text to an incoming webhook of Slack, or of what understands the same.
    Slack(Hook),
    Email(Email),
    /// A program, with the JSON on its stdin: as the gather command of this job.
    Command(Arc<Job>),
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub url: Secret,
    /// Names and values; values are templates, which know nothing but credentials.
    pub headers: Vec<(String, String)>,
    /// Where credentials are files; `None`: where systemd says.
    pub credentials_dir: Option<PathBuf>,
    /// Whether link-local and metadata addresses may be reached.
    pub allow_link_local: bool,
}

/// Mail through an SMTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email {
    pub host: String,
    /// 587, 465 or 25, as `tls` says, unless configured.
    pub port: u16,
    pub tls: SmtpTls,
    /// With its password.
    pub user: Option<(String, Secret)>,
    pub from: String,
    pub to: Vec<String>,
}

/// How the connection to an SMTP server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SmtpTls {
    /// After STARTTLS, which the server must offer.
    StartTls,
    /// From the first byte.
    Tls,
    None,
}

/// A text that may be a secret, and where it is found. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// As it stands in the configuration.
    Plain(String),
    /// The contents of a file, read at each use.
    File(PathBuf),
    /// The contents of the file of this name in the directory; `None`: in `$CREDENTIALS_DIRECTORY`, as systemd hands it over.
    Credential { name: String, directory: Option<PathBuf> },
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(_) => f.write_str("Plain(…)"),
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Credential { name, .. } => f.debug_tuple("Credential").field(name).finish(),
        }
    }
}

impl Reader<'_> {
    /// Reads `[notify]`.
    pub(super) fn channels(
        &mut self,
        field: Option<Field<'_>>,
        process: &Arc<Process>,
        zone: &Zone,
    ) -> BTreeMap<ChannelName, Arc<Channel>> {
        let mut channels = BTreeMap::new();
        let Some(table) = field.and_then(|field| field.table("{ … }, with a table for each channel", &mut self.report)) else {
            return channels;
        };
        for (name, span, value) in fields(table) {
            let full = format!("notify.{}", shown(name));
            let field = Field { name: &full, value, source: self.source };
            if let Some(problem) = super::names::bad_name("channel", name, span) {
                self.report.push(problem);
            }
            let Some(table) = field.table("{ webhook = \"https://…\" }", &mut self.report) else { continue };
            if let Some(channel) = self.channel(name.into(), field, table, process, zone) {
                channels.insert(Arc::clone(&channel.name), Arc::new(channel));
            }
        }
        channels
    }

    fn channel(
        &mut self,
        name: ChannelName,
        field: Field<'_>,
        table: &DeTable<'_>,
        process: &Arc<Process>,
        zone: &Zone,
    ) -> Option<Channel> {
        let places = Places { base: &self.context.base, credentials: process.credentials_dir.as_deref() };
        let report = &mut self.report;
        let (mut ways, mut way, mut timeout) = (Vec::new(), None, TIMEOUT);
        let (mut headers, mut allow_link_local) = (None, None);
        for (key, span, value) in fields(table) {
            let full = format!("{}.{key}", field.name);
            let inner = Field { name: &full, value, source: field.source };
            if WAYS.contains(&key) {
                ways.push((key, span.clone()));
            }
            match key {
                "webhook" | "slack" => {
                    let url = secret(inner, places, true, report);
                    let hook =
                        |url| Hook { url, headers: Vec::new(), credentials_dir: process.credentials_dir.clone(), allow_link_local: false };
                    way = url.map(|url| if key == "slack" { Way::Slack(hook(url)) } else { Way::Webhook(hook(url)) });
                }
                "email" => way = email(inner, places, report).map(Way::Email),
                "command" => {
                    template_check::each(
                        Field { name: "command", ..inner },
                        &template_check::Shape::None,
                        template_check::Scope { process, args: &template_check::NO_ARGS },
                        report,
                    );
                    let argv = argv(Field { name: "command", ..inner }, report);
                    way = argv.map(|argv| Way::Command(Arc::new(command(&name, argv, process, zone))));
                }
                "timeout" => timeout = inner.positive_duration(report).unwrap_or(TIMEOUT),
                "headers" => {
                    template_check::each(
                        Field { name: template_check::CHANNEL_HEADERS, ..inner },
                        &template_check::Shape::None,
                        template_check::Scope { process, args: &template_check::NO_ARGS },
                        report,
                    );
                    headers = Some((inner.span(), read_headers(inner, report)));
                }
                "allow_link_local" => allow_link_local = Some((inner.span(), inner.boolean(report).unwrap_or(false))),
                key => {
                    let known = [&WAYS[..], &["timeout", "headers", "allow_link_local"]].concat();
                    unknown_in(field.name, &known, key, span, report);
                }
            }
        }
        if let [(first, place), others @ ..] = ways.as_slice() {
            for (other, span) in others {
                let problem = Problem::error(span.clone(), format!("the channel `{}` has both `{first}` and `{other}`", shown(&name)));
                report.push(
                    problem.help("a channel is exactly one of webhook, slack, email and command").also(place.clone(), "the first is here"),
                );
            }
        } else {
            let problem = Problem::error(field.span(), format!("the channel `{}` reaches nobody", shown(&name)));
            report.push(problem.help("add exactly one of `webhook`, `slack`, `email` and `command`"));
        }
        let mut way = way?;
        if let Way::Webhook(hook) | Way::Slack(hook) = &mut way {
            hook.headers = headers.map(|(_, headers)| headers).unwrap_or_default();
            hook.allow_link_local = allow_link_local.is_some_and(|(_, allowed)| allowed);
        } else {
            let strays = [headers.map(|(span, _)| ("headers", span)), allow_link_local.map(|(span, _)| ("allow_link_local", span))];
            for (key, span) in strays.into_iter().flatten() {
                report.error(span, format!("`{}.{key}` is for `webhook` and `slack` only", field.name));
            }
        }
        Some(Channel { name, way, timeout })
    }
}

/// The job whose gather command the channel's program is.
fn command(name: &str, argv: Vec<String>, process: &Arc<Process>, zone: &Zone) -> Job {
    let job = Job::plain(name.into(), Work::Command(argv.clone()), zone.clone(), Arc::clone(process));
    let stop = StopPolicy { grace: Duration::from_secs(5), ..StopPolicy::default() };
    let policies = Policies { stop, output_max_size: 64 << 10, ..Policies::default() };
    Job { gather: Some(Gather::Command(argv)), policies: policies.into(), ..job }
}

/// Where files are looked for.
#[derive(Clone, Copy)]
struct Places<'a> {
    base: &'a Path,
    credentials: Option<&'a Path>,
}

/// A secret as written: a text where `plain` allows it, `{ file = "…" }` or `{ credential = "…" }`.
fn secret(field: Field<'_>, places: Places<'_>, url: bool, report: &mut Report) -> Option<Secret> {
    const HELP: &str = "write { file = \"…\" } or { credential = \"…\" }";
    let Some(table) = field.as_table() else {
        if url {
            return read_url(field, report).map(Secret::Plain);
        }
        let problem = Problem::error(field.span(), format!("`{}` must not stand in the file itself", field.name));
        report.push(problem.help(HELP));
        return None;
    };
    let mut found = None;
    let errors = report.errors();
    each(field, table, &["file", "credential"], report, |key, field, report| match key {
        "file" => found = field.path(places.base, report).map(Secret::File),
        _ => found = credential(field, places.credentials, report),
    });
    if (found.is_none() && report.errors() == errors) || table.len() > 1 {
        report.push(Problem::error(field.span(), format!("`{}` must name exactly one source", field.name)).help(HELP));
        return None;
    }
    found
}

fn credential(field: Field<'_>, directory: Option<&Path>, report: &mut Report) -> Option<Secret> {
    let name = field.filled("name a credential of the unit, as in `LoadCredential=NAME:PATH`", report)?;
    if name.contains('/') || name.starts_with('.') {
        report.error(field.span(), format!("`{}` is a name without a directory, found \"{}\"", field.name, shown(name)));
        return None;
    }
    Some(Secret::Credential { name: name.to_owned(), directory: directory.map(Path::to_owned) })
}

fn email(field: Field<'_>, places: Places<'_>, report: &mut Report) -> Option<Email> {
    const KEYS: &[&str] = &["host", "port", "tls", "user", "password", "from", "to"];
    const TLS: &[(&str, SmtpTls)] = &[("starttls", SmtpTls::StartTls), ("tls", SmtpTls::Tls), ("none", SmtpTls::None)];
    let table = field.table("{ host = \"smtp.example.org\", from = \"batchd@example.org\", to = [\"ops@example.org\"] }", report)?;
    let (mut host, mut port, mut tls, mut user, mut password) = (None, None, SmtpTls::StartTls, None, None);
    let (mut from, mut to) = (None, Vec::new());
    let errors = report.errors();
    each(field, table, KEYS, report, |key, field, report| match key {
        "host" => host = field.filled("name the SMTP server", report).map(str::to_owned),
        "port" => port = field.integer(1..=65_535, report).and_then(|port| u16::try_from(port).ok()),
        "tls" => tls = field.choice(TLS, report).unwrap_or(tls),
        "user" => user = field.filled("name the user", report).map(str::to_owned),
        "password" => password = secret(field, places, false, report),
        "from" => from = address(field, report),
        _ => to = addresses(field, report),
    });
    if report.errors() > errors {
        return None;
    }
    let missing = [("host", host.is_none()), ("from", from.is_none()), ("to", to.is_empty())];
    for (key, _) in missing.iter().filter(|(_, missing)| *missing) {
        report.error(field.span(), format!("`{}` has no `{key}`", field.name));
    }
    if user.is_some() != password.is_some() {
        report.error(field.span(), format!("`{}` needs `user` and `password`, or neither", field.name));
    } else if user.is_some() && tls == SmtpTls::None {
        report.error(field.span(), format!("`{}` would send the password unencrypted: use `tls = \"starttls\"` or \"tls\"", field.name));
    }
    let usual = match tls {
        SmtpTls::StartTls => 587,
        SmtpTls::Tls => 465,
        SmtpTls::None => 25,
    };
    Some(Email { host: host?, port: port.unwrap_or(usual), tls, user: user.zip(password), from: from?, to })
}

fn addresses(field: Field<'_>, report: &mut Report) -> Vec<String> {
    match field.as_array() {
        Some(array) => array.iter().filter_map(|value| address(field.with(value), report)).collect(),
        None => address(field, report).into_iter().collect(),
    }
}

/// `ops@example.org` or `Operations <ops@example.org>`.
fn address(field: Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.filled("write an address such as \"ops@example.org\"", report)?.trim();
    let bare = text.strip_suffix('>').and_then(|text| text.rsplit_once('<')).map_or(text, |(_, address)| address);
    let is_one = bare.rsplit_once('@').is_some_and(|(user, host)| !user.is_empty() && !host.is_empty());
    if !is_one || text.contains(char::is_control) || bare.contains(char::is_whitespace) {
        let problem = Problem::error(field.span(), format!("`{}` is no mail address: \"{}\"", field.name, shown(text)));
        report.push(problem.help("write an address such as \"ops@example.org\""));
        return None;
    }
    Some(text.to_owned())
}
