//! The tables, and how a database of an older release becomes one of this.
//!
//! Times are microseconds since the epoch, UTC. Outcomes, causes and decisions are stored under their documented names, so
//! that the database can be read with `sqlite3` alone.

use rusqlite::{Connection, TransactionBehavior};

/// Marks the file as ours ("btcd").
pub(super) const APPLICATION_ID: i64 = 0x6274_6364;

/// The script at position N takes a database from version N to N + 1. Released scripts are never edited.
const MIGRATIONS: [&str; 9] = [VERSION_1, VERSION_2, VERSION_3, VERSION_4, VERSION_5, VERSION_6, VERSION_7, VERSION_8, VERSION_9];

const VERSION_1: &str = "
-- Who writes. `epoch` fences the earlier writers of a node.
CREATE TABLE node (
    name TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    boot_id TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    name TEXT PRIMARY KEY,
    watermark INTEGER NOT NULL,
    fingerprint INTEGER NOT NULL,
    boot_id TEXT
) STRICT, WITHOUT ROWID;

-- While a run is live, the counts are those so far.
CREATE TABLE run (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    job TEXT NOT NULL,
    cause TEXT NOT NULL,
    nominal INTEGER NOT NULL,
    zone TEXT NOT NULL,
    fired INTEGER NOT NULL,
    targets TEXT NOT NULL,
    partials INTEGER NOT NULL,
    claimed INTEGER NOT NULL DEFAULT 0,
    node TEXT NOT NULL,
    started INTEGER,
    ended INTEGER,
    outcome TEXT,
    succeeded INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    cancelled INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    result TEXT
) STRICT;
CREATE INDEX run_by_time ON run (fired);
CREATE INDEX run_by_job ON run (job, fired);
CREATE INDEX run_failed ON run (fired) WHERE outcome <> 'succeeded';
CREATE INDEX run_live ON run (node) WHERE ended IS NULL;

