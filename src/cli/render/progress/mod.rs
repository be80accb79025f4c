//! What a person hears while a run goes on: bars on a terminal, log lines elsewhere, the same words
//! in both.

mod bars;
mod log;

use std::{fmt::Write as _, sync::Arc, time::Duration};

pub(crate) use bars::Bars;
pub(crate) use log::Log;

use super::{bytes, count, duration, plural, rate};
use crate::{
    cli::talk::{Detail, Talk},
    run::{AuditReport, Event, Observer, StepKind, StepReport},
};

/// How serious a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// All is well.
    Info,
    /// Somebody should look at it.
    Warn,
}

/// The observer that suits where `talk` goes.
pub(crate) fn observer(talk: &Talk) -> Arc<dyn Observer> {
    if talk.draws_bars() { Arc::new(Bars::new(talk)) } else { Arc::new(Log::new(talk)) }
}

/// What `event` is worth saying at this `detail`, if anything; without time and level.
pub(crate) fn words(event: &Event, detail: Detail) -> Option<(Level, String)> {
    let full = detail >= Detail::Full;
    let text = match event {
        Event::Started { run, pipeline, extracts, models } => format!(
            "run {run} of {pipeline}: {} to extract, {} to compute",
            plural(*extracts as u64, "table"),
            plural(*models as u64, "model")
        ),
        Event::Recovered { what } => format!("recovered: {what}"),
        Event::SnapshotOpened { connection, position } => {
            format!("reading {connection} as of {position}")
        }
        Event::SnapshotLost { connection, tables, why } => {
            let tables = plural(tables.len() as u64, "table");
            let text = format!("lost the snapshot of {connection}, and reads {tables} anew: {why}");
            return Some((Level::Warn, text));
        }
        Event::TableStarted { table, kind, estimated_rows } if full => {
            let about = estimated_rows.map(|rows| format!(", about {}", plural(rows, "row")));
            format!("started {kind} {table}{}", about.unwrap_or_default())
        }
        Event::TableStaged(step) => staged(step),
        Event::Audited(audit) if !audit.passed => return Some((Level::Warn, unmet(audit))),
        Event::Audited(audit) if full => format!("audit passed: {}", audit_name(audit)),
        Event::Publishing { tables } => format!("publishing {}", plural(*tables as u64, "table")),
        Event::Published { generation } => format!("published generation {generation}"),
        Event::Warning { what } => return Some((Level::Warn, what.clone())),
        _ => return None,
    };
    Some((Level::Info, text))
}

fn staged(step: &StepReport) -> String {
    let verb = match step.kind {
        StepKind::Extract => "extracted",
        StepKind::Rejects => "set aside",
        StepKind::Model => "computed",
    };
    format!(
        "{verb} {}: {}, {} in {} ({} rows/s)",
        step.table,
        plural(step.rows, "row"),
        bytes(step.bytes),
        duration(step.elapsed),
        rate(step.rows_per_second())
    )
}

/// An audit that does not hold: what, how many rows, where it is written.
pub(crate) fn unmet(audit: &AuditReport) -> String {
    let word = if audit.blocking { "audit failed" } else { "audit warns" };
    let rows = match audit.failing_rows {
        0 => String::new(),
        rows => format!(", {}", plural(rows, "row")),
    };
    format!("{word}: {}{rows} ({})", audit_name(audit), audit.origin)
}

fn audit_name(audit: &AuditReport) -> String {
    match audit.detail.as_str() {
        "" => format!("{} of {}", audit.audit, audit.table),
        detail => format!("{} of {} ({detail})", audit.audit, audit.table),
    }
}

/// One running table as a line of at most `width` columns: name, bar and share where an estimate
/// holds, rows, rows a second, time left.
fn running(
    name: &str,
    rows: u64,
    estimate: Option<u64>,
    rows_per_second: f64,
    width: usize,
) -> String {
    let wide = width >= 100;
    let name_width = if wide { 36 } else { 24 };
    let name = super::shorten(name, name_width);
    let blank = " ".repeat(name_width.saturating_sub(super::display_width(&name)));
    let speed = if rows > 0 && rows_per_second >= 0.5 {
        format!("{}/s", count(rows_per_second.round() as u64))
    } else {
        String::new()
    };
    let mut line = format!("  {name}{blank}  {:>13} rows  {speed:>12}", count(rows));
    // An estimate that turned out too low says nothing of what is left.
    if let Some(total) = estimate.filter(|total| *total > 0 && rows <= *total) {
        let share = rows as f64 / total as f64;
        if wide {
            let _ = write!(line, "  {}", bar(share, 16));
        }
        let _ = write!(line, " {:>3.0}%", share * 100.0);
        if rows_per_second >= 0.5 && rows < total {
            let left = ((total - rows) as f64 / rows_per_second).min(1e8).ceil() as u64;
            line += &match left {
                0..60 => format!("  {left} s left"),
                _ => format!("  {} left", duration(Duration::from_secs(left))),
            };
        }
    }
    super::shorten(line.trim_end(), width).into_owned()
}

fn bar(share: f64, width: usize) -> String {
    let filled = ((share * width as f64).floor() as usize).min(width);
    "━".repeat(filled) + &"╌".repeat(width - filled)
}

#[cfg(test)]
mod tests {
    use super::{log::stamped, *};
    use crate::run::MisfitReport;
    use crate::types::{Generation, PipelineName, TableName};

