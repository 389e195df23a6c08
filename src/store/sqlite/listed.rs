//! The planned targets of a run. Those that its first reading has listed stand side by side, many in one row of the table `listed`: a
//! row each, with the index of the keys, would cost several times what the reading did. Later readings ask for keys, and have a row
//! each in `planned`.

use std::borrow::Cow;
use std::mem;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, params};
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

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

/// The same of a database that has no such table.
const NOTHING: &str = "SELECT 0, '' WHERE ?1 IS NULL AND ?2 IS NULL";

const PLANNED: &str = "SELECT idx, key, target FROM planned WHERE run = ?1 AND idx >= ?2 AND idx < ?3 ORDER BY idx LIMIT ?4";

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

/// A target as it is on disk.
#[derive(Clone, Copy, Debug)]
pub(super) enum Listed<'a> {
    /// In a row of `listed`: a text that is its own key, or `[key, target]`.
    Json(&'a RawValue),
    /// In a row of `planned`: the columns `key` and `target`, the latter null for a text that is its key.
    Columns(&'a str, Option<&'a str>),
}

impl<'a> Listed<'a> {
    /// All of the column `targets` of a row of `listed`.
    pub(super) fn all(targets: &'a str) -> Result<impl Iterator<Item = Self>> {
        let targets: Vec<&RawValue> = values::parsed(targets)?;
        Ok(targets.into_iter().map(Self::Json))
    }

    /// As the columns of `planned`.
    pub(super) fn columns(self) -> Result<(Cow<'a, str>, Option<&'a str>)> {
        match self {
            Self::Json(text) if is_text(text) => values::parsed(text.get()).map(|TextOfRow(text)| (text, None)),
            Self::Json(table) => values::parsed(table.get()).map(|(key, target): (String, &RawValue)| (key.into(), Some(target.get()))),
            Self::Columns(key, target) => Ok((key.into(), target)),
        }
    }

    pub(super) fn key(self) -> Result<Cow<'a, str>> {
        self.columns().map(|(key, _)| key)
    }

    pub(super) fn target(self) -> Result<Target> {
        let (key, target) = self.columns()?;
        match target {
            None => Ok(Target::text(&key)),
            Some(target) => Ok(Target { key: key.into(), value: values::parsed(target)? }),
        }
    }

    /// The target alone.
    pub(super) fn value(self) -> Result<Value> {
        match self {
            Self::Json(text) if is_text(text) => values::parsed(text.get()),
            Self::Json(table) => values::parsed(table.get()).map(|(_, target): (IgnoredAny, _)| target),
            Self::Columns(key, None) => Ok(key.into()),
            Self::Columns(_, Some(target)) => values::parsed(target),
        }
    }

    /// The same as it is written.
    pub(super) fn json(self) -> Result<Box<RawValue>> {
        match self {
            Self::Json(text) if is_text(text) => Ok(text.to_owned()),
            Self::Json(table) => values::parsed(table.get()).map(|(_, target): (IgnoredAny, _)| target),
            Self::Columns(key, None) => to_raw_value(key).map_err(|_| values::unreadable(1, "key", key)),
            Self::Columns(_, Some(target)) => values::parsed(target),
        }
    }
}

/// Borrowed where nothing in it is escaped.
#[derive(serde::Deserialize)]
struct TextOfRow<'a>(#[serde(borrow)] Cow<'a, str>);

fn is_text(json: &RawValue) -> bool {
    json.get().starts_with('"')
}

/// The planned targets of one run, wherever they are.
#[derive(Clone, Copy, Debug)]
pub(super) struct PlannedTargets<'c> {
    connection: &'c Connection,
    run: RunKey,
    has_listed: bool,
}

impl<'c> PlannedTargets<'c> {
    /// `version`: of the schema.
    pub(super) fn of(connection: &'c Connection, run: RunKey, version: i64) -> Self {
        Self { connection, run, has_listed: version >= schema::WITH_LISTED }
    }

    /// Has `found` look at the targets with these places, which ascend, where there are some.
    pub(super) fn look_up<T>(
        self,
        wanted: impl IntoIterator<Item = (u32, T)>,
        mut found: impl FnMut(T, Listed<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut wanted = wanted.into_iter().peekable();
        let Some(&(first, _)) = wanted.peek() else { return Ok(()) };
        self.visit(first, |place, target| {
            while let Some((at, thing)) = wanted.next_if(|(at, _)| *at <= place) {
                if at == place {
                    found(thing, target)?;
                }
            }
            Ok(wanted.peek().map(|(at, _)| *at))
        })
    }

    /// Has `seen` look at the first target with the place `from` or a later one, and so on with the place that it returns, until it
    /// returns none.
    pub(super) fn visit(self, from: u32, mut seen: impl FnMut(u32, Listed<'_>) -> Result<Option<u32>>) -> Result<()> {
        let mut offer = |wanted: &mut Option<u32>, place: u32, target: Listed<'_>| -> Result<()> {
            if wanted.is_some_and(|wanted| place >= wanted) {
                *wanted = seen(place, target)?.map(|next| next.max(place.saturating_add(1)));
            }
            Ok(())
        };
        let mut listed = self.connection.prepare_cached(if self.has_listed { FROM_PLACE } else { NOTHING })?;
        let mut planned = self.connection.prepare_cached(PLANNED)?;
        let mut wanted = Some(from);
        while let Some(from) = wanted {
            // In this order: while targets are moved from the one to the other, those that are not here any more are there.
            let mut rows = listed.query(params![self.run.0, from])?;
            let row = rows.next()?;
            let first: Option<u32> = row.map(|row| row.get(0)).transpose()?;
            if let (Some(row), Some(first)) = (row, first.filter(|first| *first <= from)) {
                for (place, target) in (first..).zip(Listed::all(row.get_ref(1)?.as_str()?)?) {
                    offer(&mut wanted, place, target)?;
                }
                // A row that has fewer than it says does not have the one that is wanted.
                wanted = wanted.map(|wanted| wanted.max(from.saturating_add(1)));
                continue;
            }
            let mut rows = planned.query(params![self.run.0, from, first.map_or(i64::MAX, i64::from), PLANNED_AT_ONCE])?;
            let mut row = rows.next()?;
            if row.is_none() {
                wanted = first;
            }
            while let Some(columns) = row {
                let target = Listed::Columns(columns.get_ref(1)?.as_str()?, columns.get_ref(2)?.as_str_or_null()?);
                offer(&mut wanted, columns.get(0)?, target)?;
                row = rows.next()?;
            }
        }
        Ok(())
    }
}