CREATE TABLE decision (
    job TEXT NOT NULL,
    first INTEGER NOT NULL,
    last INTEGER NOT NULL,
    count INTEGER NOT NULL,
    decision TEXT NOT NULL,
    run INTEGER,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX decision_by_time ON decision (job, last);

-- `target` is JSON, and `target_key` set where it is a table. While another attempt is due, `outcome` is null, `retrying` the
-- outcome of the last one and `retry_at` the time; `retried` is the attempt that may have been started since.
CREATE TABLE partial (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    idx INTEGER NOT NULL,
    target TEXT,
    target_key TEXT,
    outcome TEXT,
    attempt INTEGER NOT NULL,
    retrying TEXT,
    retry_at INTEGER,
    retried INTEGER,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    duration_us INTEGER NOT NULL,
    exit_code INTEGER,
    signal INTEGER,
    result TEXT,
    error TEXT,
    PRIMARY KEY (run, idx)
) STRICT, WITHOUT ROWID;
-- Both indexes are partial, so that a million quick successes cost nothing.
CREATE INDEX partial_not_succeeded ON partial (run, idx, outcome) WHERE outcome IS NOT 'succeeded';
CREATE INDEX partial_slow ON partial (run, duration_us) WHERE duration_us >= 1000;

-- `idx` is -1 for the gather command.
CREATE TABLE output (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    idx INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    head BLOB NOT NULL,
    tail BLOB NOT NULL,
    cut INTEGER NOT NULL,
    PRIMARY KEY (run, idx, attempt)
) STRICT;
";

const VERSION_2: &str = "
-- Nominal times t with since < t <= upto count under `definition` (JSON); while `upto` is null it goes on, and what is decided
-- ends at the watermark of the job. A clock that is set back by hours makes a later accounting begin before an earlier one.
CREATE TABLE accounting (
    job TEXT NOT NULL,
    number INTEGER NOT NULL,
    since INTEGER NOT NULL,
    upto INTEGER,
    definition TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (job, number)
) STRICT, WITHOUT ROWID;

-- The `number` of the accounting that the decision belongs to; decisions of version 1 have none.
ALTER TABLE decision ADD COLUMN accounting INTEGER;

-- Jobs that run after several others: for the nominal time, `succeeded` has.
CREATE TABLE joined (
    job TEXT NOT NULL,
    nominal INTEGER NOT NULL,
    succeeded TEXT NOT NULL,
    PRIMARY KEY (job, nominal, succeeded)
) STRICT, WITHOUT ROWID;

-- One row: decisions about nominal times before this are gone, as `[history]` says.
CREATE TABLE pruned (before INTEGER NOT NULL) STRICT;

-- Nominal times up to `repeats_until` were decided before the clock was set back; their runs are named with `repeat`.
ALTER TABLE job ADD COLUMN repeats_until INTEGER;
ALTER TABLE job ADD COLUMN repeat INTEGER NOT NULL DEFAULT 1;
ALTER TABLE job ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
";

const VERSION_3: &str = "
-- One row: the bytes of all captured output, and the `rowid` of the output up to which it was cut to nothing, as `[history]` says.
CREATE TABLE captured (bytes INTEGER NOT NULL, cut_upto INTEGER NOT NULL) STRICT;
INSERT INTO captured (bytes, cut_upto) SELECT coalesce(sum(length(head) + length(tail)), 0), 0 FROM output;
";

const VERSION_4: &str = "
-- What the processes of the last attempt took: CPU time, and memory in bytes. Null where nobody measured.
ALTER TABLE partial ADD COLUMN cpu_us INTEGER;
ALTER TABLE partial ADD COLUMN max_rss INTEGER;
";

const VERSION_5: &str = "
-- The targets of runs that read them from elsewhere. `target` is JSON; null: a text that is its key. `listing` is the reading of
-- the run that listed it last. Places from `run.partials` on belong to a reading that has not ended.
CREATE TABLE planned (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    idx INTEGER NOT NULL,
    key TEXT NOT NULL,
    target TEXT,
    listing INTEGER NOT NULL,
    PRIMARY KEY (run, idx)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX planned_by_key ON planned (run, key);

-- How often the targets of the run have been read.
ALTER TABLE run ADD COLUMN listing INTEGER NOT NULL DEFAULT 0;
";

const VERSION_6: &str = "
-- Runs in a row that did not succeed, and since when a success is awaited.
ALTER TABLE job ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE job ADD COLUMN heard INTEGER;
UPDATE job SET heard = coalesce((SELECT max(ended) FROM run WHERE run.job = job.name AND outcome = 'succeeded'), watermark);

-- What people are told. A lane is a channel, or the pings of one job (`ping:JOB`); `about` is what is told once; `message` is JSON.
-- `trying`: an attempt may be under way; `unsure`: an earlier one may have arrived; `lead`: the first of those that went as one.
-- Ended with an error: given up.
CREATE TABLE outbox (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    lane TEXT NOT NULL,
    kind TEXT NOT NULL,
    job TEXT NOT NULL,
    about TEXT NOT NULL,
    message TEXT NOT NULL,
    created INTEGER NOT NULL,
    next INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    trying INTEGER NOT NULL DEFAULT 0,
    unsure INTEGER NOT NULL DEFAULT 0,
    lead INTEGER,
    ended INTEGER,
    error TEXT
) STRICT;
CREATE UNIQUE INDEX outbox_once ON outbox (lane, job, kind, about);
CREATE INDEX outbox_open ON outbox (lane, key) WHERE ended IS NULL;
CREATE INDEX outbox_given_up ON outbox (lane, key) WHERE ended IS NOT NULL AND error IS NOT NULL;
CREATE INDEX outbox_ended ON outbox (ended) WHERE ended IS NOT NULL;
";

const VERSION_7: &str = "
-- What the run was told, a JSON object; null: nothing.
ALTER TABLE run ADD COLUMN args TEXT;
";

const VERSION_8: &str = "
-- Quick successes side by side: `count` of them from the place `first` on, with `partials`, a JSON array. Each has succeeded at its
-- first attempt in less than a millisecond, and is itself an array: microseconds from `began` to its start, from there to its end,
-- how long it took on the monotonic clock, its target, the key of a target that is a table, and its result.
CREATE TABLE streak (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    began INTEGER NOT NULL,
    partials TEXT NOT NULL,
    PRIMARY KEY (run, first)
) STRICT, WITHOUT ROWID;

-- Whatever is on record of partials, a row each.
CREATE VIEW every_partial AS
    SELECT run, idx, target, target_key, outcome, attempt, retrying, retry_at, retried, started, ended, duration_us, exit_code, signal,
        result, error, cpu_us, max_rss
    FROM partial
    UNION ALL
    SELECT run, first + each.key, each.value -> 3, each.value ->> 4, 'succeeded', 1, NULL, NULL, NULL, began + (each.value ->> 0),
        began + (each.value ->> 0) + (each.value ->> 1), each.value ->> 2, NULL, NULL, each.value -> 5, NULL, NULL, NULL
    FROM streak, json_each(streak.partials) AS each;
";

const VERSION_9: &str = "
-- The targets that the first reading of a run has listed, side by side: `count` of them from the place `first` on, with `targets`, a
-- JSON array: each a text that is its own key, or an array of its key and itself. Before a further reading they are moved to `planned`.
-- With rowid: without, each row that is passed on the way to another is read whole.
CREATE TABLE listed (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    targets TEXT NOT NULL,
    PRIMARY KEY (run, first)
) STRICT;

-- The targets of runs that read them from elsewhere, a row each; `target` as in `planned`.
CREATE VIEW every_target AS
    SELECT run, idx, key, target FROM planned
    UNION ALL
    SELECT run, first + each.key, CASE each.type WHEN 'array' THEN each.value ->> 0 ELSE each.value END,
        CASE each.type WHEN 'array' THEN each.value -> 1 END
    FROM listed, json_each(listed.targets) AS each;

-- The same for `streak`, in which the array of a partial is in another order now: what most do not have is last, and nulls at the end
-- are left out. It has microseconds from `began` to its start, how long it took on the monotonic clock, microseconds from its start to
-- its end, its result, its target, and the key of a target that is a table.
DROP VIEW every_partial;
ALTER TABLE streak RENAME TO streak_of_version_8;
CREATE TABLE streak (
    run INTEGER NOT NULL REFERENCES run (key) ON DELETE CASCADE,
    first INTEGER NOT NULL,
    count INTEGER NOT NULL,
    began INTEGER NOT NULL,
    partials TEXT NOT NULL,
    PRIMARY KEY (run, first)
) STRICT;
INSERT INTO streak (run, first, count, began, partials) SELECT run, first, count, began, (
    SELECT json_group_array(json_array(value -> 0, value -> 2, value -> 1, value -> 5, value -> 3, value -> 4) ORDER BY key)
    FROM json_each(partials)) FROM streak_of_version_8 ORDER BY run, first;
DROP TABLE streak_of_version_8;
CREATE VIEW every_partial AS
    SELECT run, idx, target, target_key, outcome, attempt, retrying, retry_at, retried, started, ended, duration_us, exit_code, signal,
        result, error, cpu_us, max_rss
    FROM partial
    UNION ALL
    SELECT run, first + each.key, each.value -> 4, each.value ->> 5, 'succeeded', 1, NULL, NULL, NULL, began + (each.value ->> 0),
        began + (each.value ->> 0) + (each.value ->> 2), each.value ->> 1, NULL, NULL, each.value -> 3, NULL, NULL, NULL
    FROM streak, json_each(streak.partials) AS each;
";

/// The version this release writes and reads.
pub(super) const VERSION: i64 = 9;
const _: () = assert!(MIGRATIONS.len() == 9 && VERSION == 9, "each version has its script");

/// The first version in which partials may be in the table `streak`; the view `every_partial` has them all.
pub(super) const WITH_STREAKS: i64 = 8;

/// The first version in which planned targets may be in the table `listed`; the view `every_target` has them all.
pub(super) const WITH_LISTED: i64 = 9;

/// What a file says it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) application_id: i64,
    pub(super) version: i64,
}

/// Read the marks. The first statement on a new connection, so this is where a file that is no database is found out.
pub(super) fn marks(connection: &Connection) -> rusqlite::Result<Marks> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get(0));
    Ok(Marks { application_id: pragma("application_id")?, version: pragma("user_version")? })
}

/// Bring the tables from `from` to [`VERSION`], in one transaction.
pub(super) fn migrate(connection: &mut Connection, from: i64) -> rusqlite::Result<()> {
    migrate_to(connection, from, VERSION)
}

/// The same, to the version of an older release.
pub(super) fn migrate_to(connection: &mut Connection, from: i64, to: i64) -> rusqlite::Result<()> {
    let index = |version| usize::try_from(version).unwrap_or(0);
    let pending = MIGRATIONS.iter().take(index(to)).skip(index(from));
    if pending.len() == 0 {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for script in pending {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", to)?;
    transaction.commit()
}
