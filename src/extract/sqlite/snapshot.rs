//! One state of a SQLite file, read by several connections.
//!
//! A read transaction sees the file as it was at its first read. That all readers began in the same
//! state is proved, not assumed: the first one asks for `PRAGMA data_version` before the others
//! begin, and again inside its own transaction; the same number means that nobody committed in
//! between. Where that can't be had, one reader does the work alone.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
    time::Duration,
};

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
};

use super::{
    File, catalog,
    decode::{BATCH_BYTES, Decoder, Misread, wanted},
    failed,
    handle::{Brake, Database, Fault},
    pace::Pace,
    sql,
};
use crate::{
    error::{Error, ErrorKind, Result},
    extract::{
        BatchSink, Chunk, ChunkPart, Misfit, Snapshot, SourcePosition, SourceTable, TableRequest,
        room::{LARGE_ROW, Room, batch_bytes},
        throttle::Throttle,
    },
    types::{Budget, Stopwatch, Timings},
};

/// How often all readers are begun anew when somebody commits in between.
const ATTEMPTS: usize = 5;
/// A chunk has about so many rows at most.
const CHUNK_ROWS: u64 = 1_000_000;
/// A table of fewer rows is one chunk.
const SPLIT_ROWS: u64 = 200_000;
/// More chunks than this serve nobody; row ids with wide gaps would give millions.
const MAX_CHUNKS: u64 = 256;

/// What a snapshot may use.
pub(super) struct Limits {
    /// At most so many connections.
    pub(super) readers: usize,
    /// The longest that one chunk may take.
    pub(super) statement_timeout: Option<Duration>,
    /// How fast it may be read.
    pub(super) throttle: Throttle,
    /// Where batches under way are paid from.
    pub(super) budget: Budget,
}

/// Opens one state of `file` and fixes the chunks of `tables`. Blocks.
pub(super) fn open(
    file: &File,
    tables: Vec<TableRequest>,
    limits: Limits,
) -> Result<Box<dyn Snapshot>> {
    let cores = available_parallelism().map_or(1, std::num::NonZero::get);
    let databases = begin_together(file, limits.readers.clamp(1, cores))?;
    let first = databases.first().ok_or_else(|| Error::internal("a snapshot has no reader"))?;
    let what = || format!("`{}` can't be read; nothing was extracted", file.name);
    let state = first.file_state().map_err(|fault| failed(what(), &fault))?;
    let plans =
        tables.into_iter().map(|request| Plan::new(first, request)).collect::<Result<Vec<_>>>()?;
    let chunks = divide(&plans, state.bytes, databases.len());
    Ok(Box::new(SqliteSnapshot {
        position: SourcePosition::Sqlite {
            change_counter: state.change_counter,
            bytes: state.bytes,
        },
        chunks,
        parallelism: databases.len(),
        shared: Arc::new(Shared {
            plans,
            free: Arc::new(Semaphore::new(databases.len())),
            idle: Mutex::new(databases),
            statement_timeout: limits.statement_timeout,
            throttle: limits.throttle,
        }),
        budget: limits.budget,
    }))
}

/// `count` connections, each in a read transaction, all of the same state; or one.
fn begin_together(file: &File, count: usize) -> Result<Vec<Database>> {
    let what = || format!("`{}` can't be read; nothing was extracted", file.name);
    let told = |fault: Fault| failed(what(), &fault);
    for _ in 0..ATTEMPTS {
        let first = file.open()?;
        let before = data_version(&first).map_err(told)?;
        let others = (1..count).map(|_| {
            let other = file.open()?;
            begin(&other).map_err(told)?;
            Ok(other)
        });
        // A writer that waits for the file lets nobody new in; the first reader tries again below.
        let Ok(others) = others.collect::<Result<Vec<_>>>() else { break };
        begin(&first).map_err(told)?;
        if data_version(&first).map_err(told)? == before {
            let mut all = vec![first];
            all.extend(others);
            return Ok(all);
        }
    }
    let only = file.open()?;
    begin(&only).map_err(told)?;
    Ok(vec![only])
}

