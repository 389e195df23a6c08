//! `targets`: the items of a run, identified by their keys.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::field::{Field, fields};
use super::problem::{Problem, Report, nearest, shown};
use super::{Target, TargetValue, Targets, source};

/// The most targets of a run.
const MAX_TARGETS: i64 = Targets::MAX as i64;

/// `target_key` names the field that identifies a table.
pub(super) fn read(field: Field<'_>, target_key: Option<&str>, report: &mut Report) -> Option<Targets> {
    match field.value.get_ref() {
        DeValue::Array(array) => list(field, array, target_key, report),
        DeValue::Table(table) => source::read(field, table, target_key, report),
        _ => {
            let example = field.as_str().map_or_else(|| "\"a\", \"b\"".to_owned(), |text| format!("\"{}\"", shown(text)));
            field.wrong_type("an array", &format!("write `targets = [{example}]`"), report);
            None
        }
    }
}

fn list(field: Field<'_>, array: &DeArray<'_>, target_key: Option<&str>, report: &mut Report) -> Option<Targets> {
    let Some(first) = array.iter().next() else {
        let problem = Problem::error(field.span(), "`targets` is empty, so the job could never do anything");
        report.push(problem.help("omit `targets` for a run with one partial"));
        return None;
    };
    let tables = first.get_ref().is_table();
    let mut seen: HashMap<Arc<str>, Range<usize>> = HashMap::with_capacity(array.len());
    let mut targets = Vec::with_capacity(array.len());
    for value in array {
        let field = field.with(value);
        let target = if tables { table_target(field, target_key, report) } else { text_target(field, report) };
        let Some(target) = target else { continue };
        if let Some(earlier) = seen.get(&target.key) {
            let message = format!("duplicate target \"{}\"", shown(&target.key));
            report.push(Problem::error(field.span(), message).label("again here").also(earlier.clone(), "first here"));
        } else {
            seen.insert(target.key.clone(), field.span());
            targets.push(target);
        }
    }
    Some(Targets::List(targets.into()))
}

fn text_target(field: Field<'_>, report: &mut Report) -> Option<Target> {
    if field.as_str().is_none() {
        let raw = field.source.get(field.span()).map(shown).unwrap_or_default();
        let problem = Problem::error(field.span(), format!("all `targets` must be strings, or all tables; found {}", field.found()));
        let help = if field.as_table().is_some() { "write all targets as tables".to_owned() } else { format!("write \"{raw}\"") };
        report.push(problem.help(help));
        return None;
    }
    let text = field.filled("leave the empty target out", report)?;
    within_key_length(field, text, report)?;
    let text: Arc<str> = text.into();
    Some(Target { key: text.clone(), value: TargetValue::Text(text) })
}

fn table_target(field: Field<'_>, target_key: Option<&str>, report: &mut Report) -> Option<Target> {
    let Some(table) = field.as_table() else {
        let problem = Problem::error(field.span(), format!("all `targets` must be tables, as the first is; found {}", field.found()));
        report.push(problem.help("write all targets as tables, or all as strings"));
        return None;
    };
    let get = |name: &str| table.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| value);
    let names: &[&str] = target_key.as_ref().map_or(&["id", "name"], std::slice::from_ref);
    let Some((name, value)) = names.iter().find_map(|name| get(name).map(|value| (*name, value))) else {
        let wanted = names.iter().map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(" or ");
        let near = names.iter().find_map(|name| nearest(name, table.keys().map(|key| key.get_ref().as_ref())));
        let problem = Problem::error(field.span(), format!("this target has no field {wanted} that identifies it"));
        let help =
            near.map_or("name the identifying field: `target_key = \"…\"`".to_owned(), |key| format!("did you mean `{}`?", shown(key)));
        report.push(problem.help(help));
        return None;
    };
    let key = match value.get_ref() {
        DeValue::String(_) => field.with(value).filled("give the target a key", report)?.to_owned(),
        DeValue::Integer(number) => integer(number)?.to_string(),
        _ => {
            let found = field.with(value).found();
            report.error(value.span(), format!("the target's key `{}` must be a string or an integer, found {found}", shown(name)));
            return None;
        }
    };
    within_key_length(field.with(value), &key, report)?;
    let table = json_table(field, table, report)?;
    Some(Target { key: key.into(), value: TargetValue::Table(Arc::new(table)) })
}

fn within_key_length(field: Field<'_>, key: &str, report: &mut Report) -> Option<()> {
    if key.len() > Target::MAX_KEY {
        report.error(field.span(), format!("the target is too long: {} bytes, at most {} are allowed", key.len(), Target::MAX_KEY));
        return None;
    }
    Some(())
}

/// The integers of `"a..b"`.
pub(super) fn range(field: Field<'_>, report: &mut Report) -> Option<Targets> {
    const HELP: &str = "write two integers, the end exclusive: \"0..1000\"";
    let text = field.filled(HELP, report)?;
    let bounds = text.split_once("..").and_then(|(start, end)| Some((start.trim().parse::<i64>().ok()?, end.trim().parse::<i64>().ok()?)));
    let Some((start, end)) = bounds else {
        report.push(Problem::error(field.span(), format!("`targets.range` is not a range: \"{}\"", shown(text))).help(HELP));
        return None;
    };
    let count = end.checked_sub(start).unwrap_or(i64::MAX);
    if !(1..=MAX_TARGETS).contains(&count) {
        let reason = if count < 1 { "is empty".to_owned() } else { format!("has more than {MAX_TARGETS} targets") };
        report.push(Problem::error(field.span(), format!("`targets.range` \"{}\" {reason}", shown(text))).help(HELP));
        return None;
    }
    Some(Targets::Range { start, end })
}

fn json_table(field: Field<'_>, table: &DeTable<'_>, report: &mut Report) -> Option<serde_json::Map<String, serde_json::Value>> {
    let mut map = serde_json::Map::with_capacity(table.len());
    for (key, _, value) in fields(table) {
        map.insert(key.to_owned(), json(field, value, report)?);
    }
    Some(map)
}

/// The value as JSON; what JSON cannot say is a problem. The parser bounds the depth.
fn json(field: Field<'_>, value: &Spanned<DeValue<'_>>, report: &mut Report) -> Option<serde_json::Value> {
    let here = Field { name: "targets", value, source: field.source };
    Some(match value.get_ref() {
        DeValue::String(_) => here.text("write a string", report)?.into(),
        DeValue::Boolean(value) => (*value).into(),
        DeValue::Datetime(time) => time.to_string().into(),
        DeValue::Array(array) => array.iter().map(|value| json(field, value, report)).collect::<Option<Vec<_>>>()?.into(),
        DeValue::Table(table) => json_table(field, table, report)?.into(),
        DeValue::Integer(number) => match integer(number) {
            Some(number) => number.into(),
            None => return unsayable(here, report),
        },
        DeValue::Float(number) => match number.as_str().parse().ok().and_then(serde_json::Number::from_f64) {
            Some(number) => number.into(),
            None => return unsayable(here, report),
        },
    })
}

fn unsayable(field: Field<'_>, report: &mut Report) -> Option<serde_json::Value> {
    report.error(field.span(), format!("{} has no place in a target: it is no JSON number", field.found()));
    None
}

fn integer(number: &toml::de::DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(number.as_str(), number.radix()).ok()
}
