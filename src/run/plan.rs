//! From a pipeline to a plan: everything a run will do, settled before a single row moves.
//!
//! Planning connects, asks each source what it is and what it holds, and plans every model and
//! audit against schemas alone. A typo in the last model costs a second here, not a night.

use std::{collections::BTreeMap, fmt, iter, sync::Arc};

use arrow::datatypes::SchemaRef;
use url::Url;

use super::{
    contract::{Contract, Joins, SchemaChange, matched, refusal},
    rejects::{rejects_schema, rejects_table},
    source, target,
    upsert::key,
};
use crate::{
    config::{
        Audit, Limits, MaxRejects, Mode, NamePattern, OnSchemaChange, Origin, ParquetConfig,
        Pipeline, Project,
    },
    error::{Error, ErrorKind, Result, did_you_mean},
    extract::{Preflight, Source, TableRequest},
    transform::{AuditTarget, Engine, EngineOptions, Model, PlannedModel, load_models},
    types::{ByteSize, Generation, PipelineName, TableFiles, TableName},
    warehouse::{GenerationRecord, TableSource, Warehouse},
};

/// What the user asked of a run beyond the pipeline itself.
#[derive(Debug, Clone, Default)]
pub struct PlanOptions {
    /// Only these tables (`schema.table`, `*` allowed); all where empty. What a selected model
    /// reads and is not selected comes from the published generation.
    pub select: Vec<String>,
    /// The tables whose changed schemas are accepted, `*` allowed.
    pub accept_schema: Vec<String>,
}

/// A run before it starts. The runner sees nothing else of the configuration.
pub struct Plan {
    /// The pipeline's name.
    pub pipeline: PipelineName,
    /// What to read, by source.
    pub sources: Vec<PlannedSource>,
    /// The models, in an order in which each can run.
    pub models: Vec<PlannedModel>,
    /// The generation that the plan starts from.
    pub base: Option<GenerationRecord>,
    /// Every published table, for models and audits to read where this run does not make it.
    pub published: BTreeMap<TableName, TableFiles>,
    /// What is different from what is published, refused changes too.
    pub changes: Vec<SchemaChange>,
    /// How the rows of each model meet the published ones.
    pub(super) model_joins: BTreeMap<TableName, Joins>,
    /// How the files of models are written.
    pub(super) parquet: ParquetConfig,
    pub(super) project: Arc<Project>,
    pub(super) warehouse: Warehouse,
    pub(super) engine: Arc<Engine>,
}

/// One source of a plan and the tables to read from it, all in one snapshot.
pub struct PlannedSource {
    /// The connection's name.
    pub connection: String,
    /// What the source said of itself.
    pub preflight: Preflight,
    /// The tables.
    pub extracts: Vec<PlannedExtract>,
    pub(super) source: Arc<dyn Source>,
    pub(super) limits: Limits,
}

impl PlannedSource {
    /// What its source is asked for, in the order of `extracts`.
    pub(super) fn requests(&self) -> Vec<TableRequest> {
        self.extracts.iter().map(|extract| extract.request.clone()).collect()
    }
}

/// One table to extract.
#[derive(Debug, Clone)]
pub struct PlannedExtract {
    /// What to read.
    pub request: TableRequest,
    /// How its rows meet the published ones.
    pub mode: Mode,
    /// The columns that tell its rows apart, as its rule names them; empty where it does not.
    pub(super) key: Vec<String>,
    /// Where its rule is written.
    pub(super) origin: Origin,
    /// What must hold before publishing.
    pub audits: Vec<Audit>,
    /// How its files are written.
    pub parquet: ParquetConfig,
    /// How many of its rows may be rejected.
    pub max_rejects: MaxRejects,
    /// The schema of the table that its rows are part of: it may have more columns.
    pub schema: SchemaRef,
    /// How its rows meet the published ones, by their columns.
    pub joins: Joins,
    /// What becomes of its published schema when the source's changes.
    pub(super) rules: OnSchemaChange,
    /// Which of its connection's groups it belongs to.
    pub(super) group: usize,
    /// Whether a pattern found it, and not its own name.
    pub(super) is_found: bool,
}

