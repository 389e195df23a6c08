//! The tables, and how an older database becomes a newer one. Times are microseconds since the epoch, UTC.

use rusqlite::Connection;

/// What this batchd writes, in `PRAGMA user_version`.
pub(super) const VERSION: i64 = 1;

/// Tells our databases from others, in `PRAGMA application_id`: the bytes `btcd`.
pub(super) const APPLICATION_ID: i64 = 0x6274_6364;

/// `partial` and `output` are clustered by run and index: a run's results are read back as one ascending scan.
const TABLES: &str = "
CREATE TABLE node (
    name TEXT PRIMARY KEY, epoch INTEGER NOT NULL, pid INTEGER NOT NULL, boot_id TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE job (
    name TEXT PRIMARY KEY, watermark INTEGER NOT NULL, schedule_fingerprint INTEGER NOT NULL, boot_id TEXT
) WITHOUT ROWID;
CREATE TABLE run (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, job TEXT NOT NULL, cause TEXT NOT NULL, nominal INTEGER NOT NULL,
    zone TEXT NOT NULL, fired INTEGER NOT NULL, targets TEXT, partials INTEGER NOT NULL, node TEXT NOT NULL,
    claimed INTEGER NOT NULL DEFAULT 0, started INTEGER, ended INTEGER, outcome TEXT,
    succeeded INTEGER, failed INTEGER, cancelled INTEGER, reason TEXT, result TEXT
);
CREATE INDEX run_by_job ON run (job, key);
CREATE INDEX run_open ON run (node) WHERE ended IS NULL;
CREATE INDEX run_not_succeeded ON run (key) WHERE outcome <> 'succeeded';
CREATE TABLE decision (
    job TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, count INTEGER NOT NULL, decision TEXT NOT NULL,
    run INTEGER, at INTEGER NOT NULL
);
CREATE INDEX decision_by_job ON decision (job, last);
CREATE TABLE partial (
    run INTEGER NOT NULL, idx INTEGER NOT NULL, target TEXT, outcome TEXT NOT NULL, attempt INTEGER NOT NULL, retry INTEGER, retried INTEGER,
    started INTEGER NOT NULL, ended INTEGER NOT NULL, duration INTEGER NOT NULL, exit_code INTEGER, signal INTEGER,
    result TEXT, error TEXT, PRIMARY KEY (run, idx)
) WITHOUT ROWID;
CREATE TABLE output (
    run INTEGER NOT NULL, idx INTEGER NOT NULL, attempt INTEGER NOT NULL, head BLOB NOT NULL, tail BLOB NOT NULL,
    cut INTEGER NOT NULL, PRIMARY KEY (run, idx, attempt)
) WITHOUT ROWID;
";

/// Brings the database to [`VERSION`]. A crash in between leaves the old version.
pub(super) fn migrate(connection: &mut Connection, found: i64) -> rusqlite::Result<()> {
    if found == VERSION {
        return Ok(());
    }
    let transaction = connection.transaction()?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", VERSION)?;
    transaction.commit()
}
