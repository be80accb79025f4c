//! Where in the user's files a thing was said.

use std::sync::Arc;

use crate::error::Place;

/// A position in a file that the user wrote. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The file as the user would name it, relative to the project.
    pub file: Arc<str>,
    /// The whole text of the file, for snippets; credentials in YAML files are starred out.
    pub text: Arc<str>,
    /// 1-based line.
    pub line: u32,
    /// 1-based column, in characters.
    pub column: u32,
}

impl Origin {
    /// The start of `file`, whose whole text is `text`.
    pub fn start(file: impl Into<Arc<str>>, text: impl Into<Arc<str>>) -> Self {
        Self { file: file.into(), text: text.into(), line: 1, column: 1 }
    }

    /// Another position in the same file.
    #[must_use]
    pub fn moved_to(&self, line: u32, column: u32) -> Self {
        Self { line, column, ..self.clone() }
    }

    /// This position with what is wrong there, for an [`crate::error::Error`].
    pub fn place(&self, detail: impl Into<String>) -> Place {
        Place {
            file: self.file.to_string(),
            line: self.line,
            column: self.column,
            detail: detail.into(),
            source_line: self
                .text
                .lines()
                .nth(self.line.saturating_sub(1) as usize)
                .map(str::to_owned),
        }
    }

    /// `file:line`, for hints.
    pub fn short(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}
