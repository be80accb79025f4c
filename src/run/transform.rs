//! The transform step of a run: models as soon as their inputs are staged, several at once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

use super::{
    event::{Event, Observer},
    memory::encode_options,
    plan::Plan,
    report::StepKind,
    staged::{Staged, blocking},
};
use crate::{
    error::{Error, Result},
    stage::{EncodeOptions, Stage, TableStage},
    transform::{BatchStream, Engine, PlannedModel},
    types::{Stopwatch, TableFiles, TableName, Timings},
};

/// Models that run at once. Each uses every thread for itself; a second one fills the gaps.
const AT_ONCE: usize = 2;

/// Models on their way, each begun when what it reads is there.
pub(super) struct Models {
    waiting: Vec<PlannedModel>,
    /// Tables of models that have not ended; a published version of one must not be read instead.
    unmade: BTreeSet<TableName>,
    running: JoinSet<Result<Staged>>,
    engine: Arc<Engine>,
    encoding: EncodeOptions,
    observer: Arc<dyn Observer>,
}

impl Models {
    /// The models of `plan`, none of which has begun.
    pub(super) fn new(plan: &Plan, observer: Arc<dyn Observer>) -> Self {
        let models = &plan.models;
        let writers = AT_ONCE.min(models.len()) * plan.engine.threads();
        Self {
            waiting: models.clone(),
            unmade: models.iter().map(|planned| planned.model.table.clone()).collect(),
            running: JoinSet::new(),
            engine: plan.engine.clone(),
            encoding: encode_options(&plan.parquet, plan.memory(), writers),
            observer,
        }
    }

    /// The next model that is staged, or `None` when all are. `ready` holds every table that is
    /// staged or published so far; the caller adds what this returns.
    pub(super) async fn next(
        &mut self,
        stage: &Stage,
        ready: &BTreeMap<TableName, TableFiles>,
    ) -> Result<Option<Staged>> {
        while self.running.len() < AT_ONCE {
            let runnable = self.waiting.iter().position(|planned| {
                planned
                    .inputs
                    .iter()
                    .all(|input| ready.contains_key(input) && !self.unmade.contains(input))
            });
            let Some(at) = runnable else { break };
            let planned = self.waiting.remove(at);
            let inputs = planned
                .inputs
                .iter()
                .filter_map(|input| Some((input.clone(), ready.get(input)?.clone())))
                .collect();
            let table =
                stage.table(planned.model.table.clone(), planned.schema.clone(), self.encoding)?;
            self.observer.event(&Event::TableStarted {
                table: planned.model.table.clone(),
                kind: StepKind::Model,
                estimated_rows: None,
            });
            let (engine, observer) = (self.engine.clone(), self.observer.clone());
            self.running.spawn(run(planned, inputs, table, engine, observer));
        }
        match self.running.join_next().await {
            Some(ended) => {
                let staged = ended
                    .map_err(|error| Error::internal(format!("a model broke down: {error}")))??;
                self.unmade.remove(&staged.step.table);
                Ok(Some(staged))
            }
            None if self.waiting.is_empty() => Ok(None),
            None => Err(Error::internal("a model waits for a table that nobody makes")),
        }
    }
}

async fn run(
    planned: PlannedModel,
    inputs: BTreeMap<TableName, TableFiles>,
    table: TableStage,
    engine: Arc<Engine>,
    observer: Arc<dyn Observer>,
) -> Result<Staged> {
    let started = Instant::now();
    let rows = Arc::new(AtomicU64::new(0));
    let mut writers = JoinSet::new();
    for stream in engine.run_model(&planned, &inputs).await?.streams {
        let (table, rows, observer) = (table.clone(), rows.clone(), observer.clone());
        writers.spawn_blocking(move || write(stream, &table, &rows, &*observer));
    }
    let mut spent = Timings::default();
    while let Some(ended) = writers.join_next().await {
        spent +=
            ended.map_err(|error| Error::internal(format!("a writer broke down: {error}")))??;
    }
    let mut watch = Stopwatch::start();
    let files = blocking(move || table.finish()).await?;
    spent.write += watch.lap();
    let (name, elapsed) = (planned.model.table.clone(), started.elapsed());
    let staged = Staged::new(name, StepKind::Model, files, elapsed, spent);
    observer.event(&Event::TableStaged(staged.step.clone()));
    Ok(staged)
}

fn write(
    mut stream: BatchStream,
    table: &TableStage,
    total: &AtomicU64,
    observer: &dyn Observer,
) -> Result<Timings> {
    let mut writer = table.writer();
    let mut watch = Stopwatch::start();
    let mut read = Duration::ZERO;
    while let Some(batch) = stream.blocking_next() {
        let batch = batch?;
        read += watch.lap();
        writer.push(&batch)?;
        let rows = batch.num_rows() as u64;
        let rows = total.fetch_add(rows, Ordering::Relaxed) + rows;
        observer.event(&Event::TableProgress { table: table.table().clone(), rows });
        watch.lap();
    }
    read += watch.lap();
    let rows = writer.rows();
    Ok(Timings { read, ..writer.complete(rows)? })
}
