//! Templates in argv and scripts: minijinja with strict names, over values that cost nothing until they are asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

use jiff::ZonedDateTime;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Enumerator, Object, Serde, Value, ValueKind};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::args::in_template;
use super::{Args, Target, TargetValue};

/// The most steps of one rendering, so that a loop in a template ends.
const MAX_STEPS: u64 = 100_000;

/// The longest rendered text, in bytes: what a Linux kernel takes as one argument.
const MAX_RENDERED: usize = 128 << 10;

/// The names that a template sees.
pub(super) const ROOTS: [&str; 10] = ["job", "run", "nominal", "target", "targets", "args", "env", "attempt", "index", "count"];

/// The fields of `nominal`, all in the job's zone.
pub(super) const NOMINAL_FIELDS: [&str; 13] =
    ["date", "time", "datetime", "rfc3339", "year", "month", "day", "hour", "minute", "second", "weekday", "timestamp", "zone"];

static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(environment);

static URL: LazyLock<Environment<'static>> = LazyLock::new(url_environment);

static SHELL: LazyLock<Environment<'static>> = LazyLock::new(shell_environment);

/// What a template can insert, of one attempt of one partial. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Values {
    pub job: Arc<str>,
    /// The name of the run for people.
    pub run: Arc<str>,
    /// In the job's zone.
    pub nominal: ZonedDateTime,
    pub target: Option<Target>,
    /// Those of a chunk; `None` where a process works on one target.
    pub targets: Option<Arc<[Target]>>,
    pub args: Arc<Args>,
    pub env: Arc<BTreeMap<String, String>>,
    /// From 1.
    pub attempt: u32,
    /// The partial's place among the targets, from 0.
    pub index: u32,
    /// How many partials the run has.
    pub count: u32,
    /// Only where a credential may stand.
    pub credentials: Option<Credentials>,
}

impl Values {
    /// Of no attempt at all.
    pub fn empty() -> Self {
        Self::of_nominal(jiff::Timestamp::UNIX_EPOCH.to_zoned_datetime(jiff::tz::TimeZone::UTC))
    }

    /// Those that a nominal time alone makes; the others are empty.
    pub(super) fn of_nominal(nominal: ZonedDateTime) -> Self {
        Self {
            job: "job".into(),
            run: "run".into(),
            nominal,
            target: None,
            targets: None,
            args: Arc::default(),
            env: Arc::default(),
            attempt: 1,
            index: 0,
            count: 1,
            credentials: None,
        }
    }
}

/// Finds the credential of a name; `None`: there is none to be had, and whoever finds them knows why.
#[derive(Clone)]
pub struct Credentials(pub Find);

/// From a name to the credential.
type Find = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// Why a template could not be rendered.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    #[error("the template `{template}` cannot be rendered: {reason}")]
    Render { template: String, reason: String },
    #[error("the template `{template}` renders to {size} bytes, at most {MAX_RENDERED} are allowed")]
    TooLong { template: String, size: usize },
}

/// Renders one template, such as an element of an argv.
///
/// # Errors
/// A name or field that does not exist, a loop without end, a result longer than an argument can be.
pub fn render(template: &str, values: &Values) -> Result<String, TemplateError> {
    if !template.contains('{') {
        return Ok(template.to_owned());
    }
    render_in(&PLAIN, template, values)
}

/// Renders a shell script: every value is inserted as one quoted word, whatever it contains.
///
/// # Errors
/// As [`render`].
pub fn render_shell(template: &str, values: &Values) -> Result<String, TemplateError> {
    if !template.contains('{') {
        return Ok(template.to_owned());
    }
    render_in(&SHELL, template, values)
}

/// Renders a URL: every value is percent-encoded, so that it stays within its part. `| safe` inserts one as it stands.
///
/// # Errors
/// As [`render`].
pub fn render_url(template: &str, values: &Values) -> Result<String, TemplateError> {
    if !template.contains('{') {
        return Ok(template.to_owned());
    }
    render_in(&URL, template, values)
}

fn render_in(environment: &Environment<'static>, template: &str, values: &Values) -> Result<String, TemplateError> {
    let shown = || super::problem::shown(template);
    let text = environment
        .render_str(template, Value::from_object(values.clone()))
        .map_err(|error| TemplateError::Render { template: shown(), reason: super::problem::shown(&reason(&error)) })?;
    if text.len() > MAX_RENDERED {
        return Err(TemplateError::TooLong { template: shown(), size: text.len() });
    }
    Ok(text)
}

/// The error without the place, which means nothing to someone who sees the template.
pub(super) fn reason(error: &Error) -> String {
    match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    }
}

pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(MAX_STEPS));
    let syntax = SyntaxConfig::builder().keep_trailing_newline(true).build().expect("the default delimiters differ");
    environment.set_syntax(syntax);
    environment.set_debug(false);
    environment
}

fn shell_environment() -> Environment<'static> {
    let mut environment = environment();
    environment.set_formatter(|out, _, value| {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        // Several targets are several words.
        if value.kind() == ValueKind::Seq {
            let words = value.try_iter()?.map(|value| quoted(&value.to_string())).collect::<Vec<_>>();
            return out.write_str(&words.join(" ")).map_err(Error::from);
        }
        out.write_str(&quoted(&value.to_string())).map_err(Error::from)
    });
    environment
}

/// All but the characters that a URL never gives a meaning to (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

fn url_environment() -> Environment<'static> {
    let mut environment = environment();
    environment.set_formatter(|out, _, value| {
        if value.is_undefined() {
            return Err(Error::from(ErrorKind::UndefinedError));
        }
        let text = value.to_string();
        let written = if value.is_safe() { out.write_str(&text) } else { write!(out, "{}", utf8_percent_encode(&text, RESERVED)) };
        written.map_err(Error::from)
    });
    environment
}

/// One word of a POSIX shell. Always in quotes: `A=b`, `~` and a leading `-n` need no special case then.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl Object for Values {
    fn get_value_by_str(self: &Arc<Self>, name: &str) -> Option<Value> {
        Some(match name {
            "job" => Value::from(self.job.clone()),
            "run" => Value::from(self.run.clone()),
            "nominal" => Value::from_object(Nominal(self.nominal.clone())),
            "target" => target_value(self.target.as_ref()?),
            "targets" => self.targets.as_ref()?.iter().map(target_value).collect::<Vec<_>>().into(),
            "args" => arguments(&self.args),
            "env" => Value::from_object(Variables(self.env.clone())),
            "attempt" => self.attempt.into(),
            "index" => self.index.into(),
            "count" => self.count.into(),
            "credential" => credential(self.credentials.clone()?),
            _ => return None,
        })
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.get_value_by_str(key.as_str()?)
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&ROOTS)
    }
}

fn target_value(target: &Target) -> Value {
    match &target.value {
        TargetValue::Text(text) => Value::from(text.clone()),
        TargetValue::Table(table) => Value::from(Serde(table.as_ref())),
    }
}

fn arguments(args: &Args) -> Value {
    Value::from(Serde(args.iter().map(|(name, value)| (in_template(name), value)).collect::<BTreeMap<_, _>>()))
}

/// The function `credential("name")`.
fn credential(Credentials(find): Credentials) -> Value {
    let missing = || Error::new(ErrorKind::InvalidOperation, "there is no such credential");
    Value::from_function(move |name: &str| find(name).ok_or_else(missing))
}

/// The environment of the job.
#[derive(Debug)]
struct Variables(Arc<BTreeMap<String, String>>);

impl Object for Variables {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        self.0.get(key.as_str()?).map(|value| value.as_str().into())
    }
}

/// The nominal time: by itself in RFC 3339, or one of its fields. Numbers of dates have their leading zeros.
#[derive(Debug)]
struct Nominal(ZonedDateTime);

impl Nominal {
    fn formatted(&self, format: &str) -> Value {
        self.0.strftime(format).to_string().into()
    }
}

const RFC_3339: &str = "%Y-%m-%dT%H:%M:%S%:z";

