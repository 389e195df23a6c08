//! Problems as people read them: place, excerpt, underline, help. The output is bounded and holds nothing raw.

use std::fmt::Write;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use super::problem::{Problem, Problems, Severity, escaped, is_unprintable};

/// The most problems that are shown one by one.
pub(super) const MAX_SHOWN: usize = 20;

/// The most bytes of a whole rendering, colours not counted.
const MAX_RENDERED: usize = 7_900;

/// The most characters of a source line that an excerpt shows.
const MAX_EXCERPT: usize = 110;

/// How many characters before the problem a cut excerpt shows.
const CUT_LEAD: usize = 30;

impl Problems {
    /// All problems with excerpts: at most [`MAX_SHOWN`], the rest is counted.
    pub fn render(&self, color: bool) -> String {
        self.files().map(|file| file.render_own(color)).collect()
    }

    fn render_own(&self, color: bool) -> String {
        let plain = Renderer::plain().decor_style(DecorStyle::Ascii);
        let styled = Renderer::styled().decor_style(DecorStyle::Ascii);
        let (mut text, mut size, mut count) = (String::new(), 0, 0);
        for problem in self.list.iter().take(MAX_SHOWN) {
            let bare = plain.render(&[self.group(problem)]);
            if size + bare.len() > MAX_RENDERED && count > 0 {
                break;
            }
            (size, count) = (size + bare.len() + 2, count + 1);
            text += &if color { styled.render(&[self.group(problem)]) } else { bare };
            text += "\n\n";
        }
        let more = self.own_count() - count;
        if more > 0 {
            let _ = writeln!(text, "… and {more} more");
        }
        text
    }

    fn group(&self, problem: &Problem) -> Group<'static> {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (line, column) = self.position(problem);
        let path = escaped(&self.path.to_string_lossy());
        let (excerpt, range, cut) = self.excerpt(&problem.span);
        let mut group = if cut || excerpt.trim().is_empty() {
            // The column that a snippet computes for itself would be that of the cut line.
            Group::with_title(level.primary_title(format!("{} (at {path}:{line}:{column})", problem.message)))
        } else {
            Group::with_title(level.primary_title(problem.message.clone()))
        };
        if !excerpt.trim().is_empty() {
            let primary = AnnotationKind::Primary.span(range).label(problem.label.clone());
            let snippet = Snippet::source(excerpt).line_start(line).annotation(primary);
            group = group.element(if cut { snippet } else { snippet.path(path.clone()) });
        }
        for (span, label) in &problem.also {
            let (excerpt, range, _) = self.excerpt(span);
            let note = AnnotationKind::Context.span(range).label(label.clone());
            group = group.element(Snippet::source(excerpt).line_start(self.line_of(span.start).0).path(path.clone()).annotation(note));
        }
        match &problem.help {
            Some(help) => group.element(Level::HELP.message(help.clone())),
            None => group,
        }
    }

    /// The line of the span made printable, the span's bytes in it, and whether the line was cut. A span over several lines
    /// ends with its first.
    fn excerpt(&self, span: &Range<usize>) -> (String, Range<usize>, bool) {
        let (_, start) = self.line_of(span.start);
        let line = self.source[start..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let characters = |from: usize, to: usize| String::from_utf8_lossy(&line[from..to]).into_owned();
        let from = (span.start.min(self.source.len()) - start).min(line.len());
        let to = span.end.saturating_sub(start).clamp(from, line.len());
        let (before, inside, after) = (characters(0, from), characters(from, to), characters(to, line.len()));
        let (mut text, lead) = (String::new(), before.chars().count());
        let cut = lead + inside.chars().count() + after.chars().count() > MAX_EXCERPT;
        let skip = if cut { lead.saturating_sub(CUT_LEAD) } else { 0 };
        if skip > 0 {
            text.push('…');
        }
        let mut room = MAX_EXCERPT;
        let mut take = |text: &mut String, part: &str, skip: usize| {
            for character in part.chars().skip(skip).take(room) {
                room -= 1;
                text.push(if character != '\t' && is_unprintable(character) { '\u{fffd}' } else { character });
            }
        };
        take(&mut text, &before, skip);
        let begin = text.len();
        take(&mut text, &inside, 0);
        let end = text.len();
        take(&mut text, &after, 0);
        if cut {
            text.push('…');
        }
        (text, begin..end, cut)
    }
}
