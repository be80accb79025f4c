//! Bringing finished files to where they will stay, before anything is committed.
//!
//! A placed file is invisible until a commit names it. Nothing is encoded again: on one file system
//! the staged file gets a second name, elsewhere its bytes are copied or uploaded. Each file is
//! checked against what is said of it first, because a commit of a damaged file can't be taken back
//! from those who read it.

use std::{
    fs::{self, File},
    io,
    path::{Path as FsPath, PathBuf},
};

use futures::{StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use object_store::{Error as StoreError, ObjectStoreExt as _, PutMode, WriteMultipart, path::Path};
use parquet::file::metadata::ParquetMetaDataReader;
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;
use url::Url;

use super::{
    Warehouse,
    durable::{create_folders, forbid_writing, sync_folder_of, temp_beside},
    root::{path_of, storage},
};
use crate::{
    error::{Context as _, Error, ErrorKind, Result},
    types::{DataFile, RunId, TableName},
};

/// Files that are linked or copied at once.
const LOCAL_AT_ONCE: usize = 8;

/// Files that are uploaded at once. With [`PARTS_AT_ONCE`] and [`PART_BYTES`] this bounds the
/// memory of all uploads of a call: 3 × (2 + 2) × 8 MiB.
const UPLOADS_AT_ONCE: usize = 3;

/// Parts of one file in flight.
const PARTS_AT_ONCE: usize = 2;

/// The least length of a part.
const PART_BYTES: u64 = 8 << 20;

/// Stores take at most 10,000 parts.
const MOST_PARTS: u64 = 9_000;

impl Warehouse {
    /// Brings `files` of `run`, finished and local, to their place below the folder of `table`, and
    /// gives them back in the same order with their new URLs.
    ///
    /// The staged files stay readable where they are, and can't be written to any more. Placing the
    /// same staged files of the same run again changes nothing. A file whose length or footer is
    /// not what it should be is an error, and so is one that already lies there with other content.
    /// After an error none of them is left there; cancelled half-way, some are, which no reader sees.
    pub async fn place(
        &self,
        table: &TableName,
        run: &RunId,
        files: Vec<DataFile>,
    ) -> Result<Vec<DataFile>> {
        self.must_write()?;
        let folder = self.root.table_url(table)?;
        let places: Vec<Url> = files
            .iter()
            .enumerate()
            .filter_map(|(part, file)| folder.join(&place_name(run, part, file)).ok())
            .collect();
        let placed = self.place_all(table, &folder, run, files).await;
        if placed.is_err() {
            self.discard(&places).await;
        }
        placed
    }

    /// Removes files that were placed and that no commit will ever name. Best effort: what stays is
    /// litter that no reader sees.
    pub async fn discard(&self, places: &[Url]) {
        for place in places {
            let Ok(path) = path_of(place) else { continue };
            if let Err(error) = self.root.remove(&path).await {
                tracing::warn!(%path, %error, "a file that nobody needs stays");
            }
        }
    }

    async fn place_all(
        &self,
        table: &TableName,
        folder: &Url,
        run: &RunId,
        files: Vec<DataFile>,
    ) -> Result<Vec<DataFile>> {
        let at_once = if self.is_local() { LOCAL_AT_ONCE } else { UPLOADS_AT_ONCE };
        let placed: Vec<DataFile> = futures::stream::iter(files.into_iter().enumerate())
            .map(|(part, file)| {
                let name = place_name(run, part, &file);
                self.place_one(table, folder, name, file)
            })
            .buffered(at_once)
            .try_collect()
            .await?;
        if let (true, Some(last)) = (self.is_local(), placed.last()) {
            let path = local_path(&last.url)?;
            blocking(move || sync_folder_of(&path))
                .await
                .map_err(|error| unplaced(table, &error))?;
        }
        Ok(placed)
    }

    async fn place_one(
        &self,
        table: &TableName,
        folder: &Url,
        name: String,
        file: DataFile,
    ) -> Result<DataFile> {
        let staged = local_path(&file.url)?;
        let place = folder
            .join(&name)
            .or_fail(ErrorKind::Internal, || format!("`{name}` is no name for a file"))?;
        let (bytes, rows) = (file.bytes, file.rows);
        let checked = staged.clone();
        blocking(move || check(&checked, bytes, rows)).await.map_err(|error| {
            let shown = staged.file_name().unwrap_or_default().to_string_lossy();
            Error::new(
                ErrorKind::Storage,
                format!("the staged file `{shown}` of `{table}` is damaged; it was not published"),
            )
            .because(error)
            .hint("check the disk that the stage lies on, then run again")
        })?;
        if self.is_local() {
            let target = local_path(&place)?;
            blocking(move || link(&staged, &target, bytes, rows))
                .await
                .map_err(|error| unplaced(table, &error))?;
        } else {
            self.upload(&staged, &path_of(&place)?, bytes)
                .await
                .map_err(|error| error.context(format!("a file of `{table}` can't be uploaded")))?;
        }
        Ok(DataFile { url: place, ..file })
    }

    async fn upload(&self, staged: &FsPath, place: &Path, bytes: u64) -> Result<()> {
        if self.root.length(place).await? == Some(bytes) {
            return Ok(());
        }
        if bytes <= PART_BYTES {
            self.upload_whole(staged, place).await?;
        } else {
            self.upload_parts(staged, place, bytes).await?;
        }
        match self.root.length(place).await? {
            Some(length) if length == bytes => Ok(()),
            found => {
                Err(Error::new(ErrorKind::Storage, "the store holds another length than was sent")
                    .because(format!(
                        "{bytes} bytes were sent to `{place}`, and {found:?} arrived"
                    )))
            }
        }
    }

    async fn upload_whole(&self, staged: &FsPath, place: &Path) -> Result<()> {
        let content = tokio::fs::read(staged).await.or_fail(ErrorKind::Storage, unread)?;
        match self.store().put_opts(place, content.into(), PutMode::Create.into()).await {
            // Our own retried request, or a file that the caller's check of its length refuses.
            Ok(_) | Err(StoreError::AlreadyExists { .. }) => Ok(()),
            Err(error) => Err(storage(format!("`{place}` can't be written"), error)),
        }
    }

    async fn upload_parts(&self, staged: &FsPath, place: &Path, bytes: u64) -> Result<()> {
        let failed = |error| storage(format!("`{place}` can't be written"), error);
        let length = PART_BYTES.max(bytes.div_ceil(MOST_PARTS)) as usize;
        let upload = self.store().put_multipart(place).await.map_err(failed)?;
        let mut upload = WriteMultipart::new_with_chunk_size(upload, length);
        match send(staged, &mut upload, length).await {
            Ok(()) => upload.finish().await.map(drop).map_err(failed),
            Err(error) => {
                // Parts of an upload that never ends are paid for and never seen.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }
}

async fn send(staged: &FsPath, upload: &mut WriteMultipart, length: usize) -> Result<()> {
    let mut file = tokio::fs::File::open(staged).await.or_fail(ErrorKind::Storage, unread)?;
    loop {
        let mut part = Vec::with_capacity(length);
        let limit = length as u64;
        let read = (&mut file).take(limit).read_to_end(&mut part).await;
        if read.or_fail(ErrorKind::Storage, unread)? == 0 {
            return Ok(());
        }
        upload
            .wait_for_capacity(PARTS_AT_ONCE)
            .await
            .or_fail(ErrorKind::Storage, || "a part can't be uploaded".to_owned())?;
        upload.put(part.into());
    }
}

fn unread() -> String {
    "a staged file can't be read".to_owned()
}

/// Unlike any other run's, and the same whenever this run places this staged file here.
fn place_name(run: &RunId, part: usize, file: &DataFile) -> String {
    let digest = Sha256::digest(format!("{} {}", file.url, file.bytes));
    let tail = digest.iter().take(5).fold(0, |tail, byte| tail << 8 | u64::from(*byte));
    format!("{run}-{part:05}-{tail:010x}.parquet")
}

/// Whether a file of this name was placed by some run: nobody else gives such names.
pub(super) fn is_placed(name: &str) -> bool {
    let Some((run, tail)) = name.strip_suffix(".parquet").and_then(|name| name.split_once('-'))
    else {
        return false;
    };
    let parts: Vec<&str> = tail.split('-').collect();
    let [id, part, digest] = parts.as_slice() else { return false };
    let is_hex =
        |text: &str| text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let is_start = |text: &str| {
        text.len() == 16
            && text.bytes().enumerate().all(|(at, byte)| match at {
                8 => byte == b't',
                15 => byte == b'z',
                _ => byte.is_ascii_digit(),
            })
    };
    is_start(run)
        && id.len() == 6
        && is_hex(id)
        && part.len() >= 5
        && part.bytes().all(|byte| byte.is_ascii_digit())
        && digest.len() == 10
        && is_hex(digest)
}

fn local_path(url: &Url) -> Result<PathBuf> {
    url.to_file_path().map_err(|()| Error::internal(format!("`{url}` is not a local file")))
}

/// Re-reads what a commit would promise of a file.
fn check(path: &FsPath, bytes: u64, rows: u64) -> Result<(), String> {
    let file = File::open(path).map_err(|error| error.to_string())?;
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    if length != bytes {
        return Err(format!("it has {length} bytes and should have {bytes}"));
    }
    let footer = ParquetMetaDataReader::new()
        .parse_and_finish(&file)
        .map_err(|error| format!("its footer can't be read: {error}"))?;
    match u64::try_from(footer.file_metadata().num_rows()) {
        Ok(found) if found == rows => Ok(()),
        found => Err(format!("its footer says {} rows and should say {rows}", found.unwrap_or(0))),
    }
}

fn link(staged: &FsPath, target: &FsPath, bytes: u64, rows: u64) -> Result<(), String> {
    let told = |error: io::Error| format!("{}: {error}", target.display());
    if let Some(folder) = target.parent() {
        create_folders(folder).map_err(told)?;
    }
    match fs::hard_link(staged, target) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            check(target, bytes, rows)
                .map_err(|why| format!("{} is there already: {why}", target.display()))?;
        }
        // Another file system, or one without hard links.
        Err(_) => copy(staged, target).map_err(told)?,
    }
    let file = File::open(target).map_err(told)?;
    // The time of placing, by which cleaning tells what a run may still be about to commit.
    file.set_modified(Timestamp::now().into()).map_err(told)?;
    forbid_writing(&file).map_err(told)?;
    file.sync_all().map_err(told)
}

fn copy(staged: &FsPath, target: &FsPath) -> io::Result<()> {
    let temp = temp_beside(target);
    let result = fs::copy(staged, &temp)
        .and_then(|_| File::open(&temp)?.sync_all())
        .and_then(|()| fs::rename(&temp, target));
    if result.is_err() {
        let _ = fs::remove_file(&temp);
    }
    result
}

fn unplaced(table: &TableName, why: &str) -> Error {
    Error::new(ErrorKind::Storage, format!("a file of `{table}` can't be put into the warehouse"))
        .because(why)
}

/// Runs file work where it may block.
async fn blocking<F, E>(work: F) -> Result<(), String>
where
    F: FnOnce() -> Result<(), E> + Send + 'static,
    E: ToString + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_runs_give_are_taken_for_ours() {
        let run = RunId::new("2026-11-22T14:11:53Z".parse().unwrap());
        let url = "file:///stage/x.parquet".parse().unwrap();
        let file = DataFile { url, rows: 1, bytes: 1, columns: Vec::new() };
        for part in [0, 7, 123_456] {
            let name = place_name(&run, part, &file);
            assert!(is_placed(&name), "{name}");
            assert!(!is_placed(&name.replace(".parquet", ".parquet#00000000000000000001")));
            assert!(!is_placed(&name.replace("parquet", "crc")));
            assert!(!is_placed(&format!("x{name}")));
        }
        for foreign in [
            "part-00000-3f2504e0-4f89-41d3-9a0c-0305e82c3301-c000.snappy.parquet",
            "20261122t141153z-3f9a1c-00000.parquet",
            "20261122T141153z-3f9a1c-00000-00000000aa.parquet",
            "20261122t141153z-3f9a1g-00000-00000000aa.parquet",
            "x.parquet",
        ] {
            assert!(!is_placed(foreign), "{foreign}");
        }
    }

    #[test]
    fn a_copy_is_whole_and_leaves_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (staged, target) = (folder.path().join("staged"), folder.path().join("target"));
        fs::write(&staged, "content").unwrap();
        copy(&staged, &target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"content");
        assert!(copy(&folder.path().join("missing"), &target).is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
