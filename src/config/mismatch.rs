//! What becomes of values that their columns' types can't hold.

use std::fmt;

/// What becomes of a value that its column's type can't hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum OnMismatch {
    /// The run stops, by the column's name.
    #[default]
    Error,
    /// NULL is published instead.
    Null,
    /// There is none: the whole column is read as text, if it may hold such values.
    Text,
    /// Its row goes to the table's rejects.
    Quarantine,
}

/// How many of a table's rows may be rejected.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum MaxRejects {
    /// [`MaxRejects::USUAL_ROWS`], or [`MaxRejects::USUAL_SHARE`] of all where that is more.
    #[default]
    Usual,
    /// So many.
    Rows(u64),
    /// This share of all, 0.01 for 1 %.
    Share(f64),
}

impl MaxRejects {
    /// So many are borne of the smallest table, where nothing else is said.
    pub const USUAL_ROWS: u64 = 100;
    /// This share is borne of any table, where nothing else is said.
    pub const USUAL_SHARE: f64 = 0.01;

    /// Whether `rejected` of `rows` are no more than that.
    pub fn allows(self, rejected: u64, rows: u64) -> bool {
        let is_within = |share: f64| rejected as f64 <= share * rows as f64;
        match self {
            Self::Usual => rejected <= Self::USUAL_ROWS || is_within(Self::USUAL_SHARE),
            Self::Rows(most) => rejected <= most,
            Self::Share(share) => is_within(share),
        }
    }
}

impl fmt::Display for MaxRejects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usual => {
                write!(f, "{} rows or {} %", Self::USUAL_ROWS, Self::USUAL_SHARE * 100.0)
            }
            Self::Rows(rows) => write!(f, "{rows} rows"),
            Self::Share(share) => write!(f, "{} %", share * 100.0),
        }
    }
}