/// A table that a run makes, however it comes about.
#[derive(Debug, Clone)]
pub struct Target {
    /// The table.
    pub table: TableName,
    /// Its canonical schema.
    pub schema: SchemaRef,
    /// How its rows meet the published ones.
    pub mode: Mode,
    /// The same, by their columns.
    pub joins: Joins,
    /// Where its rows come from; `None` for a model's.
    pub source: Option<TableSource>,
    /// Columns that tell its rows apart, where known.
    pub key: Vec<String>,
    /// What must hold before publishing.
    pub audits: Vec<Audit>,
    /// How its files are written.
    pub parquet: ParquetConfig,
    /// Where its rule or its model is written.
    pub origin: Origin,
}

impl Plan {
    /// Plans `pipeline`.
    ///
    /// # Errors
    /// Everything that can be known before rows move: a source that can't or must not be read, a
    /// rule without a table, a column that can't be read, a model or audit that can't be planned.
    /// Changes that break a published schema are no error of the plan: see [`Plan::refusal`].
    pub async fn make(
        project: Arc<Project>,
        pipeline: &Pipeline,
        options: &PlanOptions,
    ) -> Result<Self> {
        let warehouse = Warehouse::open_read(&project.warehouse)?;
        let base = warehouse.current().await?;
        let engine = Arc::new(engine(&project, &warehouse)?);
        let mut sources = source::plan_sources(&project, pipeline).await?;
        let models = match &pipeline.transform {
            Some(folder) => load_models(folder, &project.root, &pipeline.name)?,
            None => Vec::new(),
        };
        refuse_twice(&sources, models.iter().map(|model| &model.table))?;

        let published = target::published(&warehouse, base.as_ref()).await?;
        let mut contract = Contract::new(&published, &options.accept_schema);
        let made = |table: &TableName| {
            let models = models.iter().map(|model| &model.table);
            tables_of(&sources).chain(models).any(|other| other == table)
        };
        contract.hold_gone_tables(pipeline, &sources, base.as_ref(), &made);
        contract.hold_sources(&mut sources);
        key::check_sources(&sources, &published)?;
        let mut known: BTreeMap<TableName, SchemaRef> =
            published.iter().map(|(name, files)| (name.clone(), files.schema.clone())).collect();
        for model in &models {
            known.remove(&model.table);
        }
        for extract in sources.iter().flat_map(|source| &source.extracts) {
            known.insert(extract.request.into.clone(), extract.schema.clone());
            known.extend(extract.rejects().map(|rejects| (rejects, rejects_schema())));
        }
        let settle = |model: &Model, schema: &SchemaRef| contract.hold_model(model, schema);
        let mut models = engine.plan_models(&models, &known, settle).await?;
        key::check_models(&models, &published)?;
        let (mut changes, model_joins) = contract.into_found();
        refuse_unmatched("accept-schema", &options.accept_schema, &sources, &models, &changes)?;
        if !options.select.is_empty() {
            // What is left out or gone can be accepted, and not be selected.
            refuse_unmatched("select", &options.select, &sources, &models, &[])?;
            select(&options.select, &mut sources, &mut models);
            changes.retain(|change| matched(&options.select, &change.table));
        }
        let plan = Self {
            pipeline: pipeline.name.clone(),
            sources,
            models,
            base,
            published,
            changes,
            model_joins,
            parquet: pipeline.parquet,
            project,
            warehouse,
            engine,
        };
        plan.settle(known).await?;
        Ok(plan)
    }

    /// The tables that the run makes, extracts first.
    pub fn targets(&self) -> Vec<Target> {
        let extracts = self.sources.iter().flat_map(|source| {
            source.extracts.iter().flat_map(|extract| {
                iter::once(extract.target(&source.connection)).chain(extract.rejects_target())
            })
        });
        let models = self.models.iter().map(|planned| Target {
            table: planned.model.table.clone(),
            schema: planned.table_schema.clone(),
            mode: planned.model.mode,
            joins: self.model_joins.get(&planned.model.table).copied().unwrap_or(Joins::Nothing),
            source: None,
            key: planned.model.key.clone(),
            audits: planned.model.audits.clone(),
            parquet: self.parquet,
            origin: planned.model.origin.clone(),
        });
        extracts.chain(models).collect()
    }

