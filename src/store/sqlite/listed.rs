//! The planned targets of a run. Those that its first reading has listed stand side by side, many in one row of the table `listed`: a
//! row each, with the index of the keys, would cost several times what the reading did. Later readings ask for keys, and have a row
//! each in `planned`.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, OptionalExtension, Result, Row, params};
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::{schema, values};
use crate::config::{Target, TargetValue};
use crate::engine::RunKey;

/// A row ends after so many targets, or so many bytes: whoever wants one of them reads them all.
const MAX_TARGETS: u32 = 512;
const MAX_BYTES: usize = 16 << 10;

/// So many rows of `planned` are read at once: a question costs as much as some dozens of rows.
const PLANNED_AT_ONCE: u32 = 128;

const INSERT: &str = "INSERT INTO listed (run, first, count, targets) VALUES (?1, ?2, ?3, ?4)";

/// The row that has the place ?2, or the first behind it.
const FROM_PLACE: &str = "
    SELECT first, targets FROM listed
    WHERE run = ?1 AND first >= coalesce(
        (SELECT first FROM (SELECT first, count FROM listed WHERE run = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1)
         WHERE first + count > ?2), ?2)
    ORDER BY first LIMIT 1";

const PLANNED: &str = "SELECT idx, key, target FROM planned WHERE run = ?1 AND idx >= ?2 ORDER BY idx LIMIT ?3";

/// Targets side by side, as they will be on disk.
#[derive(Debug, Default)]
pub struct PackedTargets {
    rows: Vec<Packed>,
    /// The one that is not full.
    last: Packed,
    bytes: usize,
    count: u32,
}

/// A row: so many targets, and the JSON of them, which is UTF-8.
#[derive(Debug, Default)]
struct Packed {
    count: u32,
    text: Vec<u8>,
}

impl PackedTargets {
    /// Puts a target behind the others.
    pub fn push(&mut self, target: &Target) -> serde_json::Result<()> {
        let Packed { count, text } = &mut self.last;
        let before = text.len();
        // In the place of the bracket that closes it.
        let separator = if text.pop().is_some() { b',' } else { b'[' };
        text.push(separator);
        match &target.value {
            TargetValue::Text(value) if *value == target.key => serde_json::to_writer(&mut *text, &*target.key)?,
            value => serde_json::to_writer(&mut *text, &(&*target.key, value))?,
        }
        text.push(b']');
        *count += 1;
        self.count += 1;
        self.bytes += text.len() - before;
        if *count == MAX_TARGETS || text.len() >= MAX_BYTES {
            text.shrink_to_fit();
            self.rows.push(mem::take(&mut self.last));
        }
        Ok(())
    }

    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Writes the rows, the first target at the place `first`.
    pub(super) fn insert(&self, connection: &Connection, run: RunKey, mut first: u32) -> Result<()> {
        let mut statement = connection.prepare_cached(INSERT)?;
        for Packed { count, text } in self.rows.iter().chain([&self.last]).filter(|row| row.count > 0) {
            statement.execute(params![run.0, first, count, ToSqlOutput::Borrowed(ValueRef::Text(text))])?;
            first = first.saturating_add(*count);
        }
        Ok(())
    }
}

/// A target as it is written: a text that is its own key, or `[key, target]`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listed<'a>(&'a str);

impl<'a> Listed<'a> {
    /// The columns `key` and `target` of `planned`, the latter null for a text that is its key.
    pub(super) fn columns(self) -> Result<(Cow<'a, str>, Option<&'a str>)> {
        if self.is_text() {
            return self.parse().map(|TextOfRow(text)| (text, None));
        }
        let (key, target): (String, &RawValue) = self.parse()?;
        Ok((key.into(), Some(target.get())))
    }

    pub(super) fn key(self) -> Result<Cow<'a, str>> {
        self.columns().map(|(key, _)| key)
    }

    pub(super) fn target(self) -> Result<Target> {
        if self.is_text() {
            return self.key().map(|key| Target::text(&key));
        }
        let (key, value) = self.parse()?;
        Ok(Target { key, value })
    }

    /// The target alone.
    pub(super) fn json(self) -> Result<Box<RawValue>> {
        if self.is_text() { self.parse() } else { self.parse().map(|(_, target): (IgnoredAny, _)| target) }
    }

    fn is_text(self) -> bool {
        self.0.starts_with('"')
    }

    fn parse<T: serde::Deserialize<'a>>(self) -> Result<T> {
        serde_json::from_str(self.0).map_err(|_| values::unreadable(1, "target", self.0))
    }
}

/// Borrowed where nothing in it is escaped.
#[derive(serde::Deserialize)]
struct TextOfRow<'a>(#[serde(borrow)] Cow<'a, str>);

