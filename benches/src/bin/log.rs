//! A million lines through the log of the daemon, rotated at 5 MiB, beside Python's `RotatingFileHandler`: lines a second until the
//! last one is on the disk, and the lines that are not. First to the end of the process, then with a SIGTERM in the middle, after
//! which the process says how many lines it has logged. Each in a process of its own, one after the other.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use batchd::config::{LogConfig, LogFormat, LogLevel};
use batchd::log::{Console, Stream};
use batchd::schedule::Zone;

const LINES: u64 = 1_000_000;

/// Python takes its time.
const PYTHON_LINES: u64 = 200_000;

/// None is thrown away, so that all can be counted.
const KEPT: u32 = 1_000;

const FILE: &str = "batch.log";

const PYTHON: &str = "
import logging, logging.handlers, sys, time
directory, count, kept = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
handler = logging.handlers.RotatingFileHandler(directory + '/batch.log', maxBytes=5 << 20, backupCount=kept)
handler.setFormatter(logging.Formatter('%(asctime)s %(levelname)s [job=%(name)s] %(message)s'))
logger = logging.getLogger('django.batch')
logger.setLevel(logging.INFO)
logger.addHandler(handler)
begun = time.perf_counter()
for number in range(count):
    logger.info('seq=%d the prices of a shop have been compared with those of yesterday', number)
logging.shutdown()
print(count, time.perf_counter() - begun)
";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => compare(),
        ["write", directory, lines] => write(Path::new(directory), lines.parse().expect("a number")),
        _ => panic!("no measurement {arguments:?}"),
    }
}

fn compare() {
    println!("{:<44} {:>12} {:>10} {:>8}", "system", "lines/s", "lines", "missing");
    let own = || Command::new(std::env::current_exe().expect("this program"));
    let to_the_end = |directory: &Path| own().arg("write").arg(directory).arg(LINES.to_string()).output().expect("it starts").stdout;
    measure("batchd, to the end", to_the_end);
    measure("batchd, SIGTERM in the middle", |directory| {
        let mut child = own().arg("write").arg(directory).arg(u64::MAX.to_string()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut told = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        told.read_line(&mut line).expect("it begins");
        std::thread::sleep(Duration::from_millis(500));
        assert!(Command::new("kill").arg(child.id().to_string()).status().expect("kill").success());
        line.clear();
        told.read_line(&mut line).expect("it tells");
        child.wait().expect("it ends");
        line.into_bytes()
    });
    measure("Python's RotatingFileHandler", |directory| {
        let python =
            Command::new("python3").args(["-c", PYTHON]).arg(directory).args([PYTHON_LINES.to_string(), KEPT.to_string()]).output();
        python.expect("python3 starts").stdout
    });
}

/// `run` logs into a directory and returns what its last line says: how many lines, and in how many seconds.
fn measure(name: &str, run: impl FnOnce(&Path) -> Vec<u8>) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let told = String::from_utf8(run(directory.path())).expect("text");
    let (lines, seconds) = told.trim().lines().last().and_then(|line| line.split_once(' ')).expect("two numbers");
    let (lines, seconds): (u64, f64) = (lines.parse().expect("a number"), seconds.parse().expect("a number"));
    let found = found(directory.path());
    let missing = (0..lines).filter(|number| !found.contains(number)).count();
    println!("{name:<44} {:>12.0} {lines:>10} {missing:>8}", lines as f64 / seconds);
}

/// The numbers in all files.
fn found(directory: &Path) -> HashSet<u64> {
    let mut found = HashSet::new();
    for file in std::fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()) {
        let file = BufReader::new(std::fs::File::open(file).expect("a file"));
        for line in file.lines().map(|line| line.expect("text")) {
            let number = line.split_once("seq=").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            // What the log says of itself has none.
            if let Some(number) = number {
                assert!(found.insert(number), "{number} is there twice");
            }
        }
    }
    found
}

/// Logs so many lines, or until SIGTERM.
fn write(directory: &Path, lines: u64) {
    let config = LogConfig {
        dir: directory.to_owned(),
        file: FILE.to_owned(),
        max_size: 5 << 20,
        backups: KEPT,
        level: LogLevel::Info,
        format: LogFormat::Text,
        console: Some(false),
    };
    let zone = Zone::lookup("UTC").expect("UTC is known");
    let terminated = terminated();
    let log = batchd::log::start(&config, &zone, Console::Off).expect("a log");
    println!("begins");
    let begun = Instant::now();
    let mut number = 0;
    while number < lines && !terminated.load(Ordering::Relaxed) {
        let line = format!("seq={number} the prices of a shop have been compared with those of yesterday");
        batchd::log::output("daily-report", "daily-report@20260101T020000Z", "seoul", Stream::Stdout, line.as_bytes());
        number += 1;
    }
    assert_eq!(log.flush(Duration::from_secs(60)).left, 0);
    println!("{number} {}", begun.elapsed().as_secs_f64());
}

/// Becomes true with a SIGTERM.
fn terminated() -> Arc<AtomicBool> {
    let terminated = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&terminated)).expect("a handler");
    terminated
}