    /// The error of a run that would break a published schema, with all that it would break;
    /// `None` where every change is one that the rules allow.
    pub fn refusal(&self) -> Option<Error> {
        refusal(&self.pipeline, self.unchanged(), &self.changes)
    }

    /// What readers see while the run is at work, and after it failed: "the warehouse is unchanged
    /// at generation 41".
    pub fn unchanged(&self) -> Unchanged {
        Unchanged(self.base.as_ref().map(|base| base.generation))
    }

    /// The files of `table` that are published now.
    pub(super) fn published_files(&self, table: &TableName) -> Vec<Url> {
        let files = self.published.get(table).into_iter().flat_map(|table| &table.files);
        files.map(|file| file.url.clone()).collect()
    }

    /// `target` as its audits see it.
    pub(super) fn audit_target<'a>(&self, target: &'a Target) -> AuditTarget<'a> {
        AuditTarget {
            table: &target.table,
            key: &target.key,
            published_rows: self.published.get(&target.table).map(TableFiles::rows),
        }
    }

    /// The ceiling for large buffers.
    pub(super) fn memory(&self) -> ByteSize {
        self.project.memory
    }

    /// Checks what the plan would publish against what is published, and plans the audits.
    async fn settle(&self, mut known: BTreeMap<TableName, SchemaRef>) -> Result<()> {
        let targets = self.targets();
        target::refuse_homeless(&targets)?;
        target::refuse_folded_names(&targets, self.base.as_ref())?;
        for target in &targets {
            known.insert(target.table.clone(), target.schema.clone());
        }
        for target in &targets {
            self.check_format(target)?;
            let of = self.audit_target(target);
            self.engine.plan_audits(&of, &target.audits, &known).await?;
        }
        Ok(())
    }

    fn check_format(&self, target: &Target) -> Result<()> {
        let format = self.warehouse.table_format(self.warehouse.format());
        format.check(&target.schema).map_err(|why| {
            Error::new(
                ErrorKind::Config,
                format!("`{}` can't be kept as {format}; nothing was extracted", target.table),
            )
            .because(why)
            .hint("rename or leave out the column: `columns: {rename: …, drop: […]}`")
        })
    }
}

impl PlannedExtract {
    /// The table that its rejected rows go to, where any may be.
    pub fn rejects(&self) -> Option<TableName> {
        self.request.rejects().then(|| rejects_table(&self.request.into))
    }

    fn target(&self, connection: &str) -> Target {
        Target {
            table: self.request.into.clone(),
            schema: self.schema.clone(),
            mode: self.mode,
            joins: self.joins,
            source: Some(self.source(connection)),
            key: self.key(),
            audits: self.audits.clone(),
            parquet: self.parquet,
            origin: self.origin.clone(),
        }
    }

    fn rejects_target(&self) -> Option<Target> {
        Some(Target {
            table: self.rejects()?,
            schema: rejects_schema(),
            mode: if self.mode == Mode::Replace { Mode::Replace } else { Mode::Append },
            joins: match self.mode {
                Mode::Replace => Joins::Nothing,
                // They have no key: what was rejected once is not taken back.
                Mode::Append | Mode::Upsert => Joins::Published,
            },
            source: None,
            key: Vec::new(),
            audits: Vec::new(),
            parquet: self.parquet,
            origin: self.origin.clone(),
        })
    }

    fn source(&self, connection: &str) -> TableSource {
        let from = &self.request.from;
        TableSource {
            connection: connection.to_owned(),
            schema: from.schema.clone(),
            table: from.name.clone(),
        }
    }

    /// The columns that tell its rows apart: those that its rule names, or else the source's
    /// primary key under its warehouse names, where all of it is read.
    pub fn key(&self) -> Vec<String> {
        if !self.key.is_empty() {
            return self.key.clone();
        }
        let named = |key: &String| {
            let column = self.request.columns.iter().find(|column| column.source.name == *key)?;
            Some(column.field.name().clone())
        };
        self.request.from.key.iter().map(named).collect::<Option<_>>().unwrap_or_default()
    }
}

