//! Reading databases: the traits that a source implements, and the registry that knows them all.
//!
//! A [`Source`] is a connection that can be looked at; [`Source::open`] gives a [`Snapshot`], one
//! consistent view of all tables of a run; a snapshot's [`Chunk`]s are read in any order, by as
//! many workers as it allows, each into a [`BatchSink`].
//!
//! Nothing here writes to a source, and nothing here knows of stages, models or warehouses.

mod misfit;
mod notices;
pub mod postgres;
mod request;
mod room;
mod sink;
pub mod sqlite;
mod throttle;

use std::{fmt, ops::Range, sync::Arc};

use arrow::{datatypes::DataType, record_batch::RecordBatch};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub use misfit::Misfit;
pub use notices::Notices;
pub use request::{
    ColumnRequest, RuledRequest, TableRequest, TableUse, build_requests, selecting_rule, table_uses,
};
pub use sink::MaskingSink;

use crate::{
    config::{Connection, SourceKind, TablePattern},
    error::Result,
    types::{Budget, ColumnType, Timings},
};

/// A connection that can be read. Displays as its name and kind, never its credentials.
#[async_trait]
pub trait Source: fmt::Display + Send + Sync {
    /// Connects and reports what a DBA would ask before letting us in. Facts that forbid reading
    /// are in [`Preflight::refusals`], not errors; an error means the facts could not be had.
    async fn preflight(&self) -> Result<Preflight>;

    /// The tables and views that match any of `patterns`, sorted by name, with every column's
    /// mapping. System schemas match only when named exactly. A pattern without a match is not an
    /// error here; tables that the login can't read are returned with `readable: false`.
    async fn discover(&self, patterns: &[TablePattern]) -> Result<Vec<SourceTable>>;

    /// The columns that `sql`, one SELECT statement, would return. Nothing is executed.
    async fn describe(&self, name: &str, sql: &str) -> Result<SourceTable>;

    /// The statements by which an administrator of the source makes a login named `role` that may
    /// read `reads` and do nothing else; nothing where a source knows no logins.
    async fn grants(&self, role: &str, reads: &[TableUse]) -> Result<Option<String>>;

    /// The Arrow type that `column` is read as when the user asks for `cast: to`, or why that is
    /// not possible without changing values. Columns to be masked are asked for as text.
    fn cast(&self, column: &SourceColumn, to: ColumnType) -> Result<DataType, String>;

    /// The schema of tables that are named without one.
    fn default_schema(&self) -> &str;

    /// Opens one consistent view of all `tables` and fixes their chunks. The view stays open on
    /// the source until [`Snapshot::close`] or drop.
    async fn open(&self, tables: &[TableRequest], session: &Session) -> Result<Box<dyn Snapshot>>;
}

/// One consistent view of all tables of a run on one source.
///
/// Chunks are disjoint and together hold each row of the view exactly once.
#[async_trait]
pub trait Snapshot: Send + Sync {
    /// The point in the source's history that this view shows.
    fn position(&self) -> &SourcePosition;

    /// All chunks of the table at `table` in the requests that opened this snapshot, never empty:
    /// a table without rows has one chunk without rows.
    fn chunks(&self, table: usize) -> &[Chunk];

    /// How many calls of [`Snapshot::read`] may usefully run at once.
    fn parallelism(&self) -> usize;

    /// Reads `chunk` into `sink`. Batches arrive in source order, with the schema that
    /// [`TableRequest::schema`] gives, on a thread that may block, never on the I/O runtime.
    /// [`BatchSink::complete`] is called once, after the source itself confirmed that the chunk is
    /// whole and how many rows it holds; on error, or when the future is dropped, the sink is
    /// dropped without it.
    ///
    /// After an error of kind `Unreachable` the chunk was lost, and may be read again. `SnapshotLost`
    /// says that this view is gone, of which no chunk counts any more: once it is closed, another
    /// one may be opened.
    async fn read(&self, chunk: &Chunk, sink: Box<dyn BatchSink>) -> Result<()>;

    /// Waits until nothing is read any more, and ends the view and its connections. Only when this
    /// succeeds did the view hold for all that was read. Dropping ends it without waiting.
    async fn close(self: Box<Self>) -> Result<()>;
}

/// Takes the rows of one chunk.
pub trait BatchSink: Send {
    /// One more batch, in source order. May block; called off the I/O runtime only.
    fn push(&mut self, batch: RecordBatch) -> Result<()>;

    /// One more batch, in source order like any other, in which NULL stands for `misfits`. There
    /// is at least one, each in a column whose [`ColumnRequest::on_mismatch`] bears it.
    fn push_misfits(&mut self, batch: RecordBatch, misfits: Vec<Misfit>) -> Result<()>;