impl Object for Nominal {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        Some(match key.as_str()? {
            "date" => self.formatted("%Y-%m-%d"),
            "time" => self.formatted("%H:%M:%S"),
            "datetime" | "rfc3339" => self.formatted(RFC_3339),
            "year" => self.formatted("%Y"),
            "month" => self.formatted("%m"),
            "day" => self.formatted("%d"),
            "hour" => self.formatted("%H"),
            "minute" => self.formatted("%M"),
            "second" => self.formatted("%S"),
            "weekday" => self.formatted("%A"),
            "timestamp" => self.0.timestamp().as_second().into(),
            "zone" => self.0.time_zone().iana_name().unwrap_or("UTC").into(),
            _ => return None,
        })
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Str(&NOMINAL_FIELDS)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime(RFC_3339))
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::{Offset, TimeZone};

    use super::*;

    fn values(target: &str) -> Values {
        let nominal = jiff::civil::date(2026, 1, 31).at(2, 0, 0, 0).to_zoned_datetime(TimeZone::fixed(Offset::constant(9)));
        let target = Target { key: target.into(), value: TargetValue::Text(target.into()) };
        Values {
            job: "report".into(),
            run: "report@20260130T170000Z".into(),
            nominal: nominal.expect("a time that exists"),
            target: Some(target),
            targets: None,
            args: Arc::new([("full".to_owned(), false.into()), ("dry-run".to_owned(), "it's".into())].into()),
            env: Arc::new(BTreeMap::from([("LANG".to_owned(), "C".to_owned())])),
            attempt: 2,
            index: 3,
            count: 9,
            credentials: None,
        }
    }

    #[track_caller]
    fn check(template: &str, expected: &str) {
        assert_eq!(render(template, &values("a b")).expect("a template that renders"), expected);
    }

    #[test]
    fn values_are_inserted() {
        check("no braces\n", "no braces\n");
        check("a{b}\n", "a{b}\n");
        check("{{ job }}/{{ target }}/{{ env.LANG }}/{{ attempt }}-{{ index }}-{{ count }}", "report/a b/C/2-3-9");
        check("{{ nominal.date }} {{ nominal.time }} {{ nominal.month }} {{ nominal.weekday }}", "2026-01-31 02:00:00 01 Saturday");
        check("{{ nominal }} {{ nominal.timestamp }}", "2026-01-31T02:00:00+09:00 1769792400");
        check("{% for n in range(3) %}{{ n }}{% endfor %}", "012");
    }

    #[test]
    fn every_value_in_a_script_is_one_quoted_word() {
        for (target, script) in [
            ("a b", "echo 'a b'"),
            ("$(rm -rf x); `y`", "echo '$(rm -rf x); `y`'"),
            ("it's", r"echo 'it'\''s'"),
            ("", "echo ''"),
            ("a\nb", "echo 'a\nb'"),
        ] {
            assert_eq!(render_shell("echo {{ target }}", &values(target)).expect("a script"), script);
        }
    }

    #[test]
    fn every_value_in_a_url_stays_within_its_part() {
        for (template, target, url) in [
            ("http://a/{{ target }}?n={{ index }}", "a b/c?d=e&f#g", "http://a/a%20b%2Fc%3Fd%3De%26f%23g?n=3"),
            ("http://a/{{ target }}", "../서울", "http://a/..%2F%EC%84%9C%EC%9A%B8"),
            ("{{ target | safe }}", "http://a/b?c=d", "http://a/b?c=d"),
        ] {
            assert_eq!(render_url(template, &values(target)).expect("a URL"), url);
        }
    }

    #[test]
    fn fields_of_a_table_are_inserted() {
        let table = serde_json::json!({"id": 7, "tags": ["x", "y"]}).as_object().cloned().map(Arc::new).expect("an object");
        let target = Some(Target { key: "7".into(), value: TargetValue::Table(table) });
        let values = Values { target, ..values("") };
        assert_eq!(render("{{ target.id }}:{{ target.tags | join('+') }}", &values).expect("a template"), "7:x+y");
        assert_eq!(render("{{ target | tojson }}", &values).expect("a template"), r#"{"id": 7, "tags": ["x", "y"]}"#);
    }

    #[test]
    fn arguments_are_inserted_as_their_type() {
        check("{% if args.full %}all{% else %}some{% endif %} {{ args.dry_run }} {{ args.full }}", "some it's False");
        assert_eq!(render_shell("x {{ args.dry_run }}", &values("")).expect("a script"), r"x 'it'\''s'");
    }

    #[test]
    fn the_targets_of_a_chunk_are_words() {
        let targets = ["a", "it's b"].map(Target::text);
        let values = Values { target: None, targets: Some(targets.into()), ..values("") };
        assert_eq!(render_shell("wc {{ targets }}", &values).expect("a script"), r"wc 'a' 'it'\''s b'");
        assert_eq!(render_shell("{% for t in targets %}x {{ t }};{% endfor %}", &values).expect("a script"), r"x 'a';x 'it'\''s b';");
        assert_eq!(render("{{ targets | join(',') }}", &values).expect("a template"), "a,it's b");
    }

    #[test]
    fn what_does_not_exist_or_does_not_end_is_an_error() {
        for template in [
            "{{ nope }}",
            "{{ nominal.nope }}",
            "{{ env.NOPE }}",
            "{% for n in range(99999) %}{% for m in range(99999) %}{% endfor %}{% endfor %}",
        ] {
            assert!(render(template, &values("a")).is_err(), "{template}");
            assert!(render_shell(template, &values("a")).is_err(), "{template}");
        }
    }
}
