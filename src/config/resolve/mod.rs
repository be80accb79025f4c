//! From what is written to what is meant: defaults, names, units, and what contradicts itself.
//!
//! One file a part of the YAML. All of them read scalars through a [`Scope`], which expands
//! `${…}` and knows the place to blame.

mod audits;
mod connection;
mod contract;
mod extract;
mod header;
mod limits;
mod parquet;
mod pipeline;
mod project;
mod retention;

pub use header::{ModelHeader, model_header};

pub(super) use connection::Connections;

use std::{path::Path, time::Duration};

use super::{
    document::{Document, listed},
    expand::{Expander, has_reference},
    written::{At, Text, Texts},
};
use crate::{
    config::{Mode, Origin},
    error::{Error, Result, did_you_mean},
    types::ByteSize,
};

/// A document, and what gives its references their values.
struct Scope<'a> {
    document: &'a Document,
    /// `None` where texts are taken as they are: in the header of a model.
    expander: Option<&'a Expander>,
}

impl Scope<'_> {
    fn origin<T>(&self, written: &At<T>) -> Origin {
        self.document.origin(written)
    }

    fn wrong<T>(&self, written: &At<T>, detail: impl Into<String>) -> Error {
        self.document.wrong(&self.origin(written), detail)
    }

    /// The text, possibly empty.
    fn any_text(&self, written: &Text) -> Result<String> {
        match self.expander {
            Some(expander) => expander.expand(written, self.document),
            None => Ok(written.value.clone()),
        }
    }

    /// The text, which says something.
    fn text(&self, written: &Text) -> Result<String> {
        let text = self.any_text(written)?;
        if text.trim().is_empty() {
            return Err(self.wrong(written, "a text is missing here"));
        }
        Ok(text)
    }

    fn texts(&self, written: &[Text]) -> Result<Vec<String>> {
        written.iter().map(|text| self.text(text)).collect()
    }

    fn optional_text(&self, written: Option<&Text>) -> Result<Option<String>> {
        written.map(|text| self.text(text)).transpose()
    }

    /// What `read` makes of the text; `expected` says what it takes, with an article.
    fn read<T>(
        &self,
        written: &Text,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T> {
        let text = self.any_text(written)?;
        read(text.trim()).ok_or_else(|| self.not_a(written, expected))
    }

    /// What is expanded may be a secret, so only the text as it is written is shown.
    fn not_a(&self, written: &Text, expected: &str) -> Error {
        let verb = if self.is_literal(written) { "is not" } else { "does not stand for" };
        self.wrong(written, format!("`{}` {verb} {expected}", written.value))
    }

    fn is_literal(&self, written: &Text) -> bool {
        self.expander.is_none() || !has_reference(&written.value)
    }

    /// One of a few words.
    fn keyword<T: Copy>(&self, written: &Text, what: &str, known: &[(&str, T)]) -> Result<T> {
        let text = self.any_text(written)?;
        if let Some((_, value)) = known.iter().find(|(word, _)| *word == text) {
            return Ok(*value);
        }
        let words: Vec<&str> = known.iter().map(|(word, _)| *word).collect();
        let error = self.not_a(written, what);
        let near = did_you_mean(&written.value, words.iter().copied());
        Err(match near.filter(|_| self.is_literal(written)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint(format!("there are {}", listed(&words))),
        })
    }

    fn flag(&self, written: Option<&Text>) -> Result<bool> {
        let Some(written) = written else { return Ok(false) };
        self.read(written, "`true` or `false`", |text| text.parse().ok())
    }

    fn count<T: std::str::FromStr>(&self, written: &Text) -> Result<T> {
        self.read(written, "a whole number", |text| text.parse().ok())
    }

    fn size(&self, written: &Text) -> Result<ByteSize> {
        self.read(written, "a size such as `512MiB` or `4GiB`", |text| text.parse().ok())
    }

    fn duration(&self, written: Option<&Text>) -> Result<Option<Duration>> {
        let Some(written) = written else { return Ok(None) };
        let expected = "a length of time above zero such as `45s`, `10m` or `1h30m`";
        self.read(written, expected, |text| {
            let span: jiff::SignedDuration = text.parse().ok()?;
            Duration::try_from(span).ok().filter(|span| !span.is_zero())
        })
        .map(Some)
    }

    /// `20%` as 0.2.
    fn share(&self, written: &Text) -> Result<f64> {
        self.read(written, "a share such as `20%`", |text| {
            let percent: f64 = text.strip_suffix('%')?.trim_end().parse().ok()?;
            (percent.is_finite() && percent >= 0.0).then_some(percent / 100.0)
        })
    }

    fn mode(&self, written: Option<&Text>) -> Result<Mode> {
        const LATER: [&str; 2] = ["window", "history"];
        let Some(written) = written else { return Ok(Mode::default()) };
        if LATER.contains(&written.value.as_str()) {
            let detail = format!("`mode: {}` is not in this version", written.value);
            return Err(self.wrong(written, detail).hint(
                "use `mode: replace`, which takes the whole table each time, `append` or `upsert`",
            ));
        }
        let known =
            [("replace", Mode::Replace), ("append", Mode::Append), ("upsert", Mode::Upsert)];
        self.keyword(written, "a mode", &known)
    }

    /// The columns that tell rows apart, each once.
    fn key(&self, written: Option<&Texts>) -> Result<Vec<String>> {
        let mut key: Vec<String> = Vec::new();
        for column in Texts::entries(written) {
            let name = self.text(column)?;
            if key.contains(&name) {
                return Err(self.wrong(column, format!("the key names `{name}` twice")));
            }
            key.push(name);
        }
        Ok(key)
    }

    /// A name without a schema.
    fn bare_name(&self, written: &Text, key: &str) -> Result<String> {
        let name = self.text(written)?;
        if name.contains('.') {
            return Err(self.wrong(written, format!("`{key}` is one name, without a dot")));
        }
        Ok(name)
    }
}

/// `path` without `.` and `..`; it need not exist.
fn normalized(path: &Path) -> std::path::PathBuf {
    use std::path::Component;
    path.components().fold(std::path::PathBuf::new(), |mut folder, component| {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                folder.pop();
            }
            other => folder.push(other),
        }
        folder
    })
}
