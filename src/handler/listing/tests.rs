//! What is read from each format, and what each refuses.

use std::sync::{Arc, Mutex};

use super::*;
use crate::config::TargetValue;

/// The targets of a text, or the fault.
#[track_caller]
fn check(format: Format, key: Option<&str>, text: &[u8], expected: &str) {
    assert_eq!(listed(format, key, text), expected, "{:?}", String::from_utf8_lossy(text));
}

fn listed(format: Format, key: Option<&str>, text: &[u8]) -> String {
    listed_at(&[], format, key, text)
}

fn listed_at(pointer: &[&str], format: Format, key: Option<&str>, text: &[u8]) -> String {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let taker = Arc::clone(&seen);
    let mut take: Take = Box::new(move |target, _| {
        let value = match &target.value {
            TargetValue::Text(text) => text.to_string(),
            TargetValue::Table(table) => format!("{} {}", target.key, serde_json::Value::Object((**table).clone())),
        };
        taker.lock().expect("no panic").push(value);
        Ok(())
    });
    let source =
        Source { format, key: key.map(Into::into), pointer: pointer.iter().map(ToString::to_string).collect(), ..Source::of_handler() };
    let parsed = parse(text, &source, &mut take);
    drop(take);
    match parsed {
        Ok(()) => seen.lock().expect("no panic").join(" | "),
        Err(fault) => fault.to_string(),
    }
}

#[test]
fn lines_are_targets() {
    let check = |text: &str, expected| check(Format::Lines, None, text.as_bytes(), expected);
    check("", "");
    check("a\nb b\r\n\n  \nc", "a | b b | c");
    check("\u{feff}seoul\n", "seoul");
    check(&"x".repeat(1_025), "line 1: the target's key is too long: 1025 bytes, at most 1024 are allowed");
    check(&"x".repeat(MAX_ROW + 1), "line 1: it is longer than 1048576 bytes");
}

#[test]
fn what_is_not_utf8_is_named_by_its_line() {
    check(Format::Lines, None, b"a\n\xff\n", "line 2: it is not UTF-8");
    check(Format::Csv, None, b"id,x\n1,a\n2,\xff\n", "line 3: it is not UTF-8");
}

