//! What software that shares no code with Longshore finds in its tables.
//!
//! Runs `tests/readers/readers.py` in the Python environment that `tests/run --setup` makes.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde::Deserialize;

/// An independent reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(crate) enum Reader {
    /// A Delta table by the Python package `deltalake`; pyarrow reads the data files.
    DeltaRs,
    /// A Delta table by DuckDB.
    DuckdbDelta,
    /// Parquet files by pyarrow; the location is one file.
    Pyarrow,
    /// Parquet files by DuckDB; the location may be a glob or a URL.
    DuckdbParquet,
    /// Parquet files of which some lack columns, by DuckDB.
    DuckdbUnion,
}

/// Counts and sums of a table, computed by DuckDB whoever read it.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct Fingerprint {
    /// The number of rows.
    pub rows: u64,
    /// Every column.
    pub columns: BTreeMap<String, ColumnPrint>,
}

/// One column's part of a [`Fingerprint`].
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub(crate) struct ColumnPrint {
    /// How many values are NULL.
    pub nulls: u64,
    /// The least value as text.
    pub min: Option<String>,
    /// The greatest value as text.
    pub max: Option<String>,
    /// The exact sum; of what has none, the sum of the values' hashes.
    pub sum: Option<String>,
}

/// All rows of a table, one JSON object each, sorted.
pub(crate) fn rows(reader: Reader, location: &str, options: &[(&str, String)]) -> Vec<String> {
    read("rows", reader.into(), &[location], options).lines().map(str::to_owned).collect()
}

/// The Arrow type of each column, by name.
pub(crate) fn schema(
    reader: Reader,
    location: &str,
    options: &[(&str, String)],
) -> BTreeMap<String, String> {
    serde_json::from_str(&read("schema", reader.into(), &[location], options)).unwrap()
}

/// [`schema`] of several files together.
pub(crate) fn schema_of(reader: Reader, files: &[String]) -> BTreeMap<String, String> {
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    serde_json::from_str(&read("schema", reader.into(), &files, &[])).unwrap()
}

/// [`fingerprint`] of several files together.
pub(crate) fn fingerprint_of(reader: Reader, files: &[String]) -> Fingerprint {
    let files: Vec<_> = files.iter().map(String::as_str).collect();
    serde_json::from_str(&read("fingerprint", reader.into(), &files, &[])).unwrap()
}

/// A table's counts and sums.
pub(crate) fn fingerprint(
    reader: Reader,
    location: &str,
    options: &[(&str, String)],
) -> Fingerprint {
    serde_json::from_str(&read("fingerprint", reader.into(), &[location], options)).unwrap()
}

/// Whether `reader` can read a Delta table as it was at a version. With a version, [`fingerprint`]
/// panics where it can't.
pub(crate) fn can_travel(
    reader: Reader,
    location: &str,
    version: u64,
    options: &[(&str, String)],
) -> bool {
    let options: Vec<_> =
        options.iter().cloned().chain([("version", version.to_string())]).collect();
    reading("fingerprint", reader.into(), &[location], &options).output().unwrap().status.success()
}

/// The counts and sums of a table where it comes from: `url` is PostgreSQL's, `table` is
/// `schema.table`.
pub(crate) fn source_fingerprint(url: &str, table: &str) -> Fingerprint {
    serde_json::from_str(&read("fingerprint", "postgres", &[url, table], &[])).unwrap()
}

/// A row group as its file's footer describes it.
#[derive(Debug, Deserialize)]
pub(crate) struct RowGroup {
    /// How its columns are compressed, by the names that pyarrow gives.
    pub codecs: Vec<String>,
    /// The number of rows.
    pub rows: u64,
    /// Bytes of its columns, compressed.
    pub bytes: u64,
}

/// The row groups that pyarrow finds in Parquet files.
pub(crate) fn layout(files: &[PathBuf]) -> Vec<RowGroup> {
    let mut command = script("readers.py");
    command.arg("layout").args(files);
    let lines = finish(command);
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The versions of the readers by name. Fails when one of them cannot be loaded.
pub(crate) fn versions() -> BTreeMap<String, String> {
    let mut command = script("readers.py");
    command.arg("versions");
    serde_json::from_str(&finish(command)).unwrap()
}

/// The interpreter of the readers' environment with one of the scripts in `tests/readers`.
pub(crate) fn script(name: &str) -> Command {
    let python = cache().join("venv/bin/python");
    assert!(python.exists(), "no Python environment for the readers: run `tests/run --setup` once");
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers").join(name));
    command
}

fn read(verb: &str, reader: &str, locations: &[&str], options: &[(&str, String)]) -> String {
    finish(reading(verb, reader, locations, options))
}

fn reading(verb: &str, reader: &str, locations: &[&str], options: &[(&str, String)]) -> Command {
    let mut command = script("readers.py");
    command.args([verb, "--as", reader]);
    for (name, value) in options {
        command.arg("--option").arg(format!("{name}={value}"));
    }
    command.args(locations);
    command
}

fn finish(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// Where `tests/run` keeps what outlives a checkout.
pub(crate) fn cache() -> PathBuf {
    env::var_os("LONGSHORE_CACHE").map_or_else(
        || Path::new(&env::var_os("HOME").unwrap()).join(".cache/longshore"),
        PathBuf::from,
    )
}
