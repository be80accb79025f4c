//! The warehouse's root in its store: names below it, and files that are created once.
//!
//! Every commit point of the warehouse is one [`Root::create`].

use std::{
    path::{Path as FsPath, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{Error as StoreError, ObjectStore, ObjectStoreExt as _, PutMode, path::Path};
use url::Url;

use crate::{
    error::{Context as _, Error, ErrorKind, Result},
    types::TableName,
};

/// A place in a store.
#[derive(Clone)]
pub(super) struct Root {
    url: Url,
    store: Arc<dyn ObjectStore>,
    prefix: Path,
    local: Option<PathBuf>,
}

/// What came of creating a file.
#[derive(Debug)]
pub(super) enum Created {
    /// It holds our bytes now.
    Ours,
    /// It was there already, with other bytes.
    Taken(Bytes),
}

impl Root {
    /// `url` ends with a slash; paths in `store` are those of its URLs.
    pub(super) fn new(url: Url, store: Arc<dyn ObjectStore>) -> Result<Self> {
        let prefix = path_of(&url)?;
        let local = (url.scheme() == "file").then(|| url.to_file_path().ok()).flatten();
        Ok(Self { url, store, prefix, local })
    }

    pub(super) fn url(&self) -> &Url {
        &self.url
    }

    pub(super) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    pub(super) fn local(&self) -> Option<&FsPath> {
        self.local.as_deref()
    }

    /// The path of `relative`, whose segments need no encoding.
    pub(super) fn at(&self, relative: &str) -> Result<Path> {
        let whole = match self.prefix.as_ref() {
            "" => relative.to_owned(),
            prefix => format!("{prefix}/{relative}"),
        };
        Path::parse(whole).or_fail(ErrorKind::Internal, || format!("`{relative}` is not a path"))
    }

    /// The URL of a table's folder, with a slash at its end.
    pub(super) fn table_url(&self, table: &TableName) -> Result<Url> {
        self.url
            .join(&format!("{}/", table.folder()))
            .or_fail(ErrorKind::Internal, || format!("`{table}` has no place in the warehouse"))
    }

    /// `path` relative to `folder`, both in the store; `None` where it lies elsewhere.
    pub(super) fn below(folder: &Path, path: &Path) -> Option<String> {
        let parts: Vec<_> = path.prefix_match(folder)?.collect();
        let parts: Vec<&str> = parts.iter().map(AsRef::as_ref).collect();
        (!parts.is_empty()).then(|| parts.join("/"))
    }

    /// Creates `path` with `content`, or finds that it exists. `content` must be unlike what any
    /// other attempt writes (an id in it): stores retry, so that our own success can come back as
    /// "exists already", and a reply can be lost after the work was done. Both are resolved by
    /// reading back. An error means that `path` was not there when last looked at, or that looking
    /// failed as well.
    pub(super) async fn create(&self, path: &Path, content: Bytes) -> Result<Created> {
        let put = self.store.put_opts(path, content.clone().into(), PutMode::Create.into()).await;
        let error = match put {
            Ok(_) => return Ok(Created::Ours),
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) => {
                let found = self.read(path).await?.ok_or_else(|| {
                    Error::new(ErrorKind::Storage, format!("`{path}` exists and can't be read"))
                })?;
                return Ok(verdict(&content, found));
            }
            Err(error) => error,
        };
        // A local failure is no lost reply: whatever was written is taken back, or not durable.
        if self.local.is_none()
            && let Ok(Some(found)) = self.read(path).await
        {
            return Ok(verdict(&content, found));
        }
        Err(storage(format!("`{path}` can't be written"), error))
    }

    /// The content of `path`, or `None` where there is no such file.
    pub(super) async fn read(&self, path: &Path) -> Result<Option<Bytes>> {
        let failed = |error| storage(format!("`{path}` can't be read"), error);
        match self.store.get(path).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The length of `path` in bytes, or `None` where there is no such file.
    pub(super) async fn length(&self, path: &Path) -> Result<Option<u64>> {
        match self.store.head(path).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(storage(format!("`{path}` can't be looked at"), error)),
        }
    }

    /// Removes `path`, where it exists.
    pub(super) async fn remove(&self, path: &Path) -> Result<()> {
        match self.store.delete(path).await {
            Ok(()) | Err(StoreError::NotFound { .. }) => Ok(()),
            Err(error) => Err(storage(format!("`{path}` can't be removed"), error)),
        }
    }

    /// The names of the files right below `folder`, in no order; empty where it does not exist.
    pub(super) async fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let listed = match self.store.list_with_delimiter(Some(folder)).await {
            Ok(listed) => listed.objects,
            Err(StoreError::NotFound { .. }) => Vec::new(),
            Err(error) => return Err(storage(format!("`{folder}` can't be listed"), error)),
        };
        Ok(listed
            .iter()
            .filter_map(|object| object.location.filename().map(str::to_owned))
            .collect())
    }

    /// The highest number of a [`numbered`] file in `folder`. Listings may be stale, so the ones
    /// after the highest that is listed are asked for by name.
    pub(super) async fn newest(&self, folder: &Path) -> Result<Option<u64>> {
        let names = self.names(folder).await?;
        let listed = names.iter().filter_map(|name| number(name)).max();
        let mut newest = listed;
        loop {
            let next = newest.map_or(0, |number| number + 1);
            if self.length(&child(folder, &numbered(next))?).await?.is_none() {
                return Ok(newest);
            }
            newest = Some(next);
        }
    }
}

/// `name` in `folder`.
pub(super) fn child(folder: &Path, name: &str) -> Result<Path> {
    Path::parse(format!("{folder}/{name}"))
        .or_fail(ErrorKind::Internal, || format!("`{name}` is not a path"))
}

/// The path in its store of `url`.
pub(super) fn path_of(url: &Url) -> Result<Path> {
    Path::from_url_path(url.path())
        .or_fail(ErrorKind::Config, || "the warehouse's URL is not a path that can be used".into())
}

/// The file name of a numbered file: 20 digits, so that names sort as numbers do.
pub(super) fn numbered(number: u64) -> String {
    format!("{number:020}.json")
}

/// The number in a [`numbered`] name.
pub(super) fn number(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".json")?;
    let sound = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| digits.parse().ok()).flatten()
}

/// A store's error in our words.
pub(super) fn storage(what: String, error: StoreError) -> Error {
    let hint = match &error {
        StoreError::Unauthenticated { .. } | StoreError::PermissionDenied { .. } => Some(
            "check the store's credentials and what they may do (`warehouse` in longshore.yml)",
        ),
        StoreError::NotImplemented { .. } | StoreError::NotSupported { .. } => {
            Some("the store must be able to create a file only where there is none")
        }
        _ => None,
    };
    let told = Error::new(ErrorKind::Storage, what).because(error);
    match hint {
        Some(hint) => told.hint(hint),
        None => told,
    }
}

fn verdict(ours: &Bytes, found: Bytes) -> Created {
    if *ours == found { Created::Ours } else { Created::Taken(found) }
}
