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
    limits::{Deadline, Stopped},
    memory::encode_options,
    plan::PlannedSource,
    report::StepKind,
    retry::{self, Retries},
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

/// Reads everything that `planned` asks for, in one snapshot; in a new one, from the beginning, when
/// that is lost. On the first error that can't be mended all work on this source stops; dropping
/// the future does the same.
pub(super) async fn extract(
    planned: &PlannedSource,
    stage: &Stage,
    session: &Session,
    retries: &Arc<Retries>,
    observer: &Arc<dyn Observer>,
) -> Result<Extracted> {
    let requests = planned.requests();
    let connection = planned.connection.clone();
    // A closed window is told before the source is asked for anything.
    Deadline::of(&connection, &planned.limits)?;
    let mut snapshot = retry::open(planned, &requests, session).await?;
    for lost in 0.. {
        let deadline = Deadline::of(&connection, &planned.limits)?;
        let position = snapshot.position().clone();
        observer.event(&Event::SnapshotOpened {
            connection: connection.clone(),
            position: position.to_string(),
        });
        let at_once = snapshot.parallelism().max(1);
        let encoding = planned
            .extracts
            .iter()
            .map(|extract| encode_options(&extract.parquet, session.budget.ceiling(), at_once));
        let wanted = requests.iter().cloned().zip(encoding).collect();
        let queue = Queue::fill(&*snapshot, wanted, stage, retries.clone(), observer.clone())?;
        let queue = Arc::new(queue);
        match Deadline::bound(deadline, read(snapshot, &queue)).await {
            Ok(()) => return Ok(Extracted { connection, position, tables: queue.into_staged()? }),
            Err(Stopped::InTime(error)) => return Err(error.because(queue.reached())),
            Err(Stopped::Failed(error)) => {
                let error = retry::view(lost, error)?;
                queue.discard().await?;
                observer.event(&Event::SnapshotLost {
                    connection: connection.clone(),
                    tables: requests.iter().map(|request| request.into.clone()).collect(),
                    why: why(&error),
                });
            }
        }
        let session = Session { attempt: lost as u32 + 1, ..session.clone() };
        snapshot = retry::reopen(planned, &requests, &session).await?;
    }
    Err(Error::internal("reading came to no end"))
}

/// Reads all chunks of `snapshot` and closes it. When it was lost, nothing is at work on it any more.
async fn read(snapshot: Box<dyn Snapshot>, queue: &Arc<Queue>) -> Result<()> {
    // A box inside, so that the snapshot can be taken out again to be closed.
    let at_once = snapshot.parallelism().max(1);
    let snapshot = Arc::new(snapshot);
    let mut workers = JoinSet::new();
    for _ in 0..at_once.min(queue.len().max(1)) {
        workers.spawn(work(snapshot.clone(), queue.clone()));
    }
    let mut outcome = Ok(());
    while let Some(ended) = workers.join_next().await {
        outcome =
            ended.map_err(|error| Error::internal(format!("a worker broke down: {error}")))?;
        match &outcome {
            Ok(()) => {}
            Err(lost) if lost.kind() == ErrorKind::SnapshotLost => workers.shutdown().await,
            Err(_) => return outcome,
        }
    }
    let Some(snapshot) = Arc::into_inner(snapshot) else {
        return Err(Error::internal("a worker outlived its work"));
    };
    let closed = snapshot.close().await;
    outcome.and(closed)
}

async fn work(snapshot: Arc<Box<dyn Snapshot>>, queue: Arc<Queue>) -> Result<()> {
    while let Some(chunk) = queue.next() {
        let table = queue.table(&chunk)?;
        table.begin(&*queue.observer);
        let mut attempt = 0;
        while let Err(error) = table.read(&**snapshot, &chunk, &queue).await {
            let (pause, error) = queue.retries.chunk(attempt, error)?;
            let (table, why) = (&table.request.into, why(&error));
            let what = format!("lost a part of `{table}`, and reads it again: {why}");
            queue.observer.event(&Event::Warning { what });
            tokio::time::sleep(pause).await;
            attempt += 1;
        }
        table.end_chunk(&queue).await?;
    }
    Ok(())
}

