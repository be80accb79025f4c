//! Workers: connections that have joined the coordinator's snapshot, and what they do with a chunk.
//!
//! One thread reads a block from the socket and decodes it right away, so that it is still in that
//! core's cache; the server goes on sending into the socket's buffer meanwhile. A worker's
//! connection is used again only after a chunk that came to its end.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::{
    runtime::Handle,
    sync::{
        Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore, oneshot, oneshot::error::TryRecvError,
    },
};

use super::{
    copy::Decoder,
    open::IDENTITY,
    rows::query_one,
    session::{Purpose, Sessions},
    sql::literal,
    wire::{Block, WireConnection},
};
use crate::{
    error::{Error, ErrorKind, Result},
    extract::{BatchSink, room::Room},
    types::{Stopwatch, Timings},
};

/// All workers of a snapshot.
pub(super) struct Workers {
    sessions: Sessions,
    snapshot: String,
    server: String,
    count: u32,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<WireConnection>>,
}

impl Workers {
    /// At most `count` workers that join `snapshot` of `server`. None is connected yet.
    pub(super) fn new(sessions: Sessions, snapshot: String, server: String, count: usize) -> Self {
        Self {
            sessions,
            snapshot,
            server,
            count: count as u32,
            free: Arc::new(Semaphore::new(count)),
            idle: Mutex::default(),
        }
    }

    /// Waits for a worker that has nothing to do, or for leave to connect one more.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let permit = self.free.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::internal("a closed snapshot was read"))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.join().await?,
        };
        Ok(Lease { connection, workers: self.clone(), permit })
    }

    /// Waits until no worker works, and disconnects them all.
    pub(super) async fn close(&self) -> Result<()> {
        let all = self.free.acquire_many(self.count).await;
        let _all = all.map_err(|_| Error::internal("a snapshot was closed twice"))?;
        self.free.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for connection in idle {
            connection.close().await;
        }
        Ok(())
    }

    async fn join(&self) -> Result<WireConnection> {
        let mut connection = self.sessions.connect(Purpose::Reader).await?;
        let join = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
            literal(&self.snapshot)
        );
        let elsewhere = |error: Error| {
            error
                .of_kind(ErrorKind::Refused)
                .context("a worker could not join the coordinator's snapshot")
                .because("all connections of a run must reach one and the same server")
                .hint(
                    "name the server itself: a load-balanced endpoint or a connection pooler \
                     sends each connection somewhere else",
                )
        };
        connection.simple(&join).await.map_err(|error| match error.sqlstate() {
            // Invalid or unknown snapshot.
            Some("22023" | "42704" | "55000") => elsewhere(error.into()),
            _ => error.into(),
        })?;
        if query_one(&mut connection, IDENTITY).await?.text(0) != self.server {
            return Err(elsewhere(Error::new(ErrorKind::Refused, "another server answered")));
        }
        Ok(connection)
    }
}

/// A worker for one chunk.
pub(super) struct Lease {
    connection: WireConnection,
    workers: Arc<Workers>,
    permit: OwnedSemaphorePermit,
}

/// What a worker does.
pub(super) struct Job {
    /// The COPY.
    pub(super) sql: String,
    pub(super) decoder: Decoder,
    pub(super) sink: Box<dyn BatchSink>,
    /// Cancels the statement when the job is given up.
    pub(super) coordinator: Arc<AsyncMutex<WireConnection>>,
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
    let Lease { connection, workers, permit } = lease;
    let Job { sql, decoder, sink, coordinator, mut room, spent } = job;
    let backend = connection.backend_pid();
    match transfer(runtime, connection, &sql, decoder, (sink, spent), (&mut room, &mut given_up)) {
        Ok(connection) => {
            let mut idle = workers.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.extend(connection);
        }
        Err(error) => {
            // The connection is closed hard by now. The server would only notice when it next
            // sends, which can be long after.
            runtime.block_on(cancel(&coordinator, backend));
            return Err(error);
        }
    }
    drop(permit);
    Ok(())
}

/// Reads the whole copy into `sink`. Gives the connection back where it can be used again; every
/// error closes it.
fn transfer(
    runtime: &Handle,
    connection: WireConnection,
    sql: &str,
    mut decoder: Decoder,
    (mut sink, mut spent): (Box<dyn BatchSink>, Timings),
    (room, given_up): (&mut Room, &mut oneshot::Receiver<()>),
) -> Result<Option<WireConnection>> {
    let mut watch = Stopwatch::start();
    // A server may work for long before it sends the first byte.
    let mut copy = runtime.block_on(unless_given_up(given_up, connection.copy_out(sql)))?;
    let mut block = Block::default();
    loop {
        if let Some(bytes) = copy.announced() {
            let room = room.make(bytes as u64, &mut *sink);
            runtime.block_on(unless_given_up(given_up, room))?;
            spent.memory += watch.lap();
        }
        let next = runtime.block_on(unless_given_up(given_up, copy.next_block(block)))?;
        spent.read += watch.lap();
        let Some(next) = next else { break };
        decoder.feed(&next)?;
        block = next.cleared();
        spent.decode += watch.lap();
        while let Some(batch) = decoder.take_batch() {
            sink.push(batch)?;
        }
        room.settle();
        // What the sink did, it measures itself.
        watch.lap();
    }
    let (last, rows) = decoder.finish()?;
    spent.decode += watch.lap();
    if let Some(batch) = last {
        sink.push(batch)?;
    }
    if matches!(given_up.try_recv(), Err(TryRecvError::Closed)) {
        return Err(given_up_error());
    }
    match copy.rows() {
        Some(sent) if sent == rows => {
            sink.spent(spent);
            sink.complete(rows)?;
        }
        sent => {
            return Err(Error::new(
                ErrorKind::Data,
                format!("{rows} rows arrived, but the server counted {}", sent.unwrap_or_default()),
            ));
        }
    }
    Ok(copy.into_connection())
}

async fn unless_given_up<T, E: Into<Error>>(
    given_up: &mut oneshot::Receiver<()>,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T> {
    tokio::select! {
        biased;
        _ = given_up => Err(given_up_error()),
        done = work => done.map_err(Into::into),
    }
}

fn given_up_error() -> Error {
    Error::new(ErrorKind::Cancelled, "the read was given up")
}

/// Ends what `backend` runs. It may have ended by itself, and the coordinator may be gone: then
/// there is nothing left to end.
async fn cancel(coordinator: &AsyncMutex<WireConnection>, backend: i32) {
    // Only what is ours: an error would end the coordinator's transaction, and the view with it.
    let cancel = format!(
        "SELECT pg_catalog.pg_cancel_backend(a.pid) FROM pg_catalog.pg_stat_activity a
         WHERE a.pid = {backend} AND a.usename = current_user"
    );
    if let Err(error) = coordinator.lock().await.simple(&cancel).await {
        tracing::debug!(%backend, sqlstate = error.sqlstate(), "a backend was not cancelled");
    }
}
