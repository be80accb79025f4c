//! Noticing that a reader's connection stalls.
//!
//! A server that works may be silent for long, and a connection of which only one end is left looks
//! the same from here. The server itself knows which it is: what its process for the connection
//! waits for. So it is asked, over the coordinator's connection.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use super::pool::Pool;
use crate::error::{Error, ErrorKind};

/// How long a reader may get nothing before the server is asked about it.
const LOOK: Duration = Duration::from_secs(5);

/// What a reader shows of itself to whoever watches it.
#[derive(Default)]
pub(super) struct Progress {
    /// Whether it waits for the server just now.
    waits: AtomicBool,
    /// How many bytes it got.
    got: Arc<AtomicU64>,
}

impl Progress {
    /// What follows waits for the server.
    pub(super) fn waiting(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }

    /// What follows does not.
    pub(super) fn working(&self) {
        self.waits.store(false, Ordering::Relaxed);
    }

    /// What counts the bytes that it gets.
    pub(super) fn counter(&self) -> Arc<AtomicU64> {
        self.got.clone()
    }

    fn seen(&self) -> (bool, u64) {
        (self.waits.load(Ordering::Relaxed), self.got.load(Ordering::Relaxed))
    }
}

/// Ends once the connection to the server's `process`, whose reader is at `progress`, is known to
/// stall: the server has something to send, or nothing to do, and nothing comes; or once the server
/// does not answer at all. Never ends where a single connection does everything, and nobody is left
/// to be asked.
pub(super) async fn stalled(pool: &Pool, process: u32, progress: &Progress) -> Error {
    let mut before = progress.seen();
    let mut is_suspect = false;
    loop {
        tokio::time::sleep(LOOK).await;
        let now = progress.seen();
        let is_silent = now.0 && now == before;
        before = now;
        let mut sends = false;
        if is_silent {
            match pool.works(process).await {
                Ok(works) => sends = !works,
                // Whoever could be asked is gone, and the view with it.
                Err(lost) => return lost,
            }
        }
        // What was on its way while we asked has arrived until the next look.
        if sends && is_suspect {
            return Error::new(ErrorKind::Unreachable, "the connection stalled").because(format!(
                "the server has nothing left to do for it, and nothing came for {} seconds",
                LOOK.as_secs() * 2
            ));
        }
        is_suspect = sends;
    }
}