fn begin(database: &Database) -> Result<(), Fault> {
    database.run("BEGIN")?;
    // BEGIN alone takes no lock: the first read fixes what the transaction sees.
    database.run("SELECT count(*) FROM sqlite_schema")
}

fn data_version(database: &Database) -> Result<String, Fault> {
    catalog::scalar(database, "PRAGMA data_version")
}

/// How one table is read.
struct Plan {
    request: TableRequest,
    /// What its row id is called, where it has one to divide it by.
    rowid: Option<&'static str>,
    /// The smallest and the largest row id.
    bounds: Option<(i64, i64)>,
}

impl Plan {
    fn new(database: &Database, request: TableRequest) -> Result<Self> {
        let name = request.from.display_name();
        let told = |fault: Fault| {
            failed(format!("`{name}` can't be read as planned; nothing was extracted"), &fault)
        };
        if let Some(filter) = &request.filter {
            sql::check_filter(database, &sql::from_clause(&request.from), filter).map_err(
                |fault| {
                    let what = format!("the filter of `{name}` can't be used as written");
                    failed(what, &fault)
                },
            )?;
        }
        let rowid = catalog::rowid_name(database, &request.from).map_err(told)?;
        let bounds = match rowid {
            Some(rowid) => catalog::rowid_bounds(database, &request.from, rowid).map_err(told)?,
            None => None,
        };
        let statement =
            database.prepare(&sql::select(&request, &ChunkPart::Whole, None)).map_err(told)?;
        for (at, column) in request.columns.iter().enumerate() {
            let declared = statement.column_declared(at as i32).filter(|text| !text.is_empty());
            let declared = declared.as_deref().unwrap_or(super::types::UNDECLARED);
            if declared != column.source.declared {
                return Err(Error::new(
                    ErrorKind::Conflict,
                    format!("`{name}` was changed while it was planned; nothing was extracted"),
                )
                .because(format!("`{}` was `{}`", column.source.name, column.source.declared)));
            }
        }
        drop(statement);
        Ok(Self { request, rowid, bounds })
    }

    fn table(&self) -> &SourceTable {
        &self.request.from
    }

    /// About how many rows it has, where that is known.
    fn rows(&self) -> Option<u64> {
        self.rowid?;
        let Some((first, last)) = self.bounds else { return Some(0) };
        let span = last.abs_diff(first).saturating_add(1);
        Some(self.table().estimated_rows.map_or(span, |rows| rows.min(span)))
    }
}

/// The chunks of each table: ranges of row ids where it has them, else the whole.
fn divide(plans: &[Plan], file_bytes: u64, readers: usize) -> Vec<Vec<Chunk>> {
    let all_rows = plans.iter().filter_map(Plan::rows).sum::<u64>().max(1);
    plans
        .iter()
        .enumerate()
        .map(|(table, plan)| {
            // What can't be divided and not be estimated should start first.
            let rows = plan.rows();
            let bytes = rows.map_or(file_bytes, |rows| {
                (u128::from(file_bytes) * u128::from(rows) / u128::from(all_rows)) as u64
            });
            let parts = match (plan.bounds, rows) {
                (Some(bounds), Some(rows)) => ranges(bounds, rows, readers),
                _ => vec![ChunkPart::Whole],
            };
            let estimated_bytes = bytes / parts.len().max(1) as u64;
            parts.into_iter().map(|part| Chunk { table, part, estimated_bytes }).collect()
        })
        .collect()
}

fn ranges((first, last): (i64, i64), rows: u64, readers: usize) -> Vec<ChunkPart> {
    let least = if rows < SPLIT_ROWS || readers < 2 { 1 } else { 2 * readers as u64 };
    let count = rows.div_ceil(CHUNK_ROWS).clamp(least, MAX_CHUNKS.max(least));
    if count == 1 {
        return vec![ChunkPart::Whole];
    }
    let span = i128::from(last) - i128::from(first) + 1;
    let cut = |at: u64| (i128::from(first) + span * i128::from(at) / i128::from(count)) as i64;
    (0..count)
        .map(|at| {
            let start = if at == 0 { i64::MIN } else { cut(at) };
            let end = if at + 1 == count { i64::MAX } else { cut(at + 1) };
            ChunkPart::RowIds(Range { start, end })
        })
        .collect()
}

