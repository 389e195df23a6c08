//! Database files that cannot be used are refused with what to do, and stay as they are.

use std::error::Error;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, PermissionsExt};

use super::*;

/// Open a state directory whose database was changed by `damage`; the refusal, with the path as `PATH`.
fn refusal(damage: fn(&Path) -> Result<(), Box<dyn Error>>) -> String {
    let opened = Opened::with(&[watermark("sync"), fired(1, "sync", 60, range(3))]);
    let Opened { dir, store, .. } = opened;
    drop(store);
    let path = dir.path().join(DATABASE_FILE);
    damage(&path).expect("is damaged");
    let before = fs::read(&path).ok();
    let refused = Sqlite::open_patiently(dir.path(), Duration::ZERO).expect_err("is refused");
    assert_eq!(fs::read(&path).ok(), before, "a refused database was changed");
    refused.to_string().replace(&path.display().to_string(), "PATH")
}

#[test]
fn a_text_file_is_not_taken_for_a_database() {
    let refused = refusal(|path| Ok(fs::write(path, "no database, but long enough to be read as one\n".repeat(99))?));
    assert_eq!(refused, "`PATH` is not a batchd database (it is no SQLite file); move it away, or name another `state_dir`");
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let refused = refusal(|path| {
        fs::remove_file(path)?;
        Ok(rusqlite::Connection::open(path)?.execute_batch("CREATE TABLE t (a)")?)
    });
    assert_eq!(refused, "`PATH` is not a batchd database (its application id is 0x0); move it away, or name another `state_dir`");
}

#[test]
fn an_empty_file_is_damage() {
    let refused = refusal(|path| Ok(File::create(path).map(drop)?));
    assert_eq!(
        refused,
        "the database `PATH` is damaged: the file is empty; put a backup in its place, or save what can be read with `batchd state repair`"
    );
}

#[test]
fn overwritten_pages_are_damage() {
    let refused = refusal(|path| Ok(File::options().write(true).open(path)?.write_all_at(&[0xA5; 8192], 3 * 4096)?));
    assert!(refused.starts_with("the database `PATH` is damaged: "), "{refused}");
}

/// One that is too great to be checked whole.
#[test]
fn of_a_great_database_what_a_start_depends_on_is_checked() {
    let refused = refusal(|path| {
        let database = rusqlite::Connection::open(path)?;
        database.execute_batch("INSERT INTO output VALUES (1, 0, 1, zeroblob(17 << 20), x'', 0); PRAGMA wal_checkpoint(TRUNCATE)")?;
        let page: u32 = database.query_row("SELECT rootpage FROM sqlite_schema WHERE name = 'job'", [], |row| row.get(0))?;
        drop(database);
        Ok(File::options().write(true).open(path)?.write_all_at(&[0xA5; 4096], u64::from(page - 1) * 4096)?)
    });
    assert!(refused.starts_with("the database `PATH` is damaged: "), "{refused}");
}

#[test]
fn a_directory_in_its_place_is_refused() {
    let refused = refusal(|path| Ok(fs::remove_file(path).and_then(|()| fs::create_dir(path))?));
    assert!(refused.starts_with("cannot read or write `PATH`: "), "{refused}");
}

#[test]
fn a_lost_database_is_not_made_anew() {
    let refused = refusal(|path| Ok(fs::remove_file(path)?));
    let expected = "the database `PATH` is missing, and there has been one: put it back, or a backup in its place; to begin anew, remove the whole directory";
    assert_eq!(refused, expected);
}

#[test]
fn a_log_that_was_deleted_is_taken_over() {
    let mut opened = Opened::with(&[watermark("sync"), fired(1, "sync", 60, range(3))]);
    let path = opened.dir.path().join(DATABASE_FILE);
    for extension in ["db-wal", "db-shm"] {
        fs::remove_file(path.with_extension(extension)).expect("is there");
    }
    opened.append(&[fired(2, "sync", 120, range(1))]).expect("is recorded");
    fs::copy(path.with_extension("db-wal"), path.with_extension("copied-wal")).expect("there is a new one");
    fs::copy(&path, path.with_extension("copied")).expect("is copied");
    let copy = rusqlite::Connection::open(path.with_extension("copied")).expect("opens");
    let keys: Vec<i64> = copy
        .prepare("SELECT key FROM run ORDER BY key")
        .and_then(|mut keys| keys.query_map([], |row| row.get(0))?.collect())
        .expect("reads");
    assert_eq!(keys, [1, 2], "all of it is in the files that can be found");
}

