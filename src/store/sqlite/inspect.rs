//! Whether the records hang together: the file, and what must be true of the rows beyond what the schema holds by itself.

use std::collections::BTreeMap;

use rusqlite::{Connection, types::ValueRef};

use super::{Reader, fault, schema};
use crate::store::StoreError;

/// Problems of one kind that are named, at most.
const MOST: usize = 100;

/// Ends the `reason` of an ended run some of whose partials could not be saved from a damaged database.
pub(super) const LOST_PARTIALS: &str = "some of its partials were lost with a damaged database";

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The version of the schema.
    pub version: i64,
    /// Rows by table.
    pub rows: BTreeMap<String, u64>,
    /// What is wrong, each in a sentence; of one kind at most a hundred.
    pub problems: Vec<String>,
}

/// What is wrong with each thing that the question names. A run whose first partials are gone is being forgotten.
const RULES: [(&str, &str); 19] = [
    (
        "the run has an end without an outcome, or an outcome without an end",
        "SELECT id FROM run WHERE (ended IS NULL) <> (outcome IS NULL)",
    ),
    (
        "the run has counted more or fewer partials than it has",
        "SELECT id FROM run WHERE succeeded + failed + cancelled > partials
             OR ended IS NOT NULL AND succeeded + failed + cancelled <> partials",
    ),
    (
        "the run's counts are not those of its recorded partials",
        "SELECT id FROM run LEFT JOIN (
             SELECT run, min(idx) AS first, count(*) FILTER (WHERE outcome = 'succeeded') AS succeeded,
                 count(*) FILTER (WHERE outcome = 'cancelled') AS cancelled,
                 count(*) FILTER (WHERE outcome NOT IN ('succeeded', 'cancelled')) AS failed
             FROM every_partial GROUP BY run
         ) AS found ON found.run = run.key
         WHERE coalesce(run.reason, '') NOT LIKE '%some of its partials were lost with a damaged database' AND (
             found.succeeded > run.succeeded OR found.failed > run.failed OR found.cancelled > run.cancelled
             OR first = 0 AND found.succeeded < run.succeeded
             OR ended IS NULL AND (coalesce(found.succeeded, 0), coalesce(found.failed, 0), coalesce(found.cancelled, 0))
                 <> (run.succeeded, run.failed, run.cancelled))",
    ),
    (
        "the run has a partial beyond their number",
        "SELECT id FROM run WHERE claimed > partials OR EXISTS (SELECT 1 FROM partial WHERE run = key AND idx >= partials)
             OR EXISTS (SELECT 1 FROM streak WHERE run = key AND first + count > run.partials)",
    ),
    (
        "the run has a partial twice",
        "SELECT id FROM run WHERE EXISTS (
             SELECT 1 FROM streak WHERE run = key AND (count <> json_array_length(streak.partials)
                 OR EXISTS (SELECT 1 FROM partial WHERE run = key AND idx >= first AND idx < first + count)
                 OR EXISTS (SELECT 1 FROM streak AS other WHERE other.run = key AND other.first > streak.first
                     AND other.first < streak.first + streak.count)))",
    ),
    (
        "the run has a target twice",
        "SELECT id FROM run WHERE EXISTS (
             SELECT 1 FROM listed WHERE run = key AND (count <> json_array_length(listed.targets)
                 OR EXISTS (SELECT 1 FROM planned WHERE run = run.key AND idx >= first AND idx < first + count)
                 OR EXISTS (SELECT 1 FROM listed AS other WHERE other.run = run.key AND other.first > listed.first
                     AND other.first < listed.first + listed.count)))",
    ),
    (
        "the run has a target beyond their number",
        "SELECT id FROM run WHERE targets ->> 'planned' IS NOT NULL
             AND EXISTS (SELECT 1 FROM listed WHERE run = key AND first + count > run.partials)",
    ),
    (
        "the run has ended, and one of its partials has not",
        "SELECT id FROM run WHERE ended IS NOT NULL AND EXISTS (
             SELECT 1 FROM partial INDEXED BY partial_not_succeeded WHERE run = key AND outcome IS NOT 'succeeded' AND outcome IS NULL)",
    ),
    ("the run is live, and its node is unknown", "SELECT id FROM run WHERE ended IS NULL AND node NOT IN (SELECT name FROM node)"),
    ("the run is not named after its job", "SELECT id FROM run WHERE substr(id, 1, length(job) + 1) <> job || '@'"),
    (
        "the decision does not fit its run",
        "SELECT d.job || ' ' || d.first FROM decision AS d LEFT JOIN run ON run.key = d.run
         WHERE (d.decision = 'ran') <> (d.run IS NOT NULL) OR run.job <> d.job OR run.nominal <> d.first OR run.nominal <> d.last",
    ),
    ("the decision covers no time", "SELECT job || ' ' || first FROM decision WHERE first > last OR count < 1"),
    (
        "the nominal time has two decisions",
        "SELECT job || ' ' || first FROM (
             SELECT job, first, lag(last) OVER (PARTITION BY job, accounting ORDER BY first, last) AS previous
             FROM decision WHERE accounting IS NOT NULL
         ) WHERE previous >= first",
    ),
    ("the run was decided twice", "SELECT run FROM decision WHERE run IS NOT NULL GROUP BY run HAVING count(*) > 1"),
    (
        "the decision belongs to no accounting",
        "SELECT job || ' ' || first FROM decision AS d
         WHERE accounting IS NOT NULL AND last >= coalesce((SELECT max(before) FROM pruned), last)
             AND NOT EXISTS (SELECT 1 FROM accounting AS a WHERE a.job = d.job AND a.number = d.accounting)",
    ),
    ("the job has several open accountings", "SELECT job FROM accounting WHERE upto IS NULL GROUP BY job HAVING count(*) > 1"),
    ("the open accounting has no job", "SELECT job FROM accounting WHERE upto IS NULL AND job NOT IN (SELECT name FROM job)"),
    (
        "the watermark of the job is before its last decision",
        "SELECT name FROM job JOIN accounting AS a ON a.job = name AND a.upto IS NULL
         WHERE EXISTS (SELECT 1 FROM decision AS d WHERE d.job = name AND d.last > watermark AND d.accounting = a.number)",
    ),
    (
        "the bytes of captured output are counted wrong",
        "SELECT bytes || ' counted, ' || found || ' found' FROM captured,
             (SELECT coalesce(sum(length(head) + length(tail)), 0) AS found FROM output) WHERE bytes <> found",
    ),
];

