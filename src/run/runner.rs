//! The runner: carries out a plan, writes the ledger as it goes, and publishes all or nothing.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    audit,
    cancel::Cancel,
    contract::{Joins, SchemaChange},
    event::{Event, Observer},
    extract::{Extracted, STOPPED, extract},
    ledger::Ledger,
    limits::wait_until_calm,
    lock::RunLock,
    plan::{Plan, PlanOptions, Target},
    report::{AuditReport, RunReport, StepReport},
    retry::Retries,
    rewrite,
    staged::{Staged, StagedTables},
    transform::Models,
    upsert,
};
use crate::{
    config::{Mode, Pipeline, Project},
    error::{Error, Result},
    extract::{Notices, Session},
    stage::{self, Stage},
    types::{Budget, ByteSize, Generation, RunId, TableFiles, TableName},
    warehouse::{Cause, Keep, Publication, SourceRecord, TableChange, Warehouse},
};

/// Stages of ended runs are kept this long, for `longshore sql --run`.
const KEEP_STAGES: Duration = Duration::from_hours(48);

/// What becomes of a run's tables at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// They are published, all together.
    Publish,
    /// They stay in the stage, where `longshore sql --run` reads them.
    StageOnly,
}

/// What to run.
pub struct RunRequest<'a> {
    /// The project.
    pub project: Arc<Project>,
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// What was asked beyond the pipeline.
    pub options: PlanOptions,
    /// What becomes of the tables.
    pub ending: Ending,
}

/// Runs a pipeline: takes the project's run lock, settles what an earlier run left unfinished,
/// plans, and carries the plan out. Events go to `observer`; `cancel` stops the work until
/// publishing has begun.
///
/// Whatever goes wrong before the generation is written leaves readers with what they had, and the
/// error's first line says so. Every run is in the ledger, the ones that could not be planned too.
pub async fn run(
    request: RunRequest<'_>,
    observer: Arc<dyn Observer>,
    mut cancel: Cancel,
) -> Result<RunReport> {
    let began = Instant::now();
    let start = jiff::Timestamp::now();
    let run = RunId::new(start);
    let pipeline = request.pipeline.name.clone();
    let state = request.project.state_dir();
    let lock = RunLock::take(&state, &run, &pipeline)?;
    let (ledger, warning) = Ledger::open_locked(&request.project, &lock).await?;
    if let Some(what) = warning {
        observer.event(&Event::Warning { what });
    }
    let crashed = ledger.mark_crashed().await?;
    ledger.begin(&run, &pipeline, start).await?;

    let mut work = Work {
        run: run.clone(),
        ledger: ledger.clone(),
        observer: observer.clone(),
        steps: Vec::new(),
        audits: Vec::new(),
    };
    let outcome = work.plan_and_carry_out(&request, crashed, &mut cancel).await;
    let elapsed = began.elapsed();
    let result = match outcome {
        Ok(generation) => {
            let Work { steps, audits, .. } = work;
            let report = RunReport { run, pipeline, generation, steps, audits, elapsed };
            if let Err(error) = ledger.succeed(&report, jiff::Timestamp::now()).await {
                // What is published is published; the next start learns it from the warehouse.
                observer.event(&Event::Warning { what: format!("{error}; the run is through") });
            }
            Ok(report)
        }
        Err(error) => match ledger.fail(&run, &error, elapsed, jiff::Timestamp::now()).await {
            Ok(()) => Err(error),
            Err(unnoted) => Err(error.because(unnoted)),
        },
    };
    ledger.close().await;
    result
}

/// Puts what an error before the publish means for readers into its first line. An extract's error
/// begins with what it stopped at, and the pipeline's name completes the sentence.
fn explain(plan: &Plan, error: Error) -> Error {
    let (pipeline, unchanged) = (&plan.pipeline, plan.unchanged());
    if error.what().starts_with(STOPPED) {
        let what = error.what().to_owned();
        return error.retitle(format!("`{pipeline}` {what}; {unchanged}"));
    }
    error.context(format!("`{pipeline}` was not published; {unchanged}"))
}

/// A run at work.
struct Work {
    run: RunId,
    ledger: Ledger,
    observer: Arc<dyn Observer>,
    steps: Vec<StepReport>,
    audits: Vec<AuditReport>,
}

