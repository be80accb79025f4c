//! What a warehouse keeps of its past.

use std::time::Duration;

use super::Scope;
use crate::{
    config::{Retention, raw, written::Text},
    error::Result,
};

impl Scope<'_> {
    pub(super) fn retention(&self, written: Option<&raw::Retention>) -> Result<Retention> {
        let usual = Retention::default();
        let Some(raw::Retention { generations, age, grace }) = written else { return Ok(usual) };
        Ok(Retention {
            generations: self.positive(generations.as_ref())?.unwrap_or(usual.generations),
            age: self.days(age.as_ref())?.unwrap_or(usual.age),
            grace: self.days(grace.as_ref())?.unwrap_or(usual.grace),
        })
    }

    /// A length of time that may be given in days.
    fn days(&self, written: Option<&Text>) -> Result<Option<Duration>> {
        let Some(written) = written else { return Ok(None) };
        let expected = "a length of time above zero such as `12h` or `7d`";
        self.read(written, expected, |text| {
            let span = match text.strip_suffix('d') {
                Some(days) => {
                    let days: u64 = days.trim_end().parse().ok()?;
                    Duration::from_secs(days.checked_mul(24 * 60 * 60)?)
                }
                None => Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok()?,
            };
            // A span beyond this is a slip, and would leave the calendar.
            (!span.is_zero() && span.as_secs() < 1000 * 366 * 24 * 60 * 60).then_some(span)
        })
        .map(Some)
    }
}
