//! What the library logs, in the same lines as progress; more of it with each `-v`.

use std::fmt;

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::{format::Writer, time::FormatTime},
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::talk::{Detail, Talk};

/// Starts logging to `talk`.
pub(crate) fn start(talk: &Talk, verbose: u8) {
    let (own, others) = match (talk.detail(), verbose) {
        (Detail::Quiet, _) => (LevelFilter::ERROR, LevelFilter::OFF),
        (_, 0) => (LevelFilter::WARN, LevelFilter::OFF),
        (_, 1) => (LevelFilter::INFO, LevelFilter::ERROR),
        (_, 2) => (LevelFilter::DEBUG, LevelFilter::WARN),
        _ => (LevelFilter::TRACE, LevelFilter::INFO),
    };
    let writer = talk.clone();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(move || writer.clone())
        .with_ansi(false)
        .with_timer(Utc);
    let filter = Targets::new().with_default(others).with_target("longshore", own);
    // It can only fail where a subscriber is set already, and then that one serves.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
}

/// RFC 3339 with milliseconds, as progress has it.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, out: &mut Writer<'_>) -> fmt::Result {
        write!(out, "{}", jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ"))
    }
}
