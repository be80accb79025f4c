//! A plan in words: what `longshore plan` and `longshore check` show.

use serde::Serialize;

use super::{
    contract::SchemaChange,
    plan::{Plan, PlannedExtract, PlannedSource},
};
use crate::{
    extract::{ColumnRequest, Mapping, Preflight, TableKind},
    transform::PlannedModel,
    types::{Generation, PipelineName, TableName},
};

/// What a run would read, make and publish.
#[derive(Debug, Clone, Serialize)]
pub struct PlanSummary {
    /// The pipeline.
    pub pipeline: PipelineName,
    /// The generation that the run would start from.
    pub base: Option<Generation>,
    /// The sources, by connection.
    pub sources: Vec<SourceSummary>,
    /// The tables to extract.
    pub extracts: Vec<ExtractSummary>,
    /// The models, in an order in which each can run.
    pub models: Vec<ModelSummary>,
    /// What is different from what is published.
    pub changes: Vec<SchemaChange>,
}

/// A source of a plan.
#[derive(Debug, Clone, Serialize)]
pub struct SourceSummary {
    /// The connection's name.
    pub connection: String,
    /// What the source said of itself.
    pub preflight: Preflight,
}

/// A table to extract.
#[derive(Debug, Clone, Serialize)]
pub struct ExtractSummary {
    /// The table in the warehouse.
    pub table: TableName,
    /// The connection's name.
    pub connection: String,
    /// The table, view or query in the source.
    pub source: String,
    /// What it is there.
    pub kind: TableKind,
    /// How its rows meet the published ones.
    pub mode: String,
    /// The columns that tell its rows apart, where known.
    pub key: Vec<String>,
    /// About how many rows, where the source knows.
    pub estimated_rows: Option<u64>,
    /// About how many bytes, where the source knows.
    pub estimated_bytes: Option<u64>,
    /// The condition that rows must meet.
    pub filter: Option<String>,
    /// What becomes of each column.
    pub columns: Vec<ColumnSummary>,
    /// How many audits must hold.
    pub audits: usize,
    /// The table that rejected rows go to, where any may be rejected.
    pub rejects: Option<TableName>,
    /// How many may be, in words, where any may.
    pub max_rejects: Option<String>,
}

/// What becomes of one column.
#[derive(Debug, Clone, Serialize)]
pub struct ColumnSummary {
    /// Its name in the warehouse.
    pub name: String,
    /// Its name in the source.
    pub source: String,
    /// Its type in the source's words.
    pub declared: String,
    /// Its type in the warehouse.
    pub published: String,
    /// Whether and how values are kept.
    pub risk: Risk,
    /// What a reader must know, where there is anything.
    pub note: Option<String>,
    /// What becomes of values that don't fit: `error`, `null` or `quarantine`.
    pub on_mismatch: String,
}

impl ColumnSummary {
    /// What becomes of values that don't fit, in words; nothing where every value fits.
    pub fn mismatch(&self) -> Option<&'static str> {
        if self.risk != Risk::Guarded && self.risk != Risk::Cast {
            return None;
        }
        Some(match self.on_mismatch.as_str() {
            "null" => "what does not fit becomes NULL",
            "quarantine" => "a row that does not fit is rejected",
            _ => "what does not fit stops the run",
        })
    }
}

/// How a column's values fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Risk {
    /// Every value has its exact counterpart.
    Exact,
    /// Every value is kept in another form.
    Kept,
    /// Rare values do not fit.
    Guarded,
    /// Read as the pipeline asks; some values may not fit.
    Cast,
    /// Made unreadable, as the pipeline asks.
    Masked,
}

/// A model to run.
#[derive(Debug, Clone, Serialize)]
pub struct ModelSummary {
    /// The table it makes.
    pub table: TableName,
    /// Its file.
    pub file: String,
    /// How its rows meet the published ones.
    pub mode: String,
    /// The columns that tell its rows apart, where its header names them.
    pub key: Vec<String>,
    /// The tables it reads.
    pub inputs: Vec<TableName>,
    /// Its columns: name and type.
    pub columns: Vec<(String, String)>,
    /// How many audits must hold.
    pub audits: usize,
}