/// Says what readers see when a run does not publish.
#[derive(Debug, Clone, Copy)]
pub struct Unchanged(Option<Generation>);

#[cfg(test)]
impl Unchanged {
    pub(super) fn at(generation: u64) -> Self {
        Self(Some(Generation(generation)))
    }
}

impl fmt::Display for Unchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(generation) => write!(f, "the warehouse is unchanged at generation {generation}"),
            None => write!(f, "the warehouse is still empty"),
        }
    }
}

/// An engine for `project` over files in `warehouse` and on this machine.
///
/// # Errors
/// `Storage` when its spill folder can't be made.
pub fn engine(project: &Project, warehouse: &Warehouse) -> Result<Engine> {
    // A quarter is left to what DataFusion does not count: Parquet pages being read and written.
    let memory = ByteSize::new(project.memory.bytes() / 4 * 3);
    let stores = if warehouse.is_local() {
        Vec::new()
    } else {
        vec![(warehouse.url().clone(), warehouse.store().clone())]
    };
    Engine::new(EngineOptions {
        memory,
        spill_dir: project.state_dir().join("spill"),
        threads: std::thread::available_parallelism().map_or(2, usize::from),
        stores,
    })
}

fn refuse_twice<'a>(
    sources: &[PlannedSource],
    models: impl Iterator<Item = &'a TableName>,
) -> Result<()> {
    let mut seen = BTreeMap::new();
    let extracts = sources.iter().flat_map(|source| {
        source.extracts.iter().flat_map(|extract| {
            let own = (extract.request.into.clone(), format!("connection `{}`", source.connection));
            let rejects = extract.rejects().map(|rejects| {
                (rejects, format!("rows of `{}` that are rejected", extract.request.into))
            });
            iter::once(own).chain(rejects)
        })
    });
    let models = models.map(|table| (table.clone(), "a model".to_owned()));
    for (table, from) in extracts.chain(models) {
        if let Some(first) = seen.insert(table.clone(), from.clone()) {
            return Err(Error::new(
                ErrorKind::Config,
                format!("two tables would be published as `{table}`; nothing was extracted"),
            )
            .because(format!("one comes from {first}, the other from {from}"))
            .hint("give one of them another schema with `into:`, or another name with `as:`"));
        }
    }
    Ok(())
}

fn tables_of(sources: &[PlannedSource]) -> impl Iterator<Item = &TableName> {
    sources.iter().flat_map(|source| &source.extracts).map(|extract| &extract.request.into)
}

/// Refuses a pattern of the option `--flag` that means no table that a plan knows.
fn refuse_unmatched(
    flag: &str,
    wanted: &[String],
    sources: &[PlannedSource],
    models: &[PlannedModel],
    changes: &[SchemaChange],
) -> Result<()> {
    let changed = changes.iter().map(|change| &change.table);
    let models = models.iter().map(|planned| &planned.model.table);
    let mut names: Vec<String> =
        tables_of(sources).chain(models).chain(changed).map(TableName::to_string).collect();
    names.sort();
    names.dedup();
    for pattern in wanted {
        if !names.iter().any(|name| NamePattern::from(pattern.as_str()).matches(name)) {
            let error = Error::new(
                ErrorKind::Usage,
                format!(
                    "`--{flag} {pattern}` matches no table of the pipeline; nothing was extracted"
                ),
            );
            return Err(match did_you_mean(pattern, names.iter().map(String::as_str)) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint(format!("the pipeline makes {}", names.join(", "))),
            });
        }
    }
    Ok(())
}

fn select(wanted: &[String], sources: &mut Vec<PlannedSource>, models: &mut Vec<PlannedModel>) {
    for source in sources.iter_mut() {
        source.extracts.retain(|extract| matched(wanted, &extract.request.into));
    }
    sources.retain(|source| !source.extracts.is_empty());
    models.retain(|planned| matched(wanted, &planned.model.table));
}
