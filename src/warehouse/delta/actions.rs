//! One commit as the lines of its log entry, and who wrote an entry.

use std::collections::HashMap;

use bytes::Bytes;
use deltalake_core::kernel::{
    Action, Add, CommitInfo, Metadata, MetadataExt as _, Protocol, StructType, Transaction,
    contains_timestampntz, new_metadata,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::{
    super::{
        Cause, TableChange, Version, apply,
        root::{Root, path_of},
        schema, stats,
    },
    snapshot::TableState,
};
use crate::{
    config::Mode,
    error::{Context as _, Error, ErrorKind, Result},
    types::{DataFile, RunId, TableFiles},
};

/// The key of our note in a commit's `commitInfo`.
const NOTE: &str = "longshore";

/// What a commit says of its origin.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The run that made it.
    pub(super) run: RunId,
    /// Whether it takes back an unfinished publish of that run.
    #[serde(default)]
    undo: bool,
}

impl Note {
    fn of(change: &TableChange) -> Self {
        Self { run: change.run.clone(), undo: change.cause == Cause::Undo }
    }
}

/// Our note in a log entry, where there is one.
pub(super) fn author(log: &[u8]) -> Option<Note> {
    log.split(|byte| *byte == b'\n').find_map(|line| {
        let line: Value = serde_json::from_slice(line).ok()?;
        serde_json::from_value(line.get("commitInfo")?.get(NOTE)?.clone()).ok()
    })
}

/// Whether a log entry is the commit of this very change.
pub(super) fn is_of(log: &[u8], change: &TableChange) -> bool {
    author(log) == Some(Note::of(change))
}

/// The log entry that turns `base` into `after` as `version`. No two are alike: each has an id.
pub(super) fn write(
    change: &TableChange,
    base: Option<&TableState>,
    after: &TableFiles,
    version: Version,
    folder: &Url,
) -> Result<Bytes> {
    let before: &[DataFile] = base.map_or(&[], |base| &base.files().files);
    let (leave, join) = apply::difference(before, &after.files);
    let now = jiff::Timestamp::now().as_millisecond();
    let schema = schema::to_delta(&after.schema).or_fail(ErrorKind::Data, || {
        format!("the columns of `{}` have no place in a Delta table", change.table)
    })?;
    let mut actions = vec![Action::CommitInfo(commit_info(change, base.is_some(), now))];
    match base {
        None => {
            actions.push(protocol_for(&schema, None)?.into());
            actions.push(first_metadata(change, &schema)?.into());
        }
        Some(base) => {
            base.refuse_unwritable(leave.len())
                .map_err(|error| error.context(format!("`{}` can't be written", change.table)))?;
            if base.files().schema != after.schema {
                if needs_upgrade(&schema, &base.protocol)? {
                    actions.push(protocol_for(&schema, Some(&base.protocol))?.into());
                }
                actions.push(changed_metadata(base, &schema)?.into());
            }
        }
    }
    let transaction = Transaction::new_with_last_update(NOTE, version.0 as i64, Some(now));
    actions.push(Action::Txn(transaction));
    for file in leave {
        let base = base.ok_or_else(|| Error::internal("a file leaves a table without files"))?;
        actions.push(base.removal(file)?.into());
    }
    for file in join {
        actions.push(add(file, after, folder, now)?.into());
    }
    lines(&actions)
}

fn lines(actions: &[Action]) -> Result<Bytes> {
    let mut log = Vec::new();
    for action in actions {
        serde_json::to_writer(&mut log, action)
            .or_fail(ErrorKind::Internal, || "a Delta action can't be written".to_owned())?;
        log.push(b'\n');
    }
    Ok(log.into())
}

