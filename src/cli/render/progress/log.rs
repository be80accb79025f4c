//! Progress as log lines: one a finished table, and one a minute for a table that takes long.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{Level, words};
use crate::{
    cli::{
        render::{plural, visible},
        talk::{Detail, Talk},
    },
    run::{Event, Observer},
    types::TableName,
};

/// How long a table may run in silence.
const SILENCE: Duration = Duration::from_mins(1);

/// Writes an event as a line, where it is worth one.
pub(crate) struct Log {
    talk: Talk,
    heard: Mutex<HashMap<TableName, Instant>>,
}

impl Log {
    /// Writes to `talk`.
    pub(crate) fn new(talk: &Talk) -> Self {
        Self { talk: talk.clone(), heard: Mutex::new(HashMap::new()) }
    }

    /// Whether `table` has been silent for long enough to be heard again.
    fn is_due(&self, table: &TableName, now: Instant) -> bool {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        match heard.get_mut(table) {
            Some(last) if now.duration_since(*last) < SILENCE => false,
            Some(last) => {
                *last = now;
                true
            }
            None => {
                heard.insert(table.clone(), now);
                false
            }
        }
    }

    fn progress(&self, table: &TableName, rows: u64) -> Option<(Level, String)> {
        self.is_due(table, Instant::now())
            .then(|| (Level::Info, format!("still at {table}: {} so far", plural(rows, "row"))))
    }
}

impl Observer for Log {
    fn event(&self, event: &Event) {
        if self.talk.detail() == Detail::Quiet {
            return;
        }
        let line = match event {
            Event::TableProgress { table, rows } => self.progress(table, *rows),
            _ => words(event, self.talk.detail()),
        };
        if let Some((level, text)) = line {
            self.talk.raw(&stamped(jiff::Timestamp::now(), level, &text));
        }
    }
}

/// A line of a log: RFC 3339 time in UTC, level, text.
pub(crate) fn stamped(at: jiff::Timestamp, level: Level, text: &str) -> String {
    let level = match level {
        Level::Info => "INFO",
        Level::Warn => "WARN",
    };
    let text = visible(text);
    format!("{} {level} {text}\n", at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_is_heard_once_a_minute() {
        let log = Log::new(&Talk::captured(Detail::Brief).0);
        let table = TableName::new("shop", "orders");
        let start = Instant::now();
        let due = |seconds| log.is_due(&table, start + Duration::from_secs(seconds));
        assert_eq!([0, 59, 61, 100, 122].map(due), [false, false, true, false, true]);
    }

    #[test]
    fn quiet_writes_nothing() {
        let warning = Event::Warning { what: "look here".into() };
        let (talk, written) = Talk::captured(Detail::Quiet);
        Log::new(&talk).event(&warning);
        assert_eq!(written.text(), "");
        let (talk, written) = Talk::captured(Detail::Brief);
        Log::new(&talk).event(&warning);
        assert!(written.text().ends_with(" WARN look here\n"));
    }
}
