//! Keeping a source's load under so many rows and bytes a second.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::config::Limits;

/// How long a reader sleeps at a time, so that it notices when it is given up.
const NAP: Duration = Duration::from_millis(100);

/// Shared by all readers of a view. What a reader took is paid for by waiting before it takes more,
/// so that all of them together stay under the limits from the first block on.
pub(super) struct Throttle {
    rows: Option<Meter>,
    bytes: Option<Meter>,
}

impl Throttle {
    /// Without a limit where `limits` knows none.
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            rows: limits.rows_per_second.map(|rows| Meter::new(rows as f64)),
            bytes: limits.bytes_per_second.map(|size| Meter::new(size.bytes() as f64)),
        }
    }

    /// Whether reading is slowed down at all.
    pub(super) fn is_limited(&self) -> bool {
        self.rows.is_some() || self.bytes.is_some()
    }

    /// Blocks until what was just read is paid for, or `is_given_up` says so.
    pub(super) fn pay(&self, rows: u64, bytes: u64, is_given_up: &mut dyn FnMut() -> bool) {
        let now = Instant::now();
        let meters = [(&self.rows, rows), (&self.bytes, bytes)];
        let until = meters
            .into_iter()
            .filter_map(|(meter, taken)| Some(meter.as_ref()?.take(taken, now)))
            .max();
        let Some(until) = until else { return };
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            if left.is_zero() || is_given_up() {
                return;
            }
            thread::sleep(left.min(NAP));
        }
    }
}

/// One limit.
struct Meter {
    per_second: f64,
    /// When all that was taken is paid for.
    paid: Mutex<Option<Instant>>,
}

impl Meter {
    fn new(per_second: f64) -> Self {
        Self { per_second, paid: Mutex::new(None) }
    }

    /// Takes so many at `now`, and says when they are paid for. Time in which nobody took anything
    /// is not saved up.
    fn take(&self, taken: u64, now: Instant) -> Instant {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let from = paid.map_or(now, |paid| paid.max(now));
        let until = from + Duration::from_secs_f64(taken as f64 / self.per_second);
        *paid = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_paid_for_and_time_is_not_saved_up() {
        let meter = Meter::new(1000.0);
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        assert_eq!(meter.take(500, start), after(500));
        assert_eq!(meter.take(500, start), after(1000), "two readers share one limit");
        assert_eq!(meter.take(100, after(5000)), after(5100));
    }

    #[test]
    fn a_reader_that_is_given_up_stops_waiting() {
        let limits = Limits { rows_per_second: Some(1), ..Limits::default() };
        let mut asked = 0;
        Throttle::new(&limits).pay(3600, 0, &mut || {
            asked += 1;
            asked > 1
        });
        assert_eq!(asked, 2);
    }
}
