//! One Parquet file while it grows, and row groups before they belong to it.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::{
    array::ArrayRef,
    datatypes::{Field, SchemaRef},
    record_batch::RecordBatch,
};
use parquet::{
    arrow::{
        ArrowSchemaConverter, add_encoded_arrow_schema_to_metadata,
        arrow_writer::{
            ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, compute_leaves,
        },
    },
    errors::{ParquetError, Result as ParquetResult},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::types::SchemaDescriptor,
};
use url::Url;

use super::{
    column::{self, ClosedColumn, EncodeColumn, Workspace},
    encoding::{self, Choice},
    memory, statistics,
};
use crate::{
    config::Compression,
    error::{Context, Error, ErrorKind, Result},
    types::DataFile,
};

/// What every file of one table shares.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) schema: SchemaRef,
    parquet_schema: SchemaDescriptor,
    /// One a column of `schema`.
    choices: Vec<Choice>,
    compression: parquet::basic::Compression,
    properties: Arc<WriterProperties>,
}

impl Layout {
    /// The layout of a table of `schema` whose first rows are those of `batch`.
    pub(super) fn of(
        schema: SchemaRef,
        batch: &RecordBatch,
        compression: Compression,
    ) -> Result<Self> {
        let choices: Vec<_> =
            batch.columns().iter().map(|column| encoding::choose(column)).collect();
        let mut properties = encoding::properties(&schema, &choices, compression)?;
        add_encoded_arrow_schema_to_metadata(&schema, &mut properties);
        let parquet_schema = ArrowSchemaConverter::new().convert(&schema).map_err(broken)?;
        let compression = encoding::codec(compression)?;
        Ok(Self { schema, parquet_schema, choices, compression, properties: Arc::new(properties) })
    }

    /// A row group that belongs to no file yet.
    pub(super) fn row_group(&self) -> Result<OpenRowGroup> {
        let mut descriptions = self.parquet_schema.columns().iter();
        let fields = self.schema.fields();
        let ours: Vec<_> = fields
            .iter()
            .zip(&self.choices)
            .map(|(field, choice)| {
                let many = column::leaf_count(field.data_type());
                let described: Vec<_> = descriptions.by_ref().take(many).cloned().collect();
                let descr = described.into_iter().next()?;
                column::encoder(field.data_type(), descr, *choice)
            })
            .collect();
        // The crate makes writers for all columns or for none, and large ones.
        let theirs =
            if ours.iter().any(Option::is_none) { self.crate_writers()? } else { Vec::new() };
        let mut theirs = theirs.into_iter();
        let columns = fields
            .iter()
            .zip(ours)
            .map(|(field, ours)| {
                let many = column::leaf_count(field.data_type());
                let theirs: Vec<_> = theirs.by_ref().take(many).collect();
                ours.map_or(Column::Theirs(theirs), Column::Ours)
            })
            .collect();
        let workspace = Workspace::new(self.compression).map_err(broken)?;
        Ok(OpenRowGroup { columns, workspace, rows: 0 })
    }

    /// The `parquet` crate's writers, one for each of its columns.
    fn crate_writers(&self) -> Result<Vec<ArrowColumnWriter>> {
        // The factory wants a file writer only for the Parquet schema that it was made with.
        let writer = self.serialized(std::io::sink())?;
        let factory = ArrowRowGroupWriterFactory::new(&writer, self.schema.clone());
        factory.create_column_writers(0).map_err(broken)
    }

    fn serialized<W: std::io::Write + Send>(&self, to: W) -> Result<SerializedFileWriter<W>> {
        let schema = self.parquet_schema.root_schema_ptr();
        SerializedFileWriter::new(to, schema, self.properties.clone()).map_err(broken)
    }
}

/// One column of a row group in the making.
enum Column {
    /// Flat, and of a type that we encode.
    Ours(Box<dyn EncodeColumn>),
    /// Any other, in the columns of Parquet that it becomes.
    Theirs(Vec<ArrowColumnWriter>),
}

impl Column {
    fn write(
        &mut self,
        field: &Field,
        array: &ArrayRef,
        workspace: &mut Workspace,
    ) -> ParquetResult<()> {
        match self {
            Self::Ours(encoder) => encoder.write(array, workspace),
            Self::Theirs(writers) => {
                let leaves = compute_leaves(field, array)?;
                writers.iter_mut().zip(&leaves).try_for_each(|(writer, leaf)| writer.write(leaf))
            }
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Ours(encoder) => encoder.bytes(),
            Self::Theirs(writers) => writers.iter().map(held).sum(),
        }
    }

    fn close(self, workspace: &mut Workspace, closed: &mut Vec<Closed>) -> ParquetResult<()> {
        match self {
            Self::Ours(encoder) => closed.push(Closed::Ours(encoder.close(workspace)?)),
            Self::Theirs(writers) => {
                for writer in writers {
                    closed.push(Closed::Theirs(writer.close()?));
                }
            }
        }
        Ok(())
    }
}

/// One column of Parquet, encoded and compressed.
enum Closed {
    Ours(ClosedColumn),
    Theirs(ArrowColumnChunk),
}

impl Closed {
    fn bytes(&self) -> u64 {
        match self {
            Self::Ours(column) => column.bytes(),
            Self::Theirs(column) => column.close().bytes_written,
        }
    }
}

/// A row group in the making, encoded in memory.
pub(super) struct OpenRowGroup {
    columns: Vec<Column>,
    workspace: Workspace,
    rows: u64,
}

impl OpenRowGroup {
    /// Encodes `batch`, which has the layout's schema.
    pub(super) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_columns() != self.columns.len() {
            return Err(Error::internal("a batch has other columns than its table"));
        }
        let fields = batch.schema_ref().fields().iter().zip(batch.columns());
        for (column, (field, array)) in self.columns.iter_mut().zip(fields) {
            column.write(field, array, &mut self.workspace).map_err(broken)?;
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes it holds in memory, about.
    pub(super) fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum::<usize>() + self.workspace.bytes()
    }

    pub(super) fn close(mut self) -> Result<ClosedRowGroup> {
        let mut columns = Vec::new();
        for column in self.columns {
            column.close(&mut self.workspace, &mut columns).map_err(broken)?;
        }
        Ok(ClosedRowGroup { columns, rows: self.rows })
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
    columns: Vec<Closed>,
    rows: u64,
}

impl ClosedRowGroup {
    /// Bytes of its pages.
    pub(super) fn bytes(&self) -> u64 {
        self.columns.iter().map(Closed::bytes).sum()
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
        self.column_chunks += group.columns.len();
        let mut row_group = self.writer.next_row_group().map_err(failed)?;
        for column in group.columns {
            let appended = match column {
                Closed::Ours(column) => {
                    let (bytes, close) = column.into_parts();
                    row_group.append_column(&bytes, close)
                }
                Closed::Theirs(column) => column.append_to_row_group(&mut row_group),
            };
            appended.map_err(|error| full(&self.path, &error))?;
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
