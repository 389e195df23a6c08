//! A table that fits the terminal: no line is ever wrapped.
//!
//! Where the terminal is too narrow, spare columns are left out, the least important first; then what is longest is shortened: names in
//! the middle, because both their ends tell them apart, other texts at the end. Without a terminal nothing is left out or shortened.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::print::Tone;

/// Columns are so far apart.
const GAP: usize = 2;

/// A column is not made narrower than this to save others.
const MIN_WIDTH: usize = 8;

/// A job's name takes no more room from other columns.
pub(super) const ENOUGH_FOR_A_NAME: usize = 24;

/// How one column is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    name: &'static str,
    kind: Kind,
    /// Its place among the columns that are left out where there is no room, from 1, which goes last.
    spare: Option<u8>,
    /// Longer texts are shortened on any terminal.
    at_most: usize,
    /// With so much room it pushes no other column out; more it takes of what is left.
    enough: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Name,
    Text,
    Number,
}

impl Column {
    /// Names, which are shortened in the middle.
    pub(super) fn name(name: &'static str) -> Self {
        Self { name, kind: Kind::Name, spare: None, at_most: usize::MAX, enough: usize::MAX }
    }

    /// Texts, which are cut at their end.
    pub(super) fn text(name: &'static str) -> Self {
        Self { kind: Kind::Text, ..Self::name(name) }
    }

    /// Numbers, which stand at the right and are never shortened.
    pub(super) fn number(name: &'static str) -> Self {
        Self { kind: Kind::Number, ..Self::name(name) }
    }

    /// So much room is enough where otherwise another column would be left out.
    pub(super) fn enough(self, enough: usize) -> Self {
        Self { enough, ..self }
    }

    /// It may be left out; columns of a lower number stay longer.
    pub(super) fn spare(self, place: u8) -> Self {
        Self { spare: Some(place), ..self }
    }

    /// On a terminal it takes so much room at most.
    pub(super) fn at_most(self, at_most: usize) -> Self {
        Self { at_most, ..self }
    }
}

/// The text of a cell, and what its colour means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    pub(super) text: String,
    pub(super) tone: Option<Tone>,
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self { text, tone: None }
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// Rows under a heading. Whoever adds a row has escaped what came from outside.
#[derive(Debug)]
pub(super) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Text>>,
}

impl Table {
    pub(super) fn new(columns: impl Into<Vec<Column>>) -> Self {
        Self { columns: columns.into(), rows: Vec::new() }
    }

