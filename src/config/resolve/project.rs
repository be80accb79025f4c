//! `longshore.yml`.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use url::Url;

use super::{Connections, Scope, normalized};
use crate::{
    config::{
        Connection, Environment, Format, OnSchemaChange, Origin, ParquetConfig, Pipeline, Project,
        Secret, WarehouseConfig,
        document::Document,
        expand::Expander,
        memory::default_memory,
        raw,
        written::{At, Named, Text},
    },
    error::{Context as _, Error, ErrorKind, Result},
    types::ByteSize,
};

/// The name of a project's file.
const FILE: &str = "longshore.yml";

impl Project {
    /// The `longshore.yml` in `start` or the nearest folder above it.
    ///
    /// # Errors
    /// `Config` when there is none up to the root, or `start` does not exist.
    pub fn find(start: &Path) -> Result<PathBuf> {
        let start = start.canonicalize().or_fail(ErrorKind::Config, || {
            format!("`{}` is not a folder that can be read; nothing was run", start.display())
        })?;
        start.ancestors().map(|folder| folder.join(FILE)).find(|file| file.is_file()).ok_or_else(
            || {
                Error::new(
                    ErrorKind::Config,
                    format!(
                        "there is no `{FILE}` in `{}` or above it; nothing was run",
                        start.display()
                    ),
                )
                .hint("start a project here with `longshore init`")
            },
        )
    }

    /// Reads a project's file, with the variables of this process and of `.env` beside the file.
    ///
    /// The references of the warehouse are expanded now; those of connections only by
    /// [`Project::connection`]. Blocks while a command of the warehouse's settings runs.
    ///
    /// # Errors
    /// `Config`, at the first thing that is wrong.
    pub fn load(file: &Path) -> Result<Self> {
        Self::load_with(file, &Environment::of_process())
    }

    /// Like [`Project::load`], with variables from elsewhere.
    pub fn load_with(file: &Path, environment: &Environment) -> Result<Self> {
        let file = file.canonicalize().or_fail(ErrorKind::Config, || {
            format!("`{}` can't be read; nothing was run", file.display())
        })?;
        let root = file.parent().unwrap_or(Path::new("/")).to_owned();
        let name = file.file_name().unwrap_or(FILE.as_ref()).to_string_lossy();
        let document = Document::read(&file, &name)?;
        let written: raw::Project = document.parse()?;
        let environment = environment.with_dotenv(&root)?;
        let expander = Expander { root: root.clone(), environment };
        let scope = Scope { document: &document, expander: Some(&expander) };
        let warehouse = scope.warehouse(&written.warehouse, &root)?;
        let memory = match &written.memory {
            Some(memory) => scope.memory(memory)?,
            None => default_memory(),
        };
        let parquet = scope.parquet(written.parquet.as_ref(), ParquetConfig::default())?;
        let on_schema_change = scope
            .on_schema_change(written.on_schema_change.as_ref(), &OnSchemaChange::default())?;
        let connections = Connections::new(written.connections, document, expander)?;
        Ok(Self { root, warehouse, memory, parquet, on_schema_change, connections })
    }

    /// The names of the connections, sorted.
    pub fn connection_names(&self) -> impl Iterator<Item = &str> {
        self.connections.names()
    }

    /// The connection `name`, with its references expanded now: variables, files and commands of
    /// connections that nobody asks for are left alone. Blocks for up to ten seconds a command.
    ///
    /// # Errors
    /// `Config` when there is no such connection, or a reference of it has no value.
    pub fn connection(&self, name: &str) -> Result<Connection> {
        self.connections.get(name)
    }

    /// The pipeline in `pipelines/<name>.yml`.
    ///
    /// # Errors
    /// `Usage` when there is no such file, `Config` when something in it is wrong.
    pub fn pipeline(&self, name: &str) -> Result<Pipeline> {
        super::pipeline::load(self, name)
    }

    /// All pipelines, by name.
    ///
    /// # Errors
    /// `Config` when something in any of them is wrong.
    pub fn pipelines(&self) -> Result<Vec<Pipeline>> {
        let names = super::pipeline::names(&self.pipelines_dir())?;
        names.iter().map(|name| self.pipeline(name)).collect()
    }
}

/// Less is a slip such as a forgotten unit.
const LEAST_MEMORY: ByteSize = ByteSize::mib(64);

impl Scope<'_> {
    fn memory(&self, written: &Text) -> Result<ByteSize> {
        let memory = self.size(written)?;
        if memory < LEAST_MEMORY {
            return Err(self
                .wrong(written, format!("at least {LEAST_MEMORY} are needed"))
                .hint("write the unit too: `4GiB`"));
        }
        Ok(memory)
    }

    fn warehouse(&self, written: &At<raw::Warehouse>, root: &Path) -> Result<WarehouseConfig> {
        let raw::Warehouse { url, format, options, retention } = &written.value;
        let known = [("delta", Format::Delta), ("parquet", Format::Parquet)];
        let format = match format {
            Some(format) => self.keyword(format, "a format", &known)?,
            None => Format::Delta,
        };
        let mut settings = BTreeMap::new();
        for (name, value) in Named::entries(options.as_ref()) {
            settings.insert(name.value.clone(), Secret::new(self.any_text(value)?));
        }
        let origin: Origin = self.origin(url);
        Ok(WarehouseConfig {
            url: self.warehouse_url(url, root)?,
            format,
            options: settings,
            retention: self.retention(retention.as_ref())?,
            origin,
        })
    }

    fn warehouse_url(&self, written: &Text, root: &Path) -> Result<Url> {
        let text = self.text(written)?;
        if !text.contains("://") {
            return self.folder_url(written, &text, root);
        }
        // The URL may hold a login, so errors don't show it.
        let mut url = Url::parse(&text)
            .map_err(|error| self.wrong(written, format!("this is not a URL: {error}")))?;
        if !["file", "s3", "gs", "az", "abfss"].contains(&url.scheme()) {
            return Err(self.wrong(written, "a warehouse can't lie there").hint(
                "there are a folder, `s3://bucket/prefix`, `gs://…`, `az://…` and `abfss://…`",
            ));
        }
        if url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(self
                .wrong(written, "a warehouse's URL is a place only")
                .hint("put logins and settings under `options`"));
        }
        if url.scheme() != "file" && url.host_str().is_none_or(str::is_empty) {
            return Err(self.wrong(written, "the URL names no bucket"));
        }
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }

    fn folder_url(&self, written: &Text, text: &str, root: &Path) -> Result<Url> {
        if text.starts_with('~') {
            return Err(self
                .wrong(written, "`~` is not expanded here")
                .hint("write `${HOME}`, or a path relative to longshore.yml"));
        }
        Url::from_directory_path(normalized(&root.join(text)))
            .map_err(|()| self.wrong(written, "this is not a folder"))
    }
}
