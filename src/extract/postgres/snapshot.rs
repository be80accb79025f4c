//! A view that workers read chunk by chunk, while the coordinator holds it open.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::Mutex;

use super::{
    copy::{Decoder, Limits},
    open::{Opened, Place, Plan},
    rows::query_one,
    sql,
    wire::WireConnection,
    worker::{self, Job, Workers},
};
use crate::{
    error::{Error, ErrorKind, Result},
    extract::{
        BatchSink, Chunk, Snapshot, SourcePosition,
        room::{Room, batch_bytes},
    },
    types::{Budget, Stopwatch, Timings},
};

/// What a chunk under way holds besides its batch: a block that is read while one is decoded.
const BLOCK_BYTES: u64 = 2 << 20;

/// One consistent view of a PostgreSQL server's tables.
pub(super) struct PostgresSnapshot {
    name: String,
    position: SourcePosition,
    plans: Vec<Plan>,
    chunks: Vec<Vec<Chunk>>,
    workers: Arc<Workers>,
    parallelism: usize,
    /// Its transaction holds the snapshot open; it also cancels statements of workers.
    coordinator: Arc<Mutex<WireConnection>>,
    budget: Budget,
}

impl PostgresSnapshot {
    /// The view that `opened` holds.
    pub(super) fn new(opened: Opened, place: Place) -> Self {
        let workers = Workers::new(place.sessions, opened.snapshot, opened.server, place.workers);
        Self {
            name: place.name,
            position: opened.position,
            plans: opened.plans,
            chunks: opened.chunks,
            workers: Arc::new(workers),
            parallelism: place.workers,
            coordinator: Arc::new(Mutex::new(opened.connection)),
            budget: place.budget,
        }
    }

    fn plan(&self, chunk: &Chunk) -> Result<&Plan> {
        self.plans
            .get(chunk.table)
            .ok_or_else(|| Error::internal("a chunk belongs to no table of its snapshot"))
    }
}

#[async_trait]
impl Snapshot for PostgresSnapshot {
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
        let plan = self.plan(chunk)?;
        let request = &plan.request;
        let told = |error: Error| {
            error.context(format!("`{}` was not read to its end", request.from.display_name()))
        };
        let mut limits = Limits::default();
        limits.bytes = batch_bytes(&self.budget, self.parallelism, limits.bytes);
        let mut watch = Stopwatch::start();
        let room =
            Room::take(&self.budget, limits.bytes as u64 + BLOCK_BYTES, sink.footprint()).await;
        let spent = Timings { memory: watch.lap(), ..Timings::default() };
        let lease = self.workers.lease().await.map_err(told)?;
        let columns: Vec<_> = request
            .columns
            .iter()
            .zip(&plan.types)
            .map(|(column, pg)| (column.source.name.clone(), pg.clone()))
            .collect();
        let job = Job {
            sql: sql::copy_out(&sql::select(request, &plan.types, &chunk.part)),
            decoder: Decoder::new(&columns, request.schema(), limits)?,
            sink,
            coordinator: self.coordinator.clone(),
            room,
            spent,
        };
        worker::run(lease, job).await.map_err(told)
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.workers.close().await?;
        let mut coordinator = self.coordinator.lock().await;
        let told = |error: Error| {
            error.context(format!("the view of `{}` did not hold to its end", self.name))
        };
        let recovery = "SELECT pg_catalog.pg_is_in_recovery()";
        let row =
            query_one(&mut coordinator, recovery).await.map_err(|error| told(error.into()))?;
        coordinator.simple("ROLLBACK").await.map_err(|error| told(error.into()))?;
        let was_standby = matches!(self.position, SourcePosition::Postgres { standby: true, .. });
        if was_standby && !row.is(0) {
            return Err(told(Error::new(
                ErrorKind::Refused,
                "the standby was promoted while it was read",
            ))
            .hint("connect to a replica of the new primary, then run again"));
        }
        Ok(())
    }
}
