//! One JSON object per line, exact as [`crate::types::exact_json`] says.

use std::io;

use arrow::{
    json::{LineDelimitedWriter, WriterBuilder, writer::LineDelimited},
    record_batch::RecordBatch,
};

use super::{RowWriter, arrow_failed};
use crate::{cli::talk::Outcome, types::exact_numbers};

pub(crate) struct JsonLines<'a> {
    writer: LineDelimitedWriter<&'a mut dyn io::Write>,
}

impl<'a> JsonLines<'a> {
    pub(crate) fn new(writer: &'a mut dyn io::Write) -> Self {
        let builder =
            WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(exact_numbers());
        Self { writer: builder.build::<_, LineDelimited>(writer) }
    }
}

impl RowWriter for JsonLines<'_> {
    fn write(&mut self, batch: &RecordBatch) -> Outcome {
        self.writer.write(batch).map_err(arrow_failed)
    }

    fn finish(&mut self) -> Outcome {
        self.writer.finish().map_err(arrow_failed)
    }
}
