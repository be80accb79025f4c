//! Rows, written as they come: as a table for people, CSV, JSON lines, Parquet or an Arrow stream.
//!
//! A result may be larger than memory: no format holds more than one batch, except that a table
//! looks at its first rows before it settles its widths, and Parquet fills one row group. A file
//! appears under its name only when it is whole. Knows nothing of where the rows come from.

mod binary;
mod cells;
mod csv;
mod file;
mod json;
mod table;

use std::{io, path::Path};

use arrow::{datatypes::Schema, error::ArrowError, record_batch::RecordBatch};
use futures::{Stream, StreamExt};

use self::{binary::ArrowStream, csv::Csv, file::NewFile, json::JsonLines, table::TextTable};
pub(crate) use self::{binary::Parquet, table::Page};
use super::{
    args::RowFormat,
    render::Paint,
    talk::{Outcome, Output, Stop},
};
use crate::error::{Error, ErrorKind, Result};

/// Takes a result's batches in order. Dropping it without [`RowWriter::finish`] leaves the result
/// incomplete.
pub(crate) trait RowWriter {
    /// Writes the rows of one batch.
    fn write(&mut self, batch: &RecordBatch) -> Outcome;

    /// Writes what is still held back, and the format's end.
    fn finish(&mut self) -> Outcome;
}

/// Writes `rows`, which have `schema`, to stdout. Returns how many there were.
///
/// # Errors
/// Parquet, which needs a file, and Arrow on a terminal are usage errors.
pub(crate) async fn to_stdout(
    schema: &Schema,
    rows: impl Stream<Item = Result<RecordBatch>> + Unpin,
    format: RowFormat,
    output: &mut Output,
) -> Outcome<Written> {
    let page = Page { width: output.width(), paint: output.paint() };
    if format == RowFormat::Parquet {
        return Err(Error::new(ErrorKind::Usage, "parquet can't be written to stdout")
            .hint("name a file: `--output result.parquet`")
            .into());
    }
    if format == RowFormat::Arrow && page.width.is_some() {
        return Err(Error::new(ErrorKind::Usage, "an Arrow stream would garble a terminal")
            .hint("name a file with `--output`, or pipe stdout to a program that reads it")
            .into());
    }
    refuse_shared_names(schema, format)?;
    let written = {
        let mut writer = text_writer(schema, format, page, output.writer())?;
        copy(rows, &mut *writer).await?
    };
    output.flush()?;
    Ok(written)
}

/// Writes `rows`, which have `schema`, to the file at `path`, replacing what was there once the new
/// file is whole; until then, and when anything fails, the old file stays. Returns how many rows
/// there were.
pub(crate) async fn to_file(
    schema: &Schema,
    rows: impl Stream<Item = Result<RecordBatch>> + Unpin,
    format: RowFormat,
    path: &Path,
) -> Outcome<Written> {
    refuse_shared_names(schema, format)?;
    let mut file = NewFile::create(path)?;
    let page = Page { width: None, paint: Paint::Plain };
    let written = {
        let mut writer: Box<dyn RowWriter + '_> = match format {
            RowFormat::Parquet => Box::new(Parquet::new(schema, &mut file)?),
            _ => text_writer(schema, format, page, &mut file)?,
        };
        copy(rows, &mut *writer).await
    };
    // Nobody reads a file while it is written, so a broken pipe here is an error like any other.
    let written = written.map_err(|stop| in_file(stop, path))?;
    file.commit()?;
    Ok(written)
}

/// What was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Written {
    /// Rows.
    pub(crate) rows: u64,
}

/// The format that a file's ending asks for.
pub(crate) fn format_of(path: &Path) -> Option<RowFormat> {
    match path.extension()?.to_str()?.to_lowercase().as_str() {
        "csv" => Some(RowFormat::Csv),
        "json" | "jsonl" | "ndjson" => Some(RowFormat::Json),
        "parquet" => Some(RowFormat::Parquet),
        "arrow" | "arrows" | "ipc" => Some(RowFormat::Arrow),
        "txt" => Some(RowFormat::Table),
        _ => None,
    }
}

fn text_writer<'a>(
    schema: &Schema,
    format: RowFormat,
    page: Page,
    writer: &'a mut dyn io::Write,
) -> Outcome<Box<dyn RowWriter + 'a>> {
    Ok(match format {
        RowFormat::Table => Box::new(TextTable::new(schema, page, writer)),
        RowFormat::Csv => Box::new(Csv::new(schema, writer)),
        RowFormat::Json => Box::new(JsonLines::new(writer)),
        RowFormat::Arrow => Box::new(ArrowStream::new(schema, writer)?),
        RowFormat::Parquet => return Err(Error::internal("parquet is not a text format").into()),
    })
}

async fn copy(
    mut rows: impl Stream<Item = Result<RecordBatch>> + Unpin,
    writer: &mut dyn RowWriter,
) -> Outcome<Written> {
    let mut written = Written::default();
    while let Some(batch) = rows.next().await {
        let batch = batch?;
        writer.write(&batch)?;
        written.rows += batch.num_rows() as u64;
        // Rows may always be ready; whoever waits for a signal beside us must have a turn.
        tokio::task::yield_now().await;
    }
    writer.finish()?;
    Ok(written)
}

/// Formats whose readers find columns by name can't hold two of one name.
fn refuse_shared_names(schema: &Schema, format: RowFormat) -> Result<()> {
    if !matches!(format, RowFormat::Json | RowFormat::Parquet) {
        return Ok(());
    }
    for (at, field) in schema.fields().iter().enumerate() {
        if schema.fields().iter().take(at).any(|other| other.name() == field.name()) {
            return Err(Error::new(
                ErrorKind::Usage,
                format!("two columns of the result are named `{}`", field.name()),
            )
            .because("readers of this format find columns by name")
            .hint("give each its own name with `as`"));
        }
    }
    Ok(())
}

fn in_file(stop: Stop, path: &Path) -> Stop {
    let title = format!("`{}` was not written", path.display());
    Stop::Failed(match stop {
        Stop::Failed(error) => error.context(title),
        told @ Stop::Told { .. } => return told,
        Stop::NobodyListens => Error::new(ErrorKind::Storage, title).because("the pipe is closed"),
    })
}

/// Arrow's writers wrap what the stream below them said.
fn arrow_failed(error: ArrowError) -> Stop {
    match error {
        ArrowError::IoError(_, error) => error.into(),
        other => Error::new(ErrorKind::Data, "a value can't be written in this format")
            .because(other)
            .hint("cast the column in the query, or choose another `--format`")
            .into(),
    }
}

#[cfg(test)]
mod tests;
