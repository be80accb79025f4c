//! Sockets outside of the runtime, for a thread that has nothing to do but read one COPY.
//!
//! A server sends in pieces of 8 KiB. A runtime wakes for each of them, and then wakes the thread
//! that waits, which costs more than decoding them. A thread that reads by itself, and lets the
//! kernel gather for a moment what comes in small pieces, is woken seldom, and so is the server.

use std::{
    io::{self, Read},
    net::TcpStream,
    os::{fd::AsFd, unix::net::UnixStream},
    thread,
    time::{Duration, Instant},
};

use socket2::SockRef;

use super::{error::WireError, socket::Socket};

/// How often a thread that waits looks up whether it still should.
const ATTENTION: Duration = Duration::from_millis(100);

/// How long the kernel may gather what comes in small pieces: at the speed of a local server about
/// a hundred kilobytes, which its buffers hold.
const GATHER: Duration = Duration::from_micros(500);

/// Nothing is gathered at the beginning of a stream: a short one should not be kept waiting.
const EAGER_BYTES: u64 = 1 << 20;

/// A socket that blocks its reader.
pub(super) trait BlockingSocket: Read + Send + Sync {
    /// Hands the socket to the runtime that this is called in.
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Socket>>;
}

impl BlockingSocket for TcpStream {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Socket>> {
        self.set_nonblocking(true)?;
        Ok(Box::new(tokio::net::TcpStream::from_std(*self)?))
    }
}

impl BlockingSocket for UnixStream {
    fn attach(self: Box<Self>) -> io::Result<Box<dyn Socket>> {
        self.set_nonblocking(true)?;
        Ok(Box::new(tokio::net::UnixStream::from_std(*self)?))
    }
}

/// A detached socket, and what is known of its stream.
pub(super) struct Detached {
    pub(super) socket: Box<dyn BlockingSocket>,
    received: u64,
    /// Whether the last read took less than it had room for.
    came_short: bool,
}

impl Detached {
    /// `socket`, which no runtime has any more.
    pub(super) fn new<S: BlockingSocket + AsFd + 'static>(socket: S) -> io::Result<Self> {
        let options = SockRef::from(&socket);
        options.set_nonblocking(false)?;
        options.set_read_timeout(Some(ATTENTION))?;
        Ok(Self { socket: Box::new(socket), received: 0, came_short: false })
    }

    /// Waits for bytes and reads what is there, as far as `into` has room, until `is_given_up` says
    /// so or the server was silent for `longest`. Zero is the end of the stream.
    pub(super) fn read(
        &mut self,
        into: &mut [u8],
        longest: Option<Duration>,
        is_given_up: &mut dyn FnMut() -> bool,
    ) -> Result<usize, WireError> {
        if self.came_short && self.received > EAGER_BYTES {
            thread::sleep(GATHER);
        }
        let since = Instant::now();
        loop {
            if is_given_up() {
                return Err(WireError::Lost("the read was given up".to_owned()));
            }
            match self.socket.read(into) {
                Ok(read) => {
                    self.received += read as u64;
                    self.came_short = read < into.len();
                    return Ok(read);
                }
                Err(error) if is_pause(&error) => match longest {
                    Some(longest) if since.elapsed() >= longest => {
                        return Err(WireError::silent(longest));
                    }
                    _ => {}
                },
                Err(error) => return Err(WireError::lost(&error)),
            }
        }
    }
}

fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}
