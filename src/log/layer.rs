//! From tracing to lines: which events are taken, what their spans add, and where the lines go.

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

use super::RUN_TARGET;
use super::console::{self, Style};
use super::format::{Clocked, Subject, Values, push_json, push_text};
use super::spool::{CONSOLE_CAPACITY, FILE_CAPACITY, Overflow, Spool};
use super::stamp::{Stamp, wall_now};
use super::writer::FileDesk;
use crate::config::LogFormat;

/// Libraries whose inner workings say nothing about a job: from them warnings and errors only.
const QUIET_TARGETS: [&str; 5] = ["hyper", "tokio", "mio", "tower", "axum"];

/// What a reload can change.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) level: Level,
    pub(super) format: LogFormat,
    pub(super) style: Option<Style>,
    pub(super) zone: TimeZone,
}

/// Where lines go, shared by the layer, the writers and the handle.
#[derive(Debug)]
pub(super) struct Sinks {
    pub(super) settings: RwLock<Settings>,
    pub(super) file: Spool,
    pub(super) console: Spool,
    pub(super) desk: FileDesk,
}

impl Sinks {
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings: RwLock::new(settings),
            file: Spool::new(FILE_CAPACITY, Overflow::Wait),
            console: Spool::new(CONSOLE_CAPACITY, Overflow::Drop),
            desk: FileDesk::default(),
        }
    }

    /// A line of the log's own, as the file shows it.
    pub(super) fn render(&self, level: Level, message: fmt::Arguments<'_>) -> String {
        let format = self.read().format;
        let mut scratch = Scratch::default();
        scratch.values.set_message(message);
        scratch.push_file_line(self, level, wall_now(), format);
        scratch.line
    }

    /// A line of the log's own, as stderr shows it.
    pub(super) fn render_console(&self, level: Level, message: fmt::Arguments<'_>) -> String {
        let style = self.read().style.unwrap_or(Style::Plain);
        let mut scratch = Scratch::default();
        scratch.values.set_message(message);
        scratch.push_console_line(self, level, wall_now(), style);
        scratch.line
    }

    /// Says on stderr what cannot be said in the file, also where the console is off.
    pub(super) fn tell_console(&self, level: Level, message: fmt::Arguments<'_>) {
        self.console.push(self.render_console(level, message).as_bytes());
    }

    /// `at` as lines show it.
    pub(super) fn local(&self, at: Timestamp) -> String {
        let mut out = String::new();
        Stamp::default().push(&mut out, at, ' ', || self.zone());
        out
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn zone(&self) -> TimeZone {
        self.read().zone.clone()
    }

    fn takes(&self, metadata: &Metadata<'_>) -> bool {
        let target = metadata.target();
        let is_quiet = QUIET_TARGETS.iter().any(|prefix| target.starts_with(prefix));
        let limit = if is_quiet { self.read().level.min(Level::WARN) } else { self.read().level };
        *metadata.level() <= limit
    }
}

/// The tracing layer that writes the log.
#[derive(Debug)]
pub struct LogLayer {
    pub(super) sinks: Arc<Sinks>,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.sinks.takes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.sinks.takes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::from_level(self.sinks.read().level))
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut subject = Subject::default();
        attributes.record(&mut subject);
        if subject != Subject::default()
            && let Some(span) = context.span(id)
        {
            span.extensions_mut().insert(subject);
        }
    }

    fn on_record(&self, id: &Id, record: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id) {
            let mut subject = span.extensions_mut().remove::<Subject>().unwrap_or_default();
            record.record(&mut subject);
            span.extensions_mut().insert(subject);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        // Taken out for the time of use: a value that logs while it is shown finds an empty place and gets its own.
        let mut scratch = SCRATCH.try_with(Cell::take).ok().flatten().unwrap_or_default();
        scratch.values.clear();
        event.record(&mut scratch.values);
        if let Some(scope) = context.event_scope(event) {
            for span in scope {
                if let Some(subject) = span.extensions().get::<Subject>() {
                    scratch.values.subject.inherit(subject);
                }
            }
        }
        scratch.emit(&self.sinks, *event.metadata().level(), event.metadata().target() == RUN_TARGET);
        let _ = SCRATCH.try_with(|place| place.set(Some(scratch)));
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// A scratch this large after one enormous line is not kept.
const KEPT_CAPACITY: usize = 256 << 10;

/// The buffers a thread makes its lines in.
#[derive(Debug, Default)]
struct Scratch {
    values: Values,
    line: String,
    text_stamp: Stamp,
}

impl Scratch {
    fn emit(&mut self, sinks: &Sinks, level: Level, is_kept: bool) {
        let at = wall_now();
        let (format, style) = {
            let settings = sinks.read();
            (settings.format, settings.style)
        };
        self.push_file_line(sinks, level, at, format);
        sinks.file.push_kept(self.line.as_bytes(), is_kept);
        if let Some(style) = style {
            self.push_console_line(sinks, level, at, style);
            sinks.console.push(self.line.as_bytes());
        }
        if self.line.capacity() > KEPT_CAPACITY {
            *self = Self::default();
        }
    }

    fn push_file_line(&mut self, sinks: &Sinks, level: Level, at: Timestamp, format: LogFormat) {
        self.line.clear();
        let time = Clocked { at, stamp: &mut self.text_stamp, zone: || sinks.zone() };
        match format {
            LogFormat::Text => push_text(&mut self.line, time, level, &self.values, false),
            LogFormat::Json => push_json(&mut self.line, time, level, &self.values),
        }
    }

    fn push_console_line(&mut self, sinks: &Sinks, level: Level, at: Timestamp, style: Style) {
        self.line.clear();
        if style == Style::Journal {
            self.line.push_str(console::priority(level));
        }
        let time = Clocked { at, stamp: &mut self.text_stamp, zone: || sinks.zone() };
        push_text(&mut self.line, time, level, &self.values, style == Style::Colour);
    }
}
