//! One run of one pipeline, from plan to publish: the only place where extract, stage, transform
//! and warehouse meet.

mod event;
mod report;

pub use event::{Event, Observer, Silent};
pub use report::{AuditReport, RunReport, StepKind, StepReport};