#[test]
fn rows_are_targets() {
    let check = |text: &str, expected| check(Format::Csv, None, text.as_bytes(), expected);
    check("id,city\n1,Seoul\n2,\"Busan, \"\"old\"\"\"\n", r#"1 {"id":"1","city":"Seoul"} | 2 {"id":"2","city":"Busan, \"old\""}"#);
    check("\u{feff}id\r\n7\r\n\r\n8\r\n", r#"7 {"id":"7"} | 8 {"id":"8"}"#);
    check("name,id\nx,1\n", r#"1 {"name":"x","id":"1"}"#);
    check("id,note\n1,\"two\nlines\"\n", r#"1 {"id":"1","note":"two\nlines"}"#);
    check("id\n", "");
    check("", "");
}

#[test]
fn rows_that_do_not_fit_are_named_by_their_line() {
    let check = |text: &str, expected| check(Format::Csv, None, text.as_bytes(), expected);
    check("id,city\n1,Seoul\n2\n", "line 3: 1 field where the header has 2");
    check("id,city\n1,\"a\nb\"\n2,x,y\n", "line 4: 3 fields where the header has 2");
    check("shop,city\n", "line 1: no `id` or `name` that identifies a target, found: shop, city; name one with `target_key`");
    check("id,,x\n", "line 1: column 2 of the header has no name");
    check("id,x,x\n", "line 1: the header names the column `x` twice");
    check("id,x\n,1\n", "line 2: the target has an empty key");
    check("id,note\n1,\"open\n2,x\n3,y\n", "line 2: a quote is opened and never closed");
    check(&format!("id,note\n1,\"{}", "x\n".repeat(MAX_ROW)), "line 2: the row is longer than 1048576 bytes: is a quote never closed?");
}

#[test]
fn tabs_separate_the_fields_of_a_tsv() {
    check(Format::Tsv, Some("shop"), b"shop\tcity\n1\tSeoul, Korea\n", r#"1 {"shop":"1","city":"Seoul, Korea"}"#);
}

#[test]
fn json_values_are_targets() {
    let lines = "\"a\"\n7\n\n{\"id\": 8, \"tags\": [1]}\n";
    check(Format::JsonLines, None, lines.as_bytes(), r#"a | 7 | 8 {"id":8,"tags":[1]}"#);
    check(Format::Json, None, br#" ["a", 7, {"name": "x"}] "#, r#"a | 7 | x {"name":"x"}"#);
    check(Format::Json, None, b"[]", "");
}

#[test]
fn json_that_is_no_target_is_named_by_its_place() {
    check(Format::JsonLines, None, b"\"a\"\n{", "line 2: it is not JSON: EOF while parsing an object at line 1 column 1");
    check(Format::JsonLines, None, b"true", "line 1: a target is a text or an object, found a boolean");
    check(
        Format::JsonLines,
        Some("shop"),
        b"{\"id\": 1}",
        "line 1: no `shop` that identifies a target, found: id; name one with `target_key`",
    );
    check(Format::Json, None, b"[\"a\", 1.5]", "element 2: a target is a text or an object, found a number with a fraction");
    check(Format::Json, None, b"[{\"id\": [1]}]", "element 1: the target's key `id` must be a text or a whole number, found an array");
    check(Format::Json, None, b"{}", "it is no JSON array: invalid type: map, expected an array of targets at line 1 column 1");
    check(Format::Json, None, b"[1,", "it is no JSON array: EOF while parsing a value at line 1 column 3");
    check(Format::Json, None, b"[] x", "it is no JSON array: trailing characters at line 1 column 4");
    let long = format!("[\"{}\"]", "x".repeat(2 * MAX_ROW));
    check(Format::Json, None, long.as_bytes(), "it is no JSON array: an element is longer than 1048576 bytes at line 1 column 1048576");
}

#[test]
fn a_pointer_leads_to_the_array() {
    let at = |pointer: &[&str], text: &str| listed_at(pointer, Format::Json, None, text.as_bytes());
    assert_eq!(at(&["items"], r#"{"next": null, "items": ["a", "b"], "items": ["c"]}"#), "a | b", "the first of the name");
    assert_eq!(at(&["data", "1", "a/b"], r#"{"data": [{"a/b": ["no"]}, {"a/b": ["yes"]}]}"#), "yes");
    assert_eq!(at(&["items"], r#"{"shops": ["a"]}"#), "there is nothing at `/items`");
    assert_eq!(at(&["items"], "{}"), "there is nothing at `/items`");
    let no_array = "it is no JSON array: invalid type: integer `3`, expected an array of targets at line 1 column 12";
    assert_eq!(at(&["items"], r#"{"items": 3}"#), no_array);
    let no_object = "it is no JSON array: invalid type: string \"x\", expected an object with `items` at line 1 column 3";
    assert_eq!(at(&["items"], r#""x""#), no_object);
    assert_eq!(at(&["items"], r#"{"items": ["a"]"#), "it is no JSON array: EOF while parsing an object at line 1 column 15");
    let long = format!(r#"{{"about": "{0}", "items": ["a", "{0}"]}}"#, "x".repeat(2 * MAX_ROW));
    let end = at(&["items"], &long);
    assert!(end.starts_with("it is no JSON array: an element is longer than 1048576 bytes"), "{end}");
    let long = format!(r#"{{"about": "{0}", "items": ["a"], "after": "{0}"}}"#, "x".repeat(2 * MAX_ROW));
    assert_eq!(at(&["items"], &long), "a");
}

#[test]
fn paths_are_targets() {
    let site = tempfile::tempdir().expect("a directory");
    for name in ["in/b.csv", "in/a.csv", "in/.hidden.csv", "in/c.txt", "in/deep/d.csv"] {
        let path = site.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
        std::fs::write(path, "").expect("a file");
    }
    let paths = |pattern: &str, directory: &Path| {
        let (seen, taker) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(())));
        let sink = Arc::clone(&seen);
        let mut take: Take = Box::new(move |target, _| {
            drop(taker.lock());
            sink.lock().expect("no panic").push(target.key.to_string());
            Ok(())
        });
        paths::read(pattern, site.path(), directory, &mut take).expect("reads");
        drop(take);
        let seen = seen.lock().expect("no panic");
        seen.join(" ").replace(&site.path().display().to_string(), "SITE")
    };
    assert_eq!(paths("in/*.csv", site.path()), "in/a.csv in/b.csv");
    assert_eq!(paths("in/**/*.csv", site.path()), "in/a.csv in/b.csv in/deep/d.csv");
    assert_eq!(paths("in/*.csv", Path::new("/")), "SITE/in/a.csv SITE/in/b.csv");
    assert_eq!(paths("nothing/*", site.path()), "");
}