/// Targets with places side by side.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    pub(super) first: u32,
    /// Their JSON, and where in it each is.
    text: String,
    each: Vec<Range<usize>>,
}

impl Neighbours {
    /// The columns `first` and `targets` of a row of `listed`.
    pub(super) fn read(row: &Row<'_>) -> Result<Self> {
        let (first, text): (_, String) = (row.get(0)?, row.get(1)?);
        let targets: Vec<&RawValue> = serde_json::from_str(&text).map_err(|_| values::unreadable(1, "targets", &text))?;
        let place = |target: &RawValue| {
            let begin = target.get().as_ptr().addr() - text.as_ptr().addr();
            begin..begin + target.get().len()
        };
        let each = targets.into_iter().map(place).collect();
        Ok(Self { first, text, each })
    }

    /// Puts a row of `planned` behind the others, of which these are the columns `key` and `target`.
    fn push_planned(&mut self, row: &Row<'_>, column: usize) -> Result<()> {
        let (key, target) = (row.get_ref(column)?.as_str()?, row.get_ref(column + 1)?.as_str_or_null()?);
        let begin = self.text.len();
        let key = values::json_text(&key)?;
        match target {
            None => self.text.push_str(&key),
            Some(target) => self.text.extend(["[", &key, ",", target, "]"]),
        }
        self.each.push(begin..self.text.len());
        Ok(())
    }

    pub(super) fn places(&self) -> Range<u32> {
        self.first..self.first.saturating_add(u32::try_from(self.each.len()).unwrap_or(u32::MAX))
    }

    pub(super) fn targets(&self) -> impl Iterator<Item = Listed<'_>> {
        self.each.iter().filter_map(|place| self.text.get(place.clone())).map(Listed)
    }

    fn at(&self, index: u32) -> Option<Listed<'_>> {
        let place = self.each.get(index.checked_sub(self.first)? as usize)?;
        self.text.get(place.clone()).map(Listed)
    }
}

/// The planned targets of one run, wherever they are. Made for questions in ascending order: it holds what stands beside the last
/// one that was asked for, about 16 KiB.
#[derive(Debug)]
pub(super) struct PlannedTargets<'c> {
    connection: &'c Connection,
    run: RunKey,
    has_listed: bool,
    /// Of the places in `known` those that have a target.
    current: Neighbours,
    known: Range<u32>,
}

impl<'c> PlannedTargets<'c> {
    /// `version`: of the schema.
    pub(super) fn of(connection: &'c Connection, run: RunKey, version: i64) -> Self {
        let has_listed = version >= schema::WITH_LISTED;
        Self { connection, run, has_listed, current: Neighbours::default(), known: 0..0 }
    }

    /// The target with the place `index`.
    pub(super) fn get(&mut self, index: u32) -> Result<Option<Listed<'_>>> {
        self.look_at(index)?;
        Ok(self.current.at(index))
    }

    /// The first target with the place `index` or a later one.
    pub(super) fn next(&mut self, index: u32) -> Result<Option<(u32, Listed<'_>)>> {
        self.look_at(index)?;
        let index = index.max(self.current.first);
        Ok(self.current.at(index).map(|target| (index, target)))
    }

    fn look_at(&mut self, index: u32) -> Result<()> {
        if self.known.contains(&index) {
            return Ok(());
        }
        // In this order: while targets are moved from the one to the other, those that are not here any more are there.
        let listed = if self.has_listed { self.listed(index)? } else { None };
        let found = match listed {
            Some(listed) if listed.first <= index => Some(listed),
            listed => [listed, self.planned(index)?].into_iter().flatten().min_by_key(|neighbours| neighbours.first),
        };
        self.current = found.unwrap_or_default();
        let end = if self.current.places().is_empty() { u32::MAX } else { self.current.places().end };
        self.known = index..end;
        Ok(())
    }

    fn listed(&self, index: u32) -> Result<Option<Neighbours>> {
        self.connection.prepare_cached(FROM_PLACE)?.query_row(params![self.run.0, index], Neighbours::read).optional()
    }

    fn planned(&self, index: u32) -> Result<Option<Neighbours>> {
        let mut statement = self.connection.prepare_cached(PLANNED)?;
        let mut rows = statement.query(params![self.run.0, index, PLANNED_AT_ONCE])?;
        let mut found: Option<Neighbours> = None;
        while let Some(row) = rows.next()? {
            let place: u32 = row.get(0)?;
            let neighbours = found.get_or_insert_with(|| Neighbours { first: place, ..Neighbours::default() });
            if neighbours.places().end != place {
                break;
            }
            neighbours.push_planned(row, 1)?;
        }
        Ok(found)
    }
}
