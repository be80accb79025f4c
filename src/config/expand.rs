//! What stands behind `${…}` in a value.
//!
//! `${NAME}` a variable, `${NAME:-default}` a variable or else a text, `${file:path}` the text of a
//! file that only its owner may read, `${credential:name}` the text of one in
//! `$CREDENTIALS_DIRECTORY`, `${command:…}` what a command prints, `$${` a literal `${`. What comes
//! out is a value and nothing else: it is never read as YAML, and never searched for `${…}` again.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    command,
    document::Document,
    environment::{Environment, is_variable_name},
    private::{NoSecret, Privacy, read_secret},
    written::Text,
};
use crate::error::{Error, Result};

/// How long a command may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// Names the folder that a service manager puts our secrets into.
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Gives values to references. Cheap to clone.
#[derive(Clone)]
pub(super) struct Expander {
    /// The folder that files are relative to and commands run in.
    pub(super) root: PathBuf,
    /// The variables.
    pub(super) environment: Environment,
}

/// Whether `text` refers to anything outside itself.
pub(super) fn has_reference(text: &str) -> bool {
    parts(text).any(|part| !matches!(part, Part::Literal(_)))
}

impl Expander {
    /// The text with every reference replaced. Blocks while a command runs.
    pub(super) fn expand(&self, written: &Text, document: &Document) -> Result<String> {
        let mut expanded = String::new();
        for part in parts(&written.value) {
            match part {
                Part::Literal(text) => expanded.push_str(text),
                Part::Reference { whole, inner } => {
                    let wrong = |why: Wrong| why.tell(whole, written, document);
                    expanded.push_str(&self.value(inner).map_err(wrong)?);
                }
                Part::Unclosed(whole) => {
                    return Err(Wrong::new("this `${` is not closed by a `}`")
                        .hint("write `$${` for a literal `${`")
                        .tell(whole, written, document));
                }
            }
        }
        Ok(expanded)
    }

    fn value(&self, inner: &str) -> Result<String, Wrong> {
        if let Some((name, default)) = inner.split_once(":-")
            && is_variable_name(name)
        {
            if default.contains("${") {
                return Err(Wrong::new("a default is a plain text; it can't hold `${`"));
            }
            let value = self.environment.get(name).filter(|value| !value.is_empty());
            return Ok(value.unwrap_or_else(|| default.to_owned()));
        }
        match inner.split_once(':') {
            Some(("file", path)) => {
                let path = path.trim();
                file(&self.root.join(path), Privacy::Owner, path.as_ref())
            }
            Some(("credential", name)) => self.credential(name.trim()),
            Some(("command", command)) => command::run(command, &self.root, COMMAND_TIMEOUT)
                .map(|printed| without_newline(&printed).to_owned())
                .map_err(|why| {
                    Wrong::new(format!("the command {why}"))
                        .hint("run it in a shell, in the project's folder, to see what it says")
                }),
            None if is_variable_name(inner) => self.environment.get(inner).ok_or_else(|| {
                Wrong::new(format!("`{inner}` is not set")).hint(format!(
                    "set `{inner}` in the environment or in `.env` beside longshore.yml"
                ))
            }),
            _ => Err(Wrong::new("this is not a reference").hint(
                "there are `${NAME}`, `${NAME:-default}`, `${file:path}`, `${credential:name}` and \
                 `${command:…}`; `$${` is a literal `${`",
            )),
        }
    }

    /// What a service manager gave us: systemd's `LoadCredential=` and `SetCredential=`, or any
    /// other folder of secrets that the variable names.
    fn credential(&self, name: &str) -> Result<String, Wrong> {
        if name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
            return Err(Wrong::new("a credential's name is a file's name, without a folder"));
        }
        let folder = self.environment.get(CREDENTIALS).filter(|folder| !folder.is_empty());
        let folder = folder.ok_or_else(|| {
            Wrong::new(format!("`{CREDENTIALS}` is not set, so there are no credentials")).hint(
                format!(
                    "systemd sets it for a unit with `LoadCredential={name}:/path`; for secrets of \
                     Docker or Kubernetes set it to their folder, such as `/run/secrets`"
                ),
            )
        })?;
        // Who may read it, the folder says: it was made for this process, and the files in it may
        // well be open to all who can enter.
        let path = self.root.join(folder).join(name);
        file(&path, Privacy::Folder, &path)
    }
}

/// The text of the file at `path`, without the line break that editors add.
fn file(path: &Path, privacy: Privacy, shown: &Path) -> Result<String, Wrong> {
    let text = read_secret(path, privacy).map_err(|why| {
        let wrong = Wrong::new(match &why {
            NoSecret::Unreadable(why) => format!("the file can't be read: {why}"),
            why => format!("the file {}", why.reason()),
        });
        match why {
            NoSecret::Exposed(_) => wrong
                .hint(why.remedy(shown))
                .hint("a secret that Docker or Kubernetes mounted is read by `${credential:name}`"),
            _ => wrong,
        }
    })?;
    Ok(without_newline(text.reveal()).to_owned())
}

/// Why a reference has no value.
struct Wrong {
    detail: String,
    hints: Vec<String>,
}

impl Wrong {
    fn new(detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), hints: Vec::new() }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// The error at the place of the reference `whole` in `written`.
    fn tell(self, whole: &str, written: &Text, document: &Document) -> Error {
        let error = document.wrong(&document.origin_within(written, whole), self.detail);
        self.hints.into_iter().fold(error, Error::hint)
    }
}

