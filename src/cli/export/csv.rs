//! Comma-separated values as RFC 4180 has them: a header, then a line a row. NULL is an empty
//! field, empty text is `""`, so that the two stay apart.

use std::io;

use arrow::{datatypes::Schema, record_batch::RecordBatch};

use super::{RowWriter, cells::CellReader};
use crate::cli::talk::Outcome;

pub(crate) struct Csv<'a> {
    writer: &'a mut dyn io::Write,
    header: Option<String>,
}

impl<'a> Csv<'a> {
    pub(crate) fn new(schema: &Schema, writer: &'a mut dyn io::Write) -> Self {
        let mut header = String::new();
        for (at, field) in schema.fields().iter().enumerate() {
            push_field(&mut header, at, Some(field.name()));
        }
        Self { writer, header: Some(header) }
    }

    fn write_header(&mut self) -> Outcome {
        match self.header.take() {
            Some(header) => Ok(writeln!(self.writer, "{header}")?),
            None => Ok(()),
        }
    }
}

impl RowWriter for Csv<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Outcome {
        self.write_header()?;
        let reader = CellReader::new();
        let mut cells = reader.read(batch)?;
        let mut line = String::new();
        for row in 0..batch.num_rows() {
            line.clear();
            for (at, cell) in cells.row(row).enumerate() {
                push_field(&mut line, at, cell?.as_deref());
            }
            line.push('\n');
            self.writer.write_all(line.as_bytes())?;
        }
        Ok(())
    }

    fn finish(&mut self) -> Outcome {
        self.write_header()
    }
}

fn push_field(line: &mut String, at: usize, field: Option<&str>) {
    if at > 0 {
        line.push(',');
    }
    let Some(text) = field else { return };
    let quoted = text.is_empty()
        || text.contains([',', '"', '\n', '\r'])
        || text.starts_with(char::is_whitespace)
        || text.ends_with(char::is_whitespace);
    if quoted {
        line.push('"');
        line.push_str(&text.replace('"', "\"\""));
        line.push('"');
    } else {
        line.push_str(text);
    }
}
