//! The connections of one view: never more than were allowed, the one that holds the view included.
//!
//! Where several are allowed, one holds the view and does nothing else, so that a reader can be lost
//! and replaced. A single one has to do both, and the view is lost with it.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    coordinator::Coordinator,
    pressure::{self, Ceilings},
    rows::query_one,
    session::{Purpose, Sessions},
    sql::literal,
    view::IDENTITY,
    wire::{CancelKey, WireConnection},
};
use crate::{
    error::{Error, ErrorKind, Result},
    extract::{Notices, Refusal},
};

/// How long a proof that the view stands is good for. The question also keeps the coordinator's
/// connection from looking idle to what lies between us and the server.
const PROOF_HOLDS: Duration = Duration::from_secs(1);

/// A server that is alive lets a reader join sooner.
const JOIN_LIMIT: Duration = Duration::from_secs(30);

/// What connections of a view have in common.
pub(super) struct View {
    /// The connection's name.
    pub(super) name: String,
    pub(super) sessions: Sessions,
    /// The exported snapshot's name.
    pub(super) snapshot: String,
    /// What tells its server from any other.
    pub(super) server: String,
    pub(super) was_standby: bool,
    pub(super) ceilings: Ceilings,
    pub(super) notices: Notices,
}

/// A connection that has joined a view.
pub(super) struct Reader {
    pub(super) connection: WireConnection,
    /// The server's process that serves it.
    pub(super) process: u32,
}

/// All connections of a view.
pub(super) struct Pool {
    view: View,
    holder: Holder,
    readers: usize,
    free: Arc<Semaphore>,
    idle: Mutex<Vec<Reader>>,
}

/// Who holds the view open.
enum Holder {
    /// A connection of its own; nothing once it was lost or the view was ended.
    Coordinator(AsyncMutex<Option<Box<Coordinator>>>),
    /// The only reader, between its chunks.
    Reader,
}

/// How many of so many `connections` read.
pub(super) fn readers(connections: usize) -> usize {
    connections.saturating_sub(1).max(1)
}

impl Pool {
    /// At most so many `connections`, of which `holder` is one: it holds `view` open. No other is
    /// connected yet.
    pub(super) fn new(view: View, holder: WireConnection, connections: usize) -> Self {
        let readers = readers(connections);
        let (holder, idle) = if connections > 1 {
            let coordinator = Box::new(view.coordinator(holder));
            (Holder::Coordinator(AsyncMutex::new(Some(coordinator))), Vec::new())
        } else {
            // Nobody is left to be asked about its process.
            (Holder::Reader, vec![Reader { connection: holder, process: 0 }])
        };
        let free = Arc::new(Semaphore::new(readers));
        Self { view, holder, readers, free, idle: Mutex::new(idle) }
    }

    /// How many connections read at once, at most.
    pub(super) fn readers(&self) -> usize {
        self.readers
    }

    /// Waits for a reader that has nothing to do, or for leave to connect one more.
    pub(super) async fn lease(self: &Arc<Self>) -> Result<Lease> {
        let permit = self.free.clone().acquire_owned().await;
        let permit = permit.map_err(|_| Error::internal("a closed snapshot was read"))?;
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = idle;
        self.pause_while_exceeded(reader.as_mut()).await?;
        let reader = match reader {
            Some(reader) => reader,
            None => self.join_in_time().await?,
        };
        Ok(Lease { reader, seat: Seat { pool: self.clone(), _permit: permit } })
    }

    /// Whether the server's `process` is at work on something other than sending it. Never ends
    /// where nobody is left to be asked.
    pub(super) async fn works(&self, process: u32) -> Result<bool> {
        let Holder::Coordinator(held) = &self.holder else { return std::future::pending().await };
        let mut held = held.lock().await;
        let Some(coordinator) = held.as_mut() else { return Err(lost_before()) };
        let works = coordinator.works(process).await;
        if works.is_err() {
            *held = None;
        }
        works
    }

    /// Proves that the view stands, and waits as long as a ceiling is exceeded. `reader` is asked
    /// where there is no coordinator.
    ///
    /// Nothing is read meanwhile, rather than slowly: a process that waits for us to take what it
    /// sends would not make way for replay.
    async fn pause_while_exceeded(&self, mut reader: Option<&mut Reader>) -> Result<()> {
        let since = Instant::now();
        let mut paused = false;
        loop {
            let exceeded = match (&self.holder, &mut reader) {
                (Holder::Coordinator(_), _) => self.prove(PROOF_HOLDS).await?,
                (Holder::Reader, Some(reader)) => {
                    self.view.ceilings.exceeded(&mut reader.connection).await?
                }
                (Holder::Reader, None) => None,
            };
            let name = &self.view.name;
            let Some(exceeded) = exceeded else {
                if paused {
                    self.view.notices.say(format!("`{name}` is read again"));
                }
                return Ok(());
            };
            if !exceeded.passing || since.elapsed() >= self.view.ceilings.max_wait {
                return Err(pressure::in_vain(exceeded, since.elapsed()));
            }
            if !paused {
                self.view.notices.say(format!("reading `{name}` pauses: {}", exceeded.reason));
            }
            paused = true;
            tokio::time::sleep(PROOF_HOLDS).await;
        }
    }

