//! The staged files of one table, filled by several workers at once.

use std::{
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};

use super::{
    chunk::ChunkWriter,
    encoding::{self, EncodeOptions},
    file::{ClosedRowGroup, Layout, StageFile},
    memory,
};
use crate::{
    error::{Context, Error, ErrorKind, Result},
    types::{DataFile, TableFiles, TableName},
};

/// One table of one run while it is staged. Cloning shares it.
#[derive(Clone)]
pub struct TableStage {
    shared: Arc<Shared>,
}

struct Shared {
    table: TableName,
    folder: PathBuf,
    schema: SchemaRef,
    options: EncodeOptions,
    /// Settled by the first batch that any worker brings.
    layout: OnceLock<Layout>,
    files: Mutex<Files>,
    next_file: AtomicU64,
}

/// Files that no worker is writing to just now.
#[derive(Default)]
struct Files {
    /// With room for more row groups.
    open: Vec<StageFile>,
    finished: Vec<DataFile>,
}

impl TableStage {
    /// Makes the table's folder below a run's, which exists. `schema` is canonical.
    pub(super) fn create(
        run_folder: &std::path::Path,
        table: TableName,
        schema: SchemaRef,
        options: EncodeOptions,
    ) -> Result<Self> {
        let folder = run_folder.join(table.folder());
        std::fs::create_dir_all(&folder)
            .or_fail(ErrorKind::Storage, || format!("cannot create `{}`", folder.display()))?;
        Ok(Self {
            shared: Arc::new(Shared {
                table,
                folder,
                schema,
                options,
                layout: OnceLock::new(),
                files: Mutex::default(),
                next_file: AtomicU64::new(0),
            }),
        })
    }

    /// A writer for one chunk. Any number may be at work at once, on any threads.
    pub fn writer(&self) -> ChunkWriter {
        ChunkWriter::new(self.clone())
    }

    /// The table.
    pub fn table(&self) -> &TableName {
        &self.shared.table
    }

    /// Closes all files and makes them durable; there is at least one, so that an empty table has
    /// a file with its schema. Call it once, when every writer is complete or dropped. Blocks.
    pub fn finish(&self) -> Result<TableFiles> {
        let Files { open, mut finished } = std::mem::take(&mut *self.files());
        for file in open {
            finished.push(file.finish(&self.shared.schema)?);
        }
        if finished.is_empty() {
            let empty = RecordBatch::new_empty(self.shared.schema.clone());
            let file = self.new_file(self.layout(&empty)?)?;
            finished.push(file.finish(&self.shared.schema)?);
        }
        std::fs::File::open(&self.shared.folder)
            .and_then(|folder| folder.sync_all())
            .or_fail(ErrorKind::Storage, || {
                format!("cannot make `{}` durable", self.shared.folder.display())
            })?;
        Ok(TableFiles { schema: self.shared.schema.clone(), files: finished })
    }

    /// Bytes that one writer holds at most between two batches, about.
    pub(super) fn footprint(&self) -> u64 {
        memory::of_writer(&self.shared.schema, &self.shared.options)
    }

    pub(super) fn options(&self) -> EncodeOptions {
        self.shared.options
    }

    /// How files of this table are written; the first caller's `batch` decides.
    pub(super) fn layout(&self, batch: &RecordBatch) -> Result<&Layout> {
        if let Some(layout) = self.shared.layout.get() {
            return Ok(layout);
        }
        let properties =
            encoding::properties(&self.shared.schema, batch, self.shared.options.compression)?;
        Ok(self.shared.layout.get_or_init(|| Layout::new(self.shared.schema.clone(), properties)))
    }

    pub(super) fn known_layout(&self) -> Result<&Layout> {
        self.shared.layout.get().ok_or_else(|| Error::internal("a row group came before any batch"))
    }

    /// A fresh file that only the caller writes to.
    pub(super) fn new_file(&self, layout: &Layout) -> Result<StageFile> {
        let number = self.shared.next_file.fetch_add(1, Ordering::Relaxed);
        StageFile::create(self.shared.folder.join(format!("{number:05}.parquet")), layout)
    }

    /// Appends a whole row group to a file that nobody else holds, a fresh one where all are held.
    pub(super) fn append(&self, group: ClosedRowGroup) -> Result<()> {
        let idle = self.files().open.pop();
        let mut file = match idle {
            Some(file) => file,
            None => self.new_file(self.known_layout()?)?,
        };
        file.append(group)?;
        self.give_back(file)
    }

    /// Hands a file over whose rows all count.
    pub(super) fn give_back(&self, file: StageFile) -> Result<()> {
        let is_full = file.bytes() >= self.shared.options.file_bytes
            || file.column_chunks() >= memory::FOOTER_CHUNKS;
        if !is_full {
            self.files().open.push(file);
            return Ok(());
        }
        let finished = file.finish(&self.shared.schema)?;
        self.files().finished.push(finished);
        Ok(())
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        // A worker that panicked left whole files or none behind; the list is sound either way.
        self.shared.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
