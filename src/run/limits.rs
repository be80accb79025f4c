//! When a source may be read, and for how long: its window, the age of its snapshot, and the wait
//! for a server that is behind or busy.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use super::event::{Event, Observer};
use crate::{
    config::{Connection, Limits, Pipeline, Project},
    error::{Error, ErrorKind, Result},
    extract::{self, Refusal},
    types::{Window, WindowState},
};

/// How often a server that is behind or busy is looked at.
const LOOK: Duration = Duration::from_secs(2);

/// The moment at which reading has to stop, and the error to stop with.
pub(super) struct Deadline {
    at: Instant,
    error: Error,
}

impl Deadline {
    /// The deadline of a snapshot of `connection` that is opened now; nothing where there is none.
    ///
    /// # Errors
    /// When its window is closed.
    pub(super) fn of(connection: &str, limits: &Limits) -> Result<Option<Self>> {
        let closing = match &limits.window {
            Some(window) => Self::closing(connection, window)?,
            None => None,
        };
        let aging = limits.transaction_age.map(|age| Self {
            at: Instant::now() + age,
            error: Error::new(
                ErrorKind::Refused,
                format!(
                    "the snapshot of `{connection}` was held for {} s, as long as it may be",
                    age.as_secs()
                ),
            )
            .hint("allow more `connections` or a greater `max_transaction_age`")
            .hint("or read less at a time: `where`, `--select`"),
        });
        Ok(closing.into_iter().chain(aging).min_by_key(|deadline| deadline.at))
    }

    fn closing(connection: &str, window: &Window) -> Result<Option<Self>> {
        let now = jiff::Timestamp::now();
        match window.at(now) {
            WindowState::Closed { opens } => Err(closed(connection, window, opens)),
            WindowState::Open { closes: None } => Ok(None),
            WindowState::Open { closes: Some(closes) } => {
                let left = Duration::try_from(closes.duration_since(now)).unwrap_or_default();
                let what = format!(
                    "the window of `{connection}` ({window}) closed at {}",
                    window.clock(closes)
                );
                let error = Error::new(ErrorKind::Refused, what)
                    .hint("start earlier, or widen `window` with its administrator's consent")
                    .hint("or read less at a time: `where`, `--select`");
                Ok(Some(Self { at: Instant::now() + left, error }))
            }
        }
    }

    /// What `work` gives, or the deadline's error if that comes first: `work` is dropped then.
    pub(super) async fn bound<T>(
        deadline: Option<Self>,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T, Stopped> {
        let Some(Self { at, error }) = deadline else { return work.await.map_err(Stopped::Failed) };
        tokio::select! {
            done = work => done.map_err(Stopped::Failed),
            () = tokio::time::sleep_until(at.into()) => Err(Stopped::InTime(error)),
        }
    }
}

/// How work under a [`Deadline`] ended before its end.
pub(super) enum Stopped {
    /// It failed by itself.
    Failed(Error),
    /// The deadline came.
    InTime(Error),
}

impl From<Stopped> for Error {
    fn from(stopped: Stopped) -> Self {
        match stopped {
            Stopped::Failed(error) | Stopped::InTime(error) => error,
        }
    }
}

fn closed(connection: &str, window: &Window, opens: jiff::Timestamp) -> Error {
    Error::new(
        ErrorKind::Refused,
        format!("`{connection}` may not be read now; nothing was extracted"),
    )
    .because(format!("its window is {window}"))
    .hint(format!("it opens at {}: run then", window.clock(opens)))
}

/// A word on the window of `connection`, where it has one.
pub(super) fn window_fact(connection: &Connection) -> Option<String> {
    let window = connection.limits.window.as_ref()?;
    Some(match window.at(jiff::Timestamp::now()) {
        WindowState::Open { closes: None } => "may be read at any time".to_owned(),
        WindowState::Open { closes: Some(closes) } => {
            format!("may be read now, until {} (window {window})", window.clock(closes))
        }
        WindowState::Closed { opens } => {
            format!("may not be read before {} (window {window})", window.clock(opens))
        }
    })
}

/// Waits until no server that `pipeline` reads is further behind or busier than it may be, each for
/// its `max_wait` at most; what stands in the way then is told by planning.
///
/// # Errors
/// When a window is closed. When a server can't be reached, planning will say so.
pub(super) async fn wait_until_calm(
    project: &Project,
    pipeline: &Pipeline,
    observer: &Arc<dyn Observer>,
) -> Result<()> {
    let names: BTreeSet<_> = pipeline.extract.iter().map(|group| &group.from).collect();
    for name in names {
        let connection = project.connection(name)?;
        if let Some(window) = &connection.limits.window
            && let WindowState::Closed { opens } = window.at(jiff::Timestamp::now())
        {
            return Err(closed(name, window, opens));
        }
        if connection.limits.max_lag.is_some() || connection.limits.active_sessions.is_some() {
            wait_for(&connection, observer).await?;
        }
    }
    Ok(())
}

async fn wait_for(connection: &Connection, observer: &Arc<dyn Observer>) -> Result<()> {
    let source = extract::source(connection)?;
    let since = Instant::now();
    let mut told = false;
    while let Ok(preflight) = source.preflight().await {
        let passing = |refusal: &&Refusal| refusal.passing;
        let Some(first) = preflight.refusals.iter().find(passing) else { return Ok(()) };
        let is_hopeless = preflight.refusals.iter().any(|refusal| !refusal.passing);
        if is_hopeless || since.elapsed() >= connection.limits.max_wait {
            return Ok(());
        }
        if !told {
            let (name, seconds) = (&connection.name, connection.limits.max_wait.as_secs());
            let what = format!("waiting for `{name}`, {seconds} s at most: {}", first.reason);
            observer.event(&Event::Warning { what });
            told = true;
        }
        tokio::time::sleep(LOOK).await;
    }
    Ok(())
}
