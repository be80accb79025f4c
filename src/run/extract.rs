//! The extract step of a run: chunks of all tables of a source, through one pool of workers, into
//! the stage.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use arrow::record_batch::RecordBatch;
use tokio::task::JoinSet;

use super::{
    event::{Event, Observer},
    memory::encode_options,
    plan::PlannedSource,
    report::StepKind,
    staged::{Staged, blocking},
};
use crate::{
    error::{Error, ErrorKind, Result},
    extract::{BatchSink, Chunk, MaskingSink, Session, Snapshot, SourcePosition, TableRequest},
    stage::{ChunkWriter, EncodeOptions, Stage, TableStage},
    types::{Stopwatch, TableName, Timings},
};

/// How the first line of an error of this step begins; a table's name follows.
pub(super) const STOPPED: &str = "stopped extracting";

/// What one source came to.
pub(super) struct Extracted {
    pub(super) connection: String,
    pub(super) position: SourcePosition,
    pub(super) tables: Vec<Staged>,
}

/// Reads everything that `planned` asks for, in one snapshot. On the first error all work on this
/// source stops; dropping the future does the same.
pub(super) async fn extract(
    planned: &PlannedSource,
    stage: &Stage,
    session: &Session,
    observer: &Arc<dyn Observer>,
) -> Result<Extracted> {
    let requests: Vec<TableRequest> =
        planned.extracts.iter().map(|extract| extract.request.clone()).collect();
    // A box inside, so that the snapshot can be taken out again to be closed.
    let snapshot: Arc<Box<dyn Snapshot>> = Arc::new(planned.source.open(&requests, session).await?);
    let position = snapshot.position().clone();
    observer.event(&Event::SnapshotOpened {
        connection: planned.connection.clone(),
        position: position.to_string(),
    });
    let at_once = snapshot.parallelism().max(1);
    let encoding = planned
        .extracts
        .iter()
        .map(|extract| encode_options(&extract.parquet, session.budget.ceiling(), at_once));
    let tables = requests.into_iter().zip(encoding).collect();
    let queue = Arc::new(Queue::fill(&**snapshot, tables, stage, observer.clone())?);
    let mut workers = JoinSet::new();
    for _ in 0..at_once.min(queue.len().max(1)) {
        workers.spawn(work(snapshot.clone(), queue.clone()));
    }
    while let Some(ended) = workers.join_next().await {
        ended.map_err(|error| Error::internal(format!("a worker broke down: {error}")))??;
    }
    let Some(snapshot) = Arc::into_inner(snapshot) else {
        return Err(Error::internal("a worker outlived its work"));
    };
    snapshot.close().await?;
    let tables = queue.into_staged()?;
    Ok(Extracted { connection: planned.connection.clone(), position, tables })
}

async fn work(snapshot: Arc<Box<dyn Snapshot>>, queue: Arc<Queue>) -> Result<()> {
    while let Some(chunk) = queue.next() {
        let table = queue.table(&chunk)?;
        table.begin(&*queue.observer);
        let sink = MaskingSink::wrap(&table.request, Box::new(table.sink(queue.observer.clone())));
        snapshot
            .read(&chunk, sink)
            .await
            .map_err(|error| error.context(format!("{STOPPED} `{}`", table.request.into)))?;
        table.end_chunk(&queue).await?;
    }
    Ok(())
}

/// The chunks still to be read, big ones first, and the tables that they belong to.
struct Queue {
    chunks: Mutex<VecDeque<Chunk>>,
    tables: Vec<Arc<TableWork>>,
    staged: Mutex<BTreeMap<usize, Staged>>,
    observer: Arc<dyn Observer>,
}

impl Queue {
    fn fill(
        snapshot: &dyn Snapshot,
        requests: Vec<(TableRequest, EncodeOptions)>,
        stage: &Stage,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let mut chunks = Vec::new();
        let mut tables = Vec::new();
        for (index, (request, encoding)) in requests.into_iter().enumerate() {
            let of_table = snapshot.chunks(index);
            chunks.extend_from_slice(of_table);
            tables.push(Arc::new(TableWork {
                index,
                stage: stage.table(request.into.clone(), request.schema(), encoding)?,
                request,
                left: AtomicUsize::new(of_table.len()),
                started: Mutex::new(None),
                rows: Arc::default(),
                spent: Arc::default(),
            }));
        }
        // The last chunk to end decides the wall time, so it had better be a small one.
        chunks.sort_by_key(|chunk| std::cmp::Reverse(chunk.estimated_bytes));
        Ok(Self { chunks: Mutex::new(chunks.into()), tables, staged: Mutex::default(), observer })
    }

