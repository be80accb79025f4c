//! What may become of a published schema when what feeds it changes.

use super::Origin;

/// The rules for tables, columns and types that are not as they were published.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OnSchemaChange {
    /// For tables that a pattern finds for the first time, or finds no longer.
    pub tables: SchemaRule<TablePolicy>,
    /// For columns that are new or gone.
    pub columns: SchemaRule<ColumnPolicy>,
    /// For columns whose type changed.
    pub types: SchemaRule<TypePolicy>,
}

impl OnSchemaChange {
    /// Whatever comes is published: what a model does unless its header says otherwise, because
    /// its file is its owner's own deliberate edit.
    pub fn accept() -> Self {
        Self {
            tables: SchemaRule::default(),
            columns: SchemaRule { policy: ColumnPolicy::Accept, origin: None },
            types: SchemaRule { policy: TypePolicy::Accept, origin: None },
        }
    }
}

/// One rule and where it is written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SchemaRule<P> {
    /// The rule.
    pub policy: P,
    /// Where it is written; `None` for the default.
    pub origin: Option<Origin>,
}

/// What becomes of a table that a pattern finds for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum TablePolicy {
    /// It is extracted.
    #[default]
    Evolve,
    /// The run is refused, as it is when a published table is found no longer.
    Freeze,
    /// It is left out.
    Discard,
}

/// What becomes of a column that is new. One that is gone is refused unless all is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum ColumnPolicy {
    /// It is added.
    #[default]
    Evolve,
    /// The run is refused.
    Freeze,
    /// It is not read.
    Discard,
    /// It is added, and a column that is gone leaves the table.
    Accept,
}

/// What becomes of a column whose type changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum TypePolicy {
    /// The wider of the two types is published where it holds every value of the other one.
    #[default]
    Widen,
    /// The run is refused.
    Freeze,
    /// The new type is published.
    Accept,
}
