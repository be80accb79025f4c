//! The end of a run at a glance.

use std::fmt::Write as _;

use super::{Paint, Shape, Table, bytes, count, duration, plural, progress, rate};
use crate::{
    run::{AuditReport, RunReport, StepReport},
    types::RunId,
};

/// What a run read, made, checked and published; `warehouse` is where, for people.
pub(crate) fn summary(report: &RunReport, warehouse: &str, paint: Paint) -> String {
    let mut text = steps(&report.steps).render(paint);
    text.push('\n');
    let unpublished = report.generation.is_none().then_some(&report.run);
    text += &upserts(&report.steps, paint);
    text += &misfits(&report.steps, unpublished, paint);
    text += &audits(&report.audits);
    let took =
        format!("{} in {}", plural(report.steps.len() as u64, "table"), duration(report.elapsed));
    text += &match report.generation {
        Some(generation) => {
            format!("{}: generation {generation} of {warehouse}, {took}\n", paint.good("published"))
        }
        None => format!(
            "{}: {took}; nothing was published, as asked\n   {}: longshore sql --run {} '…'\n",
            paint.good("staged"),
            paint.hint("next"),
            report.run
        ),
    };
    text
}

/// One line a step, extracts and models in the order given, and a total.
pub(crate) fn steps(steps: &[StepReport]) -> Table {
    let mut table = Table::new([
        ("table", Shape::Text),
        ("step", Shape::Text),
        ("rows", Shape::Number),
        ("bytes", Shape::Number),
        ("time", Shape::Number),
        ("rows/s", Shape::Number),
    ]);
    for step in steps {
        table.push(vec![
            step.table.to_string(),
            step.kind.to_string(),
            count(step.rows),
            bytes(step.bytes),
            duration(step.elapsed),
            rate(step.rows_per_second()),
        ]);
    }
    if steps.len() > 1 {
        let sum = |number: fn(&StepReport) -> u64| steps.iter().map(number).sum::<u64>();
        table.push(vec![
            "total".into(),
            String::new(),
            count(sum(|step| step.rows)),
            bytes(sum(|step| step.bytes)),
            String::new(),
            String::new(),
        ]);
    }
    table
}

/// What became of the published rows of tables that are upserted.
pub(crate) fn upserts(steps: &[StepReport], paint: Paint) -> String {
    let mut text = String::new();
    for step in steps {
        if let Some(upsert) = &step.upsert {
            let _ = writeln!(text, "{}: {}: {upsert}", paint.good("upserted"), step.table);
        }
    }
    text
}

/// What did not fit, table by table, and where the rejected rows are: in the warehouse, or in the
/// stage of the run `unpublished`.
pub(crate) fn misfits(steps: &[StepReport], unpublished: Option<&RunId>, paint: Paint) -> String {
    let mut text = String::new();
    let of = unpublished.map(|run| format!("--run {run} ")).unwrap_or_default();
    for step in steps.iter().filter(|step| !step.misfits.is_empty()) {
        let _ = writeln!(text, "{}: {}: {}", paint.alarm("misfits"), step.table, step.misfits);
        if step.misfits.rejected > 0 {
            let query = format!("select * from {}__rejects", step.table);
            let _ = writeln!(text, "   {}: longshore sql {of}'{query}'", paint.hint("see"));
        }
    }
    text
}

