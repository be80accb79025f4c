//! `longshore schema`: JSON schemas of the YAML files, for editors.

use std::path::Path;

use super::{
    args::{Schema, SchemaOf},
    invocation::Invocation,
    talk::Outcome,
};
use crate::{
    config::{self, json_schema},
    error::{Context as _, Error, ErrorKind, Result},
};

/// Prints one schema, or writes both.
pub(crate) fn schema(args: &Schema, cli: &mut Invocation) -> Outcome {
    match args.which {
        Some(SchemaOf::Project) => cli.output.json(&json_schema(config::SchemaOf::Project)),
        Some(SchemaOf::Pipeline) => cli.output.json(&json_schema(config::SchemaOf::Pipeline)),
        None => {
            let folder = write(&cli.project()?.state_dir())?;
            cli.talk.say(&format!("wrote {folder}/project.json and {folder}/pipeline.json"));
            Ok(())
        }
    }
}

/// Writes both schemas where the first lines of the scaffolded files look for them. Returns the
/// folder, relative to the project.
pub(crate) fn write(state: &Path) -> Result<&'static str> {
    let folder = state.join("schema");
    let failed = || format!("`{}` can't be written", folder.display());
    std::fs::create_dir_all(&folder).or_fail(ErrorKind::Storage, failed)?;
    let schemas =
        [("project", config::SchemaOf::Project), ("pipeline", config::SchemaOf::Pipeline)];
    for (name, which) in schemas {
        let text = serde_json::to_string_pretty(&json_schema(which))
            .map_err(|error| Error::internal(format!("a schema can't be JSON: {error}")))?;
        std::fs::write(folder.join(name).with_extension("json"), text + "\n")
            .or_fail(ErrorKind::Storage, failed)?;
    }
    Ok(".longshore/schema")
}
