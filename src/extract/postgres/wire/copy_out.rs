//! A COPY under way: large reads of the socket, whose `CopyData` messages are found in place.

use std::ops::Range;

use bytes::BufMut;
use tokio::io::AsyncReadExt;

use super::{
    connection::WireConnection,
    error::{ServerError, WireError},
    frame::silence_bound,
};

/// A block is given when it holds this much, or the stream ends.
const FULL: usize = 256 << 10;

/// How much is asked of the socket at once.
const READ: usize = 256 << 10;

/// A buffer that one large message made grow beyond this is not used again.
const KEPT: usize = 4 << 20;

/// A message of this length is announced before it is read.
const LARGE: usize = 1 << 20;

/// The longest message: the server's own limit on what it can send in one, and some room.
const LONGEST: usize = (1 << 30) + (64 << 10);

/// A stretch of a COPY stream: what was read from the socket, and where the payloads of its whole
/// `CopyData` messages lie in it.
///
/// It owns its buffers; hand it back to [`CopyOut::next_block`] to use them again.
#[derive(Default)]
pub struct Block {
    bytes: Vec<u8>,
    payloads: Vec<(u32, u32)>,
}

impl Block {
    /// All bytes, the headers of messages included.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Where in [`Block::bytes`] the payloads lie, in order.
    #[inline]
    pub fn payloads(&self) -> impl ExactSizeIterator<Item = Range<usize>> + '_ {
        self.payloads.iter().map(|(start, end)| *start as usize..*end as usize)
    }

    /// A block that holds `payloads`, for tests and benchmarks of what decodes blocks.
    pub fn from_payloads<'a>(payloads: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut block = Self::default();
        for payload in payloads {
            block.bytes.push(b'd');
            block.bytes.extend_from_slice(&(payload.len() as u32 + 4).to_be_bytes());
            let start = block.bytes.len() as u32;
            block.bytes.extend_from_slice(payload);
            block.payloads.push((start, block.bytes.len() as u32));
        }
        block
    }

    /// The buffers alone, without those that one large message made grow.
    #[must_use]
    pub fn cleared(mut self) -> Self {
        if self.bytes.capacity() > KEPT {
            return Self::default();
        }
        self.bytes.clear();
        self.payloads.clear();
        self
    }
}

/// A COPY under way. Dropping it before its end closes the connection at once.
pub struct CopyOut {
    connection: WireConnection,
    /// The beginning of a message whose end has not arrived.
    rest: Vec<u8>,
    progress: Progress,
    rows: Option<u64>,
}

/// What the server said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// `CopyData`, or that the COPY begins.
    Rows,
    /// `CopyDone`: no more `CopyData`.
    Done,
    /// `CommandComplete`: it went well, and how many rows there are.
    Complete,
    /// `ReadyForQuery`: the session is free.
    Ready,
    /// An error, or a read that was dropped: the rest of the stream has no meaning.
    Broken,
}

impl CopyOut {
    pub(super) fn new(mut connection: WireConnection) -> Self {
        let rest = connection.frames.inbox.split().to_vec();
        Self { connection, rest, progress: Progress::Rows, rows: None }
    }

    /// The length of the message that the next block begins with, where it is a large one: room can
    /// then be made before it is read.
    pub fn announced(&self) -> Option<usize> {
        let missing = missing(&self.rest, 0);
        (missing >= LARGE).then_some(missing + self.rest.len())
    }

    /// The next stretch of the stream, in a buffer that may be `recycled`. `None` is given only
    /// after the server said that the COPY went well; [`CopyOut::rows`] then tells how many rows it
    /// sent.
    ///
    /// Waits until a block is full, so that blocks are few and large. A message of any length
    /// comes whole, a large one in a block that it begins; memory follows what arrives, not what a
    /// length announces. A block may be empty where a large message comes first of all.
    ///
    /// Cheapest on a current-thread runtime of the thread that decodes: the server sends in small
    /// pieces, and where another thread waits for the socket, each piece wakes two.
    ///
    /// Not cancel-safe: when the future is dropped before it is done, every later call fails.
    pub async fn next_block(&mut self, recycled: Block) -> Result<Option<Block>, WireError> {
        match self.progress {
            Progress::Ready => return Ok(None),
            Progress::Broken => {
                return Err(WireError::Lost("the copy stream was left before".to_owned()));
            }
            _ => {}
        }
        let before = std::mem::replace(&mut self.progress, Progress::Broken);
        let (block, progress) = self.fill(recycled.cleared(), before).await?;
        self.progress = progress;
        Ok((progress != Progress::Ready || !block.payloads.is_empty()).then_some(block))
    }

