//! How things look: errors, numbers, tables, progress. Nothing here does a verb's work, and
//! nothing here decides what is worth saying except [`progress`].

mod bounds;
mod error;
mod paint;
pub(crate) mod progress;
mod quantity;
mod summary;
mod table;

pub(crate) use bounds::bounds;
pub(crate) use error::error;
pub(crate) use paint::Paint;
pub(crate) use quantity::{bytes, count, duration, plural, rate};
pub(crate) use summary::{audits, misfits, steps, summary, upserts};
pub(crate) use table::{Columns, Shape, Table, display_width, shorten, visible};
