//! The YAML files as they are written.
//!
//! Key names, their order and their doc comments are the editor's schema too: what stands above a
//! field here is what a user reads when hovering over the key. Nothing is checked here but the
//! shape; `resolve` gives meaning.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    schema,
    written::{self, At, Named, OrText, Text, Texts, Word},
};

/// A Longshore project: where published tables live, and which databases may be read.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Project {
    /// Where published tables live.
    pub(super) warehouse: At<Warehouse>,
    /// One ceiling for the large buffers of the process, `4GiB`. By default a quarter of what the
    /// machine or its cgroup has, at least 256 MiB and at most 4 GiB.
    #[schemars(with = "Option<schema::Size>")]
    pub(super) memory: Option<Text>,
    /// How Parquet files are written, unless a pipeline or a table says otherwise.
    pub(super) parquet: Option<Parquet>,
    /// What becomes of a published schema when its source changes, unless a pipeline or
    /// a table says otherwise.
    #[schemars(with = "Option<schema::WordOr<schema::AnyChange, OnSchemaChange>>")]
    pub(super) on_schema_change: Option<At<OrText<OnSchemaChange>>>,
    /// The databases that may be read, by a name of your choice.
    pub(super) connections: Option<Named<Connection>>,
}

/// Where published tables live, and how.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Warehouse {
    /// A folder (relative to this file), or `s3://bucket/prefix`, `gs://…`, `az://…`, `abfss://…`.
    #[schemars(with = "String")]
    pub(super) url: Text,
    /// The format of its tables: `delta` (Delta Lake, the default) or `parquet` (Parquet files and
    /// a manifest).
    #[schemars(with = "Option<schema::Format>")]
    pub(super) format: Option<Text>,
    /// Settings of the object store by the names that it gives them: `aws_region`,
    /// `aws_endpoint`, … Keep secrets out of this file: `${NAME}`, `${file:…}`, `${command:…}`.
    #[schemars(with = "Option<Named<schema::Scalar>>")]
    pub(super) options: Option<Named<Text>>,
    /// Which generations `longshore clean` keeps.
    pub(super) retention: Option<Retention>,
}

/// Which generations `longshore clean` keeps. The current one always stays.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Retention {
    /// The newest so many stay, whatever their age. 10 by default.
    #[schemars(with = "Option<schema::Count>")]
    pub(super) generations: Option<Text>,
    /// All that were current within this time stay, however many. `7d` by default.
    #[schemars(with = "Option<schema::Span>")]
    pub(super) age: Option<Text>,
    /// Files go this long after the last generation that holds them, so it has to be longer than
    /// any reader reads; and files that were never published when they are this old. `24h` by
    /// default.
    #[schemars(with = "Option<schema::Span>")]
    pub(super) grace: Option<Text>,
}

/// How Parquet files are written. What is left out is inherited: a table from its pipeline, a
/// pipeline from `longshore.yml`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Parquet {
    /// How pages are compressed: `zstd` (the default), `lz4`, `snappy` or `none`.
    #[schemars(with = "Option<schema::Compression>")]
    pub(super) compression: Option<Text>,
    /// How hard zstd tries, from 1 (the fastest, and the default) to 22 (the smallest files).
    #[schemars(with = "Option<schema::Level>")]
    pub(super) level: Option<Text>,
    /// A row group ends at about this many encoded bytes, from `1MiB` to `1GiB`; `64MiB` by
    /// default. It ends earlier at 1,048,576 rows, with its part of a source table, or where
    /// `memory` does not hold one for each worker.
    #[schemars(with = "Option<schema::Size>")]
    pub(super) row_group: Option<Text>,
}

