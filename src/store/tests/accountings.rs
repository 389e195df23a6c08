//! Under which definition a nominal time counts, and to which accounting its decision belongs.

use super::*;

/// The accountings of `sync` and its decisions after `records`, in the words of the tables.
fn check(records: &[Record], expected: &str) {
    let opened = Opened::with(records);
    assert_eq!(rows(opened.dir.path()), expected);
}

fn rows(dir: &Path) -> String {
    let connection = rusqlite::Connection::open(dir.join(DATABASE_FILE)).expect("opens");
    let start = at(0).as_microsecond();
    let sql = format!(
        "SELECT group_concat(row, '; ') FROM (
            SELECT number || ' ' || reason || ' ' || ((since - {start}) / 1000000) || '..'
                || coalesce((upto - {start}) / 1000000, '') AS row FROM accounting
            UNION ALL
            SELECT ((last - {start}) / 1000000) || ' ' || decision || ' in ' || coalesce(accounting, 'none') FROM decision)"
    );
    connection.query_row(&sql, [], |row| row.get::<_, Option<String>>(0)).expect("reads").unwrap_or_default()
}

#[test]
fn an_accounting_goes_on_until_the_next_one() {
    check(&[watermark("sync")], "1 new 0..");
    check(&[watermark("sync"), missed("sync", 60)], "1 new 0..; 60 missed in 1");
    check(
        &[watermark("sync"), missed("sync", 60), accounting("sync", 90, Beginning::Changed), missed("sync", 120)],
        "1 new 0..60; 2 changed 90..; 60 missed in 1; 120 missed in 2",
    );
}

#[test]
fn a_clock_that_is_set_back_begins_before_the_end() {
    check(
        &[watermark("sync"), missed("sync", 90_000), accounting("sync", 3_600, Beginning::ClockSet), missed("sync", 7_200)],
        "1 new 0..90000; 2 clock_set 3600..; 90000 missed in 1; 7200 missed in 2",
    );
}

#[test]
fn a_removed_job_has_none_and_comes_back_with_a_new_one() {
    let removed = || Record::Removed { job: "sync".into() };
    check(&[watermark("sync"), missed("sync", 60), removed()], "1 new 0..60; 60 missed in 1");
    check(
        &[watermark("sync"), missed("sync", 60), removed(), accounting("sync", 90, Beginning::New)],
        "1 new 0..60; 2 new 90..; 60 missed in 1",
    );
    let job = Opened::with(&[watermark("sync"), removed()]).store.recover().expect("reads back").jobs.pop().expect("one job");
    assert_eq!((job.fingerprint, job.accounting), (0, false));
}

#[test]
fn what_comes_again_reads_back() {
    let repeat = Repeat { until: at(90_000), number: 2 };
    let accounted = Accounted { watermark: at(3_600), repeat };
    let again = Record::Accounting { job: job("sync"), accounted, fingerprint: 1, beginning: Beginning::ClockSet, boot_id: None };
    let job = Opened::with(&[watermark("sync"), again]).store.recover().expect("reads back").jobs.pop().expect("one job");
    assert_eq!((job.watermark, job.repeat), (at(3_600), repeat));
}

#[test]
fn a_database_of_version_1_is_taken_over() {
    let opened = Opened::with(&[watermark("sync"), missed("sync", 60)]);
    let Opened { dir, store, .. } = opened;
    drop(store);
    let connection = rusqlite::Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    let as_version_1 = "DROP VIEW every_target; DROP TABLE listed; DROP VIEW every_partial; DROP TABLE streak; DROP TABLE planned; ALTER TABLE run DROP COLUMN listing; ALTER TABLE run DROP COLUMN args; DROP TABLE captured; DROP TABLE accounting; DROP TABLE joined; DROP TABLE pruned; ALTER TABLE job DROP COLUMN paused; ALTER TABLE decision DROP COLUMN accounting; ALTER TABLE job DROP COLUMN repeats_until;
        ALTER TABLE job DROP COLUMN repeat; ALTER TABLE partial DROP COLUMN cpu_us; ALTER TABLE partial DROP COLUMN max_rss;
        DROP TABLE outbox; ALTER TABLE job DROP COLUMN failures; ALTER TABLE job DROP COLUMN heard; PRAGMA user_version = 1;";
    connection.execute_batch(as_version_1).expect("is as version 1 left it");
    drop(connection);
    let (mut store, epoch) = join(dir.path(), "daemon");
    let job = store.recover().expect("reads back").jobs.pop().expect("one job");
    assert_eq!((job.watermark, job.accounting, job.repeat), (at(60), false, Repeat::NONE));
    assert_eq!(job.standing, Some(Standing { failures: 0, heard: at(60) }));
    store.append(epoch, &[accounting("sync", 60, Beginning::Upgraded), missed("sync", 120)]).expect("is recorded");
    assert_eq!(rows(dir.path()), "1 upgraded 60..; 60 missed in none; 120 missed in 1");
}
