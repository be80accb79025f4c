//! What every verb works with.

use std::path::Path;

use super::{
    args::Global,
    interrupt::Interrupts,
    talk::{Output, Talk},
};
use crate::{
    config::{Project, WarehouseConfig},
    error::Result,
};

/// One call of the program.
pub(crate) struct Invocation {
    /// The options that every verb takes.
    pub(crate) global: Global,
    /// Where results go.
    pub(crate) output: Output,
    /// Where everything else goes.
    pub(crate) talk: Talk,
    /// Whether somebody wants it to end.
    pub(crate) interrupts: Interrupts,
}

impl Invocation {
    /// The project that `--project` names, or else the nearest one from here upwards.
    pub(crate) fn project(&self) -> Result<Project> {
        let file = match &self.global.project {
            Some(path) if path.is_file() => path.clone(),
            Some(folder) => folder.join("longshore.yml"),
            None => Project::find(Path::new("."))?,
        };
        Project::load(&file)
    }
}

/// Where a warehouse is, for people: relative to the project where it lies there.
pub(crate) fn place_of(warehouse: &WarehouseConfig, root: &Path) -> String {
    let Ok(path) = warehouse.url.to_file_path() else { return warehouse.url.to_string() };
    match path.strip_prefix(root) {
        Ok(inside) => format!("./{}", inside.display()),
        Err(_) => path.display().to_string(),
    }
}
