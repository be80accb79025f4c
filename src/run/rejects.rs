//! The table of a table's rejected rows: its shape, and how rows come into it. It is staged and
//! published together with its table, part by part, so that the two always belong together.

use std::sync::Arc;

use arrow::{
    array::{Int64Builder, StringViewBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef},
    error::ArrowError,
    json::writer::{EncoderOptions, NullableEncoder, make_encoder},
    record_batch::RecordBatch,
};

use crate::{
    error::{Error, Result},
    extract::Misfit,
    stage::{ChunkWriter, EncodeOptions, TableStage},
    types::{TableName, exact_json},
};

/// Records are written out at about so many bytes.
const OPEN_BYTES: usize = 1 << 20;

/// Rejects are few; what is kept ready for them should be little.
const ROW_GROUP_BYTES: usize = 4 << 20;

/// The table that the rejected rows of `table` go to.
pub(super) fn rejects_table(table: &TableName) -> TableName {
    TableName::new(&table.schema, format!("{}__rejects", table.table))
}

/// The columns of every such table.
///
/// `run` and `position` say which run read the row and as of which point of the source; `part` and
/// `row` where it came: the part of the source table, and the row's number in it from 1 on. Then
/// the first column that does not fit, what does not fit in all columns, the first column's value,
/// and the whole row as a JSON object in which values that don't fit are text.
pub(super) fn rejects_schema() -> SchemaRef {
    let field = |name: &str| {
        let is_row = name == "row";
        let data_type = if is_row { DataType::Int64 } else { DataType::Utf8View };
        Field::new(name, data_type, true)
    };
    let names = ["run", "position", "part", "row", "column_name", "reason", "value", "row_values"];
    Arc::new(Schema::new(names.map(field).to_vec()))
}

/// How its files are written where those of the table are as `options` say.
pub(super) fn rejects_encoding(options: EncodeOptions) -> EncodeOptions {
    EncodeOptions { row_group_bytes: options.row_group_bytes.min(ROW_GROUP_BYTES), ..options }
}

/// Where the rows of a chunk come from, as its rejects tell it.
#[derive(Debug, Clone)]
pub(super) struct Provenance {
    /// The run's id.
    pub(super) run: String,
    /// The point of the source's history.
    pub(super) position: String,
    /// The part of the source table.
    pub(super) part: String,
}

/// Writes the rejected rows of one chunk.
pub(super) struct RejectWriter {
    writer: ChunkWriter,
    from: Provenance,
    json: EncoderOptions,
    open: Records,
    rows: u64,
}

impl RejectWriter {
    /// Writes to `stage`.
    pub(super) fn new(stage: &TableStage, from: Provenance) -> Self {
        let (writer, open) = (stage.writer(), Records::default());
        Self { writer, from, json: exact_json(), open, rows: 0 }
    }

    /// Writes the rows of `batch` that `misfits` names, one record a row. They are sorted by row
    /// and column; `before` rows of the chunk came before the batch.
    pub(super) fn write(
        &mut self,
        batch: &RecordBatch,
        misfits: &[Misfit],
        before: u64,
    ) -> Result<()> {
        let failed = |error: ArrowError| {
            Error::internal(format!("a rejected row can't be written as JSON: {error}"))
        };
        let fields = batch.schema_ref().fields();
        let mut columns = fields
            .iter()
            .zip(batch.columns())
            .map(|(field, array)| {
                let name = field.name().as_str();
                Ok(Column { name, values: make_encoder(field, array.as_ref(), &self.json)? })
            })
            .collect::<Result<Vec<_>, ArrowError>>()
            .map_err(failed)?;
        for of_row in misfits.chunk_by(|one, other| one.row == other.row) {
            let Some(first) = of_row.first() else { continue };
            let name = |misfit: &Misfit| {
                columns.get(misfit.column).map(|column| column.name).unwrap_or_default()
            };
            let reasons: Vec<_> =
                of_row.iter().map(|one| format!("`{}` {}", name(one), one.reason)).collect();
            let (column, reason) = (name(first).to_owned(), reasons.join("; "));
            let values = row_values(&mut columns, first.row, of_row)?;
            let row = before + first.row as u64 + 1;
            self.open.add(&self.from, row, [&column, &reason, &first.value, &values]);
            self.rows += 1;
            if self.open.bytes >= OPEN_BYTES {
                self.writer.push(&self.open.take()?)?;
            }
        }
        Ok(())
    }

    /// Bytes that it holds at most between two batches.
    pub(super) fn footprint(&self) -> u64 {
        self.writer.footprint() + OPEN_BYTES as u64
    }

    /// Writes everything out that can be written now.
    pub(super) fn relieve(&mut self) -> Result<()> {
        self.writer.push(&self.open.take()?)?;
        self.writer.relieve()
    }

    /// The chunk is whole: its rejects join their table. Gives how many there are.
    pub(super) fn complete(mut self) -> Result<u64> {
        self.writer.push(&self.open.take()?)?;
        self.writer.complete(self.rows)?;
        Ok(self.rows)
    }
}

struct Column<'a> {
    name: &'a str,
    values: NullableEncoder<'a>,
}

/// `row` as a JSON object; what does not fit is text.
fn row_values(columns: &mut [Column<'_>], row: usize, misfits: &[Misfit]) -> Result<String> {
    let mut json = vec![b'{'];
    let text = |text: &str, json: &mut Vec<u8>| {
        serde_json::to_writer(json, text)
            .map_err(|error| Error::internal(format!("a text can't be written as JSON: {error}")))
    };
    for (at, column) in columns.iter_mut().enumerate() {
        if at > 0 {
            json.push(b',');
        }
        text(column.name, &mut json)?;
        json.push(b':');
        if let Some(misfit) = misfits.iter().find(|misfit| misfit.column == at) {
            text(&misfit.value, &mut json)?;
        } else if column.values.is_null(row) {
            json.extend_from_slice(b"null");
        } else {
            column.values.encode(row, &mut json);
        }
    }
    json.push(b'}');
    String::from_utf8(json).map_err(|_| Error::internal("a rejected row is not UTF-8 as JSON"))
}

/// Records that are not written yet.
#[derive(Default)]
struct Records {
    /// `run`, `position`, `part`.
    from: [StringViewBuilder; 3],
    row: Int64Builder,
    /// `column_name`, `reason`, `value`, `row_values`.
    about: [StringViewBuilder; 4],
    bytes: usize,
}

impl Records {
    fn add(&mut self, from: &Provenance, row: u64, about: [&str; 4]) {
        for (builder, text) in self.from.iter_mut().zip([&from.run, &from.position, &from.part]) {
            builder.append_value(text);
            self.bytes += text.len();
        }
        self.row.append_value(row as i64);
        for (builder, text) in self.about.iter_mut().zip(about) {
            builder.append_value(text);
            self.bytes += text.len();
        }
    }

    fn take(&mut self) -> Result<RecordBatch> {
        let Self { mut from, mut row, mut about, .. } = std::mem::take(self);
        let mut columns = Vec::new();
        for builder in &mut from {
            columns.push(Arc::new(builder.finish()) as _);
        }
        columns.push(Arc::new(row.finish()) as _);
        for builder in &mut about {
            columns.push(Arc::new(builder.finish()) as _);
        }
        RecordBatch::try_new(rejects_schema(), columns)
            .map_err(|error| Error::internal(format!("a batch of rejects is malformed: {error}")))
    }
}