struct SqliteSnapshot {
    position: SourcePosition,
    chunks: Vec<Vec<Chunk>>,
    parallelism: usize,
    shared: Arc<Shared>,
    budget: Budget,
}

/// What the readers share.
struct Shared {
    plans: Vec<Plan>,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Database>>,
    statement_timeout: Option<Duration>,
    throttle: Throttle,
}

#[async_trait]
impl Snapshot for SqliteSnapshot {
    fn position(&self) -> &SourcePosition {
        &self.position
    }

    fn chunks(&self, table: usize) -> &[Chunk] {
        self.chunks.get(table).map(Vec::as_slice).unwrap_or_default()
    }

    fn parallelism(&self) -> usize {
        self.parallelism
    }

    async fn read(&self, chunk: &Chunk, sink: Box<dyn BatchSink>) -> Result<()> {
        let mut watch = Stopwatch::start();
        let batch = batch_bytes(&self.budget, self.parallelism, BATCH_BYTES);
        let room = Room::take(&self.budget, batch as u64, sink.footprint()).await;
        let spent = Timings { memory: watch.lap(), ..Timings::default() };
        let lease = Lease::take(&self.shared).await?;
        let brake = lease.database()?.brake().clone();
        let (shared, chunk) = (self.shared.clone(), chunk.clone());
        // The job gives the lease back, so that this future alone decides when the connection is
        // free again: the brake can then never stop somebody else's read.
        let mut job = tokio::task::spawn_blocking(move || {
            let means = Means { batch, room, spent };
            let outcome =
                lease.database().and_then(|database| shared.read(database, &chunk, sink, means));
            (lease, outcome)
        });
        // Dropped before `job` is, and so before the connection can be somebody else's.
        let stop = StopOnDrop(Some(brake));
        let joined = (&mut job).await;
        stop.disarm();
        let (_lease, outcome) =
            joined.map_err(|error| Error::internal(format!("a reader of SQLite died: {error}")))?;
        outcome
    }

    async fn close(self: Box<Self>) -> Result<()> {
        // Readers that were dropped while they worked come to their end first.
        let all = self.shared.free.acquire_many(self.parallelism as u32).await;
        all.map_err(|_| Error::internal("a snapshot was closed twice"))?.forget();
        let idle =
            std::mem::take(&mut *self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner));
        super::blocking(move || {
            drop(idle);
            Ok(())
        })
        .await
    }
}

/// What one read has to work with.
struct Means {
    /// About how many bytes a batch may hold.
    batch: usize,
    room: Room,
    /// What was spent before it began.
    spent: Timings,
}

impl Shared {
    /// Reads `chunk` on `database`. Blocks.
    fn read(
        &self,
        database: &Database,
        chunk: &Chunk,
        mut sink: Box<dyn BatchSink>,
        mut means: Means,
    ) -> Result<()> {
        let plan = self
            .plans
            .get(chunk.table)
            .ok_or_else(|| Error::internal("a chunk belongs to no table of its snapshot"))?;
        database.brake().release(self.statement_timeout);
        let told = |fault: &Fault| self.stopped(database, plan, fault);
        let mut statement = database
            .prepare(&sql::select(&plan.request, &chunk.part, plan.rowid))
            .map_err(|fault| told(&fault))?;
        let mut decoder = Decoder::new(&plan.request, means.batch)?;
        let mut pace = Pace::start(means.spent);
        let mut rows = 0_u64;
        while pace.read(|| statement.step()).map_err(|fault| told(&fault))? {
            rows += 1;
            pace.decode(|| decoder.take(&statement)).map_err(|misread| match misread {
                Misread::Sqlite(fault) => told(&fault),
                Misread::Misfit { column, found } => misfit(plan, chunk, rows, column, found),
            })?;
            if !decoder.is_full() {
                continue;
            }
            pace.pause();
            // How long a row is, SQLite tells only once it is in memory.
            if decoder.bytes() > means.batch + LARGE_ROW as usize {
                let room = means.room.make(decoder.bytes() as u64, &mut *sink);
                Handle::current().block_on(room)?;
                pace.wait();
            }
            if let Some(decoded) = decoder.finish()? {
                if database.brake().is_on() {
                    return Err(told(&Fault::interrupted()));
                }
                let (read, bytes) = (decoded.0.num_rows(), decoded.0.get_array_memory_size());
                push(&mut *sink, decoded)?;
                let mut is_given_up = || database.brake().is_on();
                self.throttle.pay(read as u64, bytes as u64, &mut is_given_up);
            }
            means.room.settle();
            pace.resume();
        }
        let last = decoder.finish()?;
        pace.pause();
        if let Some(decoded) = last {
            push(&mut *sink, decoded)?;
        }
        if database.brake().is_on() {
            return Err(told(&Fault::interrupted()));
        }
        sink.spent(pace.spent());
        sink.complete(rows)
    }

