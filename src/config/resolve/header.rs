//! The YAML in the comment that starts a model's SQL file.

use super::Scope;
use crate::{
    config::{Audit, Mode, Origin, document::Document, raw, written::Texts},
    error::Result,
};

/// What a model says of itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ModelHeader {
    /// How the new rows meet the published ones.
    pub mode: Mode,
    /// The columns that tell rows apart; empty where the model doesn't say.
    pub key: Vec<String>,
    /// Checks that must hold before anything is published.
    pub audits: Vec<Audit>,
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
    Ok(ModelHeader {
        mode: scope.mode(written.mode.as_ref())?,
        key: scope.texts(Texts::entries(written.key.as_ref()))?,
        audits: scope.audits(written.audits.as_deref())?,
    })
}
