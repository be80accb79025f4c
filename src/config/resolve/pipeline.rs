//! `pipelines/*.yml`.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::{Scope, extract::Defaults, normalized};
use crate::{
    config::{Pipeline, Project, document::Document, document::listed, raw, written::Text},
    error::{Context as _, Error, ErrorKind, Result, did_you_mean},
    types::PipelineName,
};

/// Reads the pipeline `name` of `project`.
pub(super) fn load(project: &Project, name: &str) -> Result<Pipeline> {
    let folder = project.pipelines_dir();
    let path = folder.join(format!("{name}.yml"));
    if !is_pipeline_name(name) || !path.is_file() {
        return Err(unknown(name, &names(&folder)?));
    }
    let document = Document::read(&path, &format!("pipelines/{name}.yml"))?;
    let written: raw::Pipeline = document.parse()?;
    let expander = project.connections.expander();
    let scope = Scope { document: &document, expander: Some(expander) };
    let parquet = scope.parquet(written.parquet.as_ref(), project.parquet)?;
    let on_schema_change =
        scope.on_schema_change(written.on_schema_change.as_ref(), &project.on_schema_change)?;
    let defaults = Defaults { parquet, on_schema_change };
    let extract = scope.extract(written.extract.as_deref(), &project.connections, &defaults)?;
    let transform = match &written.transform {
        Some(folder) => Some(scope.models_folder(folder, &project.root)?),
        None => None,
    };
    if extract.is_empty() && transform.is_none() {
        return Err(document
            .wrong(document.start(), "it neither extracts nor transforms")
            .hint("add `extract:` or `transform:`"));
    }
    Ok(Pipeline {
        name: PipelineName::new(name),
        description: scope.optional_text(written.description.as_ref())?,
        extract,
        transform,
        parquet,
        origin: document.start().clone(),
    })
}

/// The names of the pipelines in `folder`, sorted; none where there is no such folder.
///
/// # Errors
/// `Config` for a file that looks like a pipeline and can't be one, because of its name.
pub(super) fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.or_fail(ErrorKind::Config, unreadable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.or_fail(ErrorKind::Config, unreadable)?.path();
        let part = |part: Option<&std::ffi::OsStr>| {
            part.map(|part| part.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let (stem, extension) = (part(path.file_stem()), part(path.extension()));
        match extension.as_str() {
            "yml" if is_pipeline_name(&stem) => names.push(stem),
            "yml" | "yaml" if !stem.starts_with('.') => {
                return Err(Error::new(
                    ErrorKind::Config,
                    format!("`pipelines/{stem}.{extension}` can't be a pipeline; nothing was run"),
                )
                .because("a pipeline's file is named with letters, digits, `_` and `-`, and `.yml`")
                .hint("rename the file"));
            }
            _ => {}
        }
    }
    names.sort();
    Ok(names)
}

fn unreadable() -> String {
    "the folder `pipelines` can't be read; nothing was run".to_owned()
}

/// The name becomes a schema, part of paths and of labels that a source's DBA sees.
fn is_pipeline_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

fn unknown(name: &str, known: &[String]) -> Error {
    let error = Error::new(
        ErrorKind::Usage,
        format!("there is no pipeline `{name}` in `pipelines`; nothing was run"),
    );
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    match did_you_mean(name, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None if known.is_empty() => error.hint("start one with `longshore init`"),
        None => error.hint(format!("the pipelines are {}", listed(&known))),
    }
}

impl Scope<'_> {
    fn models_folder(&self, written: &Text, root: &Path) -> Result<PathBuf> {
        let folder = normalized(&root.join(self.text(written)?));
        if !folder.is_dir() {
            return Err(self
                .wrong(written, "there is no such folder")
                .hint("the path is relative to longshore.yml"));
        }
        Ok(folder)
    }
}