/// What becomes of a published schema when its source changes: a map, or one word for all of it:
/// `evolve` (the defaults), `freeze` (nothing may change) or `accept` (whatever comes is published).
/// What is left out is inherited: a table from its pipeline, a pipeline from `longshore.yml`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct OnSchemaChange {
    /// A table that a pattern finds for the first time: `evolve` (the default) extracts it,
    /// `freeze` refuses the run, `discard` leaves it out. `freeze` also refuses the run when a
    /// published table is found no longer; otherwise that is a warning.
    #[schemars(with = "Option<schema::TablePolicy>")]
    pub(super) tables: Option<Text>,
    /// A new column: `evolve` (the default) adds it, `freeze` refuses the run, `discard` does not
    /// read it. A published column that is gone refuses the run, unless this is `accept`.
    #[schemars(with = "Option<schema::ColumnPolicy>")]
    pub(super) columns: Option<Text>,
    /// A column of another type: `widen` (the default) publishes the wider of both types where it
    /// holds every value of the other one, and refuses the run elsewhere; `freeze` always refuses;
    /// `accept` publishes the new type.
    #[schemars(with = "Option<schema::TypePolicy>")]
    pub(super) types: Option<Text>,
}

/// A database that may be read: its address, login and limits.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Connection {
    /// `postgres://user@host/database` or `sqlite:path/to/file.db` (relative to this file). Keep
    /// passwords out of this file: `${NAME}`, `${file:…}`, `${command:…}`.
    #[schemars(with = "String")]
    pub(super) url: Text,
    /// At most so many connections at once, per run. 4 by default. Of a PostgreSQL server's, one
    /// holds the snapshot and the others read; a single one does both.
    #[schemars(with = "Option<schema::Count>")]
    pub(super) connections: Option<Text>,
    /// How far behind a replica may be, `10m`. No limit by default.
    #[schemars(with = "Option<schema::Span>")]
    pub(super) max_lag: Option<Text>,
    /// The longest that one statement may take on the source, `1h30m`. No limit by default.
    #[schemars(with = "Option<schema::Span>")]
    pub(super) statement_timeout: Option<Text>,
    /// The longest that we wait for a lock, and others behind us. `10s` by default.
    #[schemars(with = "Option<schema::Span>")]
    pub(super) lock_timeout: Option<Text>,
    /// At most so many rows a second, all connections together. No limit by default.
    #[schemars(with = "Option<schema::Count>")]
    pub(super) max_rows_per_second: Option<Text>,
    /// At most so many bytes a second, all connections together, `20MiB`. No limit by default.
    #[schemars(with = "Option<schema::Size>")]
    pub(super) max_bytes_per_second: Option<Text>,
    /// The longest that a snapshot may be held, `2h`: what it shows can't be cleaned up meanwhile.
    /// Reading stops then. No limit by default.
    #[schemars(with = "Option<schema::Span>")]
    pub(super) max_transaction_age: Option<Text>,
    /// Reading pauses while more sessions of others than these are active on the server. No limit
    /// by default; the login needs `pg_read_all_stats`.
    #[schemars(with = "Option<schema::Rows>")]
    pub(super) max_active_sessions: Option<Text>,
    /// How long a run waits, before and while it reads, for `max_lag` and `max_active_sessions` to
    /// be kept. `10m` by default.
    #[schemars(with = "Option<schema::Span>")]
    pub(super) max_wait: Option<Text>,
    /// The hours in which it may be read, `22:00-05:00`, with `timezone`; reading stops when they
    /// end. At any time by default.
    pub(super) window: Option<Text>,
    /// The time zone of `window` by its IANA name, `Australia/Brisbane`.
    pub(super) timezone: Option<Text>,
    /// Whether a server that is not a replica may be read. `false` by default; it needs a `window`.
    #[schemars(with = "Option<schema::Flag>")]
    pub(super) allow_primary: Option<Text>,
}

