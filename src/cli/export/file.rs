//! A file that appears under its name only when it is whole.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::error::{Context, Error, ErrorKind, Result};

/// A file in the making, beside its final place. Dropping it removes it.
pub(crate) struct NewFile {
    writer: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    committed: bool,
}

impl NewFile {
    /// Begins the file that will be at `path`.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let refused = || format!("`{}` can't be written", path.display());
        let name = path.file_name().ok_or_else(|| {
            Error::new(ErrorKind::Usage, format!("`{}` is not a file's name", path.display()))
        })?;
        if path.is_dir() {
            return Err(Error::new(ErrorKind::Usage, refused()).because("it is a folder"));
        }
        let hidden = format!(".{}.{}.part", name.to_string_lossy(), std::process::id());
        let temporary = path.with_file_name(hidden);
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)
            .or_fail(ErrorKind::Storage, refused)
            .map_err(|error| error.hint("check that the folder exists and may be written"))?;
        let writer = BufWriter::with_capacity(1 << 16, file);
        Ok(Self { writer, temporary, path: path.to_owned(), committed: false })
    }

    /// Puts the file in its place; what was there is replaced.
    pub(crate) fn commit(mut self) -> Result<()> {
        let placed = self
            .writer
            .flush()
            .and_then(|()| self.writer.get_ref().sync_all())
            .and_then(|()| fs::rename(&self.temporary, &self.path));
        placed
            .or_fail(ErrorKind::Storage, || format!("`{}` was not written", self.path.display()))?;
        self.committed = true;
        Ok(())
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.committed {
            // A leftover is hidden and harmless; there is nobody to tell here.
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