    fn len(&self) -> usize {
        lock(&self.chunks).len()
    }

    fn next(&self) -> Option<Chunk> {
        lock(&self.chunks).pop_front()
    }

    fn table(&self, chunk: &Chunk) -> Result<Arc<TableWork>> {
        let table = self.tables.get(chunk.table).cloned();
        table.ok_or_else(|| Error::internal("a chunk names a table that was not asked for"))
    }

    fn into_staged(self: Arc<Self>) -> Result<Vec<Staged>> {
        let staged = std::mem::take(&mut *lock(&self.staged));
        if staged.len() != self.tables.len() {
            return Err(Error::internal("a table was left unread"));
        }
        Ok(staged.into_values().collect())
    }
}

/// One table while its chunks are read.
struct TableWork {
    index: usize,
    request: TableRequest,
    stage: TableStage,
    left: AtomicUsize,
    started: Mutex<Option<Instant>>,
    rows: Arc<AtomicU64>,
    /// By the chunks that count.
    spent: Arc<Mutex<Timings>>,
}

impl TableWork {
    /// Notes the start of a chunk; the first one starts the table.
    fn begin(&self, observer: &dyn Observer) {
        let mut started = lock(&self.started);
        if started.is_none() {
            *started = Some(Instant::now());
            observer.event(&Event::TableStarted {
                table: self.request.into.clone(),
                kind: StepKind::Extract,
                estimated_rows: self.request.from.estimated_rows,
            });
        }
    }

    fn sink(&self, observer: Arc<dyn Observer>) -> StageSink {
        StageSink {
            writer: self.stage.writer(),
            table: self.request.into.clone(),
            rows: self.rows.clone(),
            observer,
            chunk: Timings::default(),
            spent: self.spent.clone(),
        }
    }

    /// Notes the end of a chunk; the last one finishes the table's files.
    async fn end_chunk(self: &Arc<Self>, queue: &Queue) -> Result<()> {
        if self.left.fetch_sub(1, Ordering::AcqRel) > 1 {
            return Ok(());
        }
        let stage = self.stage.clone();
        let mut watch = Stopwatch::start();
        let files = blocking(move || stage.finish()).await?;
        let mut spent = *lock(&self.spent);
        spent.write += watch.lap();
        let elapsed = lock(&self.started).map(|at| at.elapsed()).unwrap_or_default();
        let staged =
            Staged::new(self.request.into.clone(), StepKind::Extract, files, elapsed, spent);
        queue.observer.event(&Event::TableStaged(staged.step.clone()));
        lock(&queue.staged).insert(self.index, staged);
        Ok(())
    }
}

/// Joins a source to the stage.
struct StageSink {
    writer: ChunkWriter,
    table: TableName,
    rows: Arc<AtomicU64>,
    observer: Arc<dyn Observer>,
    /// What this chunk's source spent.
    chunk: Timings,
    spent: Arc<Mutex<Timings>>,
}

impl BatchSink for StageSink {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows() as u64;
        self.writer.push(&batch)?;
        let rows = self.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        self.observer.event(&Event::TableProgress { table: self.table.clone(), rows });
        Ok(())
    }

    fn complete(self: Box<Self>, rows: u64) -> Result<()> {
        if rows != self.writer.rows() {
            return Err(Error::new(
                ErrorKind::Data,
                format!("the source reports {rows} rows, but {} arrived", self.writer.rows()),
            ));
        }
        let mut spent = self.writer.complete(rows)?;
        spent += self.chunk;
        *lock(&self.spent) += spent;
        Ok(())
    }

    fn spent(&mut self, spent: Timings) {
        self.chunk = spent;
    }

    fn footprint(&self) -> u64 {
        self.writer.footprint()
    }

    fn relieve(&mut self) -> Result<()> {
        self.writer.relieve()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing is half done under these locks, so a panic elsewhere leaves them sound.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
