//! The editors' schema.

use serde_json::{Value, json};

use crate::config::{SchemaOf, json_schema};

/// Every map of keys in `schema`, as `path of keys: description`.
fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
    match schema {
        Value::Object(map) => {
            for (key, value) in map {
                if key == "properties"
                    && let Value::Object(properties) = value
                {
                    let bare =
                        properties.iter().filter(|(_, one)| one.get("description").is_none());
                    found.extend(bare.map(|(name, _)| format!("{path}.{name}")));
                }
                undescribed(value, &format!("{path}.{key}"), found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| undescribed(item, path, found)),
        _ => {}
    }
}

#[test]
fn every_key_is_described_and_no_other_is_allowed() {
    for which in [SchemaOf::Project, SchemaOf::Pipeline] {
        let schema = json_schema(which);
        let mut bare = Vec::new();
        undescribed(&schema, "", &mut bare);
        assert!(bare.is_empty(), "{bare:?}");
        assert_eq!(schema["additionalProperties"], false);
        // The one place where it is a word.
        let schema = schema.to_string().replace("\"null\",null,\"text\"", "");
        assert!(!schema.contains("\"null\""), "{schema}");
    }
}

#[test]
fn the_schema_says_what_a_key_takes() {
    let project = json_schema(SchemaOf::Project);
    let connection = &project["definitions"]["Connection"];
    assert_eq!(connection["required"], json!(["url"]));
    let lag = &connection["properties"]["max_lag"];
    assert_eq!(lag["type"], "string");
    assert_eq!(lag["description"], "How far behind a replica may be, `10m`. No limit by default.");
    let pipeline = json_schema(SchemaOf::Pipeline);
    let rule = &pipeline["definitions"]["TableRule"];
    assert_eq!(rule["oneOf"], json!([{"required": ["table"]}, {"required": ["query", "as"]}]));
    let keys = &rule["properties"];
    assert_eq!(keys["mode"]["anyOf"][0], json!({"enum": ["replace", "append", "upsert"]}));
    assert_eq!(keys["columns"]["allOf"], json!([{"$ref": "#/definitions/ColumnRules"}]));
}
