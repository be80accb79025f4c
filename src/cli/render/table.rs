//! Aligned columns without frames: a header, a rule, rows.

use std::borrow::Cow;

use super::Paint;

/// Spaces between two columns.
const GAP: &str = "  ";

/// What a column's values look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Text of any length: stands left, may be shortened.
    Text,
    /// Text that means nothing in part, such as a time: stands left, is never shortened.
    Word,
    /// Stands right, is never shortened.
    Number,
}

/// Names, alignments and widths of columns: enough to write a row without knowing the others.
#[derive(Debug, Clone)]
pub(crate) struct Columns {
    columns: Vec<Column>,
}

#[derive(Debug, Clone)]
struct Column {
    name: String,
    shape: Shape,
    width: usize,
}

impl Columns {
    /// Columns as wide as their names.
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Shape)>) -> Self {
        let columns = columns
            .into_iter()
            .map(|(name, shape)| {
                let name = visible(name).into_owned();
                Column { width: display_width(&name), name, shape }
            })
            .collect();
        Self { columns }
    }

    /// Widens the columns to hold `cells`.
    pub(crate) fn fit(&mut self, cells: &[String]) {
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.width = column.width.max(display_width(cell));
        }
    }

    /// Narrows the widest columns of text, but none below `least`, until a line is at most `total`
    /// wide or nothing more can be narrowed.
    pub(crate) fn squeeze(&mut self, total: usize, least: usize) {
        let gaps = GAP.len() * self.columns.len().saturating_sub(1);
        let room = total.saturating_sub(gaps);
        let capped = |column: &Column, cap: usize| match column.shape {
            Shape::Text => column.width.min(cap),
            Shape::Word | Shape::Number => column.width,
        };
        let mut cap = self.columns.iter().map(|column| column.width).max().unwrap_or(0);
        while cap > least && self.columns.iter().map(|one| capped(one, cap)).sum::<usize>() > room {
            cap -= 1;
        }
        for column in &mut self.columns {
            column.width = capped(column, cap);
        }
    }

    /// The header and the rule below it, each ending in a newline.
    pub(crate) fn header(&self, paint: Paint) -> String {
        let names: Vec<_> = self.columns.iter().map(|column| column.name.clone()).collect();
        let rule: Vec<_> = self.columns.iter().map(|column| "─".repeat(column.width)).collect();
        let strong = |line: String| paint.strong(line.trim_end_matches('\n')) + "\n";
        strong(self.line(&names)) + &paint.faint(&rule.join(GAP)) + "\n"
    }

    /// One row, ending in a newline; text wider than its column is shortened.
    pub(crate) fn line(&self, cells: &[String]) -> String {
        self.joined(cells, |cell, column| match column.shape {
            Shape::Text => shorten(cell, column.width),
            Shape::Word | Shape::Number => Cow::Borrowed(cell),
        })
    }

    /// One row, ending in a newline; cells wider than their column push the others aside.
    pub(crate) fn whole_line(&self, cells: &[String]) -> String {
        self.joined(cells, |cell, _| Cow::Borrowed(cell))
    }

    fn joined<'a>(&self, cells: &'a [String], fit: fn(&'a str, &Column) -> Cow<'a, str>) -> String {
        let mut line = String::new();
        let mut owed = 0;
        for (column, cell) in self.columns.iter().zip(cells) {
            let cell = fit(cell, column);
            let spare = column.width.saturating_sub(display_width(&cell));
            let (before, after) = match column.shape {
                Shape::Text | Shape::Word => (0, spare),
                Shape::Number => (spare, 0),
            };
            // Blanks are written only once something follows them: no line ends in blanks.
            if cell.is_empty() {
                owed += before + after + GAP.len();
            } else {
                line.extend(std::iter::repeat_n(' ', owed + before));
                line.push_str(&cell);
                owed = after + GAP.len();
            }
        }
        line.push('\n');
        line
    }
}

/// A whole table of few rows.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    columns: Columns,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new<'a>(columns: impl IntoIterator<Item = (&'a str, Shape)>) -> Self {
        Self { columns: Columns::new(columns), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, cells: Vec<String>) {
        let cells: Vec<_> = cells.into_iter().map(|cell| visible(&cell).into_owned()).collect();
        self.columns.fit(&cells);
        self.rows.push(cells);
    }

    /// Header, rule and rows.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let rows = self.rows.iter().map(|row| self.columns.line(row));
        std::iter::once(self.columns.header(paint)).chain(rows).collect()
    }
}

/// How many terminal columns `text` takes.
pub(crate) fn display_width(text: &str) -> usize {
    // Printable ASCII is by far the most frequent, and one column a byte.
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return text.len();
    }
    console::measure_text_width(text)
}

/// `text` in at most `width` terminal columns, with `…` where something is left out.
pub(crate) fn shorten(text: &str, width: usize) -> Cow<'_, str> {
    if display_width(text) <= width {
        return Cow::Borrowed(text);
    }
    console::truncate_str(text, width, "…")
}

/// `text` with control characters escaped, so that a value can neither break a line nor command
/// the terminal.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.contains(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Whether a character moves the cursor or turns the text around instead of being seen.
pub(super) fn hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table =
            Table::new([("name", Shape::Text), ("rows", Shape::Number), ("", Shape::Text)]);
        table.push(vec!["Ζωή".into(), "1,000".into(), "note".into()]);
        table.push(vec!["日本語 🎉".into(), "7".into(), String::new()]);
        table.push(vec!["a\nb\u{1b}[31m".into(), String::new(), String::new()]);
        table
    }

    #[test]
    fn columns_align_whatever_the_script() {
        insta::assert_snapshot!(table().render(Paint::Plain), @r"
        name             rows
        ──────────────  ─────  ────
        Ζωή             1,000  note
        日本語 🎉           7
        a\nb\u{1b}[31m
        ");
    }

    #[test]
    fn squeezing_takes_from_the_widest_text_and_never_from_a_number() {
        let mut columns = Columns::new([("a", Shape::Text), ("b", Shape::Number)]);
        columns.fit(&["x".repeat(50), "1234567890".into()]);
        columns.squeeze(40, 8);
        let line = columns.line(&["x".repeat(50), "1234567890".into()]);
        assert_eq!(line, format!("{}…  1234567890\n", "x".repeat(27)));
        columns.squeeze(4, 8);
        assert_eq!(columns.line(&["x".repeat(50), "1234567890".into()]), "xxxxxxx…  1234567890\n");
    }
}
