//! A table at one version, read from its log by delta-rs.

use std::collections::HashMap;

use deltalake_core::{
    kernel::{LogicalFileView, Metadata, Protocol, Remove, Snapshot},
    logstore::LogStoreRef,
};
use futures::TryStreamExt as _;
use url::Url;

use super::super::{Version, stats};
use crate::{
    error::{Context as _, Error, ErrorKind, Result},
    types::{DataFile, TableFiles, TableName, canonical_schema},
};

/// Table features that a writer of whole files keeps by doing nothing.
const HARMLESS: [&str; 3] = ["timestampNtz", "appendOnly", "invariants"];

/// Schema, files and what a next commit has to know of them.
pub(super) struct TableState {
    files: TableFiles,
    removals: HashMap<Url, Remove>,
    pub(super) protocol: Protocol,
    pub(super) metadata: Metadata,
}

impl TableState {
    /// Reads `table` at `version`.
    pub(super) async fn read(
        log: &LogStoreRef,
        table: &TableName,
        version: Version,
    ) -> Result<Self> {
        let failed = || format!("version {version} of `{table}` can't be read");
        let snapshot = Snapshot::try_new(log.as_ref(), Some(version.0))
            .await
            .or_fail(ErrorKind::Storage, failed)?;
        let (protocol, metadata) = (snapshot.protocol().clone(), snapshot.metadata().clone());
        refuse_unreadable(table, &metadata)?;
        let schema = canonical_schema(&snapshot.arrow_schema()).or_fail(ErrorKind::Data, failed)?;
        let mut views: Vec<LogicalFileView> = snapshot
            .file_views(log.as_ref(), None)
            .try_collect()
            .await
            .or_fail(ErrorKind::Storage, failed)?;
        views.sort_by(|one, other| one.path().cmp(&other.path()));
        let mut state = Self {
            files: TableFiles::empty(schema),
            removals: HashMap::with_capacity(views.len()),
            protocol,
            metadata,
        };
        for view in &views {
            state.take(view, log.root_url()).map_err(|error| error.context(failed()))?;
        }
        Ok(state)
    }

    fn take(&mut self, view: &LogicalFileView, folder: &Url) -> Result<()> {
        if view.deletion_vector_descriptor().is_some() {
            return Err(foreign("it has deletion vectors"));
        }
        let url = file_url(folder, &view.path())?;
        let known = view.stats().and_then(|json| stats::from_delta(&json, &self.files.schema));
        let (rows, columns) = known.ok_or_else(|| foreign("a file of it has no row count"))?;
        let bytes = u64::try_from(view.size()).unwrap_or(0);
        self.removals.insert(url.clone(), view.remove_action(true));
        self.files.files.push(DataFile { url, rows, bytes, columns });
        Ok(())
    }

    pub(super) fn files(&self) -> &TableFiles {
        &self.files
    }

    pub(super) fn into_files(self) -> TableFiles {
        self.files
    }

    /// The action that takes `file` out of the table.
    pub(super) fn removal(&self, file: &DataFile) -> Result<Remove> {
        self.removals
            .get(&file.url)
            .cloned()
            .ok_or_else(|| Error::internal("a file is to be removed that the log does not hold"))
    }

    /// Refuses tables whose writers have duties that are not met here.
    pub(super) fn refuse_unwritable(&self, removes: usize) -> Result<()> {
        let protocol = serde_json::to_value(&self.protocol)
            .or_fail(ErrorKind::Internal, || "a table's protocol can't be told".to_owned())?;
        let writer = protocol.get("minWriterVersion").and_then(serde_json::Value::as_u64);
        if !matches!(writer, Some(0..=2 | 7)) {
            return Err(foreign("its protocol asks more of a writer"));
        }
        let features = protocol.get("writerFeatures").and_then(serde_json::Value::as_array);
        for feature in features.into_iter().flatten().filter_map(serde_json::Value::as_str) {
            if !HARMLESS.contains(&feature) {
                return Err(foreign(&format!("it has the feature `{feature}`")));
            }
        }
        if removes > 0 && setting(&self.metadata, "delta.appendOnly") == Some("true") {
            return Err(foreign("it is append-only (`delta.appendOnly`)"));
        }
        if self.metadata_mentions("delta.invariants") {
            return Err(foreign("its columns have invariants"));
        }
        Ok(())
    }

    fn metadata_mentions(&self, word: &str) -> bool {
        serde_json::to_string(&self.metadata).is_ok_and(|text| text.contains(word))
    }
}

fn refuse_unreadable(table: &TableName, metadata: &Metadata) -> Result<()> {
    let why = if !metadata.partition_columns().is_empty() {
        "it is partitioned"
    } else if setting(metadata, "delta.columnMapping.mode").is_some_and(|mode| mode != "none") {
        "its columns are mapped to other names"
    } else {
        return Ok(());
    };
    Err(foreign(why).context(format!("`{table}` can't be read as a list of files")))
}

fn setting<'a>(metadata: &'a Metadata, name: &str) -> Option<&'a str> {
    metadata.configuration().get(name).map(String::as_str)
}

fn foreign(why: &str) -> Error {
    Error::new(ErrorKind::Data, why)
        .hint("another tool changed this table; undo that, or publish under another name")
}

/// The URL of a file by the decoded path in its Add action: below the table's folder, or a URL.
fn file_url(folder: &Url, path: &str) -> Result<Url> {
    if path.contains("://") {
        return Url::parse(path)
            .or_fail(ErrorKind::Data, || "the log names a file by a broken URL".to_owned());
    }
    let mut url = folder.clone();
    match url.path_segments_mut() {
        Ok(mut segments) => {
            segments.pop_if_empty().extend(path.split('/'));
        }
        Err(()) => return Err(Error::internal("a table's folder is no base for files")),
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_in_the_log_become_urls() {
        for folder in ["file:///w/a%20b/t/", "file:///w/a%20b/t"] {
            let folder: Url = folder.parse().unwrap();
            let url = |path| file_url(&folder, path).unwrap().to_string();
            assert_eq!(url("x.parquet"), "file:///w/a%20b/t/x.parquet");
            assert_eq!(url("p=1/a b%#?.parquet"), "file:///w/a%20b/t/p=1/a%20b%25%23%3F.parquet");
            assert_eq!(url("s3://other/x.parquet"), "s3://other/x.parquet");
        }
    }
}
