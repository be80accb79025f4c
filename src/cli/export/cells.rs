//! One batch as text, cell by cell. Times are RFC 3339; lists, structs and maps are JSON.

use arrow::{
    array::Array,
    buffer::NullBuffer,
    error::ArrowError,
    json::writer::{EncoderOptions, NullableEncoder, make_encoder},
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

use super::arrow_failed;
use crate::{cli::talk::Outcome, error::Error, types::exact_json};

/// Values that can't be shown are errors, never a text that looks like a value.
pub(crate) const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(false);

/// Reads the cells of batches.
pub(crate) struct CellReader {
    json: EncoderOptions,
}

/// The columns of one batch, ready to be read as text.
pub(crate) struct Cells<'a> {
    columns: Vec<Column<'a>>,
}

struct Column<'a> {
    values: Values<'a>,
    nulls: Option<NullBuffer>,
}

enum Values<'a> {
    Plain(ArrayFormatter<'a>),
    Nested(NullableEncoder<'a>),
}

impl CellReader {
    /// A reader for any batch.
    pub(crate) fn new() -> Self {
        Self { json: exact_json() }
    }

    /// Looks at `batch`.
    pub(crate) fn read<'a>(&'a self, batch: &'a RecordBatch) -> Outcome<Cells<'a>> {
        let schema = batch.schema_ref();
        let columns = schema.fields().iter().zip(batch.columns()).map(|(field, array)| {
            let values = if field.data_type().is_nested() {
                Values::Nested(make_encoder(field, array.as_ref(), &self.json)?)
            } else {
                Values::Plain(ArrayFormatter::try_new(array.as_ref(), &OPTIONS)?)
            };
            Ok(Column { values, nulls: array.logical_nulls() })
        });
        let columns = columns.collect::<Result<_, ArrowError>>().map_err(arrow_failed)?;
        Ok(Cells { columns })
    }
}

impl Cells<'_> {
    /// The text of each cell of `row`; `None` is NULL.
    pub(crate) fn row(&mut self, row: usize) -> impl Iterator<Item = Outcome<Option<String>>> {
        self.columns.iter_mut().map(move |column| {
            if column.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
                return Ok(None);
            }
            match &mut column.values {
                Values::Plain(formatter) => {
                    formatter.value(row).try_to_string().map(Some).map_err(arrow_failed)
                }
                Values::Nested(encoder) => {
                    let mut json = Vec::new();
                    encoder.encode(row, &mut json);
                    let text = String::from_utf8(json)
                        .map_err(|_| Error::internal("a nested value is not UTF-8 as JSON"))?;
                    Ok(Some(text))
                }
            }
        })
    }
}