fn without_newline(text: &str) -> &str {
    let text = text.strip_suffix('\n').unwrap_or(text);
    text.strip_suffix('\r').unwrap_or(text)
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'a> {
    /// Itself.
    Literal(&'a str),
    /// `${inner}`
    Reference { whole: &'a str, inner: &'a str },
    /// `${` without its `}`, up to the end of the text.
    Unclosed(&'a str),
}

/// The pieces of `text`, in order.
fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (part, after) = take_part(rest);
        rest = after;
        Some(part)
    })
}

fn take_part(text: &str) -> (Part<'_>, &str) {
    if let Some(after) = text.strip_prefix("$${") {
        // The literal is the last two bytes of the mark.
        return (Part::Literal(text.get(1..3).unwrap_or_default()), after);
    }
    if let Some(body) = text.strip_prefix("${") {
        return match closing_brace(body) {
            Some(end) => {
                let (inner, after) = body.split_at(end);
                let whole = text.get(..end + 3).unwrap_or(text);
                (Part::Reference { whole, inner }, after.get(1..).unwrap_or_default())
            }
            None => (Part::Unclosed(text), ""),
        };
    }
    let next = match text.find("${") {
        // `$${` starts one byte earlier.
        Some(at) if at > 0 && text.as_bytes().get(at - 1) == Some(&b'$') => at - 1,
        Some(at) => at,
        None => text.len(),
    };
    let (literal, after) = text.split_at(next);
    (Part::Literal(literal), after)
}

/// The `}` that closes a reference; a command may hold pairs of braces of its own.
fn closing_brace(body: &str) -> Option<usize> {
    let mut open = 0_usize;
    body.char_indices().find_map(|(at, c)| match c {
        '{' => {
            open += 1;
            None
        }
        '}' if open == 0 => Some(at),
        '}' => {
            open -= 1;
            None
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::config::Origin;

    fn expand(text: &str) -> Result<String> {
        let root = tempfile::tempdir().unwrap();
        for (name, mode) in [("pw.txt", 0o400), ("open.txt", 0o640)] {
            let path = root.path().join(name);
            fs::write(&path, "from file\n").unwrap();
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }
        let folder = root.path().to_str().unwrap().to_owned();
        let environment = Environment::new(move |name| match name {
            CREDENTIALS => Some(folder.clone()),
            "HOST" => Some("db".to_owned()),
            "TRICK" => Some("${HOST}: [a]".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        });
        let expander = Expander { root: root.path().to_owned(), environment };
        let document = Document::header(text, &Origin::start("x.yml", text));
        expander.expand(&Text { value: text.to_owned(), line: 1, column: 1 }, &document)
    }

    #[test]
    fn references_become_values() {
        for (text, value) in [
            ("a${HOST}b${HOST}", "adbbdb"),
            ("plain $HOST $ { }", "plain $HOST $ { }"),
            ("$${HOST}", "${HOST}"),
            ("$$${HOST}", "$${HOST}"),
            ("${TRICK}", "${HOST}: [a]"),
            ("${EMPTY}", ""),
            ("${EMPTY:-b:-c}", "b:-c"),
            ("${NONE:-}", ""),
            ("${NONE:-file:x}", "file:x"),
            ("${file:pw.txt}!", "from file!"),
            ("${credential:pw.txt}", "from file"),
            ("${credential: open.txt }", "from file"),
            ("${command:cat pw.txt; echo}", "from file\n"),
            ("${command:printf '{%s}' ${X:-y}}", "{y}"),
        ] {
            assert_eq!(expand(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_has_no_value_is_told_with_its_place() {
        let told = |text: &str| expand(text).unwrap_err().place().unwrap().clone();
        for (text, column, detail) in [
            ("é ${NONE}", 3, "`NONE` is not set"),
            ("${HOST}${NONE}", 8, "`NONE` is not set"),
            ("a${HOST", 2, "this `${` is not closed by a `}`"),
            ("${a b}", 1, "this is not a reference"),
            ("${vault:x}", 1, "this is not a reference"),
            ("${A:-${B}}", 1, "a default is a plain text; it can't hold `${`"),
            ("${command:exit 4}", 1, "the command ended with exit code 4"),
        ] {
            let place = told(text);
            assert_eq!((place.column, place.detail.as_str()), (column, detail), "{text}");
        }
        assert_eq!(told("${file:none}").detail, "the file does not exist");
    }

    #[test]
    fn a_file_that_others_may_read_is_no_secret() {
        let error = expand("${file:open.txt}").unwrap_err();
        insta::assert_snapshot!(error.place().unwrap().detail, @"the file holds a secret, and others than its owner may use it (mode 0640)");
        assert_eq!(error.hints()[0], "chmod 600 open.txt");
    }

    #[test]
    fn a_credential_lies_in_its_folder_and_nowhere_else() {
        for name in ["../pw.txt", "/etc/passwd", "..", ".", ""] {
            let error = expand(&format!("${{credential:{name}}}")).unwrap_err();
            let detail = &error.place().unwrap().detail;
            assert_eq!(detail, "a credential's name is a file's name, without a folder", "{name}");
        }
        let nowhere =
            Expander { root: PathBuf::from("/"), environment: Environment::new(|_| None) };
        let why = nowhere.value("credential:pw.txt").err().unwrap();
        assert!(why.hints[0].contains("LoadCredential=pw.txt"), "{:?}", why.hints);
    }

    #[test]
    fn an_escaped_reference_refers_to_nothing() {
        assert!(!has_reference("a $${b} $c") && has_reference("$${a}${b}") && has_reference("${"));
    }
}
