//! What is tried again while a run extracts: a chunk whose connection was lost, and all tables of a
//! source whose view was lost. Both within bounds, so that a source in trouble is left alone.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::plan::PlannedSource;
use crate::{
    error::{Error, ErrorKind, Result},
    extract::{Session, Snapshot, TableRequest},
};

/// How long to wait before a chunk is read for the second and the third time.
const CHUNK_PAUSES: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(2)];

/// How many lost chunks one run bears.
const LOST_CHUNKS: u32 = 32;

/// How many lost views of one source a run bears.
const LOST_VIEWS: usize = 2;

/// Seconds to wait before a source is asked for a new view, again and again: a server has a minute
/// to come back.
const VIEW_PAUSES_SECONDS: [u64; 6] = [1, 2, 4, 8, 15, 30];

/// What a run may still lose.
pub(super) struct Retries {
    chunks: AtomicU32,
}

impl Retries {
    /// For a new run.
    pub(super) fn new() -> Self {
        Self { chunks: AtomicU32::new(LOST_CHUNKS) }
    }

    /// After how long the chunk that was lost to `error` for the time numbered `attempt`, from 0,
    /// is to be read again.
    ///
    /// # Errors
    /// `error`, with what adds to it, when it must not be read again.
    pub(super) fn chunk(&self, attempt: usize, error: Error) -> Result<(Duration, Error)> {
        // Nothing but a lost connection may go better the next time: a value that does not fit
        // never will.
        if error.kind() != ErrorKind::Unreachable {
            return Err(error);
        }
        let Some(pause) = CHUNK_PAUSES.get(attempt) else {
            return Err(error.because(format!("it was tried {} times", attempt + 1)));
        };
        let take = |left: u32| left.checked_sub(1);
        if self.chunks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_err() {
            return Err(error.because(format!("connections were lost {LOST_CHUNKS} times before")));
        }
        Ok((*pause, error))
    }
}

/// Whether all of a source is to be read anew after `error`, when that has been done so many
/// `times` already.
///
/// # Errors
/// `error`, with what adds to it, when it is not.
pub(super) fn view(times: usize, error: Error) -> Result<Error> {
    if error.kind() != ErrorKind::SnapshotLost {
        return Err(error);
    }
    if times == LOST_VIEWS {
        return Err(error.because(format!("it was read anew {times} times, each time in vain")));
    }
    Ok(error)
}

/// Opens the first view of `planned`; a connection that is lost thereby is no more to it than one
/// that is lost later.
///
/// # Errors
/// When the server does not come back in time, or must not be read any more.
pub(super) async fn open(
    planned: &PlannedSource,
    requests: &[TableRequest],
    session: &Session,
) -> Result<Box<dyn Snapshot>> {
    match planned.source.open(requests, session).await {
        Err(error) if error.kind() == ErrorKind::Unreachable => {
            session.notices.say(format!("no view of `{}` yet: {error}", planned.connection));
            reopen(planned, requests, session).await
        }
        opened => opened,
    }
}

/// Opens a new view of `planned` in place of one that was lost, once its server is back.
///
/// # Errors
/// When the server does not come back in time, or must not be read any more.
pub(super) async fn reopen(
    planned: &PlannedSource,
    requests: &[TableRequest],
    session: &Session,
) -> Result<Box<dyn Snapshot>> {
    let mut last = None;
    for seconds in VIEW_PAUSES_SECONDS {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        match still_allowed_then_open(planned, requests, session).await {
            Err(error) if error.kind() == ErrorKind::Unreachable => last = Some(error),
            opened => return opened,
        }
    }
    Err(last.unwrap_or_else(|| Error::internal("a view was reopened without a try")))
}

/// What was lost may have been lost because the server is another one now.
async fn still_allowed_then_open(
    planned: &PlannedSource,
    requests: &[TableRequest],
    session: &Session,
) -> Result<Box<dyn Snapshot>> {
    let now = planned.source.preflight().await?;
    let connection = &planned.connection;
    if now.role != planned.preflight.role {
        return Err(Error::new(
            ErrorKind::Refused,
            format!("`{connection}` was a {} and is a {} now", planned.preflight.role, now.role),
        )
        .hint("connect to a replica of the new primary, then run again"));
    }
    if let Some(refusal) = now.refusals.into_iter().next() {
        let what = format!("`{connection}` must not be read any more");
        return Err(Error::new(ErrorKind::Refused, what)
            .because(refusal.reason)
            .hint(refusal.remedy));
    }
    planned.source.open(requests, session).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(kind: ErrorKind) -> Error {
        Error::new(kind, "the server closed the connection")
    }

    #[test]
    fn only_lost_connections_are_tried_again_and_not_for_ever() {
        let retries = Retries::new();
        for kind in [ErrorKind::Data, ErrorKind::Refused, ErrorKind::Storage, ErrorKind::Cancelled]
        {
            assert!(retries.chunk(0, of(kind)).is_err() && view(0, of(kind)).is_err(), "{kind}");
        }
        let lost = || of(ErrorKind::Unreachable);
        assert!(retries.chunk(0, lost()).unwrap().0 < retries.chunk(1, lost()).unwrap().0);
        let last = retries.chunk(2, lost()).unwrap_err();
        assert_eq!(last.causes(), ["it was tried 3 times"]);
        for _ in 2..LOST_CHUNKS {
            retries.chunk(0, lost()).unwrap();
        }
        let last = retries.chunk(0, lost()).unwrap_err();
        assert_eq!(last.causes(), ["connections were lost 32 times before"]);
    }

    #[test]
    fn a_lost_view_is_borne_twice() {
        assert!(view(0, of(ErrorKind::SnapshotLost)).is_ok());
        assert!(view(1, of(ErrorKind::SnapshotLost)).is_ok());
        let last = view(2, of(ErrorKind::SnapshotLost)).unwrap_err();
        assert_eq!(last.causes(), ["it was read anew 2 times, each time in vain"]);
    }
}
