//! The log: tracing layers, the size-rotating file, one escaper at the sink.

/// The stream that a line of output came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// Logs one line of what a process of a partial printed.
pub fn output(job: &str, run: &str, partial: &str, stream: Stream, line: &[u8]) {
    tracing::info!(target: "output", job, run, partial, ?stream, "{}", line.escape_ascii());
}
