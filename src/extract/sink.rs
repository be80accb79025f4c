//! Sinks that wrap sinks: behaviour that every source gets for nothing.

use std::{sync::Arc, time::Duration};

use arrow::{
    array::{Array, ArrayRef, AsArray, StringViewBuilder},
    datatypes::{DataType, SchemaRef},
    record_batch::RecordBatch,
};
use sha2::{Digest, Sha256};

use super::{BatchSink, Misfit, TableRequest};
use crate::{
    config::Mask,
    error::{Error, Result},
    types::{Stopwatch, Timings},
};

/// Makes masked columns unreadable before the wrapped sink sees them.
pub struct MaskingSink {
    inner: Box<dyn BatchSink>,
    masks: Vec<(usize, Mask)>,
    schema: SchemaRef,
    spent: Duration,
}

impl MaskingSink {
    /// Wraps `inner` if `request` masks any column; otherwise gives `inner` back as it is.
    pub fn wrap(request: &TableRequest, inner: Box<dyn BatchSink>) -> Box<dyn BatchSink> {
        let masks: Vec<_> = request
            .columns
            .iter()
            .enumerate()
            .filter_map(|(at, column)| Some((at, column.mask?)))
            .collect();
        if masks.is_empty() {
            return inner;
        }
        Box::new(Self { inner, masks, schema: request.schema(), spent: Duration::ZERO })
    }
}

impl BatchSink for MaskingSink {
    fn push(&mut self, batch: RecordBatch) -> Result<()> {
        let batch = self.masked(&batch)?;
        self.inner.push(batch)
    }

    fn push_misfits(&mut self, batch: RecordBatch, mut misfits: Vec<Misfit>) -> Result<()> {
        for misfit in &mut misfits {
            if self.masks.iter().any(|(at, _)| *at == misfit.column) {
                REDACTED.clone_into(&mut misfit.value);
            }
        }
        let batch = self.masked(&batch)?;
        self.inner.push_misfits(batch, misfits)
    }

    fn complete(self: Box<Self>, rows: u64) -> Result<()> {
        self.inner.complete(rows)
    }

    fn spent(&mut self, mut spent: Timings) {
        spent.decode += self.spent;
        self.inner.spent(spent);
    }

    fn footprint(&self) -> u64 {
        self.inner.footprint()
    }

    fn relieve(&mut self) -> Result<()> {
        self.inner.relieve()
    }
}

impl MaskingSink {
    fn masked(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let mut watch = Stopwatch::start();
        let mut columns = batch.columns().to_vec();
        for (at, mask) in &self.masks {
            let column = columns
                .get_mut(*at)
                .ok_or_else(|| Error::internal("a masked column is missing from a batch"))?;
            *column = masked(column, *mask)?;
        }
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .map_err(|error| Error::internal(format!("a masked batch is malformed: {error}")))?;
        self.spent += watch.lap();
        Ok(batch)
    }
}

/// What stands for a value that nobody may see.
const REDACTED: &str = "***";

fn masked(column: &ArrayRef, mask: Mask) -> Result<ArrayRef> {
    if column.data_type() != &DataType::Utf8View {
        return Err(Error::internal("a column to be masked was not read as text"));
    }
    let mut out = StringViewBuilder::with_capacity(column.len());
    for value in column.as_string_view() {
        match (value, mask) {
            (None, _) => out.append_null(),
            (Some(text), Mask::Sha256) => out.append_value(format!("{:x}", Sha256::digest(text))),
            (Some(_), Mask::Redact) => out.append_value(REDACTED),
        }
    }
    Ok(Arc::new(out.finish()))
}