/// A pipeline: what to extract, and which SQL models to run on it. Its name is the file's stem.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pipeline {
    /// What the pipeline is for, in your words.
    pub(super) description: Option<Text>,
    /// Which tables to read, from which connections.
    #[schemars(length(min = 1))]
    pub(super) extract: Option<Vec<At<ExtractGroup>>>,
    /// The folder of SQL models, relative to the project. Every `.sql` file below it makes one
    /// table: `mart/revenue.sql` makes `mart.revenue`.
    pub(super) transform: Option<Text>,
    /// How the Parquet files of its tables and models are written, where it differs from
    /// `longshore.yml`.
    pub(super) parquet: Option<Parquet>,
    /// What becomes of a published schema when its source changes, where it differs
    /// from `longshore.yml`. Models follow their own headers.
    #[schemars(with = "Option<schema::WordOr<schema::AnyChange, OnSchemaChange>>")]
    pub(super) on_schema_change: Option<At<OrText<OnSchemaChange>>>,
}

/// The tables to read from one connection, all in one consistent snapshot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExtractGroup {
    /// A connection of `longshore.yml`.
    #[schemars(with = "String")]
    pub(super) from: Text,
    /// The warehouse schema that the tables take. The connection's name by default.
    pub(super) into: Option<Text>,
    /// Which tables: a name or pattern (`orders`, `public.*`, `"Odd.Schema"."Odd Table"`), or a
    /// map with rules. A rule that names a table exactly beats a pattern; a later pattern beats an
    /// earlier one.
    #[schemars(length(min = 1))]
    pub(super) tables: Vec<At<OrText<TableRule>>>,
}

/// What to do with the tables that a name, pattern or query selects.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = [{"required": ["table"]}, {"required": ["query", "as"]}]))]
pub(super) struct TableRule {
    /// A table's name or a pattern: `orders`, `public.*`, `"Odd.Schema"."Odd Table"`.
    pub(super) table: Option<Text>,
    /// A SELECT statement in the source's own SQL, instead of a table. It needs `as`.
    pub(super) query: Option<Text>,
    /// The table's name in the warehouse, without a schema. The source's name by default.
    #[serde(rename = "as")]
    pub(super) name: Option<Text>,
    /// How the new rows meet the published ones: `replace` (the default), `append` or `upsert`.
    #[schemars(with = "Option<schema::Mode>")]
    pub(super) mode: Option<Text>,
    /// The columns that tell rows apart, by their names in the warehouse: what `mode: upsert` goes
    /// by, and what audits name rows by. The source's primary key by default.
    pub(super) key: Option<Texts>,
    /// Which columns to read, and what becomes of them.
    pub(super) columns: Option<At<ColumnRules>>,
    /// A condition in the source's own SQL that rows must meet.
    #[serde(rename = "where")]
    pub(super) filter: Option<Text>,
    /// What becomes of values that don't fit their column: `error` (the default) stops the run,
    /// `null` publishes NULL instead, `text` reads columns that may hold such values as text, and
    /// `quarantine` moves the row to the table's `…__rejects`.
    #[serde(default, deserialize_with = "written::word")]
    #[schemars(with = "Option<schema::OnMismatch>")]
    pub(super) on_mismatch: Option<Text>,
    /// How many rows may be rejected before the run stops: a number or a share, `1%`. By default
    /// 1 % of a table's rows, and 100 rows at least.
    #[schemars(with = "Option<schema::RowsOrShare>")]
    pub(super) max_rejects: Option<Text>,
    /// Checks that must hold before anything is published.
    pub(super) audits: Option<Vec<At<Audit>>>,
    /// How the Parquet files of these tables are written, where it differs from the pipeline.
    pub(super) parquet: Option<Parquet>,
    /// What becomes of a published schema when its source changes, where it differs
    /// from the pipeline.
    #[schemars(with = "Option<schema::WordOr<schema::AnyChange, OnSchemaChange>>")]
    pub(super) on_schema_change: Option<At<OrText<OnSchemaChange>>>,
    /// Leave these tables out.
    #[schemars(with = "Option<schema::Flag>")]
    pub(super) skip: Option<Text>,
}

