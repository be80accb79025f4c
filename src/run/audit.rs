//! The audit step of a run: outcomes from the engine, as the ledger and people want them.

use std::collections::BTreeMap;

use super::{
    plan::{Plan, Target, Unchanged},
    report::AuditReport,
};
use crate::{
    config::Severity,
    error::{Error, ErrorKind, Result},
    transform::AuditOutcome,
    types::{PipelineName, RunId, TableFiles, TableName},
    warehouse::AuditRecord,
};

/// Runs the audits of `target` over `tables` as they would be read.
pub(super) async fn run(
    plan: &Plan,
    target: &Target,
    tables: &BTreeMap<TableName, TableFiles>,
) -> Result<Vec<AuditReport>> {
    let of = plan.audit_target(target);
    let outcomes = plan.engine.run_audits(&of, &target.audits, tables).await?;
    Ok(outcomes.into_iter().map(|outcome| report(&target.table, outcome)).collect())
}

fn report(table: &TableName, outcome: AuditOutcome) -> AuditReport {
    AuditReport {
        table: table.clone(),
        audit: outcome.audit.to_owned(),
        detail: outcome.detail,
        passed: outcome.passed,
        blocking: outcome.severity == Severity::Error,
        failing_rows: outcome.failing_rows,
        sample: outcome.sample,
        origin: outcome.origin.short(),
    }
}

/// The outcome as a generation keeps it: without rows' keys, which don't belong in a warehouse's
/// history.
pub(super) fn record(report: &AuditReport) -> AuditRecord {
    AuditRecord {
        table: report.table.clone(),
        audit: format!("{}({})", report.audit, report.detail),
        severity: if report.blocking { "error" } else { "warn" }.to_owned(),
        passed: report.passed,
        failing_rows: Some(report.failing_rows),
    }
}

/// The error of a run whose audits forbid publishing.
pub(super) fn not_published(
    pipeline: &PipelineName,
    unchanged: Unchanged,
    run: &RunId,
    failed: &[&AuditReport],
) -> Error {
    let count = match failed.len() {
        1 => "an audit".to_owned(),
        many => format!("{many} audits"),
    };
    let what = format!("`{pipeline}` was not published because {count} failed; {unchanged}");
    let mut error = Error::new(ErrorKind::Audit, what);
    for audit in failed {
        let rows = match audit.failing_rows {
            1 => "1 row".to_owned(),
            many => format!("{many} rows"),
        };
        let sample = if audit.sample.is_empty() {
            String::new()
        } else {
            format!(": {}", audit.sample.join(", "))
        };
        error = error.because(format!(
            "`{}` {} ({}), {}: {rows}{sample}",
            audit.table, audit.audit, audit.detail, audit.origin
        ));
    }
    error.hint(format!("look at the rows: longshore sql --run {run} \"select …\""))
}
