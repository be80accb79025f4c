//! What each PostgreSQL type becomes in the warehouse.

use arrow::datatypes::DataType;

use super::pg_type::PgType;
use crate::{extract::Mapping, types::ColumnType};

/// One line of the table of types.
#[derive(Debug, Clone, Copy)]
pub struct TypeRow {
    /// The PostgreSQL type.
    pub postgres: &'static str,
    /// The Arrow type.
    pub arrow: &'static str,
    /// The Delta Lake type.
    pub delta: &'static str,
    /// `exact`, `kept` or `guarded`.
    pub outcome: &'static str,
    /// What to know.
    pub note: &'static str,
}

/// What becomes of a column of type `pg`.
pub fn mapping(pg: &PgType) -> Mapping {
    Mapping::Refused { reason: pg.name.clone() }
}

/// The Arrow type that a column of type `pg` is read as when the user asks for `to`.
pub fn cast(pg: &PgType, _to: ColumnType) -> Result<DataType, String> {
    Err(pg.name.clone())
}

/// The SQL that reads `column` (quoted) of type `pg` so that it can be decoded into `target`.
pub fn select_expression(column: &str, _pg: &PgType, _target: &DataType) -> String {
    column.to_owned()
}

/// The table of types for people.
pub fn type_table() -> &'static [TypeRow] {
    &[]
}