fn commit_info(change: &TableChange, exists: bool, now: i64) -> CommitInfo {
    let (operation, mode) = match (change.cause, exists) {
        (Cause::Undo | Cause::Rollback, _) => ("RESTORE", "Overwrite"),
        (Cause::Load(Mode::Append), true) => ("WRITE", "Append"),
        (Cause::Load(Mode::Upsert), true) => ("MERGE", "Upsert"),
        (Cause::Load(Mode::Replace), true) => ("WRITE", "Overwrite"),
        (Cause::Load(_), false) => ("CREATE TABLE AS SELECT", "ErrorIfExists"),
    };
    let parameters = HashMap::from([("mode".to_owned(), json!(mode))]);
    let info = HashMap::from([
        ("txnId".to_owned(), json!(uuid::Uuid::now_v7().to_string())),
        (NOTE.to_owned(), json!(Note::of(change))),
    ]);
    CommitInfo {
        timestamp: Some(now),
        operation: Some(operation.to_owned()),
        operation_parameters: Some(parameters),
        is_blind_append: Some(false),
        engine_info: Some(concat!("longshore/", env!("CARGO_PKG_VERSION")).to_owned()),
        info,
        ..CommitInfo::default()
    }
}

fn first_metadata(change: &TableChange, schema: &StructType) -> Result<Metadata> {
    new_metadata(schema, [""; 0], [("", ""); 0])
        .and_then(|metadata| metadata.with_name(change.table.to_string()))
        .or_fail(ErrorKind::Internal, || format!("`{}` can't be described", change.table))
}

fn changed_metadata(base: &TableState, schema: &StructType) -> Result<Metadata> {
    base.metadata
        .clone()
        .with_schema(schema)
        .or_fail(ErrorKind::Internal, || "a table's new columns can't be described".to_owned())
}

fn needs_upgrade(schema: &StructType, protocol: &Protocol) -> Result<bool> {
    let known = protocol_features(protocol, "readerFeatures")?;
    Ok(contains_timestampntz(schema.fields()) && !known.iter().any(|name| name == NTZ))
}

/// The name of the one table feature that is ever asked for.
const NTZ: &str = "timestampNtz";

/// The least protocol that `schema` needs, on top of what the table has.
fn protocol_for(schema: &StructType, base: Option<&Protocol>) -> Result<Protocol> {
    let value = if contains_timestampntz(schema.fields()) {
        let (mut reader, mut writer) = match base {
            Some(base) => (
                protocol_features(base, "readerFeatures")?,
                protocol_features(base, "writerFeatures")?,
            ),
            None => (Vec::new(), Vec::new()),
        };
        if base.is_some() && writer.is_empty() {
            // What writer version 2 stood for has to be named from now on.
            writer.extend(["appendOnly".to_owned(), "invariants".to_owned()]);
        }
        reader.push(NTZ.to_owned());
        writer.push(NTZ.to_owned());
        json!({
            "minReaderVersion": 3, "minWriterVersion": 7,
            "readerFeatures": reader, "writerFeatures": writer,
        })
    } else {
        json!({"minReaderVersion": 1, "minWriterVersion": 2})
    };
    serde_json::from_value(value)
        .or_fail(ErrorKind::Internal, || "a Delta protocol can't be written".to_owned())
}

fn protocol_features(protocol: &Protocol, list: &str) -> Result<Vec<String>> {
    let protocol = serde_json::to_value(protocol)
        .or_fail(ErrorKind::Internal, || "a Delta protocol can't be told".to_owned())?;
    let names = protocol.get(list).and_then(Value::as_array).cloned().unwrap_or_default();
    Ok(names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
}

fn add(file: &DataFile, table: &TableFiles, folder: &Url, now: i64) -> Result<Add> {
    let place = (file.url.scheme() == folder.scheme() && file.url.host() == folder.host())
        .then(|| Ok::<_, Error>(Root::below(&path_of(folder)?, &path_of(&file.url)?)))
        .transpose()?
        .flatten();
    // A file elsewhere (which only another tool's commit can have brought in) keeps its URL.
    let path = place.unwrap_or_else(|| file.url.to_string());
    let size = i64::try_from(file.bytes)
        .or_fail(ErrorKind::Internal, || "a file is longer than any file".to_owned())?;
    Ok(Add {
        path,
        size,
        modification_time: now,
        data_change: true,
        stats: Some(stats::to_delta(file, &table.schema)),
        ..Add::default()
    })
}
