//! The JSON schema of the YAML files, for editors.
//!
//! It is derived from [`super::raw`], so that it can't drift from what is accepted. The types here
//! only describe scalars more closely than "a text": each also admits a `${…}`.

use std::{borrow::Cow, marker::PhantomData};

use schemars::{
    JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema,
    transform::transform_subschemas,
};
use serde_json::{Value, json};

use super::raw;

/// Which file a schema describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaOf {
    /// `longshore.yml`
    Project,
    /// `pipelines/*.yml`
    Pipeline,
}

/// The JSON schema (draft 7, which every editor reads) of `which`, with a description for each key.
pub fn json_schema(which: SchemaOf) -> Value {
    let generator = SchemaSettings::draft07().with_transform(without_null).into_generator();
    let schema = match which {
        SchemaOf::Project => generator.into_root_schema_for::<raw::Project>(),
        SchemaOf::Pipeline => generator.into_root_schema_for::<raw::Pipeline>(),
    };
    schema.to_value()
}

/// A key may be left out, but an editor should not offer `null` for it.
fn without_null(schema: &mut Schema) {
    transform_subschemas(&mut without_null, schema);
    let is_null = |part: &Value| part.get("type").is_some_and(|kind| kind == "null");
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [only] = kinds.as_slice() {
            let only = only.clone();
            schema.insert("type".to_owned(), only);
        }
    }
    if let Some(Value::Array(parts)) = schema.get_mut("anyOf") {
        parts.retain(|part| !is_null(part));
        if let [Value::Object(only)] = parts.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            if only.contains_key("$ref") {
                // In draft 7 a `$ref` hides what stands beside it, such as the description.
                schema.insert("allOf".to_owned(), json!([only]));
            } else {
                only.into_iter().for_each(|(key, value)| drop(schema.insert(key, value)));
            }
        }
    }
}

/// `oneOf` for a map that must hold exactly one of `keys`.
pub(super) fn one_of_required(keys: &[&str]) -> Value {
    keys.iter().map(|key| json!({ "required": [key] })).collect()
}

/// What an interpolated text looks like.
const INTERPOLATED: &str = r"\$\{.+\}";

/// A type that stands for a scalar in the schema only.
macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident, $schema:expr) => {
        $(#[$doc])*
        pub(super) struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

/// One of the words of `W`, or a map `T`.
pub(super) struct WordOr<W, T>(PhantomData<(W, T)>);

impl<W: JsonSchema, T: JsonSchema> JsonSchema for WordOr<W, T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("{}Or{}", W::schema_name(), T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (word, map) = (generator.subschema_for::<W>(), generator.subschema_for::<T>());
        json_schema!({ "oneOf": [word, map] })
    }
}

fn text(pattern: &str) -> Schema {
    json_schema!({ "type": "string", "pattern": format!("^({pattern})$|{INTERPOLATED}") })
}

fn keyword(words: &[&str]) -> Schema {
    json_schema!({ "anyOf": [{ "enum": words }, { "type": "string", "pattern": INTERPOLATED }] })
}

fn number(minimum: u64) -> Schema {
    json_schema!({
        "type": ["integer", "string"], "minimum": minimum, "pattern": format!("^[0-9]+$|{INTERPOLATED}")
    })
}

scalar!(
    /// Any text, number or boolean.
    Scalar,
    json_schema!({ "type": ["string", "number", "boolean"] })
);
scalar!(
    /// A size in bytes.
    Size,
    json_schema!({
        "type": ["integer", "string"],
        "pattern": format!(r"^[0-9.]+ *([kKmMgGtT][iI]?)?[bB]?$|{INTERPOLATED}")
    })
);
scalar!(
    /// A length of time.
    Span,
    text(r"[0-9]+ *[a-zA-Zµ]+([ ,]*[0-9]+ *[a-zA-Zµ]+)*")
);
scalar!(
    /// A number of connections.
    Count,
    number(1)
);
scalar!(
    /// A number of rows.
    Rows,
    number(0)
);
scalar!(
    /// A share in percent.
    Share,
    text(r"[0-9]+(\.[0-9]+)? *%")
);
scalar!(
    /// True or false.
    Flag,
    json_schema!({ "type": ["boolean", "string"], "pattern": format!("^(true|false)$|{INTERPOLATED}") })
);
scalar!(
    /// A warehouse's table format.
    Format,
    keyword(&["delta", "parquet"])
);
scalar!(
    /// How Parquet pages are compressed.
    Compression,
    keyword(&["zstd", "lz4", "snappy", "none"])
);
scalar!(
    /// How hard zstd tries.
    Level,
    json_schema!({
        "type": ["integer", "string"], "minimum": 1, "maximum": 22,
        "pattern": format!("^[0-9]+$|{INTERPOLATED}")
    })
);
scalar!(
    /// How new rows meet published ones.
    Mode,
    keyword(&["replace", "append", "upsert"])
);
scalar!(
    /// What becomes of any change of a schema.
    AnyChange,
    keyword(&["evolve", "freeze", "accept"])
);
scalar!(
    /// What becomes of new tables.
    TablePolicy,
    keyword(&["evolve", "freeze", "discard"])
);
scalar!(
    /// What becomes of new columns.
    ColumnPolicy,
    keyword(&["evolve", "freeze", "discard", "accept"])
);
scalar!(
    /// What becomes of changed types.
    TypePolicy,
    keyword(&["widen", "freeze", "accept"])
);
scalar!(
    /// How a column is made unreadable.
    Mask,
    keyword(&["sha256", "redact"])
);
scalar!(
    /// A number of rows, or a share of them in percent.
    RowsOrShare,
    json_schema!({
        "type": ["integer", "string"], "minimum": 0,
        "pattern": format!(r"^[0-9]+(\.[0-9]+)? *%?$|{INTERPOLATED}")
    })
);
scalar!(
    /// What becomes of a value that does not fit its column.
    OnMismatch,
    // Without quotes, `null` is no text to an editor.
    json_schema!({ "anyOf": [
        { "enum": ["error", "null", null, "text", "quarantine"] },
        { "type": "string", "pattern": INTERPOLATED },
    ] })
);
scalar!(
    /// What follows when an audit does not hold.
    Severity,
    keyword(&["error", "warn"])
);
scalar!(
    /// A column type of `cast`.
    Type,
    json_schema!({
        "type": "string",
        "examples": [
            "boolean", "smallint", "integer", "bigint", "real", "double", "decimal(18,2)", "text",
            "binary", "date", "timestamp", "timestamp_ntz"
        ]
    })
);
