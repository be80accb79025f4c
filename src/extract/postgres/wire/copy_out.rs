//! A COPY under way: large reads of the socket, whose `CopyData` messages are found in place.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

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
    /// Room for bytes; those from `filled` on mean nothing.
    bytes: Vec<u8>,
    filled: usize,
    payloads: Vec<(u32, u32)>,
}

impl Block {
    /// All bytes, the headers of messages included.
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
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
        block.filled = block.bytes.len();
        block
    }

    /// The buffers alone, without those that one large message made grow.
    #[must_use]
    pub fn cleared(mut self) -> Self {
        if self.bytes.capacity() > KEPT {
            return Self::default();
        }
        self.filled = 0;
        self.payloads.clear();
        self
    }

    fn extend(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room(bytes.len()).get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        self.filled += bytes.len();
    }

    /// Where `len` more bytes go.
    fn room(&mut self, len: usize) -> &mut [u8] {
        let end = self.filled + len;
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.filled..end).unwrap_or_default()
    }
}

/// A COPY under way. Dropping it before its end closes the connection at once.
pub struct CopyOut {
    connection: WireConnection,
    /// The beginning of a message whose end has not arrived.
    rest: Vec<u8>,
    progress: Progress,
    rows: Option<u64>,
    counter: Arc<AtomicU64>,
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
        Self { connection, rest, progress: Progress::Rows, rows: None, counter: Arc::default() }
    }

    /// Counts the bytes that arrive, as they arrive, so that others see whether any do.
    pub fn count_into(&mut self, counter: Arc<AtomicU64>) {
        self.counter = counter;
    }

    fn received(&self, filling: &mut Filling, bytes: usize) {
        filling.block.filled += bytes;
        self.counter.fetch_add(bytes as u64, Ordering::Relaxed);
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
    /// Not cancel-safe: when the future is dropped before it is done, every later call fails.
    pub async fn next_block(&mut self, recycled: Block) -> Result<Option<Block>, WireError> {
        let Some(mut filling) = self.begin(recycled)? else { return Ok(None) };
        while let Some(wanted) = self.advance(&mut filling)? {
            let frames = &mut self.connection.frames;
            let limit = frames.read_timeout();
            let read = frames.socket()?.read(filling.block.room(wanted));
            let read = some(silence_bound(limit, read).await?)?;
            self.received(&mut filling, read);
        }
        self.end(filling)
    }

    /// The same as [`CopyOut::next_block`], read by this thread itself, which may block: the
    /// cheapest way, because no runtime wakes for each piece that the server sends.
    /// [`CopyOut::detach`] says whether it can be taken. Ends early, in an error, once
    /// `is_given_up`.
    pub fn next_block_here(
        &mut self,
        recycled: Block,
        is_given_up: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Block>, WireError> {
        let Some(mut filling) = self.begin(recycled)? else { return Ok(None) };
        while let Some(wanted) = self.advance(&mut filling)? {
            let frames = &mut self.connection.frames;
            let limit = frames.read_timeout();
            let socket = frames.detached().ok_or_else(WireError::closed)?;
            let read = socket.read(filling.block.room(wanted), limit, is_given_up)?;
            self.received(&mut filling, some(read)?);
        }
        self.end(filling)
    }

    /// Takes the socket out of its runtime for [`CopyOut::next_block_here`], where that is
    /// possible; [`CopyOut::into_connection`] gives it back to one.
    ///
    /// # Errors
    /// When the socket is lost thereby.
    pub fn detach(&mut self) -> Result<bool, WireError> {
        self.connection.frames.detach()?;
        Ok(self.connection.frames.detached().is_some())
    }

    fn begin(&mut self, recycled: Block) -> Result<Option<Filling>, WireError> {
        match self.progress {
            Progress::Ready => return Ok(None),
            Progress::Broken => {
                return Err(WireError::Lost("the copy stream was left before".to_owned()));
            }
            _ => {}
        }
        let is_announced = self.announced().is_some();
        let mut block = recycled.cleared();
        block.extend(&self.rest);
        self.rest.clear();
        let progress = std::mem::replace(&mut self.progress, Progress::Broken);
        Ok(Some(Filling { block, position: 0, progress, is_announced }))
    }

    /// Looks at what has come; how many bytes to ask for next, or nothing when the block is full.
    fn advance(&mut self, filling: &mut Filling) -> Result<Option<usize>, WireError> {
        let Filling { block, position, progress, is_announced } = filling;
        (*position, *progress) = self.scan(block, *position, *progress)?;
        let whole = block.payloads.len();
        if *progress == Progress::Ready || (whole > 0 && *position >= FULL) {
            return Ok(None);
        }
        let missing = missing(block.bytes(), *position);
        if missing >= LARGE && !(*is_announced && *position == 0) {
            return Ok(None);
        }
        // A message that outgrows its buffer doubles it at most, so that copies are few and what
        // its length announces is not believed until it comes.
        Ok(Some(missing.clamp(READ, READ.max(block.filled))))
    }

    fn end(&mut self, filling: Filling) -> Result<Option<Block>, WireError> {
        let Filling { mut block, position, progress, .. } = filling;
        if progress == Progress::Ready && position < block.filled {
            return Err(WireError::protocol("bytes after the end of a copy"));
        }
        self.rest.extend_from_slice(block.bytes().get(position..).unwrap_or_default());
        block.filled = position;
        self.progress = progress;
        Ok((progress != Progress::Ready || !block.payloads.is_empty()).then_some(block))
    }

    /// Passes over the whole messages from `position` on; gives where the first that is not whole
    /// begins, and what the server said last.
    fn scan(
        &mut self,
        block: &mut Block,
        mut position: usize,
        mut progress: Progress,
    ) -> Result<(usize, Progress), WireError> {
        let Block { bytes, payloads, filled } = block;
        let bytes = bytes.get(..*filled).unwrap_or_default();
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
    /// A socket that was detached goes to the runtime that this is called in.
    pub fn into_connection(mut self) -> Option<WireConnection> {
        self.connection.busy = false;
        self.connection.frames.attach().ok()?;
        (self.progress == Progress::Ready).then_some(self.connection)
    }
}

/// A block in the making.
struct Filling {
    block: Block,
    /// Where the first message that is not whole begins.
    position: usize,
    progress: Progress,
    /// Whether room was made for the message that it begins with.
    is_announced: bool,
}

/// A read that gave nothing is the end of the stream.
fn some(read: usize) -> Result<usize, WireError> {
    if read == 0 { Err(WireError::closed()) } else { Ok(read) }
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
