//! What a run must not exceed on a connection.

use super::Scope;
use crate::{
    config::{Limits, raw, written::Text},
    error::Result,
    types::{ByteSize, Window},
};

impl raw::Connection {
    /// All that is written in it.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Text> {
        let Self {
            url,
            connections,
            max_lag,
            statement_timeout,
            lock_timeout,
            max_rows_per_second,
            max_bytes_per_second,
            max_transaction_age,
            max_active_sessions,
            max_wait,
            window,
            timezone,
            allow_primary,
        } = self;
        let optional = [
            connections,
            max_lag,
            statement_timeout,
            lock_timeout,
            max_rows_per_second,
            max_bytes_per_second,
            max_transaction_age,
            max_active_sessions,
            max_wait,
            window,
            timezone,
            allow_primary,
        ];
        std::iter::once(url).chain(optional.into_iter().flatten())
    }
}

impl Scope<'_> {
    pub(super) fn limits(&self, written: &raw::Connection) -> Result<Limits> {
        let usual = Limits::default();
        let span = |text: &Option<Text>| self.duration(text.as_ref());
        Ok(Limits {
            connections: self.positive(written.connections.as_ref())?.unwrap_or(usual.connections),
            max_lag: span(&written.max_lag)?,
            statement_timeout: span(&written.statement_timeout)?,
            lock_timeout: span(&written.lock_timeout)?.unwrap_or(usual.lock_timeout),
            rows_per_second: self.positive(written.max_rows_per_second.as_ref())?,
            bytes_per_second: match &written.max_bytes_per_second {
                Some(text) => {
                    Some(self.read(text, "a size above zero such as `20MiB`", |text| {
                        text.parse().ok().filter(|size: &ByteSize| size.bytes() > 0)
                    })?)
                }
                None => None,
            },
            transaction_age: span(&written.max_transaction_age)?,
            active_sessions: match &written.max_active_sessions {
                Some(text) => Some(self.count(text)?),
                None => None,
            },
            max_wait: span(&written.max_wait)?.unwrap_or(usual.max_wait),
            window: self.window(written.window.as_ref(), written.timezone.as_ref())?,
        })
    }

    pub(super) fn positive<T: std::str::FromStr + PartialOrd + From<u8>>(
        &self,
        written: Option<&Text>,
    ) -> Result<Option<T>> {
        let Some(text) = written else { return Ok(None) };
        self.read(text, "a whole number from 1", |text| {
            text.parse().ok().filter(|count| *count >= T::from(1))
        })
        .map(Some)
    }

    fn window(&self, window: Option<&Text>, timezone: Option<&Text>) -> Result<Option<Window>> {
        match (window, timezone) {
            (None, None) => Ok(None),
            (Some(hours), Some(zone)) => {
                let parsed = Window::parse(&self.text(hours)?, &self.text(zone)?);
                parsed.map(Some).map_err(|why| self.wrong(hours, why))
            }
            (Some(hours), None) => Err(self
                .wrong(hours, "a window needs a time zone")
                .hint("add it: `timezone: Australia/Brisbane`, or `timezone: UTC`")),
            (None, Some(zone)) => Err(self
                .wrong(zone, "`timezone` goes with `window`")
                .hint("add the hours: `window: 22:00-05:00`")),
        }
    }
}