impl Reader {
    /// Reads everything, as it is at one moment. Beside a live daemon, too: its log grows for so long.
    pub fn inspect(&self) -> Result<Inspection, StoreError> {
        let inspect = || {
            let snapshot = self.connection.unchecked_transaction()?;
            let found = inspect(&snapshot)?;
            snapshot.finish()?;
            Ok(found)
        };
        inspect().map_err(|error| fault(&self.path, error))
    }
}

pub(super) fn inspect(connection: &Connection) -> rusqlite::Result<Inspection> {
    let version = schema::marks(connection)?.version;
    let mut problems = texts(connection, &format!("PRAGMA integrity_check({MOST})"))?;
    problems.retain(|problem| problem != "ok");
    // What cannot be read cannot be compared.
    if problems.is_empty() && version == schema::VERSION {
        let orphans = texts(connection, "SELECT DISTINCT \"table\" FROM pragma_foreign_key_check")?;
        problems.extend(orphans.iter().map(|table| format!("rows of `{table}` belong to a run that does not exist")));
        for (what, question) in RULES {
            let found = texts(connection, &format!("{question} LIMIT {MOST}"))?;
            problems.extend(found.iter().map(|thing| format!("{what}: {thing}")));
        }
    }
    let mut rows = BTreeMap::new();
    for table in if problems.is_empty() { &["run", "partial", "decision", "output"][..] } else { &[] } {
        rows.insert((*table).to_owned(), count(connection, table)?);
    }
    if let Some(partials) = rows.get_mut("partial").filter(|_| version >= schema::WITH_STREAKS) {
        *partials += connection.query_row("SELECT coalesce(sum(count), 0) FROM streak", [], |row| row.get::<_, i64>(0))?.unsigned_abs();
    }
    Ok(Inspection { version, rows, problems })
}

pub(super) fn count(connection: &Connection, table: &str) -> rusqlite::Result<u64> {
    connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0)).map(i64::unsigned_abs)
}

/// The first column, whatever it is.
fn texts(connection: &Connection, question: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(question)?;
    let text = |value: ValueRef<'_>| match value {
        ValueRef::Text(text) => String::from_utf8_lossy(text).escape_debug().to_string(),
        ValueRef::Integer(number) => number.to_string(),
        other => format!("{:?}", other.data_type()),
    };
    statement.query_map([], |row| Ok(text(row.get_ref(0)?)))?.take(MOST).collect()
}
