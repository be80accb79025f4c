//! Every integration test, in one binary: one link, and one set of servers for all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on stops loudly, also in its helping functions"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the harness reads the environment it was started in; it is not the program"
)]
#![allow(
    clippy::doc_markdown,
    reason = "products are written as their makers write them, many times a page"
)]

mod conformance;
mod harness;
mod nightly;
mod postgres;
mod readme;
mod recovery;
mod tidy;
mod warehouse;