    /// The chunk is whole: the source says that it holds `rows` rows. What was pushed counts only
    /// from here on. An error when `rows` differs from the rows that were pushed.
    fn complete(self: Box<Self>, rows: u64) -> Result<()>;

    /// Where the source's side of the chunk spent its time; told once, right before
    /// [`BatchSink::complete`].
    fn spent(&mut self, _: Timings) {}

    /// Bytes that it holds at most between two batches; a source takes them from the ceiling
    /// together with its own, before it reads.
    fn footprint(&self) -> u64 {
        0
    }

    /// Lets go of as much memory as it can, because a large row needs it. May block.
    fn relieve(&mut self) -> Result<()> {
        Ok(())
    }
}

/// What every connection to a source carries with it for the length of a run.
#[derive(Debug, Clone)]
pub struct Session {
    /// Shown to the source's DBA where the protocol allows: `longshore/<pipeline>/<run>`.
    pub label: String,
    /// The ceiling that buffers in flight are taken from, before they are filled.
    pub budget: Budget,
    /// Where a source says why it pauses.
    pub notices: Notices,
    /// How many views were lost before: a source then reads in smaller parts, of which less is lost.
    pub attempt: u32,
}

impl Session {
    /// The first session of a run, of which nobody hears.
    pub fn new(label: impl Into<String>, budget: Budget) -> Self {
        Self { label: label.into(), budget, notices: Notices::default(), attempt: 0 }
    }
}

/// A part of a table that is read in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Index of the table in the requests that opened the snapshot.
    pub table: usize,
    /// Which part.
    pub part: ChunkPart,
    /// About how many bytes the source will send; big chunks start first.
    pub estimated_bytes: u64,
}

/// Which part of a table a chunk is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChunkPart {
    /// All of it.
    Whole,
    /// The heap pages of `relation` (a table or a leaf partition) from the first to before the
    /// last; no last page means to the end.
    Pages {
        /// The relation as quoted SQL.
        relation: String,
        /// First page.
        from: u32,
        /// First page that is not part of the chunk.
        until: Option<u32>,
    },
    /// The rows of `relation` whose key lies from the first value to before the last; without one,
    /// the chunk is open at that end.
    Keys {
        /// The relation as quoted SQL.
        relation: String,
        /// The key's column as quoted SQL. It is a whole number and never NULL.
        column: String,
        /// Least value.
        from: Option<i64>,
        /// First value that is not part of the chunk.
        until: Option<i64>,
    },
    /// Rows whose row id lies in the range.
    RowIds(Range<i64>),
}

impl fmt::Display for ChunkPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => write!(f, "all"),
            Self::Pages { relation, from, until: Some(until) } => {
                write!(f, "{relation}, pages {from} to {}", until.saturating_sub(1))
            }
            Self::Pages { relation, from, until: None } => {
                write!(f, "{relation}, pages {from} to the end")
            }
            Self::Keys { relation, column, from, until } => {
                write!(f, "{relation}")?;
                from.map_or(Ok(()), |from| write!(f, ", {column} from {from}"))?;
                until.map_or(Ok(()), |until| write!(f, ", {column} below {until}"))
            }
            Self::RowIds(Range { start, end }) => write!(f, "row ids {start} to {end}"),
        }
    }
}

/// The point in a source's history that a snapshot shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourcePosition {
    /// A PostgreSQL server's replay (standby) or insert (primary) position.
    Postgres {
        /// The WAL position, `16/B374D848`.
        lsn: String,
        /// The server's system identifier, so that a restore elsewhere is told apart.
        system: String,
        /// The timeline, which a promotion changes.
        timeline: u32,
        /// Whether the server was a standby.
        standby: bool,
    },
    /// A SQLite file's state.
    Sqlite {
        /// `PRAGMA data_version` and the header's change counter.
        change_counter: u32,
        /// The file's length in bytes.
        bytes: u64,
    },
}

impl fmt::Display for SourcePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postgres { lsn, .. } => write!(f, "LSN {lsn}"),
            Self::Sqlite { change_counter, .. } => write!(f, "change {change_counter}"),
        }
    }
}

/// What a source says of itself before anything is read.
#[derive(Debug, Clone, Serialize)]
pub struct Preflight {
    /// Product and version, `PostgreSQL 15.18`.
    pub server: String,
    /// `standby`, `primary` or `file`.
    pub role: &'static str,
    /// The login, without its password.
    pub login: Option<String>,
    /// Seconds that the replica is behind, where it is one and they are known.
    pub lag_seconds: Option<f64>,
    /// Facts worth showing: each one sentence.
    pub facts: Vec<String>,
    /// Why this source must not be read, each with what would mend it.
    pub refusals: Vec<Refusal>,
}

