//! The configuration as it is meant.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use url::Url;

use super::{
    Audit, MaxRejects, OnMismatch, OnSchemaChange, Origin, Secret, TablePattern,
    resolve::Connections,
};
use crate::types::{ByteSize, ColumnType, PipelineName, Window};

/// A project: `longshore.yml` and what lies beside it.
pub struct Project {
    /// The folder of `longshore.yml`, absolute.
    pub root: PathBuf,
    /// Where published tables live.
    pub warehouse: WarehouseConfig,
    /// The one ceiling for the process's large buffers.
    pub memory: ByteSize,
    /// How Parquet files are written, unless a pipeline or a table says otherwise.
    pub parquet: ParquetConfig,
    /// What becomes of published schemas, unless a pipeline or a table says otherwise.
    pub on_schema_change: OnSchemaChange,
    /// The connections as they are written; see [`Project::connection`].
    pub(super) connections: Connections,
}

impl Project {
    /// The folder of everything local that is not the warehouse: stage, ledger, sample data.
    pub fn state_dir(&self) -> PathBuf {
        self.root.join(".longshore")
    }

    /// The folder of the pipeline files.
    pub fn pipelines_dir(&self) -> PathBuf {
        self.root.join("pipelines")
    }
}

/// Where published tables live, and how.
pub struct WarehouseConfig {
    /// `file:///…/`, `s3://bucket/prefix/`, `gs://…/`, `az://…/`; ends with a slash.
    pub url: Url,
    /// The format of its tables.
    pub format: Format,
    /// Settings of the object store by the names that object stores give them
    /// (`aws_endpoint`, `aws_region`, …), values possibly secret.
    pub options: BTreeMap<String, Secret>,
    /// What it keeps of its past.
    pub retention: Retention,
    /// Where it is written.
    pub origin: Origin,
}

/// What a warehouse keeps of its past. The current generation always stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The newest so many generations stay, whatever their age.
    pub generations: usize,
    /// All generations that were current within this time stay, however many.
    pub age: Duration,
    /// Files go this long after the last generation that holds them, or after they were put there
    /// where none ever did.
    pub grace: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self { generations: 10, age: Duration::from_hours(7 * 24), grace: Duration::from_hours(24) }
    }
}

/// A table format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Format {
    /// Delta Lake.
    Delta,
    /// Plain Parquet files and a manifest.
    Parquet,
}

/// How Parquet files are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParquetConfig {
    /// How pages are compressed.
    pub compression: Compression,
    /// A row group ends at about this many encoded bytes at the latest.
    pub row_group: ByteSize,
}

impl Default for ParquetConfig {
    fn default() -> Self {
        Self { compression: Compression::Zstd { level: 1 }, row_group: ByteSize::mib(64) }
    }
}

/// How the pages of a Parquet file are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Zstandard.
    Zstd {
        /// From 1 (fastest) to 22 (smallest).
        level: u8,
    },
    /// LZ4, in the variant that Parquet calls `LZ4_RAW`.
    Lz4,
    /// Snappy.
    Snappy,
    /// Not at all.
    None,
}

/// A source's address, login and limits.
#[derive(Clone)]
pub struct Connection {
    /// Its name in `longshore.yml`.
    pub name: String,
    /// Which source it is.
    pub kind: SourceKind,
    /// The whole URL, credentials included. A relative `sqlite:` path is already joined to the root.
    pub url: Secret,
    /// Where files lie that the URL names, or that clients of its kind look for by themselves.
    pub files: ClientFiles,
    /// Whether a server that is not a replica may be read.
    pub allow_primary: bool,
    /// What a run must not exceed on it.
    pub limits: Limits,
    /// Where it is written.
    pub origin: Origin,
}

/// What a run must not exceed on a source.
#[derive(Debug, Clone)]
pub struct Limits {
    /// At most so many connections at once.
    pub connections: usize,
    /// How far behind a replica may be.
    pub max_lag: Option<Duration>,
    /// The longest that one statement may take.
    pub statement_timeout: Option<Duration>,
    /// The longest that we wait for a lock.
    pub lock_timeout: Duration,
    /// At most so many rows a second, all connections together.
    pub rows_per_second: Option<u64>,
    /// At most so many bytes a second, all connections together.
    pub bytes_per_second: Option<ByteSize>,
    /// The longest that a snapshot may be held.
    pub transaction_age: Option<Duration>,
    /// At most so many active sessions of others, or reading pauses.
    pub active_sessions: Option<u32>,
    /// How long to wait for lag and sessions to be under their limits.
    pub max_wait: Duration,
    /// When it may be read.
    pub window: Option<Window>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4,
            max_lag: None,
            statement_timeout: None,
            lock_timeout: Duration::from_secs(10),
            rows_per_second: None,
            bytes_per_second: None,
            transaction_age: None,
            active_sessions: None,
            max_wait: Duration::from_mins(10),
            window: None,
        }
    }
}

