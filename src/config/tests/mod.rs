//! From YAML text to resolved types, and to what a person reads when it is wrong.

mod errors;
mod header;
mod pipelines;
mod projects;
mod schemas;

use std::{fs, path::Path};

use super::{Environment, Pipeline, Project};
use crate::error::{Error, Result};

/// A project's folder with `files` in it, gone when dropped.
struct Folder(tempfile::TempDir);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Self(folder)
    }

    /// Loads the project with one variable, `SET`, whose value is secret.
    fn load(&self) -> Result<Project> {
        let environment = Environment::new(|name| (name == "SET").then(|| "hunter2".to_owned()));
        Project::load_with(&self.path().join("longshore.yml"), &environment)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

const PROJECT: &str = "warehouse: {url: ./warehouse}\n\
                       connections:\n  shop: {url: \"sqlite:shop.db\"}\n";

/// The project in `yaml`.
fn project(yaml: &str) -> Result<Project> {
    Folder::with(&[("longshore.yml", yaml)]).load()
}

/// The pipeline `nightly` in `yaml`, in a project with the connection `shop` and a folder `sql`.
fn pipeline(yaml: &str) -> Result<Pipeline> {
    let files =
        [("longshore.yml", PROJECT), ("pipelines/nightly.yml", yaml), ("sql/a.sql", "select 1")];
    Folder::with(&files).load()?.pipeline("nightly")
}

/// The pipeline that extracts `tables` from the connection `shop`.
fn extracting(tables: &str) -> Result<Pipeline> {
    pipeline(&format!("extract:\n  - from: shop\n    tables:\n{tables}"))
}

/// An error with all its parts, one a line, as the command line lays them out.
fn rendered(error: &Error) -> String {
    let mut lines = vec![format!("{}: {}", error.kind(), error.what())];
    if let Some(place) = error.place() {
        lines.push(format!("--> {}:{}:{}: {}", place.file, place.line, place.column, place.detail));
        if let Some(line) = &place.source_line {
            lines.push(format!("|{line}"));
            lines.push(format!("|{}^", " ".repeat(place.column as usize - 1)));
        }
    }
    lines.extend(error.causes().iter().map(|cause| format!("cause: {cause}")));
    lines.extend(error.hints().iter().map(|hint| format!("hint: {hint}")));
    lines.join("\n")
}

/// The rendered error of what must fail.
fn failure<T>(result: Result<T>) -> String {
    match result {
        Ok(_) => panic!("it was accepted"),
        Err(error) => rendered(&error),
    }
}
