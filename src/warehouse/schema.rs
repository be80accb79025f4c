//! A table's schema: what formats can keep, and how it may change.
//!
//! Both formats write a schema as Delta Lake's JSON, which a person can read and every Delta reader
//! knows.

use std::{collections::BTreeMap, sync::Arc};

use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::kernel::{
    StructType,
    engine::arrow_conversion::{TryIntoArrow as _, TryIntoKernel as _},
};

use super::{Keep, TableChange};
use crate::{
    error::{Error, ErrorKind, Result},
    types::{TableName, canonical_schema},
};

/// Whether a table may have this schema, or why not.
pub(super) fn check(schema: &Schema) -> Result<(), String> {
    to_delta(schema).map(|_| ())
}

/// A canonical schema as Delta Lake has it.
pub(super) fn to_delta(schema: &Schema) -> Result<StructType, String> {
    if schema.fields().is_empty() {
        return Err("it has no column".to_owned());
    }
    let mut names = BTreeMap::new();
    for field in schema.fields() {
        if let Some(other) = names.insert(field.name().to_lowercase(), field.name()) {
            return Err(format!(
                "columns `{other}` and `{}` differ in case only, which many readers can't tell apart",
                field.name()
            ));
        }
    }
    canonical_schema(schema)?.as_ref().try_into_kernel().map_err(|error| error.to_string())
}

/// The canonical schema of a Delta Lake schema.
pub(super) fn from_delta(schema: &StructType) -> Result<SchemaRef, String> {
    let arrow: Schema = schema.try_into_arrow().map_err(|error| error.to_string())?;
    canonical_schema(&arrow)
}

/// The schema of the table after `change` to a table that has `base`.
///
/// Files that stay bind it: every column of theirs must come again, with its type. New columns go
/// last and read as NULL where a file lacks them.
pub(super) fn after(change: &TableChange, base: Option<&Schema>) -> Result<SchemaRef> {
    let new = canonical_schema(&change.schema)
        .and_then(|schema| check(&schema).map(|()| schema))
        .map_err(|why| unfit(&change.table, &why))?;
    let base = match (&change.keep, base) {
        (Keep::Nothing, _) | (_, None) => return Ok(new),
        (Keep::Everything | Keep::AllBut(_), Some(base)) => base,
    };
    for field in base.fields() {
        let came = new.field_with_name(field.name()).map_err(|_| {
            unfit(&change.table, &format!("the published column `{}` is missing", field.name()))
        })?;
        if came.data_type() != field.data_type() {
            let why = format!(
                "column `{}` is published as `{}` and came as `{}`",
                field.name(),
                field.data_type(),
                came.data_type()
            );
            return Err(unfit(&change.table, &why));
        }
    }
    let added = new.fields().iter().filter(|field| base.field_with_name(field.name()).is_err());
    let fields: Vec<_> = base.fields().iter().chain(added).cloned().collect();
    let whole = Schema::new(fields);
    check(&whole).map_err(|why| unfit(&change.table, &why))?;
    Ok(Arc::new(whole))
}

fn unfit(table: &TableName, why: &str) -> Error {
    Error::new(ErrorKind::Data, format!("`{table}` can't be published with its new columns"))
        .because(why)
        .hint("publish the whole table anew, or map the columns in the pipeline")
}