impl Work {
    async fn plan_and_carry_out(
        &mut self,
        request: &RunRequest<'_>,
        crashed: Vec<RunId>,
        cancel: &mut Cancel,
    ) -> Result<Option<Generation>> {
        let warehouse = &Warehouse::open(&request.project.warehouse)?;
        self.settle(warehouse, crashed).await?;
        let planning = async {
            wait_until_calm(&request.project, request.pipeline, &self.observer).await?;
            Plan::make(request.project.clone(), request.pipeline, &request.options).await
        };
        let plan = tokio::select! {
            plan = planning => plan?,
            error = cancel.asked() => {
                return Err(error.because("it had not begun to read; the warehouse is as it was"));
            }
        };
        if let Some(refusal) = plan.refusal() {
            return Err(refusal);
        }
        for what in plan.changes.iter().filter_map(SchemaChange::warning) {
            self.observer.event(&Event::Warning { what });
        }
        self.observer.event(&Event::Started {
            run: self.run.clone(),
            pipeline: plan.pipeline.clone(),
            extracts: plan.sources.iter().map(|source| source.extracts.len()).sum(),
            models: plan.models.len(),
        });
        self.carry_out(&plan, request.ending, warehouse, cancel).await
    }

    /// Settles what earlier runs left unfinished, in the warehouse first, and then in the ledger as
    /// the warehouse tells.
    async fn settle(&self, warehouse: &Warehouse, crashed: Vec<RunId>) -> Result<()> {
        let mut unsure = crashed;
        for recovered in warehouse.reconcile().await? {
            self.observer.event(&Event::Recovered { what: recovered.to_string() });
            unsure.push(recovered.run);
        }
        for run in unsure {
            if let Some(record) = warehouse.generation_of(&run).await? {
                self.ledger.settle(&run, record.generation, &record.published_at).await?;
            }
        }
        Ok(())
    }

    async fn carry_out(
        &mut self,
        plan: &Plan,
        ending: Ending,
        warehouse: &Warehouse,
        cancel: &mut Cancel,
    ) -> Result<Option<Generation>> {
        let staging = self.stage(plan);
        let staged = tokio::select! {
            staged = staging => staged,
            error = cancel.asked() => Err(error),
        };
        let (positions, staged) = staged.map_err(|error| explain(plan, error))?;
        match ending {
            Ending::StageOnly => Ok(None),
            Ending::Publish => self.publish(plan, warehouse, positions, staged).await.map(Some),
        }
    }

    /// Extracts, transforms and audits everything, into the stage.
    async fn stage(&mut self, plan: &Plan) -> Result<(Vec<SourceRecord>, StagedTables)> {
        let state = plan.project.state_dir();
        stage::sweep(&state, KEEP_STAGES)?;
        let stage = Stage::create(&state, &self.run)?;
        let mut staged = StagedTables::default();
        let mut positions = Vec::new();
        let targets: BTreeMap<TableName, Target> =
            plan.targets().into_iter().map(|target| (target.table.clone(), target)).collect();

        for extracted in self.extract(plan, &stage).await? {
            for table in extracted.tables {
                self.keep(plan, &stage, &targets, table, &mut staged).await?;
            }
            positions.push(SourceRecord {
                connection: extracted.connection,
                position: serde_json::to_value(&extracted.position).map_err(|error| {
                    Error::internal(format!("cannot write a position: {error}"))
                })?,
            });
        }
        stage.record(&staged.tables)?;
        let extracts: Vec<TableName> = staged.tables.keys().cloned().collect();
        for table in &extracts {
            self.audit(plan, &targets, table, &staged).await?;
        }

        let mut models = Models::new(plan, self.observer.clone());
        while let Some(table) = models.next(&stage, &readable(plan, &staged)).await? {
            let name = table.step.table.clone();
            self.keep(plan, &stage, &targets, table, &mut staged).await?;
            stage.record(&staged.tables)?;
            self.audit(plan, &targets, &name, &staged).await?;
        }
        Ok((positions, staged))
    }

    /// All sources at once, each in a snapshot of its own.
    async fn extract(&self, plan: &Plan, stage: &Stage) -> Result<Vec<Extracted>> {
        let observer = self.observer.clone();
        let session = Session {
            notices: Notices::new(move |what| observer.event(&Event::Warning { what })),
            // A quarter is left to what nobody counts: footers, connections, and what the
            // allocator keeps between two uses.
            ..Session::new(
                format!("longshore/{}/{}", plan.pipeline, self.run),
                Budget::new(ByteSize::new(plan.memory().bytes() / 4 * 3)),
            )
        };
        let (sources, retries) = (plan.sources.iter(), Arc::new(Retries::new()));
        let reads = sources.map(|planned| {
            extract(planned, stage, (&self.run, &session), &retries, &self.observer)
        });
        futures::future::try_join_all(reads).await
    }

