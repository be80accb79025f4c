//! Finished Parquet files, and sets of them: what a table version is made of.

use arrow::datatypes::SchemaRef;
use serde::{Deserialize, Serialize};
use url::Url;

/// One immutable Parquet file with what is known of its contents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Where it lies: `file:///…` or an object store's URL.
    pub url: Url,
    /// Rows in it.
    pub rows: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// Statistics of its top-level columns, as far as they are known; bounds are never too tight.
    pub columns: Vec<ColumnStats>,
}

/// What a file's footer says of one top-level column.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ColumnStats {
    /// The column's name.
    pub name: String,
    /// How many values are NULL.
    pub nulls: Option<u64>,
    /// No value is smaller.
    pub min: Option<Bound>,
    /// No value is larger.
    pub max: Option<Bound>,
}

/// A lower or upper bound of a column's values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bound {
    /// Of a boolean column.
    Boolean(bool),
    /// Of an integer column.
    Integer(i64),
    /// Of a floating-point column; never NaN.
    Float(f64),
    /// Of a decimal column: unscaled value and scale.
    Decimal {
        /// The value × 10^scale.
        unscaled: i128,
        /// Digits after the point.
        scale: i8,
    },
    /// Of a text column. A lower bound may be a prefix; an upper bound is never shorter than what
    /// it bounds in sort order.
    Text(String),
    /// Of a date column: days since 1970-01-01.
    Date(i32),
    /// Of a timestamp column: microseconds since 1970-01-01T00:00:00, with or without zone.
    Timestamp(i64),
}

/// A table's rows: a schema and the files that hold them, in no order.
#[derive(Debug, Clone)]
pub struct TableFiles {
    /// The canonical schema (see [`super::canonical_schema`]) of all files.
    pub schema: SchemaRef,
    /// The files.
    pub files: Vec<DataFile>,
}

impl TableFiles {
    /// A table without rows.
    pub fn empty(schema: SchemaRef) -> Self {
        Self { schema, files: Vec::new() }
    }

    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}
