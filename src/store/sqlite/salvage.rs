//! Reads past damage, row by row. An error while reading means that a page is unreadable: the keys after it are tried one by
//! one until rows come again.

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, Result, params_from_iter};

use super::inspect::count;

/// So many keys are tried in vain after the last readable row before the rest of a table is given up, or of a run.
const MAX_TRIES: u64 = 20_000;

/// What was saved of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    pub table: String,
    pub rows: u64,
    /// Keys under which there may have been rows that could not be read.
    pub lost: u64,
    /// Rows that were read, and do not fit: their run is lost, or they are garbage.
    pub refused: u64,
    /// The end of the table may be missing.
    pub given_up: bool,
}

/// A table of the new database, and how its rows are found in the old one.
struct Table {
    name: String,
    columns: Vec<String>,
    /// The integer that orders the rows; the second is zero where there is one only.
    key: Option<[String; 2]>,
}

/// Copies what can be read of every table of `new` from `damaged`.
pub(super) fn salvage(damaged: &Connection, new: &Connection) -> Result<Vec<Saved>> {
    let mut saved = Vec::new();
    for table in tables(new)? {
        let copy = Copy { damaged, new, table: &table, saved: Saved { table: table.name.clone(), ..Saved::default() } };
        saved.push(copy.all()?);
    }
    Ok(saved)
}

/// Those that others refer to come first. What is counted is counted anew.
fn tables(new: &Connection) -> Result<Vec<Table>> {
    let mut names = new.prepare(
        "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'captured'
         ORDER BY EXISTS (SELECT 1 FROM pragma_foreign_key_list(name)), name",
    )?;
    let names: Vec<(String, bool)> = names.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<Result<_>>()?;
    names.into_iter().map(|(name, without_rowid)| table(new, name, without_rowid)).collect()
}