/// One reason not to read a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// What is wrong, lowercase, without a final period.
    pub reason: String,
    /// What mends it, best a statement or a setting.
    pub remedy: String,
    /// Whether it may pass by itself.
    pub passing: bool,
}

impl Refusal {
    /// One that stands until somebody mends it.
    pub fn new(reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { reason: reason.into(), remedy: remedy.into(), passing: false }
    }

    /// The same, which may pass by itself.
    #[must_use]
    pub fn passing(self) -> Self {
        Self { passing: true, ..self }
    }
}

/// What kind of thing a source table is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TableKind {
    /// An ordinary table.
    Table,
    /// A table whose rows lie in its partitions or children.
    Partitioned,
    /// A view, materialized or not.
    View,
    /// A table that lives elsewhere.
    Foreign,
    /// The result of a query from the pipeline file.
    Query,
}

/// A table, view or query result as the source describes it.
#[derive(Debug, Clone, Serialize)]
pub struct SourceTable {
    /// The schema in the source; for a query, empty.
    pub schema: String,
    /// The name in the source; for a query, the name that the pipeline gives it.
    pub name: String,
    /// What it is.
    pub kind: TableKind,
    /// Whether the login may read all of it.
    pub readable: bool,
    /// Its columns, in order.
    pub columns: Vec<SourceColumn>,
    /// The primary key's columns, in order; empty where there is none.
    pub key: Vec<String>,
    /// About how many rows, where the source knows.
    pub estimated_rows: Option<u64>,
    /// About how many bytes, where the source knows.
    pub estimated_bytes: Option<u64>,
    /// The text of a query.
    pub query: Option<String>,
}

impl SourceTable {
    /// `schema.name`, or just the name where there is no schema.
    pub fn display_name(&self) -> String {
        if self.schema.is_empty() {
            self.name.clone()
        } else {
            format!("{}.{}", self.schema, self.name)
        }
    }
}

/// A column as the source describes it, with what becomes of it.
#[derive(Debug, Clone, Serialize)]
pub struct SourceColumn {
    /// Its name, exactly.
    pub name: String,
    /// Its type in the source's own words, `numeric(12,2)`.
    pub declared: String,
    /// Whether NULL may occur.
    pub nullable: bool,
    /// The source's own number for the type (an OID); 0 where there is none.
    pub type_id: u32,
    /// The source's own modifier of the type; −1 where there is none.
    pub type_modifier: i32,
    /// What it becomes in the warehouse.
    pub mapping: Mapping,
}

/// What becomes of a column's values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Mapping {
    /// Every value has its exact counterpart.
    Exact {
        /// The Arrow type.
        #[serde(serialize_with = "as_text")]
        data_type: DataType,
    },
    /// Every value is kept, in another form that a note explains.
    Kept {
        /// The Arrow type.
        #[serde(serialize_with = "as_text")]
        data_type: DataType,
        /// What the reader of the warehouse must know, `times of day are text`.
        note: String,
    },
    /// Ordinary values are kept; some rare ones do not fit, and stop the run unless the column's
    /// rule says otherwise.
    Guarded {
        /// The Arrow type.
        #[serde(serialize_with = "as_text")]
        data_type: DataType,
        /// Which values do not fit, and the way out.
        note: String,
    },
    /// The column can't be read as it is.
    Refused {
        /// Why, and the ways out.
        reason: String,
    },
}

fn as_text<S: serde::Serializer>(data_type: &DataType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(data_type)
}

impl Mapping {
    /// The Arrow type, where the column can be read.
    pub fn data_type(&self) -> Option<&DataType> {
        match self {
            Self::Exact { data_type }
            | Self::Kept { data_type, .. }
            | Self::Guarded { data_type, .. } => Some(data_type),
            Self::Refused { .. } => None,
        }
    }
}

/// The source that `connection` leads to; nothing is opened or connected yet. A new kind of source
/// is one folder and one line here.
///
/// # Errors
/// When the connection's URL is not one of its kind.
pub fn source(connection: &Connection) -> Result<Arc<dyn Source>> {
    Ok(match connection.kind {
        SourceKind::Postgres => Arc::new(postgres::PostgresSource::new(connection)?),
        SourceKind::Sqlite => Arc::new(sqlite::SqliteSource::new(connection)?),
    })
}
