//! Longshore unloads databases and loads warehouses.
//!
//! ```text
//! connections ──extract──▶ stage ──transform (SQL models)──▶ stage ──audit──▶ publish ──▶ warehouse
//!    read-only,             Parquet files,     DataFusion                     one commit   generations
//!    one snapshot           written once                                      for all
//! ```
//!
//! One idea carries it: every table version is a set of immutable Parquet files, and everything
//! before the commit only makes files.
//!
//! The folders are the steps of the flow, and dependencies point one way:
//! `error, types ← config ← {extract, stage, transform, warehouse} ← run ← cli`. The middle four
//! never import each other; `run` joins them. The numbered invariants are in the README's
//! architecture section, each with the test that enforces it.

pub mod cli;
pub mod config;
pub mod error;
pub mod extract;
pub mod run;
pub mod stage;
pub mod transform;
pub mod types;
pub mod warehouse;
