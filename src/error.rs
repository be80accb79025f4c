//! What can go wrong, told so that a person can act on it.
//!
//! One type, [`Error`], carries a kind, a first line (what stopped, and what that means for the
//! warehouse), the place in the user's files, causes (each adds one fact) and hints (each an
//! action). [`ErrorKind::policy`] is the one match from a kind to exit code and retry.
//!
//! Messages are lowercase, without a final period, names in backticks; they never hold a
//! credential or a row's value. Only the command line renders them.

use std::fmt;

/// The library's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong; callers branch on this, people read the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, strum::Display, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum ErrorKind {
    /// The command line asks for something that makes no sense.
    Usage,
    /// `longshore.yml` or a pipeline file is wrong, or a variable it names is missing.
    Config,
    /// A model or an audit cannot be parsed or planned.
    Model,
    /// A source can't be reached, or a connection was lost.
    Unreachable,
    /// A source's view of its data ended before all of it was read; a new view shows a later state.
    SnapshotLost,
    /// A source was reached, and must not or can't be read as asked (privileges, lag, primary).
    Refused,
    /// A value or column does not fit its published type.
    Data,
    /// What would be published breaks the published schema.
    Schema,
    /// A check that must hold before publishing does not.
    Audit,
    /// Reading or writing files or objects failed.
    Storage,
    /// Somebody else published, or runs, at the same time.
    Conflict,
    /// The memory ceiling does not allow the work.
    Memory,
    /// A person or a signal stopped the work.
    Cancelled,
    /// A broken promise inside Longshore: a bug.
    Internal,
}

/// What follows from an [`ErrorKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// The process's exit code: 1 the run or the data failed, 2 usage or configuration,
    /// 3 internal.
    pub exit: u8,
    /// Whether the same work may succeed when tried again unchanged.
    pub retry: bool,
    /// What to do when nothing more precise is known.
    pub advice: Option<&'static str>,
}

impl ErrorKind {
    /// The one place that decides what an error means for the process and the scheduler.
    pub fn policy(self) -> Policy {
        let (exit, retry, advice) = match self {
            Self::Usage => (
                2,
                false,
                Some("see `longshore --help`; `longshore tables` lists what can be queried"),
            ),
            Self::Config => (2, false, Some("mend the file, then `longshore check`")),
            Self::Model => (2, false, Some("mend the SQL, then `longshore check`")),
            Self::Unreachable => {
                (1, true, Some("try the connection with `longshore check`, then run again"))
            }
            Self::SnapshotLost => (1, true, Some("run again when the source is calm")),
            Self::Refused => (1, false, Some("see `longshore check` for what is missing")),
            Self::Data => (1, false, Some("see `longshore plan` for each column's mapping")),
            Self::Schema => (1, false, Some("see `longshore plan` for what changed")),
            Self::Audit => (1, false, Some("see `longshore runs` for the audits of the run")),
            Self::Storage => (1, true, Some("mend the storage, then run again")),
            Self::Conflict => (1, true, Some("run again once the other run has ended")),
            Self::Memory => (1, false, Some("raise `memory` in longshore.yml")),
            Self::Cancelled => (1, false, None),
            Self::Internal => {
                (3, false, Some("this is a bug in Longshore: please report it with the whole text"))
            }
        };
        Policy { exit, retry, advice }
    }
}

/// A place in one of the user's files, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file as the user would name it (relative to the project where possible).
    pub file: String,
    /// 1-based line.
    pub line: u32,
    /// 1-based column, in characters.
    pub column: u32,
    /// What is wrong there.
    pub detail: String,
    /// The text of that line, for a snippet.
    pub source_line: Option<String>,
}

#[derive(Debug)]
struct Report {
    kind: ErrorKind,
    what: String,
    place: Option<Place>,
    causes: Vec<String>,
    hints: Vec<String>,
}

/// An error as a person meets it. See the module's documentation for its parts.
#[derive(Debug)]
pub struct Error(Box<Report>);

impl Error {
    /// A new error of `kind`; `what` is its first line.
    pub fn new(kind: ErrorKind, what: impl Into<String>) -> Self {
        Self(Box::new(Report {
            kind,
            what: what.into(),
            place: None,
            causes: Vec::new(),
            hints: Vec::new(),
        }))
    }

    /// A broken promise inside Longshore.
    pub fn internal(what: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, what)
    }

    /// Adds a fact that led to this error, after those already known.
    #[must_use]
    pub fn because(mut self, cause: impl fmt::Display) -> Self {
        self.0.causes.push(cause.to_string());
        self
    }

    /// Adds an action the reader can take.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hints.push(hint.into());
        self
    }

    /// Says where in the user's files the trouble lies.
    #[must_use]
    pub fn at(mut self, place: Place) -> Self {
        self.0.place = Some(place);
        self
    }

    /// Puts a new first line above this error: the old first line becomes the first cause.
    #[must_use]
    pub fn context(mut self, what: impl Into<String>) -> Self {
        let inner = std::mem::replace(&mut self.0.what, what.into());
        self.0.causes.insert(0, inner);
        self
    }

    /// Replaces the first line, for when the outer one already says all of it.
    #[must_use]
    pub fn retitle(mut self, what: impl Into<String>) -> Self {
        self.0.what = what.into();
        self
    }

    /// The same error under another kind.
    #[must_use]
    pub fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// Its kind.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The first line.
    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// The place in the user's files, where there is one.
    pub fn place(&self) -> Option<&Place> {
        self.0.place.as_ref()
    }

    /// The facts that led here, outermost first.
    pub fn causes(&self) -> &[String] {
        &self.0.causes
    }

    /// What the reader can do, most precise first; the kind's advice when nothing else is known.
    pub fn hints(&self) -> Vec<&str> {
        if self.0.hints.is_empty() {
            // Whoever met it, the system's words for a full disk ask for one thing.
            if self.causes().iter().any(|cause| cause.contains("No space left on device")) {
                return vec!["make room on the disk that it lies on, then run again"];
            }
            return self.kind().policy().advice.into_iter().collect();
        }
        self.0.hints.iter().map(String::as_str).collect()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.what)?;
        if let Some(place) = &self.0.place {
            write!(f, " ({}:{}:{}: {})", place.file, place.line, place.column, place.detail)?;
        }
        for cause in &self.0.causes {
            write!(f, ": {cause}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Turns a foreign error into ours, with what stopped as the first line.
pub trait Context<T> {
    /// `what` is the first line; the foreign error becomes the cause.
    fn or_fail(self, kind: ErrorKind, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn or_fail(self, kind: ErrorKind, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|error| Error::new(kind, what()).because(error))
    }
}

/// The closest of `known` to `word`, for "did you mean".
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate))
        .filter(|(score, _)| *score > 0.78)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
