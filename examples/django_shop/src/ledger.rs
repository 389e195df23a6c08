//! The ledger, which must be written by one at a time and always from the same thread: in Django, `thread_sensitive=True`.

use std::cell::Cell;
use std::fs::OpenOptions;
use std::io::Write;

use batchd::handler::{Context, HandlerResult, json};

thread_local! {
    /// Of the one thread that writes: nothing is shared, so nothing is locked.
    static LINES: Cell<u64> = const { Cell::new(0) };
}

pub(crate) fn post(context: &Context) -> HandlerResult {
    let line = LINES.get() + 1;
    let mut ledger = OpenOptions::new().create(true).append(true).open("ledger.txt")?;
    writeln!(ledger, "{line} {}", context.target_text()?)?;
    LINES.set(line);
    Ok(json!({ "line": line, "thread": std::thread::current().name() }))
}