    fn stopped(&self, database: &Database, plan: &Plan, fault: &Fault) -> Error {
        let what = format!("`{}` was not read to its end", plan.table().display_name());
        let error = failed(what, fault);
        match self.statement_timeout {
            Some(limit) if database.brake().is_late() => error
                .of_kind(ErrorKind::Refused)
                .because(format!("it took longer than {} seconds", limit.as_secs()))
                .hint("raise `statement_timeout` of the connection"),
            _ => error,
        }
    }
}

fn push(sink: &mut dyn BatchSink, (batch, misfits): (RecordBatch, Vec<Misfit>)) -> Result<()> {
    if misfits.is_empty() { sink.push(batch) } else { sink.push_misfits(batch, misfits) }
}

/// The error for a cell that does not fit its column. It says where, never what.
fn misfit(plan: &Plan, chunk: &Chunk, row: u64, column: usize, found: &str) -> Error {
    let name = plan.table().display_name();
    let Some(column) = plan.request.columns.get(column) else {
        return Error::internal(format!("`{name}` has a column that nobody asked for"));
    };
    let (source, quoted) = (&column.source, sql::quote(&column.source.name));
    let wanted = wanted(column);
    let part = match &chunk.part {
        ChunkPart::RowIds(Range { start, .. }) if *start > i64::MIN => {
            format!(", counted from row id {start},")
        }
        _ => String::new(),
    };
    let error = Error::new(
        ErrorKind::Data,
        format!("`{name}`: a cell of column `{}` does not fit {wanted}", source.name),
    )
    .because(format!("row {row}{part} holds `{found}`"));
    let error = match plan.rowid {
        Some(rowid) => error.hint(format!(
            "see such cells: SELECT {rowid}, {quoted} FROM {} WHERE typeof({quoted}) = '{found}'",
            sql::from_clause(plan.table())
        )),
        None => error,
    };
    let way_out = if found == "blob" || column.cast.is_some() { "binary" } else { "text" };
    error.hint(format!(
        "or read the column as it is: `columns: {{cast: {{{}: {way_out}}}}}`",
        source.name
    ))
}

/// A connection on loan; dropping it gives the connection back, and only then the permit.
struct Lease {
    database: Option<Database>,
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    async fn take(shared: &Arc<Shared>) -> Result<Self> {
        let permit = shared.free.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::internal("a closed snapshot was read"))?;
        let database = shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Ok(Self { database, shared: shared.clone(), _permit: permit })
    }

    fn database(&self) -> Result<&Database> {
        self.database.as_ref().ok_or_else(|| Error::internal("a reader of SQLite was lost"))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut idle = self.shared.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.extend(self.database.take());
    }
}

/// Stops the statement under way when the future that waits for it is dropped.
struct StopOnDrop(Option<Arc<Brake>>);

impl StopOnDrop {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(brake) = self.0.take() {
            brake.stop();
        }
    }
}
