//! Where variables come from: the process's environment, then the project's `.env`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
    path::Path,
    sync::{Arc, Once},
};

use super::private::is_exposed;
use crate::error::{Error, ErrorKind, Result};

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// Variables by name. Cheap to clone.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

impl Environment {
    /// The variables of this process. One that is not UTF-8 counts as not set.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the environment")]
    pub fn of_process() -> Self {
        Self::new(|name| std::env::var(name).ok())
    }

    /// The variables that `lookup` knows.
    pub fn new(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// The variable's value, where it is set.
    pub fn get(&self, name: &str) -> Option<String> {
        (self.0)(name)
    }

    /// These variables, and behind them those of `.env` in `root`, where there is one. That others
    /// can read it is told when a variable of it is used, once.
    pub(super) fn with_dotenv(&self, root: &Path) -> Result<Self> {
        let unreadable = |why: String| {
            Error::new(ErrorKind::Config, "`.env` can't be read; nothing was run").because(why)
        };
        let (text, is_exposed) = match read(&root.join(".env")) {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(self.clone()),
            Err(error) => return Err(unreadable(error.to_string())),
        };
        let variables = dotenv(&text).map_err(unreadable)?;
        let (first, told) = (self.clone(), Once::new());
        Ok(Self::new(move |name| {
            first.get(name).or_else(|| {
                let value = variables.get(name).cloned()?;
                if is_exposed {
                    told.call_once(|| {
                        tracing::warn!(
                            "others may read `.env`, and its values are used: `chmod 600 .env`"
                        );
                    });
                }
                Some(value)
            })
        }))
    }
}

/// The file's text, and whether others than its owner may read it.
fn read(path: &Path) -> io::Result<(String, bool)> {
    let mut file = File::open(path)?;
    let is_exposed = is_exposed(&file.metadata()?);
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok((text, is_exposed))
}

/// Whether `name` can name a variable.
pub(super) fn is_variable_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|c| c == '_' || c.is_ascii_alphabetic())
        && chars.all(|c| c == '_' || c.is_ascii_alphanumeric())
}

/// Reads `NAME=value` lines. Errors name the line, never its text: it may be a secret.
fn dotenv(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut variables = BTreeMap::new();
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: &str| format!("line {}: {why}", at + 1);
        let line = line.strip_prefix("export ").unwrap_or(line);
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("no `=` in it"))?;
        let name = name.trim_end();
        if !is_variable_name(name.trim_start()) {
            return Err(wrong("what stands before `=` is not a variable's name"));
        }
        let value = dotenv_value(value.trim()).map_err(wrong)?;
        variables.insert(name.trim_start().to_owned(), value);
    }
    Ok(variables)
}

/// `'literal'`, `"with \n and \""`, or plain up to ` #`.
fn dotenv_value(text: &str) -> Result<String, &'static str> {
    let ends_well = |rest: &str| {
        let rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with('#') { Ok(()) } else { Err("text behind the quote") }
    };
    if let Some(inner) = text.strip_prefix('\'') {
        let (value, rest) = inner.split_once('\'').ok_or("a quote is not closed")?;
        return ends_well(rest).map(|()| value.to_owned());
    }
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find(" #").or_else(|| text.find("\t#")).unwrap_or(text.len());
        return Ok(text.get(..end).unwrap_or(text).trim_end().to_owned());
    };
    let mut value = String::new();
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return ends_well(chars.as_str()).map(|()| value),
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some(escaped) => value.push(escaped),
                None => break,
            },
            plain => value.push(plain),
        }
    }
    Err("a quote is not closed")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn dotenv_files_are_read_line_by_line() {
        let text = "# note\n\nA=1 # one\nexport B = 'x # $y'\r\nC=\"a\\\"b\\n\" # c\nD=\nE=a#b=c\n";
        let read = dotenv(text).unwrap();
        let expected = [("A", "1"), ("B", "x # $y"), ("C", "a\"b\n"), ("D", ""), ("E", "a#b=c")];
        assert_eq!(read.len(), expected.len());
        for (name, value) in expected {
            assert_eq!(read.get(name).map(String::as_str), Some(value), "{name}");
        }
    }

    #[test]
    fn a_bad_line_is_named_and_never_shown() {
        for (text, why) in [
            ("A=1\nhunter2\n", "line 2: no `=` in it"),
            ("a-b=hunter2", "line 1: what stands before `=` is not a variable's name"),
            ("A='hunter2", "line 1: a quote is not closed"),
            ("A=\"hunter2\\", "line 1: a quote is not closed"),
            ("A='x'hunter2", "line 1: text behind the quote"),
        ] {
            assert_eq!(dotenv(text).unwrap_err(), why);
        }
    }

    #[test]
    fn the_process_wins_over_the_file() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(".env"), "A=file\nB=file\n").unwrap();
        let process = Environment::new(|name| (name == "A").then(|| "process".to_owned()));
        let both = process.with_dotenv(root.path()).unwrap();
        assert_eq!(both.get("A").as_deref(), Some("process"));
        assert_eq!(both.get("B").as_deref(), Some("file"));
        assert_eq!(both.get("C"), None);
    }
}