#[test]
fn a_cut_off_file_is_damage() {
    let refused = refusal(|path| Ok(File::options().write(true).open(path)?.set_len(2 * 4096)?));
    assert!(refused.starts_with("the database `PATH` is damaged: "), "{refused}");
}

#[test]
fn a_newer_schema_is_refused() {
    let refused = refusal(|path| Ok(rusqlite::Connection::open(path)?.pragma_update(None, "user_version", 9999)?));
    assert_eq!(refused, "the database `PATH` has schema version 9999, this batchd knows up to 9; start the newer batchd that wrote it");
}

#[test]
fn a_log_without_its_database_is_damage() {
    let refused = refusal(|path| Ok(fs::rename(path, path.with_extension("db-wal"))?));
    assert!(refused.starts_with("the database `PATH` is damaged: the file is missing, but its `-wal` is there"), "{refused}");
}

#[test]
fn a_locked_database_is_refused_and_heals() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut store = Sqlite::open_patiently(dir.path(), Duration::ZERO).expect("opens");
    let epoch = store.join(&node("daemon")).expect("joins");
    let other = rusqlite::Connection::open(dir.path().join(DATABASE_FILE)).expect("opens");
    other.execute_batch("BEGIN EXCLUSIVE").expect("is locked");
    let refused = store.append(epoch, &[watermark("sync")]).expect_err("is locked");
    assert!(refused.is_transient() && matches!(refused, StoreError::Locked { .. }), "{refused}");
    other.execute_batch("ROLLBACK").expect("is unlocked");
    store.append(epoch, &[watermark("sync")]).expect("is recorded");
}

#[test]
fn a_replaced_database_is_noticed() {
    let mut opened = Opened::new();
    let path = opened.dir.path().join(DATABASE_FILE);
    fs::copy(&path, path.with_extension("copy")).expect("is copied");
    fs::rename(path.with_extension("copy"), &path).expect("is renamed");
    assert!(matches!(opened.append(&[watermark("sync")]), Err(StoreError::Replaced { .. })));
}

#[test]
fn a_database_that_is_put_back_goes_on() {
    let mut opened = Opened::new();
    let path = opened.dir.path().join(DATABASE_FILE);
    fs::rename(&path, path.with_extension("away")).expect("is moved");
    let refused = opened.append(&[watermark("sync")]).expect_err("is away");
    assert!(refused.is_transient() && matches!(refused, StoreError::Replaced { .. }), "{refused}");
    fs::rename(path.with_extension("away"), &path).expect("is moved");
    opened.append(&[watermark("sync")]).expect("is recorded");
}

#[test]
fn the_files_are_private_and_no_draft_is_left() {
    let dir = tempfile::tempdir().expect("a directory");
    let state = dir.path().join("state");
    let _store = Sqlite::open(&state).expect("opens");
    let mut files: Vec<_> = fs::read_dir(&state)
        .expect("is there")
        .map(|entry| entry.expect("reads"))
        .map(|entry| format!("{} {:o}", entry.file_name().display(), entry.metadata().expect("is there").permissions().mode() & 0o777))
        .collect();
    files.sort();
    assert_eq!(state.metadata().expect("is there").permissions().mode() & 0o777, 0o700);
    assert_eq!(files, ["batchd.db 600", "batchd.db-shm 600", "batchd.db-wal 600", "batchd.made 600"]);
}

#[test]
fn a_reader_needs_a_database() {
    let dir = tempfile::tempdir().expect("a directory");
    assert!(matches!(Reader::open(dir.path()), Err(StoreError::NoState { .. })));
}
