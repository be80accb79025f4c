//! Hours of the day in which a source may be read.

use std::fmt;

use jiff::{
    Timestamp, ToSpan as _,
    civil::{Date, Time},
    tz::TimeZone,
};

/// Hours of the day in some time zone, `22:00-05:00 Australia/Brisbane`. It may cross midnight.
///
/// A clock that is put forward or back moves an edge that falls into the change: one that does not
/// exist that day to the moment of the change, one that comes twice to the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    from: Time,
    until: Time,
    zone: TimeZone,
}

impl Window {
    /// The hours that `hours` says, `22:00-05:00`, in the zone of that IANA name. `00:00-24:00` is
    /// the whole day.
    ///
    /// # Errors
    /// Which of the two is wrong, and how.
    pub fn parse(hours: &str, zone: &str) -> Result<Self, String> {
        let wrong = || format!("`{hours}` is not a window such as `22:00-05:00`");
        let (from, until) = hours.split_once('-').ok_or_else(wrong)?;
        let time = |text: &str| Time::strptime("%H:%M", text.trim()).map_err(|_| wrong());
        let from = time(from)?;
        let until = if until.trim() == "24:00" { Time::midnight() } else { time(until)? };
        let is_whole_day = (from, until) == (Time::midnight(), Time::midnight());
        if from == until && !is_whole_day {
            return Err(format!("`{hours}` begins when it ends; the whole day is `00:00-24:00`"));
        }
        let zone = TimeZone::get(zone)
            .map_err(|_| format!("`{zone}` is not a time zone such as `Europe/Berlin`"))?;
        Ok(Self { from, until, zone })
    }

    /// Whether there is no moment outside of it.
    pub fn is_always_open(&self) -> bool {
        self.from == self.until
    }

    /// What it is at `now`.
    pub fn at(&self, now: Timestamp) -> WindowState {
        if self.is_always_open() {
            return WindowState::Open { closes: None };
        }
        let today = now.to_zoned(self.zone.clone()).date();
        // Yesterday's may reach into today; after today's, tomorrow's is the next one.
        for days in -1..=2 {
            let Ok(day) = today.checked_add(days.days()) else { continue };
            let (Some(opens), Some(closes)) = (self.opens(day), self.closes(day)) else { continue };
            if now < opens {
                return WindowState::Closed { opens };
            }
            if now < closes {
                return WindowState::Open { closes: Some(closes) };
            }
        }
        // Beyond the years that calendars reckon with.
        WindowState::Open { closes: None }
    }

    /// `moment` on the window's own clock, `05:00`.
    pub fn clock(&self, moment: Timestamp) -> String {
        moment.to_zoned(self.zone.clone()).strftime("%Y-%m-%d %H:%M %Z").to_string()
    }

    fn opens(&self, day: Date) -> Option<Timestamp> {
        self.moment(day, self.from)
    }

    fn closes(&self, day: Date) -> Option<Timestamp> {
        let day = if self.until > self.from { day } else { day.tomorrow().ok()? };
        self.moment(day, self.until)
    }

    fn moment(&self, day: Date, time: Time) -> Option<Timestamp> {
        Some(self.zone.to_zoned(day.to_datetime(time)).ok()?.timestamp())
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = if self.until == Time::midnight() {
            "24:00".to_owned()
        } else {
            self.until.strftime("%H:%M").to_string()
        };
        let zone = self.zone.iana_name().unwrap_or("UTC");
        write!(f, "{}-{end} {zone}", self.from.strftime("%H:%M"))
    }
}

/// Whether a [`Window`] is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowState {
    /// It is.
    Open {
        /// Until then; nothing where it never closes.
        closes: Option<Timestamp>,
    },
    /// It is not.
    Closed {
        /// Until then.
        opens: Timestamp,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: &str, zone: &str, now: &str) -> String {
        let state = Window::parse(hours, zone).unwrap().at(now.parse().unwrap());
        match state {
            WindowState::Open { closes: Some(closes) } => format!("open until {closes}"),
            WindowState::Open { closes: None } => "open".to_owned(),
            WindowState::Closed { opens } => format!("closed until {opens}"),
        }
    }

    #[test]
    fn a_window_may_cross_midnight() {
        let night = |now| at("22:00-05:00", "Australia/Brisbane", now);
        assert_eq!(night("2026-11-22T11:59:59Z"), "closed until 2026-11-22T12:00:00Z");
        assert_eq!(night("2026-11-22T12:00:00Z"), "open until 2026-11-22T19:00:00Z");
        assert_eq!(night("2026-11-22T18:59:59Z"), "open until 2026-11-22T19:00:00Z");
        assert_eq!(night("2026-11-22T19:00:00Z"), "closed until 2026-11-23T12:00:00Z");
        let noon = |now| at("11:30-13:00", "UTC", now);
        assert_eq!(noon("2026-11-22T12:00:00Z"), "open until 2026-11-22T13:00:00Z");
        assert_eq!(noon("2026-11-22T13:00:00Z"), "closed until 2026-11-23T11:30:00Z");
    }

    #[test]
    fn the_whole_day_never_closes() {
        assert_eq!(at("00:00-24:00", "UTC", "2026-11-22T12:00:00Z"), "open");
        let until_midnight = |now| at("22:00-24:00", "UTC", now);
        assert_eq!(until_midnight("2026-11-22T23:00:00Z"), "open until 2026-11-23T00:00:00Z");
    }

    #[test]
    fn edges_follow_a_clock_that_is_put_forward_or_back() {
        // 02:00 to 03:00 is not there on 29 March, and is there twice on 25 October.
        let berlin = |now| at("02:30-02:45", "Europe/Berlin", now);
        assert_eq!(berlin("2026-03-28T23:00:00Z"), "closed until 2026-03-29T01:30:00Z");
        assert_eq!(berlin("2026-10-24T23:00:00Z"), "closed until 2026-10-25T00:30:00Z");
        let night = |now| at("22:00-05:00", "Europe/Berlin", now);
        assert_eq!(night("2026-03-28T22:00:00Z"), "open until 2026-03-29T03:00:00Z");
        assert_eq!(night("2026-10-24T22:00:00Z"), "open until 2026-10-25T04:00:00Z");
    }

    #[test]
    fn what_is_no_window_is_refused_with_its_reason() {
        for (hours, zone, why) in [
            ("22:00", "UTC", "`22:00` is not a window such as `22:00-05:00`"),
            ("25:00-05:00", "UTC", "`25:00-05:00` is not a window such as `22:00-05:00`"),
            (
                "05:00-05:00",
                "UTC",
                "`05:00-05:00` begins when it ends; the whole day is `00:00-24:00`",
            ),
            ("22:00-05:00", "Mars/Base", "`Mars/Base` is not a time zone such as `Europe/Berlin`"),
        ] {
            assert_eq!(Window::parse(hours, zone).unwrap_err(), why);
        }
        assert_eq!(Window::parse("22:00-05:00", "UTC").unwrap().to_string(), "22:00-05:00 UTC");
    }
}