/// Where a client's files lie: certificates, keys, passwords.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// What relative paths are relative to: the project's folder.
    pub root: PathBuf,
    /// `PGPASSFILE`, where it is set.
    pub passfile: Option<PathBuf>,
    /// The user's home, where it is known.
    pub home: Option<PathBuf>,
}

/// Which source a connection leads to, by its URL's scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// `postgres://`, `postgresql://`
    Postgres,
    /// `sqlite:`
    Sqlite,
}

/// One pipeline file.
pub struct Pipeline {
    /// The file's stem.
    pub name: PipelineName,
    /// What it is for, in the user's words.
    pub description: Option<String>,
    /// What to extract, from where.
    pub extract: Vec<ExtractGroup>,
    /// The folder of its models, absolute, where it has any.
    pub transform: Option<PathBuf>,
    /// How the Parquet files of its models are written.
    pub parquet: ParquetConfig,
    /// The start of its file.
    pub origin: Origin,
}

/// The tables to take from one connection.
pub struct ExtractGroup {
    /// The connection's name; it exists.
    pub from: String,
    /// The warehouse schema that the tables take.
    pub into: String,
    /// Which tables, in the order written.
    pub tables: Vec<TableRule>,
    /// Where it is written.
    pub origin: Origin,
}

/// What to do with the source tables that a selection names.
#[derive(Clone)]
pub struct TableRule {
    /// Which.
    pub selection: Selection,
    /// Leave them out.
    pub skip: bool,
    /// The name in the warehouse, where it is not the source's (one table only).
    pub rename: Option<String>,
    /// How the new rows meet the published ones.
    pub mode: Mode,
    /// The columns that tell rows apart, by their names in the warehouse; empty where the rule
    /// does not say.
    pub key: Vec<String>,
    /// Which columns, and what becomes of them.
    pub columns: ColumnRules,
    /// A condition in the source's SQL that rows must meet.
    pub filter: Option<String>,
    /// What becomes of values that don't fit, where [`ColumnRules::on_mismatch`] does not say.
    pub on_mismatch: OnMismatch,
    /// How many rows may be rejected.
    pub max_rejects: MaxRejects,
    /// Checks before publishing.
    pub audits: Vec<Audit>,
    /// How its Parquet files are written.
    pub parquet: ParquetConfig,
    /// What becomes of its published schema when the source's changes.
    pub on_schema_change: OnSchemaChange,
    /// Where it is written.
    pub origin: Origin,
}

/// What a table rule selects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Tables and views by name or pattern.
    Tables(TablePattern),
    /// The result of one SELECT statement in the source's SQL, under a name of its own.
    Query {
        /// The table's name in the warehouse.
        name: String,
        /// The statement.
        sql: String,
    },
}

impl Selection {
    /// Whether it may find tables that it does not name.
    pub fn is_pattern(&self) -> bool {
        matches!(self, Self::Tables(pattern) if !pattern.is_exact())
    }
}

/// How new rows meet the published ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// The new rows are the table.
    #[default]
    Replace,
    /// The new rows are added to the table.
    Append,
    /// The new rows are added to the table, and take the place of those with the same key.
    Upsert,
}

/// Which columns to take, and what becomes of them. Names are the source's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ColumnRules {
    /// Only these, where given.
    pub only: Option<Vec<String>>,
    /// Not these.
    pub drop: Vec<String>,
    /// Read as another type.
    pub cast: BTreeMap<String, ColumnType>,
    /// Made unreadable before anything is written anywhere.
    pub mask: BTreeMap<String, Mask>,
    /// New names, source name first.
    pub rename: BTreeMap<String, String>,
    /// What becomes of values that don't fit, where it is not what the table's rule says.
    pub on_mismatch: BTreeMap<String, OnMismatch>,
}

/// How a column is made unreadable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Mask {
    /// The SHA-256 of the value's text, in hexadecimal: equal values stay equal. NULL stays NULL.
    Sha256,
    /// The text `***`. NULL stays NULL.
    Redact,
}
