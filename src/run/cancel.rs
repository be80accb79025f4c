//! The wish to stop, carried from a signal to the work.

use tokio::sync::watch;

use crate::error::{Error, ErrorKind};

/// Asks a run to stop.
#[derive(Debug)]
pub struct CancelHandle(watch::Sender<Option<&'static str>>);

/// Knows whether a run was asked to stop. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Cancel(watch::Receiver<Option<&'static str>>);

/// A pair: whoever holds the handle can stop whoever holds the other.
pub fn cancellation() -> (CancelHandle, Cancel) {
    let (send, receive) = watch::channel(None);
    (CancelHandle(send), Cancel(receive))
}

impl CancelHandle {
    /// Asks to stop; `why` completes "was stopped by".
    pub fn cancel(&self, why: &'static str) {
        self.0.send_replace(Some(why));
    }
}

impl Cancel {
    /// Resolves once stopping was asked for, with the error to stop with; never when the handle is
    /// gone without having asked.
    pub async fn asked(&mut self) -> Error {
        match self.0.wait_for(Option::is_some).await {
            Ok(why) => {
                let why = why.unwrap_or("a signal");
                Error::new(ErrorKind::Cancelled, format!("the run was stopped by {why}"))
            }
            Err(_) => std::future::pending().await,
        }
    }
}