/// Which columns to read, and what becomes of them. Names are the source's.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnRules {
    /// Read only these.
    pub(super) only: Option<Texts>,
    /// Do not read these.
    pub(super) drop: Option<Texts>,
    /// Read as another type: `{score: "decimal(12,4)"}`. Values that don't fit stop the run, or
    /// are dealt with as `on_mismatch` says.
    #[schemars(with = "Option<Named<schema::Type>>")]
    pub(super) cast: Option<Named<Text>>,
    /// Make unreadable before anything is written anywhere: `{email: sha256}` or
    /// `{note: redact}`.
    #[schemars(with = "Option<Named<schema::Mask>>")]
    pub(super) mask: Option<Named<Text>>,
    /// New names: `{source_name: new_name}`.
    pub(super) rename: Option<Named<Text>>,
    /// What becomes of values that don't fit: `{score: null, born: quarantine}`; there are `error`,
    /// `null`, `text` and `quarantine`.
    #[schemars(with = "Option<Named<schema::OnMismatch>>")]
    pub(super) on_mismatch: Option<Named<Word>>,
}

/// One check, and what follows when it does not hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(extend("oneOf" = schema::one_of_required(&CHECKS)))]
pub(super) struct Audit {
    /// None of these columns holds NULL.
    pub(super) not_null: Option<Texts>,
    /// No two rows agree in all of these columns. Rows with a NULL among them are not compared.
    pub(super) unique: Option<Texts>,
    /// A column holds only these values, or NULL.
    pub(super) accepted_values: Option<AcceptedValues>,
    /// Every value of a column that is not NULL occurs in a column of another table.
    pub(super) relationships: Option<Relationship>,
    /// The number of rows lies within bounds.
    pub(super) row_count: Option<At<RowCount>>,
    /// A boolean SQL expression over the table's columns that no row makes false. NULL passes.
    pub(super) expression: Option<Text>,
    /// A query that must return no row; `this` in it names the table.
    pub(super) query: Option<Text>,
    /// `error` (the default): nothing is published. `warn`: the run goes on and says so.
    #[schemars(with = "Option<schema::Severity>")]
    pub(super) severity: Option<Text>,
}

/// The keys of [`Audit`] that are checks.
pub(super) const CHECKS: [&str; 7] =
    ["not_null", "unique", "accepted_values", "relationships", "row_count", "expression", "query"];

/// A column and the values it may hold.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AcceptedValues {
    /// The column.
    #[schemars(with = "String")]
    pub(super) column: Text,
    /// Its values, compared as text.
    #[schemars(with = "Vec<schema::Scalar>", length(min = 1))]
    pub(super) values: Vec<Text>,
}

/// A column whose values occur in another table.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Relationship {
    /// The column.
    #[schemars(with = "String")]
    pub(super) column: Text,
    /// The other table, `schema.table`, of the same run or already published.
    #[schemars(with = "String")]
    pub(super) to: Text,
    /// Its column.
    #[schemars(with = "String")]
    pub(super) field: Text,
}

/// Bounds on the number of rows.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RowCount {
    /// At least so many.
    #[schemars(with = "Option<schema::Rows>")]
    pub(super) min: Option<Text>,
    /// At most so many.
    #[schemars(with = "Option<schema::Rows>")]
    pub(super) max: Option<Text>,
    /// At most this share fewer than published, `20%`. Holds when nothing is published yet.
    #[schemars(with = "Option<schema::Share>")]
    pub(super) max_shrink: Option<Text>,
    /// At most this share more than published, `300%`. Holds when nothing is published yet.
    #[schemars(with = "Option<schema::Share>")]
    pub(super) max_growth: Option<Text>,
}

/// The header of a model: the YAML in the comment that starts its SQL file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ModelHeader {
    /// How the new rows meet the published ones: `replace` (the default), `append` or `upsert`.
    pub(super) mode: Option<Text>,
    /// The columns that tell rows apart.
    pub(super) key: Option<Texts>,
    /// Checks that must hold before anything is published.
    pub(super) audits: Option<Vec<At<Audit>>>,
    /// What becomes of the published schema when the model's changes: `accept` by default.
    pub(super) on_schema_change: Option<At<OrText<OnSchemaChange>>>,
}
