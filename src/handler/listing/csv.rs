//! Targets as a table with a header row: each further row is one, with a field a column.

use std::cell::Cell;
use std::io::{self, Read};
use std::sync::Arc;

use csv::{ErrorKind, ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::{Fault, MAX_ROW, Place, Take, fit_key, key_names, no_key};
use crate::config::{Target, TargetValue};

pub(super) fn read(input: impl Read, delimiter: u8, key: Option<&str>, take: &mut Take) -> Result<(), Fault> {
    let watched = Watched::default();
    let input = Watching { input, watched: &watched };
    // Rows of other lengths are told in our words.
    let mut reader = ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(input);
    let mut row = StringRecord::new();
    let mut header: Option<Header> = None;
    let mut last = (0, 0);
    loop {
        watched.room.set(MAX_ROW);
        let line = reader.position().line();
        if !reader.read_record(&mut row).map_err(|error| fault(&error, line))? {
            break;
        }
        let number = row.position().map_or(line, csv::Position::line);
        last = (number, reader.position().line());
        let at = |problem: String| Place { noun: "line", number }.fault(problem);
        match &header {
            None => header = Some(Header::new(&row, key).map_err(at)?),
            Some(header) => take(header.target(&row).map_err(at)?, Place { noun: "line", number })?,
        }
    }
    // A quote that is opened and never closed takes all rows behind it into one field.
    if watched.odd_quotes.get() && last.1 > last.0 + 1 {
        return Err(Place { noun: "line", number: last.0 }.fault("a quote is opened and never closed".to_owned()));
    }
    Ok(())
}

struct Header {
    /// A row without values, in the order of the columns: to fill a copy takes less than to build one.
    empty: Map<String, Value>,
    key: usize,
}

impl Header {
    fn new(row: &StringRecord, key: Option<&str>) -> Result<Self, String> {
        let names: Vec<String> = row.iter().map(str::to_owned).collect();
        for (at, name) in names.iter().enumerate() {
            if name.trim().is_empty() {
                return Err(format!("column {} of the header has no name", at + 1));
            }
            if names[..at].contains(name) {
                return Err(format!("the header names the column `{name}` twice"));
            }
        }
        let place = key_names(key).into_iter().find_map(|wanted| names.iter().position(|name| name == wanted));
        let key = place.ok_or_else(|| no_key(key, &names.join(", ")))?;
        Ok(Self { key, empty: names.into_iter().map(|name| (name, Value::Null)).collect() })
    }

    fn target(&self, row: &StringRecord) -> Result<Target, String> {
        if row.len() != self.empty.len() {
            return Err(format!("{} where the header has {}", fields(row.len()), self.empty.len()));
        }
        let key = row.get(self.key).unwrap_or_default();
        fit_key(key)?;
        let mut table = self.empty.clone();
        for (value, field) in table.values_mut().zip(row) {
            *value = field.into();
        }
        Ok(Target { key: key.into(), value: TargetValue::Table(Arc::new(table)) })
    }
}

fn fields(count: usize) -> String {
    if count == 1 { "1 field".to_owned() } else { format!("{count} fields") }
}

fn fault(error: &csv::Error, line: u64) -> Fault {
    let number = error.position().map_or(line, csv::Position::line);
    let problem = match error.kind() {
        ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        ErrorKind::Io(error) => error.to_string(),
        _ => error.to_string(),
    };
    Place { noun: "line", number }.fault(problem)
}

/// What is seen of the bytes on their way to the parser.
#[derive(Default)]
struct Watched {
    /// A row may take so many more.
    room: Cell<usize>,
    odd_quotes: Cell<bool>,
}

struct Watching<'w, R> {
    input: R,
    watched: &'w Watched,
}

impl<R: Read> Read for Watching<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = self.watched.room.get();
        if room == 0 {
            return Err(io::Error::other(format!("the row is longer than {MAX_ROW} bytes: is a quote never closed?")));
        }
        let length = buffer.len().min(room);
        let count = self.input.read(&mut buffer[..length])?;
        self.watched.room.set(room - count);
        let is_odd = buffer[..count].iter().fold(false, |is_odd, byte| is_odd ^ (*byte == b'"'));
        self.watched.odd_quotes.set(self.watched.odd_quotes.get() ^ is_odd);
        Ok(count)
    }
}
