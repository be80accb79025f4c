//! Formats for programs: Parquet files and Arrow IPC streams.

use std::{io, sync::Arc};

use arrow::{datatypes::Schema, ipc::writer::StreamWriter, record_batch::RecordBatch};
use parquet::{
    arrow::ArrowWriter,
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};

use super::{RowWriter, arrow_failed};
use crate::{
    cli::talk::{Outcome, Stop},
    error::{Error, ErrorKind},
};

/// Bytes of a row group while it is in memory.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// A Parquet file.
pub(crate) struct Parquet<W: io::Write + Send> {
    /// `None` once it is finished.
    writer: Option<ArrowWriter<W>>,
}

impl<W: io::Write + Send> Parquet<W> {
    /// A file of rows that have `schema`.
    pub(crate) fn new(schema: &Schema, writer: W) -> Outcome<Self> {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
            .build();
        let writer = ArrowWriter::try_new(writer, Arc::new(schema.clone()), Some(properties))
            .map_err(failed)?;
        Ok(Self { writer: Some(writer) })
    }
}

impl<W: io::Write + Send> RowWriter for Parquet<W> {
    fn write(&mut self, batch: &RecordBatch) -> Outcome {
        match &mut self.writer {
            Some(writer) => writer.write(batch).map_err(failed),
            None => Err(Error::internal("rows came after a file's end").into()),
        }
    }

    fn finish(&mut self) -> Outcome {
        match self.writer.take() {
            Some(writer) => writer.close().map(|_| ()).map_err(failed),
            None => Ok(()),
        }
    }
}

fn failed(error: ParquetError) -> Stop {
    Error::new(ErrorKind::Storage, "a Parquet file can't be written").because(error).into()
}

/// An Arrow IPC stream.
pub(crate) struct ArrowStream<'a> {
    writer: StreamWriter<&'a mut dyn io::Write>,
}

impl<'a> ArrowStream<'a> {
    /// A stream of rows that have `schema`.
    pub(crate) fn new(schema: &Schema, writer: &'a mut dyn io::Write) -> Outcome<Self> {
        Ok(Self { writer: StreamWriter::try_new(writer, schema).map_err(arrow_failed)? })
    }
}

impl RowWriter for ArrowStream<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Outcome {
        self.writer.write(batch).map_err(arrow_failed)
    }

    fn finish(&mut self) -> Outcome {
        self.writer.finish().map_err(arrow_failed)
    }
}
