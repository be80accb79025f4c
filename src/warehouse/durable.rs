//! A local file system whose writes survive a power cut.
//!
//! `LocalFileSystem` makes writes atomic and never syncs them. This wrapper syncs a file's bytes
//! before its name appears and the folder after, so that a name is never seen without its whole
//! content, crash or not. What is created (not overwritten) can't be written to afterwards.
//! Everything else passes through. Delta's log, manifests, generations and intents go through here.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path as FsPath, PathBuf},
};

use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result, UploadPart, local::LocalFileSystem, path::Path,
};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct DurableLocal(LocalFileSystem);

impl DurableLocal {
    /// The whole file system; paths in it are absolute paths without their first slash.
    pub(super) fn new() -> Self {
        Self(LocalFileSystem::new())
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("local file system, synced")
    }
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if matches!(options.mode, PutMode::Update(_)) || !options.attributes.is_empty() {
            return self.0.put_opts(location, payload, options).await;
        }
        let path = self.0.path_to_filesystem(location)?;
        blocking(path, move |path| write(path, &payload, &options.mode)).await?;
        Ok(PutResult { e_tag: None, version: None })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let path = self.0.path_to_filesystem(location)?;
        let inner = self.0.put_multipart_opts(location, options).await?;
        Ok(Box::new(DurableUpload { inner, path }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}

/// A large upload, which only checkpoints of very large tables need. It is synced right after its
/// name appears: a checkpoint is never the only copy of what it says.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let result = self.inner.complete().await?;
        blocking(self.path.clone(), |path| {
            File::open(path)?.sync_all()?;
            sync_folder_of(path)
        })
        .await?;
        Ok(result)
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}

/// Runs file work where it may block, and names the path in what goes wrong.
async fn blocking<F>(path: PathBuf, work: F) -> Result<()>
where
    F: FnOnce(&FsPath) -> io::Result<()> + Send + 'static,
{
    let shown = path.display().to_string();
    match tokio::task::spawn_blocking(move || work(&path)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(Error::AlreadyExists { path: shown, source: error.into() })
        }
        Ok(Err(error)) => {
            Err(Error::Generic { store: "file system", source: format!("{shown}: {error}").into() })
        }
        Err(source) => Err(Error::JoinError { source }),
    }
}

fn write(path: &FsPath, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        create_folders(folder)?;
    }
    let temp = temp_beside(path);
    let result = write_synced(&temp, payload, mode).and_then(|()| match mode {
        PutMode::Create => fs::hard_link(&temp, path),
        PutMode::Overwrite | PutMode::Update(_) => fs::rename(&temp, path),
    });
    // After a rename there is nothing left to remove; an orphan is only litter.
    let _ = fs::remove_file(&temp);
    result?;
    sync_folder_of(path).inspect_err(|_| {
        // A name that may vanish with the power must not count as committed; and a sync that
        // failed once says nothing when it is tried again.
        if matches!(mode, PutMode::Create) {
            let _ = fs::remove_file(path);
        }
    })
}

fn write_synced(temp: &FsPath, payload: &PutPayload, mode: &PutMode) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(temp)?;
    for bytes in payload {
        file.write_all(bytes)?;
    }
    if matches!(mode, PutMode::Create) {
        forbid_writing(&file)?;
    }
    file.sync_all()
}

/// A name in the same folder that no listing of `LocalFileSystem` shows.
pub(super) fn temp_beside(path: &FsPath) -> PathBuf {
    let unique = (uuid::Uuid::now_v7().as_u128() % 10_u128.pow(20)) as u64;
    let mut name = path.as_os_str().to_owned();
    name.push(format!("#{unique:020}"));
    PathBuf::from(name)
}

/// Clears all write permissions of a file.
pub(super) fn forbid_writing(file: &File) -> io::Result<()> {
    let mut permissions = file.metadata()?.permissions();
    permissions.set_readonly(true);
    file.set_permissions(permissions)
}

/// Makes the name of `path` durable, not its content.
pub(super) fn sync_folder_of(path: &FsPath) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// Creates `folder` and what is missing above it, each name durable.
pub(super) fn create_folders(folder: &FsPath) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        create_folders(above)?;
    }
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder_of(folder),
    }
}

/// Removes what a crash left of unfinished writes in `folder`; only names that
/// [`temp_beside`] gives, so that no other tool's work in progress is touched.
pub(super) fn sweep(folder: &FsPath) {
    for path in unfinished(folder) {
        let _ = fs::remove_file(path);
    }
}

/// Files in `folder` whose writing has not come to its end, or never will.
pub(super) fn unfinished(folder: &FsPath) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let is_ours = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.rsplit_once('#')).is_some_and(|(_, tail)| {
            tail.len() == 20 && tail.bytes().all(|byte| byte.is_ascii_digit())
        })
    };
    entries.flatten().map(|entry| entry.path()).filter(is_ours).collect()
}

#[cfg(test)]
mod tests {
    use object_store::ObjectStoreExt as _;

    use super::*;

    #[tokio::test]
    async fn a_name_is_created_once_and_read_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = Path::from_absolute_path(folder.path().join("a/b/1.json")).unwrap();
        let store = DurableLocal::new();
        store.put_opts(&path, "one".into(), PutMode::Create.into()).await.unwrap();
        let again = store.put_opts(&path, "two".into(), PutMode::Create.into()).await;
        assert!(matches!(again, Err(Error::AlreadyExists { .. })), "{again:?}");
        assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");
        let file = folder.path().join("a/b/1.json");
        assert!(fs::metadata(&file).unwrap().permissions().readonly());
        store.put(&path, "three".into()).await.unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"three");
        assert_eq!(fs::read_dir(folder.path().join("a/b")).unwrap().count(), 1);
    }

    #[test]
    fn sweeping_spares_what_others_write() {
        let folder = tempfile::tempdir().unwrap();
        let ours = temp_beside(&folder.path().join("1.json"));
        for path in [&ours, &folder.path().join("1.json#1"), &folder.path().join("1.json")] {
            fs::write(path, "x").unwrap();
        }
        sweep(folder.path());
        assert!(!ours.exists());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
