//! The staged files of one table, filled by several workers at once.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};

use super::{
    chunk::ChunkWriter,
    encoding::EncodeOptions,
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
    /// Makes a folder for the table below a run's, which exists. `schema` is canonical.
    ///
    /// The folder is one that nobody had before: writers of an earlier attempt, which may not have
    /// noticed its end yet, never meet the files of this one.
    pub(super) fn create(
        run_folder: &Path,
        table: TableName,
        schema: SchemaRef,
        options: EncodeOptions,
    ) -> Result<Self> {
        let folder = fresh_folder(&run_folder.join(table.folder()))?;
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

    /// Removes what was staged. Nothing of it counts any more, nor what writers still bring, and the
    /// table can be begun anew. Blocks.
    pub fn discard(&self) -> Result<()> {
        let failed = || format!("cannot empty `{}`", self.shared.folder.display());
        // The folder itself stays, so that its name is not taken again.
        for entry in std::fs::read_dir(&self.shared.folder).or_fail(ErrorKind::Storage, failed)? {
            let removed = entry.and_then(|entry| std::fs::remove_file(entry.path()));
            match removed {
                // A writer that is just being dropped removes its own file.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed.or_fail(ErrorKind::Storage, failed)?,
            }
        }
        Ok(())
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
        let layout =
            Layout::of(self.shared.schema.clone(), batch, self.shared.options.compression)?;
        Ok(self.shared.layout.get_or_init(|| layout))
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

/// Makes `wanted`, or where that exists, a folder beside it.
fn fresh_folder(wanted: &Path) -> Result<PathBuf> {
    let failed = || format!("cannot create `{}`", wanted.display());
    if let Some(parent) = wanted.parent() {
        std::fs::create_dir_all(parent).or_fail(ErrorKind::Storage, failed)?;
    }
    let mut folder = wanted.to_owned();
    for number in 2_u64.. {
        match std::fs::create_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut name = wanted.as_os_str().to_owned();
                name.push(format!("~{number}"));
                folder = name.into();
            }
            made => return made.or_fail(ErrorKind::Storage, failed).map(|()| folder),
        }
    }
    Err(Error::internal("there is no free name for a folder"))
}