    /// What `error`, with which a read ended, means: that a chunk was lost, or all of the view.
    pub(super) async fn verdict(&self, error: Error) -> Error {
        match (error.kind(), &self.holder) {
            (ErrorKind::Unreachable, Holder::Reader) => error
                .of_kind(ErrorKind::SnapshotLost)
                .context("the view of the tables was lost with its only connection")
                .hint("allow another connection that holds the view: `connections: 2`"),
            (ErrorKind::Unreachable, Holder::Coordinator(_)) => {
                self.prove(Duration::ZERO).await.err().unwrap_or(error)
            }
            _ => error,
        }
    }

    /// Waits until nobody reads, proves that the view stood all the time, and disconnects.
    pub(super) async fn close(&self) -> Result<()> {
        let all = self.free.acquire_many(self.readers as u32).await;
        let _all = all.map_err(|_| Error::internal("a snapshot was closed twice"))?;
        self.free.close();
        let mut idle =
            std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        let holder = match &self.holder {
            Holder::Coordinator(held) => held.lock().await.take(),
            Holder::Reader => {
                idle.pop().map(|reader| Box::new(self.view.coordinator(reader.connection)))
            }
        };
        for reader in idle {
            reader.connection.close().await;
        }
        match holder {
            Some(holder) => holder.end().await,
            None => Err(lost_before()),
        }
    }

    /// Proves that the view stands, where that was not done within `recently`; gives what exceeded a
    /// ceiling then.
    async fn prove(&self, recently: Duration) -> Result<Option<Refusal>> {
        let Holder::Coordinator(held) = &self.holder else { return Ok(None) };
        let mut held = held.lock().await;
        let Some(coordinator) = held.as_mut() else { return Err(lost_before()) };
        if coordinator.age() >= recently
            && let Err(error) = coordinator.prove().await
        {
            *held = None;
            return Err(error);
        }
        Ok(held.as_ref().and_then(|coordinator| coordinator.exceeded().cloned()))
    }

    async fn join_in_time(&self) -> Result<Reader> {
        timeout(JOIN_LIMIT, Box::pin(self.join())).await.unwrap_or_else(|_| {
            let what = format!("a reader did not get in within {} s", JOIN_LIMIT.as_secs());
            Err(Error::new(ErrorKind::Unreachable, what))
        })
    }

    /// One more reader of the view.
    async fn join(&self) -> Result<Reader> {
        if matches!(self.holder, Holder::Reader) {
            return Err(lost_before());
        }
        let mut connection = self.view.sessions.connect(Purpose::Reader).await?;
        let join = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}",
            literal(&self.view.snapshot)
        );
        if let Err(error) = connection.simple(&join).await {
            return Err(match error.sqlstate() {
                // An invalid or unknown snapshot, or one that ended meanwhile.
                Some("22023" | "42704" | "55000") => {
                    self.prove(Duration::ZERO).await?;
                    elsewhere(error.into())
                }
                _ => error.into(),
            });
        }
        let identity = query_one(&mut connection, IDENTITY).await?;
        if identity.text(0) != self.view.server {
            return Err(elsewhere(Error::new(ErrorKind::Refused, "another server answered")));
        }
        Ok(Reader { connection, process: identity.number(1).unwrap_or_default() })
    }
}

impl View {
    fn coordinator(&self, connection: WireConnection) -> Coordinator {
        Coordinator::new(connection, self.was_standby, self.ceilings.clone())
    }
}

fn lost_before() -> Error {
    Error::new(ErrorKind::SnapshotLost, "the view of the tables was lost")
}

fn elsewhere(error: Error) -> Error {
    error
        .of_kind(ErrorKind::Refused)
        .context("a reader could not join the coordinator's snapshot")
        .because("all connections of a run must reach one and the same server")
        .hint(
            "name the server itself: a load-balanced endpoint or a connection pooler sends each \
             connection somewhere else",
        )
}

/// A connection to read one chunk with.
pub(super) struct Lease {
    pub(super) reader: Reader,
    pub(super) seat: Seat,
}

/// The place of one reader among all; free again when it is dropped.
pub(super) struct Seat {
    pool: Arc<Pool>,
    _permit: OwnedSemaphorePermit,
}

impl Seat {
    /// Keeps `reader` for the next chunk.
    pub(super) fn give_back(self, reader: Reader) {
        self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
    }

    /// All connections of the view.
    pub(super) fn pool(&self) -> Arc<Pool> {
        self.pool.clone()
    }

    /// Stops what a connection runs that was closed in the middle of it.
    pub(super) async fn cancel(&self, key: CancelKey) {
        self.pool.view.sessions.cancel(key).await;
    }
}
