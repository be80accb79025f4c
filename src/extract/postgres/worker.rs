//! What a reader does with a chunk.
//!
//! One thread reads a block from the socket and decodes it right away, so that it is still in that
//! core's cache; the server goes on sending into the socket's buffer meanwhile. A connection is
//! used again only after a chunk that came to its end.

use std::sync::Arc;

use tokio::{
    runtime::Handle,
    sync::{oneshot, oneshot::error::TryRecvError},
};

use super::{
    copy::{Decoded, Decoder},
    pool::{Lease, Reader, Seat},
    watch::{self, Progress},
    wire::{Block, CancelKey, CopyOut, WireConnection, WireError},
};
use crate::{
    error::{Error, ErrorKind, Result},
    extract::{BatchSink, room::Room, throttle::Throttle},
    types::{Stopwatch, Timings},
};

/// What a worker does.
pub(super) struct Job {
    /// The COPY.
    pub(super) sql: String,
    pub(super) decoder: Decoder,
    pub(super) sink: Box<dyn BatchSink>,
    /// What the buffers are paid with.
    pub(super) room: Room,
    /// How fast it may read.
    pub(super) throttle: Arc<Throttle>,
    /// What was spent on the chunk so far.
    pub(super) spent: Timings,
}

/// Runs `job` on a thread that may block. When this future is dropped, or the connection stalls, the
/// job stops at its next block, cancels its statement and drops its sink.
pub(super) async fn run(lease: Lease, job: Job) -> Result<()> {
    let (alive, given_up) = oneshot::channel();
    let progress = Arc::new(Progress::default());
    let (pool, process) = (lease.seat.pool(), lease.reader.process);
    let attention = Attention { runtime: Handle::current(), given_up, progress: progress.clone() };
    let thread = tokio::task::spawn_blocking(move || work(lease, job, attention));
    let joined = tokio::select! {
        joined = thread => joined,
        stalled = watch::stalled(&pool, process, &progress) => return Err(stalled),
    };
    drop::<oneshot::Sender<()>>(alive);
    joined.unwrap_or_else(|error| Err(Error::internal(format!("a worker died: {error}"))))
}

fn work(lease: Lease, job: Job, attention: Attention) -> Result<()> {
    let Lease { reader: Reader { connection, process }, seat } = lease;
    let key = connection.cancel_key();
    match transfer(connection, job, attention) {
        Ok(connection) => {
            seat.give_back(Reader { connection, process });
            Ok(())
        }
        Err(Stop { error, runs_on }) => {
            if runs_on {
                cancel(&seat, key);
            }
            Err(error)
        }
    }
}

/// Tells the server, in a runtime of its own: when the process ends, the other one may be gone.
fn cancel(seat: &Seat, key: CancelKey) {
    match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(seat.cancel(key)),
        Err(error) => tracing::debug!(%error, "no runtime to cancel a statement in"),
    }
}

/// Why a chunk was not read to its end. The connection is closed hard by then.
struct Stop {
    error: Error,
    /// Whether the server may still be at work on it.
    runs_on: bool,
}

impl From<WireError> for Stop {
    fn from(error: WireError) -> Self {
        // What the server stopped by itself needs no cancelling.
        Self { runs_on: error.sqlstate().is_none(), error: error.into() }
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self { error, runs_on: true }
    }
}

/// Reads the whole copy into the job's sink, and gives the connection back; every error closes it.
fn transfer(
    connection: WireConnection,
    job: Job,
    mut attention: Attention,
) -> Result<WireConnection, Stop> {
    let Job { sql, mut decoder, mut sink, mut room, throttle, mut spent } = job;
    let mut watch = Stopwatch::start();
    // A server may work for long before it sends the first byte.
    let mut copy = attention.wait(connection.copy_out(&sql))?;
    copy.count_into(attention.progress.counter());
    let reads_here = copy.detach()?;
    let mut block = Block::default();
    loop {
        if let Some(bytes) = copy.announced() {
            attention.unless_given_up(room.make(bytes as u64, &mut *sink))?;
            spent.memory += watch.lap();
        }
        let next = attention.next_block(&mut copy, block, reads_here)?;
        spent.read += watch.lap();
        let Some(next) = next else { break };
        let before = decoder.rows();
        decoder.feed(&next)?;
        spent.decode += watch.lap();
        if throttle.is_limited() {
            let (rows, bytes) = (decoder.rows() - before, next.bytes().len());
            throttle.pay(rows, bytes as u64, &mut || attention.is_given_up());
            spent.read += watch.lap();
        }
        block = next.cleared();
        while let Some(decoded) = decoder.take_batch() {
            push(&mut *sink, decoded)?;
        }
        room.settle();
        // What the sink did, it measures itself.
        watch.lap();
    }
    let (last, rows) = decoder.finish()?;
    spent.decode += watch.lap();
    if let Some(decoded) = last {
        push(&mut *sink, decoded)?;
    }
    if attention.is_given_up() {
        return Err(given_up_error().into());
    }
    let counted = copy.rows();
    let (true, Some(connection)) = (counted == Some(rows), copy.into_connection()) else {
        return Err(Error::new(
            ErrorKind::Data,
            format!("{rows} rows arrived, but the server counted {}", counted.unwrap_or_default()),
        )
        .into());
    };
    sink.spent(spent);
    sink.complete(rows)?;
    Ok(connection)
}

fn push(sink: &mut dyn BatchSink, Decoded { batch, misfits }: Decoded) -> Result<()> {
    if misfits.is_empty() { sink.push(batch) } else { sink.push_misfits(batch, misfits) }
}

/// What a thread that waits for a server heeds besides.
struct Attention {
    runtime: Handle,
    given_up: oneshot::Receiver<()>,
    progress: Arc<Progress>,
}

impl Attention {
    /// Blocks until `work` is done or the job is given up.
    fn unless_given_up<T, E: Into<Stop>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Stop> {
        let given_up = &mut self.given_up;
        self.runtime.block_on(async {
            tokio::select! {
                biased;
                _ = given_up => Err(given_up_error().into()),
                done = work => done.map_err(Into::into),
            }
        })
    }

    /// The same, for work that the server does.
    fn wait<T>(&mut self, work: impl Future<Output = Result<T, WireError>>) -> Result<T, Stop> {
        self.progress.waiting();
        let done = self.unless_given_up(work);
        self.progress.working();
        done
    }

    /// The next block of `copy`, on this very thread if it `reads_here`.
    fn next_block(
        &mut self,
        copy: &mut CopyOut,
        block: Block,
        reads_here: bool,
    ) -> Result<Option<Block>, Stop> {
        if !reads_here {
            return self.wait(copy.next_block(block));
        }
        self.progress.waiting();
        let next = copy.next_block_here(block, &mut || is_given_up(&mut self.given_up));
        self.progress.working();
        Ok(next?)
    }

    fn is_given_up(&mut self) -> bool {
        is_given_up(&mut self.given_up)
    }
}

fn is_given_up(given_up: &mut oneshot::Receiver<()>) -> bool {
    matches!(given_up.try_recv(), Err(TryRecvError::Closed))
}

fn given_up_error() -> Error {
    Error::new(ErrorKind::Cancelled, "the read was given up")
}
