//! One YAML text: reading it into a raw type, and telling what is wrong in it and where.

use std::{fs, path::Path, sync::Arc};

use serde::de::DeserializeOwned;
use serde_saphyr::{DefaultMessageFormatter, MessageFormatter as _, options};

use super::{Origin, redact::redacted, written::At};
use crate::error::{Error, ErrorKind, Result, did_you_mean};

/// A YAML text and the place where it starts in the user's file.
#[derive(Debug, Clone)]
pub(super) struct Document {
    /// The YAML.
    text: Arc<str>,
    /// Where it starts. Its text is for snippets: credentials are starred out.
    start: Origin,
    /// What an error in it is.
    kind: ErrorKind,
}

impl Document {
    /// Reads the whole file at `path`, which the user calls `name`.
    pub(super) fn read(path: &Path, name: &str) -> Result<Self> {
        let unreadable = |why: String| {
            Error::new(ErrorKind::Config, format!("`{name}` can't be read; nothing was run"))
                .because(why)
        };
        let bytes = fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let text = String::from_utf8(bytes).map_err(|_| unreadable("it is not UTF-8".into()))?;
        let start = Origin::start(name, redacted(&text));
        Ok(Self { text: text.into(), start, kind: ErrorKind::Config })
    }

    /// The YAML in the header of a model, which starts at `start`.
    pub(super) fn header(yaml: &str, start: &Origin) -> Self {
        Self { text: yaml.into(), start: start.clone(), kind: ErrorKind::Model }
    }

    /// Where it starts.
    pub(super) fn start(&self) -> &Origin {
        &self.start
    }

    /// Reads the YAML as a `T`.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T> {
        let options = options! { with_snippet: false, strict_booleans: true };
        serde_saphyr::from_str_with_options(&self.text, options)
            .map_err(|error| self.explain(&error))
    }

    /// The place in the user's file of a line and column in the YAML.
    fn place_of(&self, line: u32, column: u32) -> Origin {
        match line {
            0 => self.start.clone(),
            1 => self.start.moved_to(self.start.line, self.start.column + column.max(1) - 1),
            _ => self.start.moved_to(self.start.line + line - 1, column.max(1)),
        }
    }

    /// The place in the user's file where a value is written.
    pub(super) fn origin<T>(&self, written: &At<T>) -> Origin {
        self.place_of(written.line, written.column)
    }

    /// The place in the user's file of `needle`, which is part of the text written at `written`;
    /// the text's own start when it can't be found there (folded lines, escapes).
    pub(super) fn origin_within<T>(&self, written: &At<T>, needle: &str) -> Origin {
        let skipped = written.line.saturating_sub(1) as usize;
        for (at, line) in self.text.lines().enumerate().skip(skipped) {
            let from = if at == skipped { written.column.saturating_sub(1) as usize } else { 0 };
            let start = line.char_indices().nth(from).map_or(line.len(), |(byte, _)| byte);
            if let Some(found) = line.get(start..).and_then(|rest| rest.find(needle)) {
                let before = line.get(..start + found).unwrap_or_default();
                return self.place_of(at as u32 + 1, before.chars().count() as u32 + 1);
            }
        }
        self.origin(written)
    }

    /// An error at a place in this text.
    pub(super) fn wrong(&self, at: &Origin, detail: impl Into<String>) -> Error {
        let part = if self.kind == ErrorKind::Model { "the header of " } else { "" };
        let what = format!("{part}`{}` is not valid; nothing was run", self.start.file);
        Error::new(self.kind, what).at(at.place(detail))
    }

    fn explain(&self, error: &serde_saphyr::Error) -> Error {
        let (error, location) = match error {
            // Where the alias stands is what is wrong; what it stands for may be fine elsewhere.
            serde_saphyr::Error::AliasError { error, locations, .. } => {
                (error.as_ref(), locations.primary_location())
            }
            other => (other, other.location()),
        };
        let at = match location {
            Some(location) => self.place_of(location.line() as u32, location.column() as u32),
            None => self.start.clone(),
        };
        self.explain_at(error, &at)
    }

    fn explain_at(&self, error: &serde_saphyr::Error, at: &Origin) -> Error {
        use serde_saphyr::Error as Yaml;
        let wrong = |detail: &str| self.wrong(at, detail);
        match error {
            Yaml::SerdeUnknownField { field, expected, .. } => unknown_key(
                wrong(&format!("there is no key `{field}` here")),
                field,
                expected.as_slice(),
            ),
            Yaml::SerdeMissingField { field, .. } => {
                let example = EXAMPLES.iter().find(|(key, _)| key == field);
                let value = example.map_or("…", |(_, value)| value);
                wrong(&format!("`{field}` is missing")).hint(format!("add `{field}: {value}`"))
            }
            Yaml::DuplicateMappingKey { key, .. } => {
                let key = key.as_deref().unwrap_or("a key");
                wrong(&format!("`{key}` is given twice")).hint("keep one of the two")
            }
            Yaml::Unexpected { expected: "string scalar", .. } => wrong("a text is expected here"),
            Yaml::Unexpected { expected: "sequence start", .. } => {
                wrong("a list is expected here").hint("write `[a, b]`, or one `- …` a line")
            }
            Yaml::Unexpected { expected: "mapping start", .. } => {
                wrong("a map is expected here").hint("write `{key: value}`, or one `key: …` a line")
            }
            // What was found instead is not told: it may be a secret.
            Yaml::SerdeInvalidType { expected, .. } => {
                wrong(&format!("{expected} is expected here"))
            }
            Yaml::NullIntoString { .. } => wrong("a value is missing here"),
            Yaml::Eof { .. } => wrong("there is nothing in it"),
            Yaml::MultipleDocuments { .. } => {
                wrong("a second YAML document starts here").hint("keep one document a file")
            }
            Yaml::UnknownAnchor { .. } => wrong("no anchor of this name comes before").hint(QUOTE),
            other => {
                let message = DefaultMessageFormatter.format_message(other).into_owned();
                syntax(wrong(&format!("not valid YAML: {message}")), &message)
            }
        }
    }
}

