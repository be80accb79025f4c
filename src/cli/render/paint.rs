//! Colour, always an addition: no meaning is carried by colour alone.

use std::borrow::Cow;

use super::table::hidden;

/// What [`Paint`] writes.
const CODES: [&str; 7] = ["0", "1", "2", "1;31", "1;32", "1;33", "1;36"];

/// Whether text on a stream may be coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Paint {
    /// Plain text only.
    Plain,
    /// ANSI escape sequences are understood.
    Ansi,
}

impl Paint {
    /// For what went wrong.
    pub(crate) fn alarm(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    /// For what may become a problem.
    pub(crate) fn warn(self, text: &str) -> String {
        self.wrap("1;33", text)
    }

    /// For what the reader can do.
    pub(crate) fn hint(self, text: &str) -> String {
        self.wrap("1;36", text)
    }

    /// For what ended well.
    pub(crate) fn good(self, text: &str) -> String {
        self.wrap("1;32", text)
    }

    /// For headings.
    pub(crate) fn strong(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// For what only frames the text.
    pub(crate) fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }

    /// `text`, of any number of lines, with control characters escaped that are neither line breaks
    /// nor colours of ours: names of tables and columns can hold whatever a terminal obeys.
    pub(crate) fn tamed(self, text: &str) -> Cow<'_, str> {
        let untamed = |c: char| hidden(c) && !matches!(c, '\n' | '\t');
        if !text.contains(untamed) {
            return Cow::Borrowed(text);
        }
        let mut out = String::with_capacity(text.len() + 8);
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let (head, tail) = match self.colour(rest) {
                Some(end) => rest.split_at(end),
                None => rest.split_at(c.len_utf8()),
            };
            if head.len() == c.len_utf8() && untamed(c) {
                out.extend(c.escape_default());
            } else {
                out.push_str(head);
            }
            rest = tail;
        }
        Cow::Owned(out)
    }

    /// The length of the colour that `text` begins with, where it is one that we write.
    fn colour(self, text: &str) -> Option<usize> {
        let code = text.strip_prefix("\u{1b}[").filter(|_| self == Self::Ansi)?;
        let end = code.find('m')?;
        CODES.contains(&code.get(..end)?).then_some("\u{1b}[".len() + end + 1)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Ansi if !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_colours_reach_a_terminal() {
        let text = format!("{}: é\u{1b}[2J\r\n\tx\u{202e}", Paint::Ansi.alarm("error"));
        let tamed = "\u{1b}[1;31merror\u{1b}[0m: é\\u{1b}[2J\\r\n\tx\\u{202e}";
        assert_eq!(Paint::Ansi.tamed(&text), tamed);
        assert_eq!(Paint::Plain.tamed("a\u{1b}[0mb"), "a\\u{1b}[0mb");
        assert!(matches!(Paint::Ansi.tamed("plain\ntext"), Cow::Borrowed(_)));
        let codes =
            [Paint::alarm, Paint::warn, Paint::hint, Paint::good, Paint::strong, Paint::faint];
        for painted in codes.map(|paint| paint(Paint::Ansi, "x")) {
            assert_eq!(Paint::Ansi.tamed(&format!("{painted}\u{7}")), format!("{painted}\\u{{7}}"));
        }
    }
}
