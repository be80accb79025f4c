//! The YAML in the comment that starts a model's SQL file.

use super::Scope;
use crate::{
    config::{Audit, Mode, OnSchemaChange, Origin, document::Document, raw},
    error::Result,
};

/// What a model says of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelHeader {
    /// How the new rows meet the published ones.
    pub mode: Mode,
    /// The columns that tell rows apart; empty where the model doesn't say.
    pub key: Vec<String>,
    /// Checks that must hold before anything is published.
    pub audits: Vec<Audit>,
    /// What becomes of the published schema when the model's changes.
    pub on_schema_change: OnSchemaChange,
}

impl Default for ModelHeader {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            key: Vec::new(),
            audits: Vec::new(),
            on_schema_change: OnSchemaChange::accept(),
        }
    }
}

/// Reads the YAML of a model's header. `at` is where `yaml` starts in the SQL file; errors and
/// the audits' origins point into that file. Texts are taken as they are: `${…}` means nothing in
/// a model.
///
/// # Errors
/// `Model`, at the first thing that is wrong.
pub fn model_header(yaml: &str, at: &Origin) -> Result<ModelHeader> {
    if yaml.trim().is_empty() {
        return Ok(ModelHeader::default());
    }
    let document = Document::header(yaml, at);
    let written: raw::ModelHeader = document.parse()?;
    let scope = Scope { document: &document, expander: None };
    let (mode, key) = (scope.mode(written.mode.as_ref())?, scope.key(written.key.as_ref())?);
    if let (Mode::Upsert, [], Some(written)) = (mode, key.as_slice(), &written.mode) {
        return Err(scope
            .wrong(written, "`mode: upsert` needs a key")
            .hint("name the columns that tell rows apart: `key: [id]`"));
    }
    Ok(ModelHeader {
        mode,
        key,
        audits: scope.audits(written.audits.as_deref())?,
        on_schema_change: scope.model_schema_change(written.on_schema_change.as_ref())?,
    })
}