/// What a required key may look like.
const EXAMPLES: [(&str, &str); 3] =
    [("warehouse", "{url: ./warehouse}"), ("tables", "[\"*\"]"), ("values", "[a, b]")];

const QUOTE: &str = "put a text that starts with `*` or `&` in quotes: `\"*\"`";

/// Adds what mends the usual slips.
fn syntax(error: Error, message: &str) -> Error {
    let hints = [
        ("tabs disallowed", "indent with spaces; YAML takes no tabs"),
        ("anchor or alias", QUOTE),
        ("mapping values are not allowed", "check the indentation; put a text with `: ` in quotes"),
        ("unexpected character", "put a text that starts with a sign in quotes"),
        ("unclosed quote", "close the quote"),
        ("flow mapping", "close the `{`"),
        ("flow sequence", "close the `[`"),
        ("block collection", "check the indentation"),
    ];
    match hints.iter().find(|(part, _)| message.contains(part)) {
        Some((_, hint)) => error.hint(*hint),
        None => error,
    }
}

/// Keys that a reader of the design may look for, and what to do in this version.
const LATER_KEYS: [(&str, &str); 2] = [
    ("schedule", "this version runs when asked: let cron or a timer call `longshore run`"),
    ("cursor", "this version keeps no cursor: say which rows with `where`, and `mode: upsert`"),
];

fn unknown_key(error: Error, key: &str, known: &[&str]) -> Error {
    if let Some((_, hint)) = LATER_KEYS.iter().find(|(later, _)| *later == key) {
        return error.hint(*hint);
    }
    match did_you_mean(key, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("the keys here are {}", listed(known))),
    }
}

/// `a`, `b`, `c`.
pub(super) fn listed(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