    async fn fill(
        &mut self,
        mut block: Block,
        mut progress: Progress,
    ) -> Result<(Block, Progress), WireError> {
        let announced = self.announced().is_some();
        block.bytes.extend_from_slice(&self.rest);
        self.rest.clear();
        let mut position = 0;
        loop {
            (position, progress) = self.scan(&mut block, position, progress)?;
            let whole = block.payloads.len();
            if progress == Progress::Ready || (whole > 0 && position >= FULL) {
                break;
            }
            let missing = missing(&block.bytes, position);
            if missing >= LARGE && !(announced && position == 0) {
                break;
            }
            self.read(&mut block.bytes, missing).await?;
        }
        if progress == Progress::Ready && position < block.bytes.len() {
            return Err(WireError::protocol("bytes after the end of a copy"));
        }
        self.rest.extend_from_slice(block.bytes.get(position..).unwrap_or_default());
        block.bytes.truncate(position);
        Ok((block, progress))
    }

    async fn read(&mut self, bytes: &mut Vec<u8>, missing: usize) -> Result<(), WireError> {
        // A message that outgrows its buffer doubles it at most, so that copies are few and what
        // its length announces is not believed until it comes.
        let room = missing.clamp(READ, READ.max(bytes.len()));
        bytes.reserve(room);
        let frames = &mut self.connection.frames;
        let limit = frames.read_timeout();
        let mut window = bytes.limit(room);
        let read = frames.socket.read_buf(&mut window);
        if silence_bound(limit, read).await? == 0 { Err(WireError::closed()) } else { Ok(()) }
    }

    /// Passes over the whole messages from `position` on; gives where the first that is not whole
    /// begins, and what the server said last.
    fn scan(
        &mut self,
        block: &mut Block,
        mut position: usize,
        mut progress: Progress,
    ) -> Result<(usize, Progress), WireError> {
        let Block { bytes, payloads } = block;
        while let Some([tag, len @ ..]) =
            bytes.get(position..).and_then(<[u8]>::first_chunk::<5>).copied()
        {
            let len = u32::from_be_bytes(len) as usize;
            if !(4..=LONGEST).contains(&len) {
                return Err(WireError::protocol(format!("a message of impossible length ({len})")));
            }
            let (start, end) = (position + 5, position + 1 + len);
            if end > bytes.len() {
                break;
            }
            if tag == b'd' && progress == Progress::Rows {
                payloads.push((start as u32, end as u32));
            } else {
                let body = bytes.get(start..end).unwrap_or_default();
                progress = self.control(tag, body, progress)?;
            }
            position = end;
        }
        Ok((position, progress))
    }

    /// Takes in a message that is not data.
    #[cold]
    fn control(&mut self, tag: u8, body: &[u8], now: Progress) -> Result<Progress, WireError> {
        match (tag, now) {
            (b'E', _) => Err(WireError::Server(ServerError::parse(body))),
            // Notices, notifications and changed parameters may come at any time.
            (b'N' | b'A' | b'S', _) => Ok(now),
            (b'c', Progress::Rows) => Ok(Progress::Done),
            (b'C', Progress::Done) => {
                self.rows = Some(row_count(body)?);
                Ok(Progress::Complete)
            }
            (b'Z', Progress::Complete) => Ok(Progress::Ready),
            _ => Err(WireError::protocol("a message out of order in a copy")),
        }
    }

    /// How many rows the server says it sent, once [`CopyOut::next_block`] gave `None`.
    pub fn rows(&self) -> Option<u64> {
        self.rows.filter(|_| self.progress == Progress::Ready)
    }

    /// The session, for the next statement; `None` before the end of the stream or after an error.
    pub fn into_connection(mut self) -> Option<WireConnection> {
        self.connection.busy = false;
        (self.progress == Progress::Ready).then_some(self.connection)
    }
}

/// How many bytes the message at `position` lacks, as far as its length is known.
fn missing(bytes: &[u8], position: usize) -> usize {
    let Some([_, len @ ..]) = bytes.get(position..).and_then(<[u8]>::first_chunk::<5>) else {
        return 0;
    };
    (position + 1 + u32::from_be_bytes(*len) as usize).saturating_sub(bytes.len())
}

/// The tag of a `CommandComplete`, `COPY 42`.
fn row_count(body: &[u8]) -> Result<u64, WireError> {
    body.strip_prefix(b"COPY ")
        .and_then(|count| count.strip_suffix(&[0]))
        .and_then(|count| str::from_utf8(count).ok()?.parse().ok())
        .ok_or_else(|| WireError::protocol("a copy that ends without a number of rows"))
}

#[cfg(test)]
mod tests;
