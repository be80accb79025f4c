//! Colour, always an addition: no meaning is carried by colour alone.

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

    fn wrap(self, code: &str, text: &str) -> String {
        match self {
            Self::Ansi if !text.is_empty() => format!("\u{1b}[{code}m{text}\u{1b}[0m"),
            _ => text.to_owned(),
        }
    }
}