    fn audit(passed: bool) -> AuditReport {
        AuditReport {
            table: TableName::new("core", "order_facts"),
            audit: "unique".into(),
            detail: "order_id".into(),
            passed,
            blocking: false,
            failing_rows: 3,
            sample: vec!["7".into()],
            origin: "sql/nightly/core/order_facts.sql:4".into(),
        }
    }

    fn events() -> Vec<Event> {
        let table = TableName::new("shop", "orders");
        vec![
            Event::Started {
                run: "20261122t141153z-3f9a1c".parse().unwrap(),
                pipeline: PipelineName::new("nightly"),
                extracts: 5,
                models: 1,
            },
            Event::SnapshotOpened { connection: "shop".into(), position: "16/B374D848".into() },
            Event::SnapshotLost {
                connection: "shop".into(),
                tables: vec![table.clone()],
                why: "the server closed the connection".into(),
            },
            Event::TableStarted {
                table: table.clone(),
                kind: StepKind::Extract,
                estimated_rows: Some(100_000),
            },
            Event::TableProgress { table: table.clone(), rows: 50_000 },
            Event::TableStaged(StepReport {
                table,
                kind: StepKind::Extract,
                rows: 100_000,
                bytes: 3_251_200,
                files: 1,
                elapsed: Duration::from_millis(1_250),
                spent: None,
                misfits: MisfitReport::default(),
                upsert: None,
            }),
            Event::Audited(audit(true)),
            Event::Audited(audit(false)),
            Event::Warning { what: "replica `shop` is 4m behind".into() },
            Event::Publishing { tables: 6 },
            Event::Published { generation: Generation(42) },
        ]
    }

    fn said(detail: Detail) -> String {
        let at = "2026-11-22T14:11:53.5Z".parse().unwrap();
        events()
            .iter()
            .filter_map(|event| words(event, detail))
            .map(|(level, text)| stamped(at, level, &text))
            .collect()
    }

    #[test]
    fn log_lines_say_what_an_operator_needs() {
        insta::assert_snapshot!(said(Detail::Brief), @r"
        2026-11-22T14:11:53.500Z INFO run 20261122t141153z-3f9a1c of nightly: 5 tables to extract, 1 model to compute
        2026-11-22T14:11:53.500Z INFO reading shop as of 16/B374D848
        2026-11-22T14:11:53.500Z WARN lost the snapshot of shop, and reads 1 table anew: the server closed the connection
        2026-11-22T14:11:53.500Z INFO extracted shop.orders: 100,000 rows, 3.1 MiB in 1.25 s (80,000 rows/s)
        2026-11-22T14:11:53.500Z WARN audit warns: unique of core.order_facts (order_id), 3 rows (sql/nightly/core/order_facts.sql:4)
        2026-11-22T14:11:53.500Z WARN replica `shop` is 4m behind
        2026-11-22T14:11:53.500Z INFO publishing 6 tables
        2026-11-22T14:11:53.500Z INFO published generation 42
        ");
    }

    #[test]
    fn verbose_adds_starts_and_passed_audits() {
        insta::assert_snapshot!(said(Detail::Full), @r"
        2026-11-22T14:11:53.500Z INFO run 20261122t141153z-3f9a1c of nightly: 5 tables to extract, 1 model to compute
        2026-11-22T14:11:53.500Z INFO reading shop as of 16/B374D848
        2026-11-22T14:11:53.500Z WARN lost the snapshot of shop, and reads 1 table anew: the server closed the connection
        2026-11-22T14:11:53.500Z INFO started extract shop.orders, about 100,000 rows
        2026-11-22T14:11:53.500Z INFO extracted shop.orders: 100,000 rows, 3.1 MiB in 1.25 s (80,000 rows/s)
        2026-11-22T14:11:53.500Z INFO audit passed: unique of core.order_facts (order_id)
        2026-11-22T14:11:53.500Z WARN audit warns: unique of core.order_facts (order_id), 3 rows (sql/nightly/core/order_facts.sql:4)
        2026-11-22T14:11:53.500Z WARN replica `shop` is 4m behind
        2026-11-22T14:11:53.500Z INFO publishing 6 tables
        2026-11-22T14:11:53.500Z INFO published generation 42
        ");
    }

    #[test]
    fn a_running_table_shows_share_and_time_left_only_where_an_estimate_holds() {
        let lines = [
            running("shop.orders", 25_000, Some(100_000), 12_500.0, 120),
            running("shop.orders", 25_000, Some(100_000), 12_500.0, 80),
            running("shop.order_items", 25_000, None, 12_500.0, 120),
            running("shop.order_items", 125_000, Some(100_000), 12_500.0, 120),
            running("a_schema_of_great_length.a_table_of_great_length", 0, Some(7), 0.0, 80),
        ];
        assert!([&lines[1], &lines[4]].iter().all(|line| line.chars().count() <= 80));
        insta::assert_snapshot!(lines.join("\n"), @r"
        shop.orders                                  25,000 rows      12,500/s  ━━━━╌╌╌╌╌╌╌╌╌╌╌╌  25%  6 s left
        shop.orders                      25,000 rows      12,500/s  25%  6 s left
        shop.order_items                             25,000 rows      12,500/s
        shop.order_items                            125,000 rows      12,500/s
        a_schema_of_great_lengt…              0 rows                 0%
        ");
    }
}
