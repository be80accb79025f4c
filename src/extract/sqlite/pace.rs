//! How the time of a read divides between SQLite and us, told from a sample of its rows: rows are
//! too short to look at a clock for each.

use std::time::Duration;

use crate::types::{Stopwatch, Timings};

/// One row in so many is timed. A prime, so that it falls on every place of a page.
const SAMPLE: u64 = 61;

/// Times one read.
pub(super) struct Pace {
    before: Timings,
    watch: Stopwatch,
    /// Of all rows, both together.
    both: Duration,
    rows: u64,
    /// Of the rows in the sample.
    read: Duration,
    decode: Duration,
}

impl Pace {
    /// Begins; `before` was spent already.
    pub(super) fn start(before: Timings) -> Self {
        Self {
            before,
            watch: Stopwatch::start(),
            both: Duration::ZERO,
            rows: 0,
            read: Duration::ZERO,
            decode: Duration::ZERO,
        }
    }

    /// Runs SQLite's part of a row.
    #[inline]
    pub(super) fn read<T>(&mut self, step: impl FnOnce() -> T) -> T {
        self.rows += 1;
        if self.rows % SAMPLE != 1 {
            return step();
        }
        timed(&mut self.read, step)
    }

    /// Runs our part of the same row.
    #[inline]
    pub(super) fn decode<T>(&mut self, take: impl FnOnce() -> T) -> T {
        if self.rows % SAMPLE != 1 {
            return take();
        }
        timed(&mut self.decode, take)
    }

    /// What follows is somebody else's.
    pub(super) fn pause(&mut self) {
        self.both += self.watch.lap();
    }

    /// What went by since the pause was spent waiting for memory.
    pub(super) fn wait(&mut self) {
        self.before.memory += self.watch.lap();
    }

    /// What follows is the read's again.
    pub(super) fn resume(&mut self) {
        self.watch.lap();
    }

    /// What was spent, all in all.
    pub(super) fn spent(&self) -> Timings {
        let sampled = (self.read + self.decode).as_secs_f64();
        let share = if sampled > 0.0 { self.decode.as_secs_f64() / sampled } else { 0.0 };
        let decode = self.both.mul_f64(share.clamp(0.0, 1.0));
        let mut spent = self.before;
        spent.decode += decode;
        spent.read += self.both.saturating_sub(decode);
        spent
    }
}

#[cold]
fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let mut watch = Stopwatch::start();
    let done = work();
    *sum += watch.lap();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sampled_is_divided_like_what_was() {
        let mut pace = Pace::start(Timings::default());
        for _ in 0..122 {
            pace.read(|| std::thread::sleep(Duration::from_micros(200)));
            pace.decode(|| ());
        }
        pace.pause();
        std::thread::sleep(Duration::from_millis(50));
        pace.resume();
        pace.pause();
        let spent = pace.spent();
        assert!(spent.read >= Duration::from_micros(122 * 200), "{spent:?}");
        assert!(spent.decode < spent.read / 4, "{spent:?}");
        assert_eq!(spent.read + spent.decode, pace.both, "nothing is counted twice");
    }
}