    async fn keep(
        &mut self,
        plan: &Plan,
        stage: &Stage,
        targets: &BTreeMap<TableName, Target>,
        table: Staged,
        staged: &mut StagedTables,
    ) -> Result<()> {
        let Staged { mut files, mut step } = table;
        let mut keep = Keep::Nothing;
        if let Some(target) = targets.get(&step.table) {
            files.schema = target.schema.clone();
            // By name, so that rows of another writer are never dropped with them.
            keep = match target.joins {
                Joins::Nothing => Keep::Nothing,
                Joins::Published | Joins::Keyed => Keep::Everything,
                Joins::Rewritten | Joins::KeyedRewritten => {
                    Keep::AllBut(plan.published_files(&target.table))
                }
            };
            if target.joins == Joins::Rewritten {
                let rewritten = rewrite::published(plan, target, stage).await?;
                files.files.extend(rewritten.files);
            }
            if target.mode == Mode::Upsert {
                let merged = upsert::merge(plan, target, stage, &files).await?;
                files.files.extend(merged.rewritten);
                step.upsert = Some(merged.report);
                if !merged.gone.is_empty() {
                    keep = Keep::AllBut(merged.gone);
                }
            }
        }
        self.ledger.step(&self.run, &step).await?;
        staged.keep.insert(step.table.clone(), keep);
        staged.tables.insert(step.table.clone(), files);
        self.steps.push(step);
        Ok(())
    }

    async fn audit(
        &mut self,
        plan: &Plan,
        targets: &BTreeMap<TableName, Target>,
        table: &TableName,
        staged: &StagedTables,
    ) -> Result<()> {
        // What readers would see is put together only where somebody looks at it.
        let Some(target) = targets.get(table).filter(|target| !target.audits.is_empty()) else {
            return Ok(());
        };
        let readable = readable(plan, staged);
        for report in audit::run(plan, target, &readable).await? {
            self.ledger.audit(&self.run, &report).await?;
            self.observer.event(&Event::Audited(report.clone()));
            self.audits.push(report);
        }
        Ok(())
    }

    /// Brings the files to their place and commits them, all or none, if no blocking audit failed.
    async fn publish(
        &self,
        plan: &Plan,
        warehouse: &Warehouse,
        sources: Vec<SourceRecord>,
        mut staged: StagedTables,
    ) -> Result<Generation> {
        let failed: Vec<_> =
            self.audits.iter().filter(|audit| !audit.passed && audit.blocking).collect();
        if !failed.is_empty() {
            return Err(audit::not_published(&plan.pipeline, plan.unchanged(), &self.run, &failed));
        }
        let mut changes = Vec::new();
        for target in plan.targets() {
            let found = (staged.tables.remove(&target.table), staged.keep.remove(&target.table));
            let (Some(files), Some(keep)) = found else {
                return Err(Error::internal(format!("`{}` was never staged", target.table)));
            };
            let add = match warehouse.place(&target.table, &self.run, files.files).await {
                Ok(add) => add,
                Err(error) => {
                    let places = changes.iter().flat_map(|change: &TableChange| &change.add);
                    let places: Vec<_> = places.map(|file| file.url.clone()).collect();
                    warehouse.discard(&places).await;
                    return Err(explain(plan, error));
                }
            };
            let cause = match target.joins {
                Joins::Nothing | Joins::Rewritten => Mode::Replace,
                Joins::Published => Mode::Append,
                Joins::Keyed | Joins::KeyedRewritten => Mode::Upsert,
            };
            changes.push(TableChange {
                table: target.table,
                schema: target.schema,
                add,
                keep,
                cause: Cause::Load(cause),
                source: target.source,
                run: self.run.clone(),
            });
        }
        self.observer.event(&Event::Publishing { tables: changes.len() });
        let publication = Publication {
            run: self.run.clone(),
            pipeline: plan.pipeline.clone(),
            changes,
            sources,
            audits: self.audits.iter().map(audit::record).collect(),
        };
        let generation = warehouse.publish(publication).await?.record().generation;
        self.observer.event(&Event::Published { generation });
        Ok(generation)
    }
}

/// Every table as it would be read if the run published now: what is staged, with what it leaves
/// of what is published, and else what is published.
fn readable(plan: &Plan, staged: &StagedTables) -> BTreeMap<TableName, TableFiles> {
    let mut tables = plan.published.clone();
    for (name, new) in &staged.tables {
        let mut files = new.clone();
        let old = plan.published.get(name).into_iter().flat_map(|old| old.files.iter().cloned());
        match staged.keep.get(name) {
            Some(Keep::Everything) => files.files.extend(old),
            Some(Keep::AllBut(gone)) => {
                let gone: HashSet<_> = gone.iter().collect();
                files.files.extend(old.filter(|file| !gone.contains(&file.url)));
            }
            Some(Keep::Nothing) | None => {}
        }
        tables.insert(name.clone(), files);
    }
    tables
}
