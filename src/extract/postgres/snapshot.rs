//! A view that workers read chunk by chunk, while the coordinator holds it open.

use std::sync::Arc;

use super::{
    copy::{Decoder, Limits},
    pool::{Pool, View},
    sql,
    view::{Opened, Place, Plan},
    worker::{self, Job},
};
use crate::{
    error::{Error, Result},
    extract::{
        BatchSink, Chunk, Snapshot, SourcePosition,
        room::{Room, batch_bytes},
        throttle::Throttle,
    },
    types::{Budget, Stopwatch, Timings},
};
use async_trait::async_trait;

/// What a chunk under way holds besides its batch: a block that is read while one is decoded.
const BLOCK_BYTES: u64 = 2 << 20;

/// One consistent view of a PostgreSQL server's tables.
pub(super) struct PostgresSnapshot {
    name: String,
    position: SourcePosition,
    plans: Vec<Plan>,
    chunks: Vec<Vec<Chunk>>,
    pool: Arc<Pool>,
    budget: Budget,
    throttle: Arc<Throttle>,
}

impl PostgresSnapshot {
    /// The view that `opened` holds.
    pub(super) fn new(opened: Opened, place: Place) -> Self {
        let view = View {
            name: place.name.clone(),
            sessions: place.sessions,
            snapshot: opened.snapshot,
            server: opened.server,
            was_standby: matches!(opened.position, SourcePosition::Postgres { standby: true, .. }),
            ceilings: place.ceilings,
            notices: place.session.notices,
        };
        Self {
            name: place.name,
            position: opened.position,
            plans: opened.plans,
            chunks: opened.chunks,
            pool: Arc::new(Pool::new(view, opened.connection, place.connections)),
            budget: place.session.budget,
            throttle: Arc::new(place.throttle),
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
        self.pool.readers()
    }

    async fn read(&self, chunk: &Chunk, sink: Box<dyn BatchSink>) -> Result<()> {
        let plan = self.plan(chunk)?;
        let request = &plan.request;
        let told = |error: Error| {
            error.context(format!("`{}` was not read to its end", request.from.display_name()))
        };
        let mut limits = Limits::default();
        limits.bytes = batch_bytes(&self.budget, self.parallelism(), limits.bytes);
        let mut watch = Stopwatch::start();
        let room =
            Room::take(&self.budget, limits.bytes as u64 + BLOCK_BYTES, sink.footprint()).await;
        let spent = Timings { memory: watch.lap(), ..Timings::default() };
        let columns: Vec<_> = request
            .columns
            .iter()
            .zip(&plan.types)
            .map(|(column, pg)| (column.source.name.clone(), pg.clone()))
            .collect();
        let job = Job {
            sql: sql::copy_out(&sql::select(request, &plan.types, &chunk.part)),
            decoder: Decoder::new(&columns, request.schema(), limits)?
                .on_mismatch(request.columns.iter().map(|column| column.on_mismatch)),
            sink,
            room,
            throttle: self.throttle.clone(),
            spent,
        };
        let read = async { worker::run(self.pool.lease().await?, job).await };
        match read.await {
            Ok(()) => Ok(()),
            Err(error) => Err(told(self.pool.verdict(error).await)),
        }
    }

    async fn close(self: Box<Self>) -> Result<()> {
        self.pool.close().await.map_err(|error| {
            error.context(format!("the view of `{}` did not hold to its end", self.name))
        })
    }
}
