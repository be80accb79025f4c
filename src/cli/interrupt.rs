//! SIGINT and SIGTERM: the first asks the work to stop, the second ends the process at once.

use tokio::sync::watch;

use super::talk::{Outcome, Stop, Talk};
use crate::error::{Context as _, Error, ErrorKind};

/// The exit code that shells give to a process ended by SIGINT.
const AT_ONCE: i32 = 130;

/// Knows whether a signal came. Cloning shares it.
#[derive(Clone)]
pub(crate) struct Interrupts(watch::Receiver<Option<&'static str>>);

impl Interrupts {
    /// Starts listening. Must be called on a runtime.
    pub(crate) fn listen(talk: &Talk) -> Outcome<Self> {
        let (send, receive) = watch::channel(None);
        let mut signals = Signals::new()
            .or_fail(ErrorKind::Internal, || "signals can't be listened to".to_owned())?;
        let talk = talk.clone();
        tokio::spawn(async move {
            send.send_replace(Some(signals.next().await));
            let second = signals.next().await;
            talk.say(&format!("{second} again: stopping at once; the next run tidies up"));
            std::process::exit(AT_ONCE);
        });
        Ok(Self(receive))
    }

    /// Resolves to the signal's name once the first one has come.
    pub(crate) async fn first(&mut self) -> &'static str {
        match self.0.wait_for(Option::is_some).await {
            Ok(signal) => signal.unwrap_or("a signal"),
            // The listener lives as long as the runtime; without it no signal can come.
            Err(_) => std::future::pending().await,
        }
    }

    /// `work`, dropped when a signal comes first. For work that changes nothing.
    pub(crate) async fn or_stop<T, E: Into<Stop>>(
        &mut self,
        work: impl Future<Output = Result<T, E>>,
    ) -> Outcome<T> {
        tokio::select! {
            done = work => done.map_err(Into::into),
            signal = self.first() => Err(Error::new(
                ErrorKind::Cancelled,
                format!("stopped by {signal}; nothing was changed"),
            )
            .into()),
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.interrupt.recv() => "SIGINT",
            _ = self.terminate.recv() => "SIGTERM",
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> &'static str {
        match tokio::signal::ctrl_c().await {
            Ok(()) => "Ctrl-C",
            Err(_) => std::future::pending().await,
        }
    }
}
