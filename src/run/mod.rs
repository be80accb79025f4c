//! One run of one pipeline, from plan to publish: the only place where extract, stage, transform
//! and warehouse meet.
//!
//! [`Plan::make`] settles everything before a row moves; [`run()`] carries a plan out and tells an
//! [`Observer`] how it goes; the [`Ledger`] remembers. Nothing below this module knows a
//! pipeline's name.

mod audit;
mod cancel;
mod check;
mod clean;
mod contract;
mod event;
mod extract;
mod grants;
mod ledger;
mod limits;
mod lock;
mod memory;
mod mend;
mod misfits;
mod plan;
mod rejects;
mod report;
mod retry;
mod rewrite;
mod rollback;
mod runner;
mod source;
mod staged;
mod summary;
mod target;
mod transform;
mod upsert;

pub use cancel::{Cancel, CancelHandle, cancellation};
pub use check::{CheckDepth, CheckReport, ConnectionCheck, PipelineCheck, check};
pub use clean::clean;
pub use contract::{Change, Joins, SchemaChange, Verdict};
pub use event::{Event, Observer, Silent};
pub use grants::{Grants, grants};
pub use ledger::{Ledger, RunDetail, RunOutcome, RunRecord};
pub use lock::RunLock;
pub use plan::{Plan, PlanOptions, PlannedExtract, PlannedSource, Target, Unchanged, engine};
pub use report::{
    AuditReport, ColumnMisfits, MisfitOutcome, MisfitReport, RunReport, StepKind, StepReport,
    UpsertReport,
};
pub use rollback::{RollbackReport, roll_back};
pub use runner::{Ending, RunRequest, run};
pub use summary::{
    ColumnSummary, ExtractSummary, ModelSummary, PlanSummary, Risk, SourceSummary, published_type,
};
pub use target::published;
