//! What a reader does with a chunk.
//!
//! One thread reads a block from the socket and decodes it right away, so that it is still in that
//! core's cache; the server goes on sending into the socket's buffer meanwhile. A connection is
//! used again only after a chunk that came to its end.

use tokio::{
    runtime::Handle,
    sync::{oneshot, oneshot::error::TryRecvError},
};

use super::{
    copy::{Decoded, Decoder},
    pool::{Lease, Seat},
    wire::{Block, CancelKey, WireConnection, WireError},
};
use crate::{
    error::{Error, ErrorKind, Result},
    extract::{BatchSink, room::Room},
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
    /// What was spent on the chunk so far.
    pub(super) spent: Timings,
}

/// Runs `job` on a thread that may block. When this future is dropped, the job stops at its next
/// block, cancels its statement and drops its sink.
pub(super) async fn run(lease: Lease, job: Job) -> Result<()> {
    let (alive, given_up) = oneshot::channel();
    let runtime = Handle::current();
    let thread = tokio::task::spawn_blocking(move || work(&runtime, lease, job, given_up));
    let joined = thread.await;
    drop::<oneshot::Sender<()>>(alive);
    joined.unwrap_or_else(|error| Err(Error::internal(format!("a worker died: {error}"))))
}

fn work(
    runtime: &Handle,
    lease: Lease,
    job: Job,
    mut given_up: oneshot::Receiver<()>,
) -> Result<()> {
    let Lease { connection, seat } = lease;
    let Job { sql, decoder, sink, mut room, spent } = job;
    let key = connection.cancel_key();
    match transfer(runtime, connection, &sql, decoder, (sink, spent), (&mut room, &mut given_up)) {
        Ok(connection) => {
            seat.give_back(connection);
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

/// Reads the whole copy into `sink`, and gives the connection back; every error closes it.
fn transfer(
    runtime: &Handle,
    connection: WireConnection,
    sql: &str,
    mut decoder: Decoder,
    (mut sink, mut spent): (Box<dyn BatchSink>, Timings),
    (room, given_up): (&mut Room, &mut oneshot::Receiver<()>),
) -> Result<WireConnection, Stop> {
    let mut watch = Stopwatch::start();
    // A server may work for long before it sends the first byte.
    let mut copy = runtime.block_on(unless_given_up(given_up, connection.copy_out(sql)))?;
    let reads_here = copy.detach()?;
    let mut block = Block::default();
    loop {
        if let Some(bytes) = copy.announced() {
            let room = room.make(bytes as u64, &mut *sink);
            runtime.block_on(unless_given_up(given_up, room))?;
            spent.memory += watch.lap();
        }
        let next = if reads_here {
            copy.next_block_here(block, &mut || is_given_up(given_up))?
        } else {
            runtime.block_on(unless_given_up(given_up, copy.next_block(block)))?
        };
        spent.read += watch.lap();
        let Some(next) = next else { break };
        decoder.feed(&next)?;
        block = next.cleared();
        spent.decode += watch.lap();
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
    if is_given_up(given_up) {
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

async fn unless_given_up<T, E: Into<Stop>>(
    given_up: &mut oneshot::Receiver<()>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Stop> {
    tokio::select! {
        biased;
        _ = given_up => Err(given_up_error().into()),
        done = work => done.map_err(Into::into),
    }
}

fn is_given_up(given_up: &mut oneshot::Receiver<()>) -> bool {
    matches!(given_up.try_recv(), Err(TryRecvError::Closed))
}

fn given_up_error() -> Error {
    Error::new(ErrorKind::Cancelled, "the read was given up")
}