/// What happened, without the words that say to which table.
fn why(error: &Error) -> String {
    match error.causes() {
        [] => error.what().to_owned(),
        [only] => only.clone(),
        [_, why @ ..] => why.join(": "),
    }
}

/// The chunks still to be read, big ones first, and the tables that they belong to.
struct Queue {
    chunks: Mutex<VecDeque<Chunk>>,
    tables: Vec<Arc<TableWork>>,
    staged: Mutex<BTreeMap<usize, Staged>>,
    retries: Arc<Retries>,
    observer: Arc<dyn Observer>,
}

impl Queue {
    fn fill(
        snapshot: &dyn Snapshot,
        wanted: Vec<(TableRequest, EncodeOptions)>,
        stage: &Stage,
        retries: Arc<Retries>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self> {
        let mut chunks = Vec::new();
        let mut tables = Vec::new();
        for (index, (request, encoding)) in wanted.into_iter().enumerate() {
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
        let (chunks, staged) = (Mutex::new(chunks.into()), Mutex::default());
        Ok(Self { chunks, tables, staged, retries, observer })
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

    /// How far reading has come, as a clause.
    fn reached(&self) -> String {
        let rows: u64 = self.tables.iter().map(|table| table.rows.load(Ordering::Relaxed)).sum();
        let (whole, all) = (lock(&self.staged).len(), self.tables.len());
        format!("{whole} of {all} tables had been read whole, {rows} rows in all")
    }

    /// Throws away what was staged; the same tables can be staged anew.
    async fn discard(&self) -> Result<()> {
        let stages: Vec<_> = self.tables.iter().map(|table| table.stage.clone()).collect();
        blocking(move || stages.iter().try_for_each(TableStage::discard)).await
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

    /// Reads one of its chunks into the stage; what an error leaves behind does not count.
    async fn read(&self, snapshot: &dyn Snapshot, chunk: &Chunk, queue: &Queue) -> Result<()> {
        let sink = MaskingSink::wrap(&self.request, Box::new(self.sink(queue.observer.clone())));
        let read = snapshot.read(chunk, sink).await;
        read.map_err(|error| error.context(format!("{STOPPED} `{}`", self.request.into)))
    }

    fn sink(&self, observer: Arc<dyn Observer>) -> StageSink {
        StageSink {
            writer: self.stage.writer(),
            table: self.request.into.clone(),
            progress: Progress { total: self.rows.clone(), unsettled: 0 },
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
    progress: Progress,
    observer: Arc<dyn Observer>,
    /// What this chunk's source spent.
    chunk: Timings,
    spent: Arc<Mutex<Timings>>,
}

impl BatchSink for StageSink {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let rows = batch.num_rows() as u64;
        self.writer.push(&batch)?;
        let rows = self.progress.add(rows);
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
        let Self { writer, mut progress, chunk, spent, .. } = *self;
        let encoded = writer.complete(rows)?;
        progress.unsettled = 0;
        let mut spent = lock(&spent);
        *spent += encoded;
        *spent += chunk;
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

/// One chunk's part of the rows that are shown as read; it goes when the chunk is lost.
struct Progress {
    /// Rows of the whole table.
    total: Arc<AtomicU64>,
    /// Rows of this chunk among them, until it is complete.
    unsettled: u64,
}

impl Progress {
    /// Counts `rows` more, and gives the table's.
    fn add(&mut self, rows: u64) -> u64 {
        self.unsettled += rows;
        self.total.fetch_add(rows, Ordering::Relaxed) + rows
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.total.fetch_sub(self.unsettled, Ordering::Relaxed);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing is half done under these locks, so a panic elsewhere leaves them sound.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
