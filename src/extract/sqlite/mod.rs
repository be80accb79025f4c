//! SQLite files.
//!
//! A file is opened read-only, by SQLite itself and no other way, and never as `immutable`: other
//! processes may write to it while a run reads. All readers of a run see one state of it
//! (`snapshot`). What becomes of each declared type is in [`type_table`].
//!
//! A file in WAL mode has two files beside it, `-wal` and `-shm`, in which SQLite keeps its locks;
//! any reader, this one too, creates them where they are missing. The database is not written to.

mod catalog;
mod column;
mod decode;
mod handle;
mod pace;
mod snapshot;
mod sql;
mod types;
mod values;

use std::{
    fmt,
    path::{Path, PathBuf},
};

use arrow::datatypes::DataType;
use async_trait::async_trait;
use libsqlite3_sys as ffi;

pub use types::{TypeRow, type_table};

use self::{
    handle::{Database, Fault},
    types::Declared,
};
use super::{
    Preflight, Session, Snapshot, Source, SourceColumn, SourceTable, TableRequest, TableUse,
    throttle::Throttle,
};
use crate::{
    config::{Connection, TablePattern},
    error::{Error, ErrorKind, Result},
    types::{ByteSize, ColumnType},
};

/// A SQLite file as a source.
#[derive(Clone)]
pub struct SqliteSource {
    connection: Connection,
    path: PathBuf,
}

impl SqliteSource {
    /// The file that `connection` names. Nothing is opened yet.
    ///
    /// # Errors
    /// When its URL is not a file's: `sqlite:path`, without parameters but `mode=ro`.
    pub fn new(connection: &Connection) -> Result<Self> {
        let path = path_of(connection.url.reveal()).map_err(|why| {
            Error::new(
                ErrorKind::Config,
                format!("connection `{}` does not name a SQLite file", connection.name),
            )
            .at(connection.origin.place(why))
            .hint("write `url: sqlite:path/to/file.db`")
        })?;
        Ok(Self { connection: connection.clone(), path })
    }

    fn file(&self) -> File {
        File { name: self.connection.name.clone(), path: self.path.clone() }
    }

    /// Runs `work` on a new connection to the file, off the I/O runtime.
    async fn on_file<T: Send + 'static>(
        &self,
        what: String,
        work: impl FnOnce(&Database) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T> {
        let (file, limit) = (self.file(), self.connection.limits.statement_timeout);
        blocking(move || {
            let database = file.open()?;
            database.brake().release(limit);
            work(&database).map_err(|fault| failed(what, &fault))
        })
        .await
    }
}

