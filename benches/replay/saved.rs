//! A saved COPY stream: the file, and what is known of its columns beside it.
//!
//! `FILE` holds the plain binary COPY stream, header and trailer included, as `psql` would save it
//! with `\copy … to FILE (format binary)`. `FILE.json` holds the statement and its columns' types.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use arrow::datatypes::{Field, Schema, SchemaRef};
use longshore::extract::postgres::{
    mapping::mapping,
    pg_type::{PgKind, PgType},
    wire::Block,
};
use serde::{Deserialize, Serialize};

/// A header without flags and without an extension: no server sends any other.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// Bytes of a block, as `wire` fills them.
const BLOCK_BYTES: usize = 256 << 10;

/// Bytes of a chunk: as many as the source makes of a large table.
const CHUNK_BYTES: usize = 64 << 20;

/// How much is read of the file at once.
const READ_BYTES: usize = 4 << 20;

/// What `FILE.json` says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Description {
    /// The `SELECT` whose rows the stream holds.
    pub(crate) sql: String,
    /// Its rows, as the server counted them.
    pub(crate) rows: u64,
    pub(crate) columns: Vec<Column>,
}

/// A column of the stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Column {
    pub(crate) name: String,
    #[serde(rename = "type")]
    pub(crate) pg: Type,
}

/// A [`PgType`] as JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) oid: u32,
    pub(crate) modifier: i32,
    pub(crate) kind: Kind,
}

/// What a type is made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Base,
    Enum,
    Domain(Box<Type>),
    Array(Box<Type>),
    Composite(Vec<Column>),
}

impl Type {
    pub(crate) fn pg_type(&self) -> PgType {
        let kind = match &self.kind {
            Kind::Base => PgKind::Base,
            Kind::Enum => PgKind::Enum,
            Kind::Domain(inner) => PgKind::Domain(Box::new(inner.pg_type())),
            Kind::Array(element) => PgKind::Array(Box::new(element.pg_type())),
            Kind::Composite(fields) => PgKind::Composite(typed(fields)),
        };
        PgType::new(self.oid, &self.name, self.modifier, kind)
    }
}

/// Names and types, as the decoder takes them.
pub(crate) fn typed(columns: &[Column]) -> Vec<(String, PgType)> {
    columns.iter().map(|column| (column.name.clone(), column.pg.pg_type())).collect()
}

/// What the columns become when no cast is asked for.
pub(crate) fn schema(columns: &[(String, PgType)]) -> SchemaRef {
    let fields = columns.iter().map(|(name, pg)| {
        Field::new(name, mapping(pg).data_type().expect("every type has a mapping").clone(), true)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

/// Where the description of the stream in `file` is.
pub(crate) fn description_file(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".json");
    name.into()
}

/// A stream, or its beginning, in memory.
pub(crate) struct Stream {
    pub(crate) columns: Vec<(String, PgType)>,
    pub(crate) chunks: Vec<Chunk>,
}

/// Rows that one worker would read at a time: a COPY stream of its own.
#[derive(Default)]
pub(crate) struct Chunk {
    pub(crate) blocks: Vec<Block>,
    pub(crate) rows: u64,
    /// Without the headers of messages.
    pub(crate) bytes: usize,
}

impl Stream {
    /// The first `limit` rows of the stream in `file`, all where there is no limit.
    pub(crate) fn load(file: &Path, limit: Option<u64>) -> Self {
        let json = description_file(file);
        let text = fs::read(&json).unwrap_or_else(|error| panic!("{}: {error}", json.display()));
        let description: Description = serde_json::from_slice(&text).expect("a description");
        let columns = typed(&description.columns);
        let limit = limit.unwrap_or(u64::MAX).min(description.rows);
        let chunks = chunks(File::open(file).expect("the stream opens"), columns.len(), limit);
        let stream = Self { columns, chunks };
        assert_eq!(stream.rows(), limit, "the stream holds another number of rows");
        stream
    }

    pub(crate) fn rows(&self) -> u64 {
        self.chunks.iter().map(|chunk| chunk.rows).sum()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.bytes).sum()
    }
}

/// Cuts the stream at rows.
fn chunks(mut from: impl io::Read, columns: usize, limit: u64) -> Vec<Chunk> {
    let mut header = [0; HEADER.len()];
    from.read_exact(&mut header).expect("a header");
    assert_eq!(header, HEADER, "not the header of a binary copy");
    let mut chunks = Vec::new();
    let mut open = Open::default();
    let (mut buffer, mut rows) = (Vec::new(), 0);
    loop {
        let before = buffer.len();
        from.by_ref().take(READ_BYTES as u64).read_to_end(&mut buffer).expect("the stream");
        let is_end = buffer.len() == before;
        let mut rest = buffer.as_slice();
        while rows < limit
            && let Some(len) = row(rest, columns)
        {
            let (row, tail) = rest.split_at(len);
            open.push(row);
            (rest, rows) = (tail, rows + 1);
            if open.chunk.bytes >= CHUNK_BYTES {
                chunks.push(std::mem::take(&mut open).close());
            }
        }
        if is_end || rows == limit {
            break;
        }
        buffer = rest.to_vec();
    }
    if open.chunk.rows > 0 || chunks.is_empty() {
        chunks.push(open.close());
    }
    chunks
}

/// The length of the row that `bytes` begins with; `None` where it is not whole, or the stream ends.
fn row(bytes: &[u8], columns: usize) -> Option<usize> {
    let count = i16::from_be_bytes(*bytes.first_chunk()?);
    if count == -1 {
        return None;
    }
    assert_eq!(count as usize, columns, "a row of another number of columns");
    let mut end = 2;
    for _ in 0..columns {
        let len = i32::from_be_bytes(*bytes.get(end..)?.first_chunk()?);
        end += 4 + len.max(0) as usize;
    }
    (end <= bytes.len()).then_some(end)
}

/// A chunk in the making, and the messages of its open block.
#[derive(Default)]
struct Open {
    chunk: Chunk,
    messages: Vec<u8>,
    ends: Vec<usize>,
}

impl Open {
    /// As the server sends it: a message a row, the header in the first one.
    fn push(&mut self, row: &[u8]) {
        let header = if self.chunk.rows == 0 { HEADER } else { &[] };
        self.message(&[header, row].concat());
        self.chunk.rows += 1;
    }

    fn message(&mut self, message: &[u8]) {
        self.messages.extend_from_slice(message);
        self.ends.push(self.messages.len());
        self.chunk.bytes += message.len();
        if self.messages.len() >= BLOCK_BYTES {
            self.close_block();
        }
    }

    fn close_block(&mut self) {
        let starts = [0].into_iter().chain(self.ends.iter().copied());
        let messages = starts.zip(&self.ends).map(|(start, end)| &self.messages[start..*end]);
        self.chunk.blocks.push(Block::from_payloads(messages));
        self.messages.clear();
        self.ends.clear();
    }

    fn close(mut self) -> Chunk {
        if self.chunk.rows == 0 {
            self.message(HEADER);
        }
        self.message(&(-1_i16).to_be_bytes());
        self.close_block();
        self.chunk
    }
}