fn table(new: &Connection, name: String, without_rowid: bool) -> Result<Table> {
    let mut info = new.prepare("SELECT name, type, pk FROM pragma_table_info(?1)")?;
    let info: Vec<(String, String, u32)> =
        info.query_map([&name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?.collect::<Result<_>>()?;
    let mut columns: Vec<String> = info.iter().map(|(column, ..)| column.clone()).collect();
    let mut primary: Vec<_> = info.iter().filter(|(.., place)| *place > 0).collect();
    primary.sort_by_key(|(.., place)| *place);
    let are_integers = primary.iter().all(|(_, kind, _)| kind == "INTEGER");
    let key = match primary[..] {
        [(first, ..), (second, ..)] if without_rowid && are_integers => Some([first.clone(), second.clone()]),
        _ if without_rowid => None,
        [(only, ..)] if are_integers => Some([only.clone(), "0".to_owned()]),
        _ => {
            columns.push("rowid".to_owned());
            Some(["rowid".to_owned(), "0".to_owned()])
        }
    };
    Ok(Table { name, columns, key })
}

struct Copy<'a> {
    damaged: &'a Connection,
    new: &'a Connection,
    table: &'a Table,
    saved: Saved,
}

impl Copy<'_> {
    fn all(mut self) -> Result<Saved> {
        self.new.execute_batch("BEGIN")?;
        match &self.table.key {
            Some(key) => self.walk(key)?,
            None => self.read_both_ends()?,
        }
        self.new.execute_batch("COMMIT")?;
        self.saved.rows = count(self.new, &self.table.name)?;
        Ok(self.saved)
    }

    /// Small tables with a text as their key.
    fn read_both_ends(&mut self) -> Result<()> {
        let columns = self.table.columns.join(", ");
        for order in ["ASC", "DESC"] {
            let sql = format!("SELECT {columns} FROM {} ORDER BY 1 {order}", self.table.name);
            if self.copy(&sql, [0; 2], |_| ())? {
                return Ok(());
            }
            self.saved.given_up = true;
        }
        Ok(())
    }

    fn walk(&mut self, [first, second]: &[String; 2]) -> Result<()> {
        let columns = self.table.columns.join(", ");
        let (after, order) = if second == "0" {
            (format!("{first} > ?1 AND ?2 <= ?2"), first.clone())
        } else {
            (format!("({first}, {second}) > (?1, ?2)"), format!("{first}, {second}"))
        };
        let sql = format!("SELECT {columns}, {first}, {second} FROM {} WHERE {after} ORDER BY {order}", self.table.name);
        let mut candidates = None;
        let (mut last, mut tries) = ([i64::MIN, 0], 0);
        loop {
            let mut reached = None;
            if self.copy(&sql, last, |key| reached = Some(key))? {
                return Ok(());
            }
            if let Some(key) = reached {
                (last, tries) = (key, 0);
            }
            tries += 1;
            self.saved.lost += 1;
            if candidates.is_none() {
                candidates = Some(self.candidates()?);
            }
            let Some(next) = candidates.as_ref().and_then(|candidates| candidates.next(last, tries)) else {
                self.saved.given_up = true;
                return Ok(());
            };
            last = next;
        }
    }

    /// The keys that there may be.
    fn candidates(&self) -> Result<Candidates> {
        let pairs = |sql: &str, connection: &Connection| -> Result<Vec<(i64, i64)>> {
            let mut statement = connection.prepare(sql)?;
            let mut rows = statement.query([])?;
            let mut found = Vec::new();
            // Of a damaged index as much as can be read.
            while let Ok(Some(row)) = rows.next() {
                found.push((row.get(0)?, row.get(1)?));
            }
            Ok(found)
        };
        match &*self.table.name {
            // Its indexes are other pages than the table's.
            "run" => {
                let mut keys = Vec::new();
                for order in ["ASC", "DESC"] {
                    keys.extend(
                        pairs(&format!("SELECT key, 0 FROM run INDEXED BY run_by_time ORDER BY fired {order}"), self.damaged)
                            .unwrap_or_default(),
                    );
                }
                keys.sort_unstable();
                keys.dedup();
                Ok(Candidates::Listed(keys))
            }
            _ if self.table.key.as_ref().is_some_and(|[first, second]| first == "run" && second != "0") => {
                Ok(Candidates::OfRuns(pairs("SELECT key, partials FROM run ORDER BY key", self.new)?))
            }
            _ => Ok(Candidates::Numbers),
        }
    }

    /// Copies the rows that the question finds, up to the first that cannot be read; whether all could.
    fn copy(&mut self, sql: &str, after: [i64; 2], mut seen: impl FnMut([i64; 2])) -> Result<bool> {
        let count = self.table.columns.len();
        let (names, places) = (self.table.columns.join(", "), vec!["?"; count].join(", "));
        let mut insert = self.new.prepare_cached(&format!("INSERT OR IGNORE INTO {} ({names}) VALUES ({places})", self.table.name))?;
        let Ok(mut statement) = self.damaged.prepare_cached(sql) else { return Ok(false) };
        let bound = &after[..statement.parameter_count()];
        let Ok(mut rows) = statement.query(params_from_iter(bound)) else { return Ok(false) };
        loop {
            let row = match rows.next() {
                Ok(Some(row)) => row,
                Ok(None) => return Ok(true),
                Err(_) => return Ok(false),
            };
            if self.table.key.is_some() {
                let (Ok(first), Ok(second)) = (row.get(count), row.get(count + 1)) else { return Ok(false) };
                seen([first, second]);
            }
            let Ok(values) = (0..count).map(|column| row.get(column)).collect::<Result<Vec<Value>>>() else {
                self.saved.refused += 1;
                continue;
            };
            match insert.execute(params_from_iter(values)) {
                Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => self.saved.refused += 1,
                inserted => drop(inserted?),
            }
        }
    }
}

/// Where the next readable row may be.
enum Candidates {
    /// At any greater number.
    Numbers,
    /// After one of these keys.
    Listed(Vec<(i64, i64)>),
    /// Anywhere among the partials of one of these runs: key, and how many it has.
    OfRuns(Vec<(i64, i64)>),
}

impl Candidates {
    /// The key to read on after, when nothing could be read after `last`, so many times.
    fn next(&self, last: [i64; 2], tries: u64) -> Option<[i64; 2]> {
        match self {
            Self::Numbers => (tries <= MAX_TRIES).then(|| [last[0].max(0) + 1, 0]),
            Self::Listed(keys) => keys.get(keys.partition_point(|(key, _)| *key <= last[0])).map(|(key, _)| [*key, 0]),
            Self::OfRuns(runs) => match runs.binary_search_by_key(&last[0], |(run, _)| *run) {
                Ok(at) if last[1] < runs[at].1 && tries <= MAX_TRIES => Some([last[0], last[1] + 1]),
                Ok(at) => runs.get(at + 1).map(|(run, _)| [*run, -1]),
                Err(at) => runs.get(at).map(|(run, _)| [*run, -1]),
            },
        }
    }
}
