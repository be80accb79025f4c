//! The extract step of a run: chunks of all tables of a source, through one pool of workers, into
//! the stage.

use std::{
    collections::{BTreeMap, VecDeque},
    iter,
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
    misfits::{MisfitSorter, Tally},
    plan::{PlannedExtract, PlannedSource},
    rejects::{Provenance, RejectWriter, rejects_encoding, rejects_schema},
    report::StepKind,
    retry::{self, Retries},
    staged::{Staged, blocking},
};
use crate::{
    config::MaxRejects,
    error::{Error, ErrorKind, Result},
    extract::{
        BatchSink, Chunk, MaskingSink, Misfit, Session, Snapshot, SourcePosition, TableRequest,
    },
    stage::{ChunkWriter, EncodeOptions, Stage, TableStage},
    types::{RunId, Stopwatch, TableName, Timings},
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
    (run, session): (&RunId, &Session),
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
        let tables = planned.extracts.iter().enumerate().map(|(index, extract)| {
            let encoding = encode_options(&extract.parquet, session.budget.ceiling(), at_once);
            let from = (run.to_string(), position.to_string());
            TableWork::new((index, extract), stage, encoding, from)
        });
        let tables = tables.collect::<Result<_>>()?;
        let queue = Queue::fill(&*snapshot, tables, retries.clone(), observer.clone());
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
    staged: Mutex<BTreeMap<usize, Vec<Staged>>>,
    retries: Arc<Retries>,
    observer: Arc<dyn Observer>,
}

impl Queue {
    fn fill(
        snapshot: &dyn Snapshot,
        tables: Vec<TableWork>,
        retries: Arc<Retries>,
        observer: Arc<dyn Observer>,
    ) -> Self {
        let mut chunks = Vec::new();
        for table in &tables {
            let of_table = snapshot.chunks(table.index);
            chunks.extend_from_slice(of_table);
            table.left.store(of_table.len(), Ordering::Release);
        }
        // The last chunk to end decides the wall time, so it had better be a small one.
        chunks.sort_by_key(|chunk| std::cmp::Reverse(chunk.estimated_bytes));
        let (chunks, staged) = (Mutex::new(chunks.into()), Mutex::default());
        let tables = tables.into_iter().map(Arc::new).collect();
        Self { chunks, tables, staged, retries, observer }
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
        let stages: Vec<_> = self
            .tables
            .iter()
            .flat_map(|table| iter::once(table.stage.clone()).chain(table.rejects.clone()))
            .collect();
        blocking(move || stages.iter().try_for_each(TableStage::discard)).await
    }

    fn into_staged(self: Arc<Self>) -> Result<Vec<Staged>> {
        let staged = std::mem::take(&mut *lock(&self.staged));
        if staged.len() != self.tables.len() {
            return Err(Error::internal("a table was left unread"));
        }
        Ok(staged.into_values().flatten().collect())
    }
}

/// One table while its chunks are read.
struct TableWork {
    index: usize,
    request: TableRequest,
    stage: TableStage,
    /// Where its rejected rows go, if any may be rejected.
    rejects: Option<TableStage>,
    max_rejects: MaxRejects,
    /// The run, and the point that its source is read at.
    from: (String, String),
    left: AtomicUsize,
    started: Mutex<Option<Instant>>,
    rows: Arc<AtomicU64>,
    /// By the chunks that count.
    settled: Arc<Mutex<Settled>>,
}

/// What the chunks of a table came to that count.
#[derive(Default)]
struct Settled {
    /// Rows that the source has, kept and rejected.
    rows: u64,
    spent: Timings,
    tally: Tally,
}