impl Plan {
    /// The plan in words.
    pub fn summary(&self) -> PlanSummary {
        PlanSummary {
            pipeline: self.pipeline.clone(),
            base: self.base.as_ref().map(|base| base.generation),
            sources: self.sources.iter().map(source).collect(),
            extracts: self
                .sources
                .iter()
                .flat_map(|source| {
                    source.extracts.iter().map(|one| extract(&source.connection, one))
                })
                .collect(),
            models: self.models.iter().map(model).collect(),
            changes: self.changes.clone(),
        }
    }
}

fn source(source: &PlannedSource) -> SourceSummary {
    SourceSummary { connection: source.connection.clone(), preflight: source.preflight.clone() }
}

fn extract(connection: &str, extract: &PlannedExtract) -> ExtractSummary {
    let request = &extract.request;
    ExtractSummary {
        table: request.into.clone(),
        connection: connection.to_owned(),
        source: request.from.display_name(),
        kind: request.from.kind,
        mode: extract.mode.to_string(),
        key: extract.key(),
        estimated_rows: request.from.estimated_rows,
        estimated_bytes: request.from.estimated_bytes,
        filter: request.filter.clone(),
        columns: request.columns.iter().map(column).collect(),
        audits: extract.audits.len(),
        rejects: extract.rejects(),
        max_rejects: extract.rejects().map(|_| extract.max_rejects.to_string()),
    }
}

fn column(request: &ColumnRequest) -> ColumnSummary {
    let (risk, note) = match (request.mask, request.cast, &request.source.mapping) {
        (Some(mask), ..) => (Risk::Masked, Some(format!("masked: {mask}"))),
        (None, Some(to), _) => (Risk::Cast, Some(format!("read as {to}"))),
        (None, None, Mapping::Kept { note, .. }) => (Risk::Kept, Some(note.clone())),
        (None, None, Mapping::Guarded { note, .. }) => (Risk::Guarded, Some(note.clone())),
        (None, None, Mapping::Exact { .. } | Mapping::Refused { .. }) => (Risk::Exact, None),
    };
    ColumnSummary {
        name: request.field.name().clone(),
        source: request.source.name.clone(),
        declared: request.source.declared.clone(),
        published: published_type(request.field.data_type()),
        risk,
        note,
        on_mismatch: request.on_mismatch.to_string(),
    }
}

fn model(planned: &PlannedModel) -> ModelSummary {
    let columns = planned.schema.fields().iter();
    ModelSummary {
        table: planned.model.table.clone(),
        file: planned.model.origin.file.to_string(),
        mode: planned.model.mode.to_string(),
        key: planned.model.key.clone(),
        inputs: planned.inputs.clone(),
        columns: columns
            .map(|field| (field.name().clone(), published_type(field.data_type())))
            .collect(),
        audits: planned.model.audits.len(),
    }
}

/// A canonical Arrow type in the words that `cast:` uses.
pub fn published_type(data_type: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType as D;
    match data_type {
        D::Boolean => "boolean".to_owned(),
        D::Int16 => "smallint".to_owned(),
        D::Int32 => "integer".to_owned(),
        D::Int64 => "bigint".to_owned(),
        D::Float32 => "real".to_owned(),
        D::Float64 => "double".to_owned(),
        D::Decimal128(precision, scale) => format!("decimal({precision},{scale})"),
        D::Utf8View => "text".to_owned(),
        D::BinaryView => "binary".to_owned(),
        D::Date32 => "date".to_owned(),
        D::Timestamp(_, Some(_)) => "timestamp".to_owned(),
        D::Timestamp(_, None) => "timestamp_ntz".to_owned(),
        D::List(item) => format!("list<{}>", published_type(item.data_type())),
        D::Struct(fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|field| format!("{} {}", field.name(), published_type(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        D::Map(entries, _) => match entries.data_type() {
            D::Struct(pair) => {
                let pair: Vec<_> =
                    pair.iter().map(|field| published_type(field.data_type())).collect();
                format!("map<{}>", pair.join(", "))
            }
            other => format!("map<{other}>"),
        },
        other => other.to_string(),
    }
}
