//! Record batches that are made on the engine's own threads and taken anywhere.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use datafusion::{common::DataFusionError, execution::SendableRecordBatchStream};
use futures::{Stream, StreamExt as _};
use tokio::{runtime::Handle, sync::mpsc, task::AbortHandle};

use crate::error::{Error, Result};

/// How many batches wait for a slow taker, per stream.
const IN_FLIGHT: usize = 2;

enum Message {
    Batch(RecordBatch),
    Failed(Error),
    /// All batches were sent. Without this, a stream that ends has lost its maker.
    Whole,
}

/// Batches of one partition of a running query; none is empty.
///
/// Taken as a [`Stream`], or with [`BatchStream::blocking_next`] from a thread that may block.
/// After an error, or the end, it gives nothing more. Dropping it stops the work behind it.
pub struct BatchStream {
    schema: SchemaRef,
    messages: mpsc::Receiver<Message>,
    work: AbortHandle,
    ended: bool,
}

impl BatchStream {
    /// Runs `source` on `runtime`: each batch passes through `finish`, and an error becomes what
    /// `explain` makes of it.
    pub(super) fn spawn(
        runtime: &Handle,
        mut source: SendableRecordBatchStream,
        schema: SchemaRef,
        finish: impl Fn(RecordBatch) -> Result<RecordBatch> + Send + 'static,
        explain: impl Fn(&DataFusionError) -> Error + Send + 'static,
    ) -> Self {
        let (sender, messages) = mpsc::channel(IN_FLIGHT);
        let work = runtime.spawn(async move {
            while let Some(batch) = source.next().await {
                let batch = batch.map_err(|error| explain(&error)).and_then(&finish);
                let message = match batch {
                    Ok(batch) if batch.num_rows() == 0 => continue,
                    Ok(batch) => Message::Batch(batch),
                    Err(error) => Message::Failed(error),
                };
                let failed = matches!(message, Message::Failed(_));
                if sender.send(message).await.is_err() || failed {
                    return;
                }
            }
            let _ = sender.send(Message::Whole).await;
        });
        Self { schema, messages, work: work.abort_handle(), ended: false }
    }

    /// The schema of all batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Waits for the next batch on this thread; must not be called on an async runtime's thread.
    pub fn blocking_next(&mut self) -> Option<Result<RecordBatch>> {
        if self.ended {
            return None;
        }
        let message = self.messages.blocking_recv();
        self.taken(message)
    }

    fn taken(&mut self, message: Option<Message>) -> Option<Result<RecordBatch>> {
        self.ended = !matches!(message, Some(Message::Batch(_)));
        match message {
            Some(Message::Batch(batch)) => Some(Ok(batch)),
            Some(Message::Failed(error)) => Some(Err(error)),
            Some(Message::Whole) => None,
            None => Some(Err(Error::internal("a query stopped without an end or an error"))),
        }
    }
}

impl Stream for BatchStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.messages.poll_recv(context).map(|message| self.taken(message))
    }
}

impl Drop for BatchStream {
    fn drop(&mut self) {
        self.work.abort();
    }
}