impl fmt::Display for SqliteSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` (SQLite)", self.connection.name)
    }
}

#[async_trait]
impl Source for SqliteSource {
    async fn preflight(&self) -> Result<Preflight> {
        let what = format!("`{}` can't be read", self.connection.name);
        self.on_file(what, preflight).await
    }

    async fn discover(&self, patterns: &[TablePattern]) -> Result<Vec<SourceTable>> {
        let patterns = patterns.to_vec();
        let what = format!("the tables of `{}` can't be listed", self.connection.name);
        self.on_file(what, move |database| catalog::tables(database, &patterns)).await
    }

    async fn describe(&self, name: &str, sql: &str) -> Result<SourceTable> {
        let (name, sql) = (name.to_owned(), sql.to_owned());
        let what =
            format!("query `{name}` can't be read from `{}` as written", self.connection.name);
        self.on_file(what, move |database| catalog::query(database, &name, &sql)).await
    }

    async fn grants(&self, _: &str, _: &[TableUse]) -> Result<Option<String>> {
        Ok(None)
    }

    fn cast(&self, column: &SourceColumn, to: ColumnType) -> Result<DataType, String> {
        Declared::parse(&column.declared).cast(to)
    }

    fn default_schema(&self) -> &'static str {
        catalog::MAIN
    }

    async fn open(&self, tables: &[TableRequest], session: &Session) -> Result<Box<dyn Snapshot>> {
        let (file, tables) = (self.file(), tables.to_vec());
        let limits = snapshot::Limits {
            readers: self.connection.limits.connections,
            statement_timeout: self.connection.limits.statement_timeout,
            throttle: Throttle::new(&self.connection.limits),
            budget: session.budget.clone(),
        };
        blocking(move || snapshot::open(&file, tables, limits)).await
    }
}

fn preflight(database: &Database) -> Result<Preflight, Fault> {
    // Reads the schema, so that what is not a database is told apart here.
    database.run("SELECT count(*) FROM sqlite_schema")?;
    let version = catalog::scalar(database, "SELECT sqlite_version()")?;
    let state = database.file_state()?;
    let waiting = if state.has_write_ahead_log {
        "its journal is a write-ahead log: writers don't wait while a run reads"
    } else {
        "its journal is not a write-ahead log: writers wait while a run reads; \
         `PRAGMA journal_mode = wal` by its owner ends that"
    };
    Ok(Preflight {
        server: format!("SQLite {version}"),
        role: "file",
        login: None,
        lag_seconds: None,
        facts: vec![format!("the file has {}", ByteSize::new(state.bytes)), waiting.to_owned()],
        refusals: Vec::new(),
    })
}

/// A file with the name of its connection, for opening it and for telling of it.
#[derive(Debug, Clone)]
struct File {
    name: String,
    path: PathBuf,
}

impl File {
    fn open(&self) -> Result<Database> {
        let what = || format!("`{}` can't be opened; nothing was extracted", self.name);
        // Only looked at, never opened by us: see `Database::file_state`.
        match self.path.metadata() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::new(ErrorKind::Unreachable, what())
                    .because(format!("there is no file `{}`", self.path.display()))
                    .hint("mend the path in longshore.yml, or put the file there"));
            }
            Err(error) => {
                return Err(Error::new(ErrorKind::Unreachable, what())
                    .because(format!("`{}`: {error}", self.path.display())));
            }
            Ok(metadata) if !metadata.is_file() => {
                return Err(Error::new(ErrorKind::Config, what())
                    .because(format!("`{}` is not a file", self.path.display())));
            }
            Ok(_) => {}
        }
        Database::open(&self.path).map_err(|fault| failed(what(), &fault))
    }
}

/// `fault` as an error whose first line is `what`.
fn failed(what: impl Into<String>, fault: &Fault) -> Error {
    let (kind, hint) = match fault.primary() {
        ffi::SQLITE_BUSY | ffi::SQLITE_LOCKED => (
            ErrorKind::Unreachable,
            Some("another process writes to it; run again when it is done"),
        ),
        ffi::SQLITE_CANTOPEN | ffi::SQLITE_PERM => (
            ErrorKind::Unreachable,
            Some(
                "a file in WAL mode needs a folder in which its `-wal` and `-shm` files exist \
                 or can be made; `PRAGMA journal_mode = delete` by its owner ends that",
            ),
        ),
        ffi::SQLITE_NOTADB => (ErrorKind::Refused, Some("it is encrypted, or not SQLite's")),
        ffi::SQLITE_CORRUPT => {
            (ErrorKind::Data, Some("run `PRAGMA integrity_check` on it, and restore it"))
        }
        ffi::SQLITE_READONLY => (
            ErrorKind::Refused,
            Some(
                "a writer of it has crashed; open it once with a program that may write, \
                 which rolls the rest back",
            ),
        ),
        ffi::SQLITE_IOERR | ffi::SQLITE_FULL => (ErrorKind::Storage, None),
        ffi::SQLITE_NOMEM => (ErrorKind::Memory, None),
        ffi::SQLITE_INTERRUPT => (ErrorKind::Cancelled, None),
        ffi::SQLITE_ERROR | ffi::SQLITE_MISUSE => (ErrorKind::Config, None),
        _ => (ErrorKind::Data, None),
    };
    let error = Error::new(kind, what).because(fault);
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Runs `work` on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Error::internal(format!("a reader of SQLite died: {error}"))))
}

/// The absolute path in a `sqlite:` URL.
fn path_of(url: &str) -> Result<PathBuf, String> {
    let rest = url.strip_prefix("sqlite:").ok_or("its scheme is not `sqlite:`")?;
    let rest = rest.strip_prefix("//").unwrap_or(rest);
    let (path, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if let Some(other) =
        parameters.split('&').find(|parameter| !parameter.is_empty() && *parameter != "mode=ro")
    {
        let name = other.split('=').next().unwrap_or_default();
        return Err(format!("`{name}` can't be set: a file is opened for reading only"));
    }
    let path = percent_decoded(path).ok_or("its path is not percent-encoded UTF-8")?;
    match path.as_str() {
        "" => Err("it names no file".to_owned()),
        ":memory:" => Err("`:memory:` is a new and empty database".to_owned()),
        path => std::path::absolute(Path::new(path)).map_err(|error| error.to_string()),
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend_from_slice(parts.next()?.as_bytes());
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
