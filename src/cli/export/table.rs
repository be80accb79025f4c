//! Rows as aligned columns. The first rows settle the widths, the rest stream.

use std::io;

use arrow::{datatypes::Schema, record_batch::RecordBatch};

use super::{RowWriter, cells::CellReader};
use crate::cli::{
    render::{Columns, Paint, Shape, visible},
    talk::Outcome,
};

/// Rows that are held to settle the widths.
const SAMPLE: usize = 1000;

/// A column is narrowed to fit a terminal, but not below this.
const LEAST: usize = 12;

/// What a table is drawn on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Page {
    /// Columns of the terminal; `None` where there is none, and then no value is shortened.
    pub(crate) width: Option<usize>,
    /// Whether and how to colour the header.
    pub(crate) paint: Paint,
}

pub(crate) struct TextTable<'a> {
    writer: &'a mut dyn io::Write,
    page: Page,
    columns: Columns,
    /// Rows that wait for the widths; `None` once the header is written.
    waiting: Option<Vec<Vec<String>>>,
}

impl<'a> TextTable<'a> {
    pub(crate) fn new(schema: &Schema, page: Page, writer: &'a mut dyn io::Write) -> Self {
        let columns = schema.fields().iter().map(|field| {
            let shape = match field.data_type() {
                number if number.is_numeric() => Shape::Number,
                time if time.is_temporal() => Shape::Word,
                _ => Shape::Text,
            };
            (field.name().as_str(), shape)
        });
        Self { writer, page, columns: Columns::new(columns), waiting: Some(Vec::new()) }
    }

    /// Settles the widths and writes the header and the rows that waited.
    fn begin(&mut self) -> Outcome {
        let Some(waiting) = self.waiting.take() else { return Ok(()) };
        if let Some(width) = self.page.width {
            self.columns.squeeze(width, LEAST);
        }
        self.writer.write_all(self.columns.header(self.page.paint).as_bytes())?;
        for row in waiting {
            self.write_row(&row)?;
        }
        Ok(())
    }

    fn write_row(&mut self, row: &[String]) -> Outcome {
        let line = match self.page.width {
            Some(_) => self.columns.line(row),
            None => self.columns.whole_line(row),
        };
        Ok(self.writer.write_all(line.as_bytes())?)
    }
}

impl RowWriter for TextTable<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Outcome {
        let reader = CellReader::new();
        let mut cells = reader.read(batch)?;
        for row in 0..batch.num_rows() {
            let row = cells
                .row(row)
                .map(|cell| Ok(cell?.map_or_else(|| "NULL".into(), |text| visible(&text).into())))
                .collect::<Outcome<Vec<String>>>()?;
            match &mut self.waiting {
                None => self.write_row(&row)?,
                Some(waiting) => {
                    self.columns.fit(&row);
                    waiting.push(row);
                    if waiting.len() >= SAMPLE {
                        self.begin()?;
                    }
                }
            }
        }
        Ok(())
    }

    fn finish(&mut self) -> Outcome {
        self.begin()
    }
}
