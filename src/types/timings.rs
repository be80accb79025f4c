//! Where the time of workers goes.

use std::{
    iter::Sum,
    ops::AddAssign,
    time::{Duration, Instant},
};

use serde::Serialize;

/// What workers spent their time on. Workers work side by side, so sums exceed the time that
/// passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Timings {
    /// Waiting for a share of the memory ceiling.
    #[serde(serialize_with = "seconds")]
    pub memory: Duration,
    /// Waiting for the source to send, or for a query to give rows.
    #[serde(serialize_with = "seconds")]
    pub read: Duration,
    /// Turning what came into columns.
    #[serde(serialize_with = "seconds")]
    pub decode: Duration,
    /// Turning columns into compressed Parquet pages.
    #[serde(serialize_with = "seconds")]
    pub encode: Duration,
    /// Writing files and making them durable.
    #[serde(serialize_with = "seconds")]
    pub write: Duration,
}

impl Timings {
    /// All of it together.
    pub fn total(&self) -> Duration {
        self.memory + self.read + self.decode + self.encode + self.write
    }
}

impl AddAssign for Timings {
    fn add_assign(&mut self, other: Self) {
        self.memory += other.memory;
        self.read += other.read;
        self.decode += other.decode;
        self.encode += other.encode;
        self.write += other.write;
    }
}

impl Sum for Timings {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |mut sum, one| {
            sum += one;
            sum
        })
    }
}

fn seconds<S: serde::Serializer>(spent: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    // Milliseconds are as fine as anyone reads them.
    serializer.serialize_f64((spent.as_secs_f64() * 1000.0).round() / 1000.0)
}

/// Tells how long each of several pieces of work took, one after the other.
#[derive(Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Begins the first piece.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// Ends a piece, begins the next, and tells how long the ended one took.
    pub fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.0, now)
    }
}