/// How many audits held, and which did not.
pub(crate) fn audits(audits: &[AuditReport]) -> String {
    if audits.is_empty() {
        return "audits: none\n".to_owned();
    }
    let number = |wanted: fn(&AuditReport) -> bool| audits.iter().filter(|one| wanted(one)).count();
    let outcomes = [
        (number(|audit| audit.passed), "passed"),
        (number(|audit| !audit.passed && !audit.blocking), "warned"),
        (number(|audit| !audit.passed && audit.blocking), "failed"),
    ];
    let outcomes: Vec<_> = outcomes
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{} {word}", count(*number as u64)))
        .collect();
    let mut text = format!("audits: {}\n", outcomes.join(", "));
    for audit in audits.iter().filter(|audit| !audit.passed) {
        let _ = writeln!(text, "  {}", progress::unmet(audit));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        run::{ColumnMisfits, MisfitOutcome, MisfitReport, StepKind},
        types::{Generation, PipelineName, TableName},
    };

    fn report(generation: Option<Generation>) -> RunReport {
        let step = |schema: &str, table: &str, kind, rows, milliseconds| StepReport {
            table: TableName::new(schema, table),
            kind,
            rows,
            bytes: rows * 33,
            files: 1,
            elapsed: Duration::from_millis(milliseconds),
            spent: None,
            misfits: MisfitReport::default(),
            upsert: None,
        };
        let audit = |passed| AuditReport {
            table: TableName::new("mart", "daily_revenue"),
            audit: "not_null".into(),
            detail: "day, revenue".into(),
            passed,
            blocking: false,
            failing_rows: u64::from(!passed) * 3,
            sample: Vec::new(),
            origin: "sql/nightly/mart/daily_revenue.sql:4".into(),
        };
        RunReport {
            run: "20261122t141153z-3f9a1c".parse().unwrap(),
            pipeline: PipelineName::new("nightly"),
            generation,
            steps: vec![
                step("shop", "orders", StepKind::Extract, 100_000, 1_250),
                step("shop", "payments", StepKind::Extract, 0, 0),
                step("mart", "daily_revenue", StepKind::Model, 1_095, 85_000),
            ],
            audits: vec![audit(true), audit(true), audit(false)],
            elapsed: Duration::from_secs(87),
        }
    }

    #[test]
    fn a_published_run_at_a_glance() {
        let shown = summary(&report(Some(Generation(3))), "./warehouse", Paint::Plain);
        insta::assert_snapshot!(shown, @r"
        table               step        rows     bytes    time  rows/s
        ──────────────────  ───────  ───────  ────────  ──────  ──────
        shop.orders         extract  100,000   3.1 MiB  1.25 s  80,000
        shop.payments       extract        0       0 B  0.00 s       -
        mart.daily_revenue  model      1,095  35.3 KiB  1m 25s      13
        total                        101,095   3.2 MiB

        audits: 2 passed, 1 warned
          audit warns: not_null of mart.daily_revenue (day, revenue), 3 rows (sql/nightly/mart/daily_revenue.sql:4)
        published: generation 3 of ./warehouse, 3 tables in 1m 27s
        ");
    }

    #[test]
    fn what_did_not_fit_is_told_with_the_place_to_look() {
        let mut report = report(Some(Generation(3)));
        let nan = |outcome, values| ColumnMisfits {
            column: "score".into(),
            reason: "holds NaN, which `decimal(12,2)` can't".into(),
            outcome,
            values,
        };
        report.steps[0].misfits = MisfitReport {
            rejected: 2,
            nulled: 1,
            columns: vec![nan(MisfitOutcome::Rejected, 2), nan(MisfitOutcome::Nulled, 1)],
        };
        report.steps[1].misfits =
            MisfitReport { rejected: 0, nulled: 1, columns: vec![nan(MisfitOutcome::Nulled, 1)] };
        insta::assert_snapshot!(misfits(&report.steps, None, Paint::Plain), @r"
        misfits: shop.orders: 2 rows rejected, 1 value published as NULL: column `score` holds NaN, which `decimal(12,2)` can't, 2 times; column `score` holds NaN, which `decimal(12,2)` can't, once
           see: longshore sql 'select * from shop.orders__rejects'
        misfits: shop.payments: 1 value published as NULL: column `score` holds NaN, which `decimal(12,2)` can't, once
        ");
        let staged = misfits(&report.steps, Some(&report.run), Paint::Plain);
        assert!(staged.contains("longshore sql --run 20261122t141153z-3f9a1c 'select"), "{staged}");
    }

    #[test]
    fn an_unpublished_run_says_that_the_warehouse_is_as_it_was() {
        let shown = summary(&report(None), "./warehouse", Paint::Plain);
        insta::assert_snapshot!(shown.lines().rev().take(2).collect::<Vec<_>>().join("\n"), @r"
           next: longshore sql --run 20261122t141153z-3f9a1c '…'
        staged: 3 tables in 1m 27s; nothing was published, as asked
        ");
    }
}
