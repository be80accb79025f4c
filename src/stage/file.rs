//! One Parquet file while it grows, and row groups before they belong to it.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use parquet::{
    arrow::{
        ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata,
        arrow_writer::{
            ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
        },
    },
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
};
use url::Url;

use super::{memory, statistics};
use crate::{
    error::{Context, Error, ErrorKind, Result},
    types::DataFile,
};

/// What every file of one table shares.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) schema: SchemaRef,
    properties: Arc<WriterProperties>,
}

impl Layout {
    pub(super) fn new(schema: SchemaRef, properties: Arc<WriterProperties>) -> Self {
        Self { schema, properties }
    }

    /// A row group that belongs to no file yet.
    pub(super) fn row_group(&self) -> Result<OpenRowGroup> {
        // The factory wants a file writer only for the Parquet schema that it was made with.
        let writer = self.serialized(std::io::sink())?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, self.schema.clone());
        let columns = factory.create_column_writers(0).map_err(broken)?;
        Ok(OpenRowGroup { columns, rows: 0 })
    }

    fn serialized<W: std::io::Write + Send>(&self, to: W) -> Result<SerializedFileWriter<W>> {
        let parquet_schema = ArrowSchemaConverter::new().convert(&self.schema).map_err(broken)?;
        let mut properties = (*self.properties).clone();
        add_encoded_arrow_schema_to_metadata(&self.schema, &mut properties);
        SerializedFileWriter::new(to, parquet_schema.root_schema_ptr(), Arc::new(properties))
            .map_err(broken)
    }
}

/// A row group in the making, encoded in memory.
pub(super) struct OpenRowGroup {
    columns: Vec<ArrowColumnWriter>,
    rows: u64,
}

impl OpenRowGroup {
    /// Encodes `batch`, which has the layout's schema.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut writers = self.columns.iter_mut();
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            for leaf in compute_leaves(field, column).map_err(broken)? {
                let writer = writers
                    .next()
                    .ok_or_else(|| Error::internal("a batch has more columns than its table"))?;
                writer.write(&leaf).map_err(broken)?;
            }
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes it holds in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.columns.iter().map(held).sum()
    }

    pub(super) fn close(self) -> Result<ClosedRowGroup> {
        let chunks = self
            .columns
            .into_iter()
            .map(ArrowColumnWriter::close)
            .collect::<parquet::errors::Result<Vec<_>>>()
            .map_err(broken)?;
        Ok(ClosedRowGroup { chunks, rows: self.rows })
    }
}

/// Bytes that a column writer holds in memory, about. It says more of itself where it encodes
/// differences: a buffer of 1 MiB that it sets aside and hardly touches.
fn held(column: &ArrowColumnWriter) -> usize {
    const ASIDE: usize = 1 << 20;
    let (held, encoded) = (column.memory_size(), column.get_estimated_total_bytes());
    if held >= encoded + ASIDE / 2 { held.saturating_sub(ASIDE).max(encoded) } else { held }
}

/// A row group, encoded and compressed, ready to be appended to any file of its layout.
pub(super) struct ClosedRowGroup {
    chunks: Vec<ArrowColumnChunk>,
    rows: u64,
}

impl ClosedRowGroup {
    /// Bytes of its pages.
    pub(super) fn bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.close().bytes_written).sum()
    }
}

/// A Parquet file that grows by whole row groups.
pub(super) struct StageFile {
    path: PathBuf,
    writer: SerializedFileWriter<BufWriter<File>>,
    rows: u64,
    /// Entries that its footer will have, one a column and row group; they stay in memory.
    column_chunks: usize,
}

impl StageFile {
    /// Creates the file at `path`, which must not exist.
    pub(super) fn create(path: PathBuf, layout: &Layout) -> Result<Self> {
        let file = File::create_new(&path)
            .or_fail(ErrorKind::Storage, || format!("cannot create `{}`", path.display()))?;
        let writer = layout.serialized(BufWriter::with_capacity(memory::FILE_BUFFER, file))?;
        Ok(Self { path, writer, rows: 0, column_chunks: 0 })
    }

    pub(super) fn append(&mut self, group: ClosedRowGroup) -> Result<()> {
        let failed = |error: ParquetError| full(&self.path, &error);
        self.column_chunks += group.chunks.len();
        let mut row_group = self.writer.next_row_group().map_err(failed)?;
        for chunk in group.chunks {
            chunk.append_to_row_group(&mut row_group).map_err(|error| full(&self.path, &error))?;
        }
        row_group.close().map_err(|error| full(&self.path, &error))?;
        self.rows += group.rows;
        Ok(())
    }

    pub(super) fn column_chunks(&self) -> usize {
        self.column_chunks
    }

    /// Bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.writer.bytes_written() as u64
    }

    /// Writes the footer, makes the file durable, and describes it.
    pub(super) fn finish(self, schema: &SchemaRef) -> Result<DataFile> {
        let Self { path, mut writer, rows, .. } = self;
        let metadata = writer.finish().map_err(|error| full(&path, &error))?;
        let counted: i64 = metadata
            .row_groups()
            .iter()
            .map(parquet::file::metadata::RowGroupMetaData::num_rows)
            .sum();
        if counted as u64 != rows {
            return Err(Error::internal(format!(
                "`{}` holds {counted} rows by its footer and {rows} by our count",
                path.display()
            )));
        }
        let buffer = writer.inner();
        if !buffer.buffer().is_empty() {
            return Err(Error::internal("a finished Parquet file was not flushed"));
        }
        let file = buffer.get_ref();
        file.sync_all()
            .or_fail(ErrorKind::Storage, || format!("cannot make `{}` durable", path.display()))?;
        let bytes = file
            .metadata()
            .or_fail(ErrorKind::Storage, || format!("cannot look at `{}`", path.display()))?
            .len();
        let columns = statistics::of_file(&metadata, schema)?;
        Ok(DataFile { url: file_url(&path)?, rows, bytes, columns })
    }

    /// Removes the file; what it held never counted.
    pub(super) fn discard(self) {
        let path = self.path.clone();
        drop(self);
        // Best effort: a file that stays is swept with its run's folder.
        let _ = std::fs::remove_file(path);
    }
}

fn file_url(path: &Path) -> Result<Url> {
    Url::from_file_path(path)
        .map_err(|()| Error::internal(format!("`{}` is not an absolute path", path.display())))
}

/// Encoding in memory failed: nothing that a user could mend.
fn broken(error: ParquetError) -> Error {
    Error::internal("cannot encode Parquet").because(error)
}

/// Writing to the stage failed.
fn full(path: &Path, error: &ParquetError) -> Error {
    Error::new(ErrorKind::Storage, format!("cannot write `{}`", path.display()))
        .because(error)
        .hint("see that the stage's disk has room and takes writes: `df -h` on its folder")
}