    pub(super) fn with_rows(columns: impl Into<Vec<Column>>, rows: impl Iterator<Item = Vec<Text>>) -> Self {
        let mut table = Self::new(columns);
        rows.for_each(|row| table.row(row));
        table
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// A row has a cell for each column.
    pub(super) fn row(&mut self, row: Vec<Text>) {
        debug_assert_eq!(row.len(), self.columns.len(), "a cell for each column");
        self.rows.push(row);
    }

    /// The lines on a terminal of this width; `paint` colours a text.
    pub(super) fn lines(&self, width: Option<u16>, paint: impl Fn(Option<Tone>, &str) -> String) -> Vec<String> {
        let chosen = self.chosen(width.map(usize::from));
        let heading = self.line(&chosen, |at| Tone::Faint.text(self.columns[at].name), &paint);
        let row = |row: &Vec<Text>| self.line(&chosen, |at| row[at].clone(), &paint);
        std::iter::once(heading).chain(self.rows.iter().map(row)).collect()
    }

    /// The columns that are shown, from left to right, with their widths.
    fn chosen(&self, width: Option<usize>) -> Vec<(usize, usize)> {
        let mut natural: Vec<(usize, usize)> = (0..self.columns.len()).map(|at| (at, self.natural_width(at))).collect();
        let Some(width) = width else { return natural };
        for (at, natural) in &mut natural {
            *natural = (*natural).min(self.columns[*at].at_most);
        }
        let enough = natural.iter().map(|(at, natural)| (*at, (*natural).min(self.columns[*at].enough)));
        let (mut chosen, mut spare): (Vec<_>, Vec<_>) = enough.partition(|(at, _)| self.columns[*at].spare.is_none());
        spare.sort_by_key(|(at, _)| self.columns[*at].spare);
        for column in spare {
            if total(&chosen) + GAP + column.1 <= width {
                chosen.push(column);
            }
        }
        chosen.sort_unstable();
        for at in 0..chosen.len() {
            let left = width.saturating_sub(total(&chosen));
            let (column, taken) = &mut chosen[at];
            *taken += left.min(natural[*column].1 - *taken);
        }
        self.shorten(&mut chosen, width);
        chosen
    }

    /// Takes from the widest column that may be shortened, until all fit or none can give any more.
    fn shorten(&self, chosen: &mut [(usize, usize)], width: usize) {
        for _ in width..total(chosen) {
            let can_give = |(at, width): &&mut (usize, usize)| self.columns[*at].kind != Kind::Number && *width > MIN_WIDTH;
            match chosen.iter_mut().filter(can_give).max_by_key(|(_, width)| *width) {
                Some((_, widest)) => *widest -= 1,
                None => return,
            }
        }
    }

    fn natural_width(&self, at: usize) -> usize {
        let cells = self.rows.iter().map(|row| row[at].text.width());
        cells.chain([self.columns[at].name.width()]).max().unwrap_or(0)
    }

    fn line(&self, chosen: &[(usize, usize)], cell: impl Fn(usize) -> Text, paint: &impl Fn(Option<Tone>, &str) -> String) -> String {
        let mut line = String::new();
        for (place, (at, width)) in chosen.iter().enumerate() {
            let (kind, Text { text, tone }) = (self.columns[*at].kind, cell(*at));
            let text = match kind {
                Kind::Name => shorten_middle(&text, *width),
                Kind::Text => shorten_end(&text, *width),
                Kind::Number => text,
            };
            let blanks = " ".repeat(width.saturating_sub(text.width()));
            let text = paint(tone, &text);
            line.push_str(if place > 0 { "  " } else { "" });
            match kind {
                Kind::Number => line.extend([blanks, text]),
                Kind::Name | Kind::Text => line.extend([text, blanks]),
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

fn total(chosen: &[(usize, usize)]) -> usize {
    chosen.iter().map(|(_, width)| width).sum::<usize>() + GAP * chosen.len().saturating_sub(1)
}

/// The text with `…` in its middle where it is wider than `width`.
pub(super) fn shorten_middle(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(1);
    let tail: Vec<char> = taken(text.chars().rev(), room / 2);
    let head = taken(text.chars(), room - room / 2);
    head.into_iter().chain(['…']).chain(tail.into_iter().rev()).collect()
}

/// The text with `…` at its end where it is wider than `width`.
pub(super) fn shorten_end(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    taken(text.chars(), width.saturating_sub(1)).into_iter().chain(['…']).collect()
}

/// The first characters that are not wider than `width` together.
fn taken(chars: impl Iterator<Item = char>, width: usize) -> Vec<char> {
    let mut left = width;
    let fits = |char: &char| {
        let wide = char.width().unwrap_or(0);
        let fits = wide <= left;
        left = left.saturating_sub(wide);
        fits
    };
    chars.take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let columns = [Column::name("run"), Column::text("cause").spare(2), Column::number("took").spare(1), Column::text("outcome")];
        let row = |cells: [&str; 4]| cells.map(Text::from).to_vec();
        let rows =
            [row(["daily-report@20261123T070000Z+manual", "schedule", "1m 23s", "failed"]), row(["서울", "manual", "9ms", "succeeded"])];
        Table::with_rows(columns, rows.into_iter())
    }

    fn shown(width: Option<u16>) -> String {
        table().lines(width, |_, text| text.to_owned()).join("\n")
    }

    #[test]
    fn numbers_stand_at_the_right_and_wide_characters_count() {
        insta::assert_snapshot!(shown(None), @r"
        run                                   cause       took  outcome
        daily-report@20261123T070000Z+manual  schedule  1m 23s  failed
        서울                                  manual       9ms  succeeded
        ");
        assert_eq!(shown(None), shown(Some(65)));
    }

    #[test]
    fn spare_columns_go_before_names_are_shortened() {
        insta::assert_snapshot!(shown(Some(64)), @r"
        run                                     took  outcome
        daily-report@20261123T070000Z+manual  1m 23s  failed
        서울                                     9ms  succeeded
        ");
        insta::assert_snapshot!(shown(Some(30)), @r"
        run                  outcome
        daily-rep…0Z+manual  failed
        서울                 succeeded
        ");
    }

    #[test]
    fn a_long_name_pushes_nothing_out_and_takes_what_is_left() {
        let columns = [Column::name("job").enough(12), Column::text("due").spare(1), Column::text("last run").spare(2)];
        let rows = [["nightly-export-of-every-branch", "in 19 h", "succeeded 4 h ago"], ["sync", "in 3 min", "-"]];
        let table = Table::with_rows(columns, rows.into_iter().map(|row| row.map(Text::from).to_vec()));
        let shown = |width| table.lines(Some(width), |_, text| text.to_owned()).join("\n");
        insta::assert_snapshot!(shown(45), @r"
        job               due       last run
        nightly-…-branch  in 19 h   succeeded 4 h ago
        sync              in 3 min  -
        ");
        insta::assert_snapshot!(shown(30), @r"
        job                   due
        nightly-ex…ry-branch  in 19 h
        sync                  in 3 min
        ");
    }

    #[test]
    fn no_line_is_wider_than_the_terminal() {
        for width in 19..80 {
            let lines = table().lines(Some(width), |_, text| text.to_owned());
            assert!(lines.iter().all(|line| line.width() <= usize::from(width)), "{width}: {lines:#?}");
        }
    }

    #[test]
    fn shortened_texts_keep_both_ends_or_the_first() {
        for (text, width, middle, end) in
            [("abcdefghij", 5, "ab…ij", "abcd…"), ("abc", 3, "abc", "abc"), ("서울특별시", 6, "서…시", "서울…"), ("ab", 0, "…", "…")]
        {
            assert_eq!((shorten_middle(text, width), shorten_end(text, width)), (middle.to_owned(), end.to_owned()));
        }
    }
}
