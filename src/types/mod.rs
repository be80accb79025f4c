//! Nouns that every step of the flow shares: names, ids, sizes, column types, files.
//!
//! Nothing here does I/O, and nothing here knows what a pipeline is.

mod budget;
mod columns;
mod files;
mod json;
mod names;
mod size;
mod timings;
mod window;

pub use budget::{Budget, Permit};
pub use columns::{ColumnType, canonical_field, canonical_schema, canonical_type};
pub use files::{Bound, ColumnStats, DataFile, TableFiles};
pub use json::{exact_json, exact_numbers};
pub use names::{Generation, PipelineName, RunId, TableName, path_segment};
pub use size::ByteSize;
pub use timings::{Stopwatch, Timings};
pub use window::{Window, WindowState};
