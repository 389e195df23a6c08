//! Targets as JSON: a value a line, or one array.

use std::fmt;
use std::io::{BufRead, Read};
use std::sync::Arc;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::lines::each_line;
use super::{Fault, MAX_ROW, Place, Take, fit_key, key_names, no_key};
use crate::config::{Target, TargetValue};

pub(super) fn read_lines(input: impl BufRead, key: Option<&str>, take: &mut Take) -> Result<(), Fault> {
    each_line(input, |line, number| {
        let at = |problem: String| Place { noun: "line", number }.fault(problem);
        let value = serde_json::from_str(line).map_err(|error| at(format!("it is not JSON: {error}")))?;
        take(target(value, key).map_err(at)?, Place { noun: "line", number })
    })
}

/// Reads the elements of an array as they come. `pointer`: the names and numbers that lead to it.
pub(super) fn read_array(input: impl BufRead, pointer: &[String], key: Option<&str>, take: &mut Take) -> Result<(), Fault> {
    // What stands before the array is passed over, of any length, and not kept.
    let room = std::cell::Cell::new(if pointer.is_empty() { MAX_ROW } else { usize::MAX });
    let input = Bounded { input, room: &room };
    let mut deserializer = serde_json::Deserializer::from_reader(input);
    let mut fault = None;
    let mut was_found = pointer.is_empty();
    let elements = Elements { key, take, room: &room, fault: &mut fault };
    let read = Way { pointer, elements, was_found: &mut was_found }.deserialize(&mut deserializer).and_then(|()| deserializer.end());
    if fault.is_none() && read.is_ok() && !was_found {
        return Err(Fault::Whole(format!("there is nothing at `/{}`", pointer.join("/"))));
    }
    match (fault, read) {
        (Some(fault), _) => Err(fault),
        (None, read) => read.map_err(|error| Fault::whole(&format_args!("it is no JSON array: {error}"))),
    }
}

/// An element may take so many bytes, and the reader's buffer.
struct Bounded<'r, R> {
    input: R,
    room: &'r std::cell::Cell<usize>,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let room = self.room.get();
        if room == 0 {
            return Err(std::io::Error::other(format!("an element is longer than {MAX_ROW} bytes")));
        }
        let length = buffer.len().min(room);
        let count = self.input.read(&mut buffer[..length])?;
        self.room.set(room - count);
        Ok(count)
    }
}

struct Elements<'t> {
    key: Option<&'t str>,
    take: &'t mut Take,
    room: &'t std::cell::Cell<usize>,
    fault: &'t mut Option<Fault>,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of targets")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut number = 0;
        self.room.set(self.room.get().min(MAX_ROW));
        while let Some(value) = elements.next_element::<Value>()? {
            number += 1;
            self.room.set(MAX_ROW);
            let taken = target(value, self.key).map_err(|problem| Place { noun: "element", number }.fault(problem));
            if let Err(fault) = taken.and_then(|target| (self.take)(target, Place { noun: "element", number })) {
                *self.fault = Some(fault);
                return Err(A::Error::custom("given up"));
            }
        }
        self.room.set(usize::MAX);
        Ok(())
    }
}

/// The way to the array.
struct Way<'p, 't> {
    pointer: &'p [String],
    elements: Elements<'t>,
    was_found: &'p mut bool,
}

impl<'de> DeserializeSeed<'de> for Way<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.pointer.is_empty() {
            *self.was_found = true;
            return deserializer.deserialize_seq(self.elements);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Way<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with `{}`", self.pointer.first().map_or("", String::as_str))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Self { pointer, elements, was_found } = self;
        let Some((name, rest)) = pointer.split_first() else { return Ok(()) };
        let mut elements = Some(elements);
        while let Some(found) = map.next_key::<String>()? {
            match elements.take_if(|_| found == *name) {
                Some(elements) => map.next_value_seed(Way { pointer: rest, elements, was_found: &mut *was_found })?,
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { pointer, elements, was_found } = self;
        let Some((name, rest)) = pointer.split_first() else { return Ok(()) };
        let (wanted, mut elements) = (name.parse::<usize>().ok(), Some(elements));
        for number in 0.. {
            let is_next = match elements.take_if(|_| Some(number) == wanted) {
                Some(elements) => list.next_element_seed(Way { pointer: rest, elements, was_found: &mut *was_found })?.is_some(),
                None => list.next_element::<IgnoredAny>()?.is_some(),
            };
            if !is_next {
                break;
            }
        }
        Ok(())
    }
}

/// A text, a whole number, or an object with a field that identifies it.
fn target(value: Value, key: Option<&str>) -> Result<Target, String> {
    match value {
        Value::Object(table) => {
            let name = identity(&table, key)?;
            Ok(Target { key: name, value: TargetValue::Table(Arc::new(table)) })
        }
        value => {
            let text = plain(&value).ok_or_else(|| format!("a target is a text or an object, found {}", kind(&value)))?;
            fit_key(&text)?;
            Ok(Target::text(&text))
        }
    }
}

fn identity(table: &Map<String, Value>, key: Option<&str>) -> Result<Arc<str>, String> {
    let found = key_names(key).into_iter().find_map(|name| table.get(name).map(|value| (name, value)));
    let (name, value) = found.ok_or_else(|| no_key(key, &table.keys().map(String::as_str).collect::<Vec<_>>().join(", ")))?;
    let text = plain(value).ok_or_else(|| format!("the target's key `{name}` must be a text or a whole number, found {}", kind(value)))?;
    fit_key(&text)?;
    Ok(text.into())
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number with a fraction",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
