//! Tests of the transform layer as its callers see it: model files in, batches and errors out.

mod audits;
mod loading;
mod merging;
mod planning;
mod reading;
mod running;
mod workspace;
