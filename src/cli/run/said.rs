//! What the programs of a foreground run say, line by line as they say it, and the warnings of the rooms below.

use std::fmt;
use std::io::{self, Write};

use indicatif::ProgressBar;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use crate::cli::escape::escape;
use crate::log::{OUTPUT_TARGET, PROGRESS_TARGET};

/// Where the lines go.
pub(super) enum Said {
    /// Above a progress bar.
    Bar(ProgressBar),
    Stderr,
}

impl Said {
    /// Shows them from now on. A program that embeds the command line and listens itself keeps what it has.
    pub(super) fn install(self) {
        let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(self));
    }

    fn say(&self, line: &str) {
        match self {
            Self::Bar(bar) => bar.println(line),
            Self::Stderr => {
                // The run goes on when nobody reads about it.
                let _ = writeln!(io::stderr(), "{line}");
            }
        }
    }
}

impl<S: Subscriber> Layer<S> for Said {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        if metadata.target() == PROGRESS_TARGET {
            if let Self::Bar(bar) = self {
                bar.set_prefix(format!("{}  ", line_of(event)));
            }
        } else if metadata.target() == OUTPUT_TARGET && *metadata.level() <= Level::INFO {
            self.say(&line_of(event));
        } else if *metadata.level() == Level::ERROR && !metadata.target().ends_with("narrate") {
            // How the run goes on is the progress's to tell.
            self.say(&format!("error: {}", line_of(event)));
        }
    }
}

/// `seoul| the line`; without a target only the line.
fn line_of(event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    let text = escape(&fields.message);
    if fields.partial.is_empty() { text.into_owned() } else { format!("{}| {text}", escape(&fields.partial)) }
}

#[derive(Default)]
struct Fields {
    partial: String,
    message: String,
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "partial" => value.clone_into(&mut self.partial),
            "message" => value.clone_into(&mut self.message),
            _ => {}
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.message = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::log::{Stream, output};

    struct Heard(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Heard {
        fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
            self.0.lock().expect("not poisoned").push(line_of(event));
        }
    }

    #[test]
    fn a_line_names_its_partial_and_is_safe_to_show() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let subscriber = tracing_subscriber::registry().with(Heard(Arc::clone(&heard)));
        tracing::subscriber::with_default(subscriber, || {
            output("sync", "sync@1", "seoul", Stream::Stdout, b"50 %\x1b[2J");
            output("sync", "sync@1", "", Stream::Stderr, b"no target");
        });
        assert_eq!(*heard.lock().expect("not poisoned"), ["seoul| 50 %\\x1b[2J", "no target"]);
    }
}