impl TableWork {
    /// A table that nothing is read of yet.
    fn new(
        (index, extract): (usize, &PlannedExtract),
        stage: &Stage,
        encoding: EncodeOptions,
        from: (String, String),
    ) -> Result<Self> {
        let request = &extract.request;
        let rejects = extract
            .rejects()
            .map(|table| stage.table(table, rejects_schema(), rejects_encoding(encoding)));
        Ok(Self {
            index,
            request: request.clone(),
            stage: stage.table(request.into.clone(), request.schema(), encoding)?,
            rejects: rejects.transpose()?,
            max_rejects: extract.max_rejects,
            from,
            left: AtomicUsize::default(),
            started: Mutex::default(),
            rows: Arc::default(),
            settled: Arc::default(),
        })
    }

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
        let sink = Box::new(self.sink(chunk, queue.observer.clone()));
        let sink = MaskingSink::wrap(&self.request, sink);
        let read = snapshot.read(chunk, sink).await;
        read.map_err(|error| error.context(format!("{STOPPED} `{}`", self.request.into)))
    }

    fn sink(&self, chunk: &Chunk, observer: Arc<dyn Observer>) -> StageSink {
        let (run, position) = self.from.clone();
        let from = Provenance { run, position, part: chunk.part.to_string() };
        let rejects = self.rejects.as_ref().map(|stage| RejectWriter::new(stage, from));
        StageSink {
            writer: self.stage.writer(),
            misfits: MisfitSorter::new(&self.request, rejects),
            table: self.request.into.clone(),
            progress: Progress { total: self.rows.clone(), unsettled: 0 },
            observer,
            chunk: Timings::default(),
            settled: self.settled.clone(),
        }
    }

    /// Notes the end of a chunk; the last one finishes the table's files.
    async fn end_chunk(self: &Arc<Self>, queue: &Queue) -> Result<()> {
        let left = self.left.fetch_sub(1, Ordering::AcqRel);
        self.guard()?;
        if left > 1 {
            return Ok(());
        }
        let (stage, rejects) = (self.stage.clone(), self.rejects.clone());
        let mut watch = Stopwatch::start();
        let (files, rejects) = blocking(move || {
            let rejects = match rejects {
                Some(table) => Some((table.table().clone(), table.finish()?)),
                None => None,
            };
            Ok((stage.finish()?, rejects))
        })
        .await?;
        let settled = std::mem::take(&mut *lock(&self.settled));
        let mut spent = settled.spent;
        spent.write += watch.lap();
        let elapsed = lock(&self.started).map(|at| at.elapsed()).unwrap_or_default();
        let mut staged =
            Staged::new(self.request.into.clone(), StepKind::Extract, files, elapsed, spent);
        staged.step.misfits = settled.tally.report(&self.request);
        queue.observer.event(&Event::TableStaged(staged.step.clone()));
        if !staged.step.misfits.is_empty() {
            let what = format!("`{}`: {}", self.request.into, staged.step.misfits);
            queue.observer.event(&Event::Warning { what });
        }
        let rejects = rejects.map(|(table, files)| Staged::rejects(table, files));
        lock(&queue.staged).insert(self.index, iter::once(staged).chain(rejects).collect());
        Ok(())
    }

    /// Stops the run where more rows were rejected than may be.
    fn guard(&self) -> Result<()> {
        let settled = lock(&self.settled);
        let is_whole = self.left.load(Ordering::Acquire) == 0;
        // A share is known at the end only.
        if !is_whole && !matches!(self.max_rejects, MaxRejects::Rows(_)) {
            return Ok(());
        }
        let guarded = settled.tally.guard(self.max_rejects, settled.rows, &self.request);
        guarded.map_err(|error| error.context(format!("{STOPPED} `{}`", self.request.into)))
    }
}

/// Joins a source to the stage.
struct StageSink {
    writer: ChunkWriter,
    misfits: MisfitSorter,
    table: TableName,
    progress: Progress,
    observer: Arc<dyn Observer>,
    /// What this chunk's source spent.
    chunk: Timings,
    settled: Arc<Mutex<Settled>>,
}

impl StageSink {
    /// Rows that arrived, kept and rejected.
    fn rows(&self) -> u64 {
        self.writer.rows() + self.misfits.tally.rejected
    }

    fn tell(&mut self, arrived: usize) {
        let rows = self.progress.add(arrived as u64);
        self.observer.event(&Event::TableProgress { table: self.table.clone(), rows });
    }
}

impl BatchSink for StageSink {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        self.writer.push(&batch)?;
        self.tell(batch.num_rows());
        Ok(())
    }

    fn push_misfits(&mut self, batch: RecordBatch, misfits: Vec<Misfit>) -> Result<()> {
        let kept = self.misfits.sort(&batch, misfits, self.rows())?;
        self.writer.push(&kept)?;
        self.tell(batch.num_rows());
        Ok(())
    }

    fn complete(self: Box<Self>, rows: u64) -> Result<()> {
        let arrived = self.rows();
        if rows != arrived {
            return Err(Error::new(
                ErrorKind::Data,
                format!("the source reports {rows} rows, but {arrived} arrived"),
            ));
        }
        let Self { writer, misfits, mut progress, chunk, settled, .. } = *self;
        let kept = writer.rows();
        let encoded = writer.complete(kept)?;
        let tally = misfits.complete()?;
        progress.unsettled = 0;
        let mut settled = lock(&settled);
        settled.rows += rows;
        settled.spent += encoded;
        settled.spent += chunk;
        settled.tally.add(tally);
        Ok(())
    }

    fn spent(&mut self, spent: Timings) {
        self.chunk = spent;
    }

    fn footprint(&self) -> u64 {
        self.writer.footprint() + self.misfits.footprint()
    }

    fn relieve(&mut self) -> Result<()> {
        self.writer.relieve()?;
        self.misfits.relieve()
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
