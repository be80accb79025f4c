//! The stage: Parquet files of one run, written once and read by nobody else.
//!
//! A [`Stage`] is a folder below `.longshore/stage/`, named after its run. Each table of the run
//! has a [`TableStage`]; workers fill it through [`ChunkWriter`]s, whose rows count only once their
//! chunk is complete. [`TableStage::finish`] closes, fsyncs and describes the files; after that
//! they never change.
//!
//! Nothing here knows where rows come from or where files go.

mod catalog;
mod chunk;
mod column;
mod encoding;
mod file;
mod memory;
mod statistics;
mod table;

pub use catalog::{Stage, sweep};
pub use chunk::ChunkWriter;
pub use encoding::EncodeOptions;
pub use table::TableStage;

#[cfg(test)]
mod tests;
