//! Audits: what must hold before a table is published.
//!
//! An audit that does not hold is an outcome, not an error; what follows is the runner's affair.
//! An outcome never holds other values than keys, or the audited column's own where there is no
//! key.

use std::collections::BTreeMap;

use arrow::{
    array::AsArray,
    datatypes::{Int64Type, SchemaRef},
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use futures::StreamExt as _;

use crate::{
    config::{Audit, AuditKind, Origin, RowCountBounds, Severity},
    error::{Error, ErrorKind, Result, did_you_mean},
    types::{TableFiles, TableName},
};

use super::{
    Engine,
    audit_sql::{AuditSql, SAMPLE, sql_of, table_of},
    diagnose::Problem,
    files_table::FilesTable,
    graph::unknown_table,
    query::{Providers, Question, Refusal, providers},
    statement::Allow,
};

/// The longest text of one value in a sample, in characters.
const VALUE_CHARS: usize = 60;

/// The table that audits look at.
#[derive(Debug, Clone, Copy)]
pub struct AuditTarget<'a> {
    /// Its name.
    pub table: &'a TableName,
    /// The columns that identify its rows, for samples; may be empty.
    pub key: &'a [String],
    /// How many rows readers see now; none when nothing is published yet.
    pub published_rows: Option<u64>,
}

/// How one audit went.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditOutcome {
    /// The audit's name, as YAML has it.
    pub audit: &'static str,
    /// What it looked at: columns, bounds, the expression.
    pub detail: String,
    /// What follows when it did not pass.
    pub severity: Severity,
    /// Whether it holds.
    pub passed: bool,
    /// Rows that fail it; for `row_count`, how many rows are missing or too many.
    pub failing_rows: u64,
    /// Up to ten offending rows as `column=value`, by key; without a key, by the audited columns
    /// of `unique`, `accepted_values` and `relationships`, and empty for the others.
    pub sample: Vec<String>,
    /// Where it is written.
    pub origin: Origin,
    /// The query behind it, where there is one.
    pub sql: Option<String>,
}

impl Engine {
    /// Checks that each of `audits` can be run on the table of `target`, against the schemas of
    /// that table and all others: columns exist, expressions and queries can be planned.
    ///
    /// # Errors
    /// Of kind model, at the audit's place.
    pub async fn plan_audits(
        &self,
        target: &AuditTarget<'_>,
        audits: &[Audit],
        known: &BTreeMap<TableName, SchemaRef>,
    ) -> Result<()> {
        let schemas = known.iter().map(|(name, s)| (name.clone(), FilesTable::of_schema(s)));
        let tables: Providers = schemas.collect();
        for audit in audits {
            let refused = |refusal| cannot_plan(target, audit, refusal);
            check_columns(&audit.kind, target, known).map_err(|p| refused(p.into()))?;
            let sql = sql_of(&audit.kind, target).map_err(|problem| refused(problem.into()))?;
            let Some(AuditSql::Count { count: sql, .. } | AuditSql::Rows(sql)) = sql else {
                continue;
            };
            let question = question(&sql, &tables, target);
            self.plan_question(&question).await.map_err(refused)?;
        }
        Ok(())
    }

    /// Runs `audits` on the table of `target`, one after the other; each uses all threads.
    /// `tables` holds that table and those that the audits name, as they will be published.
    ///
    /// # Errors
    /// When an audit could not be run; one that does not hold is an outcome.
    pub async fn run_audits(
        &self,
        target: &AuditTarget<'_>,
        audits: &[Audit],
        tables: &BTreeMap<TableName, TableFiles>,
    ) -> Result<Vec<AuditOutcome>> {
        let readable = providers(tables);
        let mut outcomes = Vec::with_capacity(audits.len());
        for audit in audits {
            let refused = |problem: Problem| cannot_plan(target, audit, problem.into());
            let mut outcome = AuditOutcome {
                audit: audit.kind.name(),
                detail: detail(&audit.kind),
                severity: audit.severity,
                passed: true,
                failing_rows: 0,
                sample: Vec::new(),
                origin: audit.origin.clone(),
                sql: None,
            };
            match sql_of(&audit.kind, target).map_err(refused)? {
                None => {
                    let rows = tables.get(target.table).map_or(0, TableFiles::rows);
                    if let AuditKind::RowCount(bounds) = &audit.kind {
                        outcome.failing_rows = rows_out_of(bounds, rows, target.published_rows);
                        outcome.detail = count_detail(bounds, rows, target.published_rows);
                    }
                }
                Some(AuditSql::Count { count, sample }) => {
                    outcome.failing_rows = self.count(audit, target, &count, &readable).await?;
                    if let Some(sample) = sample.filter(|_| outcome.failing_rows > 0) {
                        outcome.sample = self.rows(audit, target, &sample, &readable).await?.1;
                    }
                    outcome.sql = Some(count);
                }
                Some(AuditSql::Rows(sql)) => {
                    (outcome.failing_rows, outcome.sample) =
                        self.rows(audit, target, &sql, &readable).await?;
                    outcome.sql = Some(sql);
                }
            }
            outcome.passed = outcome.failing_rows == 0;
            outcomes.push(outcome);
        }
        Ok(outcomes)
    }

    /// The one number that `sql` returns.
    async fn count(
        &self,
        audit: &Audit,
        target: &AuditTarget<'_>,
        sql: &str,
        tables: &Providers,
    ) -> Result<u64> {
        let mut stream = self.ask(audit, target, sql, tables).await?;
        let batch = stream.next().await.transpose().map_err(|e| located(e, audit))?;
        batch
            .as_ref()
            .and_then(|batch| batch.columns().first()?.as_primitive_opt::<Int64Type>())
            .and_then(|column| column.values().first().copied())
            .and_then(|count| u64::try_from(count).ok())
            .ok_or_else(|| Error::internal("an audit's count is not a number"))
    }

    /// How many rows `sql` returns, and up to ten of them as text. Of a user's own query, only
    /// key columns are told.
    async fn rows(
        &self,
        audit: &Audit,
        target: &AuditTarget<'_>,
        sql: &str,
        tables: &Providers,
    ) -> Result<(u64, Vec<String>)> {
        let mut stream = self.ask(audit, target, sql, tables).await?;
        let told: Vec<usize> = if let AuditKind::Query(_) = audit.kind {
            let found: Option<Vec<_>> =
                target.key.iter().map(|key| stream.schema().index_of(key).ok()).collect();
            found.unwrap_or_default()
        } else {
            (0..stream.schema().fields().len()).collect()
        };
        let (mut rows, mut sample) = (0, Vec::new());
        while let Some(batch) = stream.next().await {
            let batch = batch.map_err(|error| located(error, audit))?;
            rows += batch.num_rows() as u64;
            if sample.len() < SAMPLE && !told.is_empty() {
                sample.extend(texts(&batch, &told, SAMPLE - sample.len())?);
            }
        }
        Ok((rows, sample))
    }

    async fn ask(
        &self,
        audit: &Audit,
        target: &AuditTarget<'_>,
        sql: &str,
        tables: &Providers,
    ) -> Result<super::BatchStream> {
        let question = question(sql, tables, target);
        let planned = self.plan_question(&question).await;
        let (planned, context) = planned.map_err(|r| cannot_plan(target, audit, r))?;
        let what = format!("audit `{}` of `{}` could not be run", audit.kind.name(), target.table);
        self.open(planned, context, what).await.map_err(|error| located(error, audit))
    }
}

fn question<'a>(sql: &'a str, tables: &'a Providers, target: &AuditTarget<'a>) -> Question<'a> {
    Question { sql, allow: Allow::Query, tables, this: Some(target.table) }
}

fn located(error: Error, audit: &Audit) -> Error {
    error.at(audit.origin.place("this audit"))
}

fn cannot_plan(target: &AuditTarget<'_>, audit: &Audit, refusal: Refusal) -> Error {
    match refusal {
        Refusal::Error(error) => located(error, audit),
        Refusal::Problem(problem) => {
            let (name, table) = (audit.kind.name(), target.table);
            let what = format!("audit `{name}` of `{table}` cannot be planned");
            // DataFusion's words for `(expression) is false` of something else.
            let detail = match &audit.kind {
                AuditKind::Expression(_) if problem.detail.contains("IS DISTINCT FROM Boolean") => {
                    "the expression is not true or false".to_owned()
                }
                _ => problem.detail,
            };
            let error = Error::new(ErrorKind::Model, what).at(audit.origin.place(detail));
            problem.hints.into_iter().fold(error, Error::hint)
        }
    }
}

/// Every column that `kind` names exists.
fn check_columns(
    kind: &AuditKind,
    target: &AuditTarget<'_>,
    known: &BTreeMap<TableName, SchemaRef>,
) -> Result<(), Problem> {
    let check = |table: &TableName, columns: &[String]| {
        let schema = known.get(table).ok_or_else(|| unknown_table(table, known.keys()))?;
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        let missing = columns.iter().find(|column| !names().any(|name| name == column.as_str()));
        missing.map_or(Ok(()), |column| {
            let problem = Problem::new(format!("no column `{column}` in `{table}`"));
            Err(match did_you_mean(column, names()) {
                Some(close) => problem.hint(format!("did you mean `{close}`?")),
                None => problem,
            })
        })
    };
    match kind {
        AuditKind::NotNull(columns) | AuditKind::Unique(columns) => {
            if columns.is_empty() {
                return Err(Problem::new("it names no column"));
            }
            check(target.table, columns)
        }
        AuditKind::AcceptedValues { column, .. } => {
            check(target.table, std::slice::from_ref(column))
        }
        AuditKind::Relationship { column, to_table, to_column } => {
            check(target.table, std::slice::from_ref(column))?;
            check(&table_of(to_table)?, std::slice::from_ref(to_column))
        }
        AuditKind::RowCount(_) | AuditKind::Expression(_) | AuditKind::Query(_) => Ok(()),
    }
}

fn detail(kind: &AuditKind) -> String {
    match kind {
        AuditKind::NotNull(columns) | AuditKind::Unique(columns) => columns.join(", "),
        AuditKind::AcceptedValues { column, values } => {
            format!("{column} in ({})", values.join(", "))
        }
        AuditKind::Relationship { column, to_table, to_column } => {
            format!("{column} in {to_table} ({to_column})")
        }
        AuditKind::RowCount(_) => String::new(),
        AuditKind::Expression(sql) | AuditKind::Query(sql) => {
            sql.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    }
}

/// The least and the most rows that `bounds` let a table have.
fn limits(bounds: &RowCountBounds, published: Option<u64>) -> (u64, u64) {
    // A share of a whole number is rarely exact in binary; a billionth is not a row.
    let share = |factor: f64| published.map(|rows| rows as f64 * factor);
    let slack = published.unwrap_or(0) as f64 * 1e-9;
    let shrunk = bounds.max_shrink.and_then(|by| share(1.0 - by));
    let grown = bounds.max_growth.and_then(|by| share(1.0 + by));
    let least = shrunk.map_or(0, |rows| (rows - slack).ceil().max(0.0) as u64);
    let most = grown.map_or(u64::MAX, |rows| (rows + slack).floor() as u64);
    (least.max(bounds.min.unwrap_or(0)), most.min(bounds.max.unwrap_or(u64::MAX)))
}

/// How many rows are missing or too many.
fn rows_out_of(bounds: &RowCountBounds, rows: u64, published: Option<u64>) -> u64 {
    let (least, most) = limits(bounds, published);
    least.saturating_sub(rows).max(rows.saturating_sub(most))
}

fn count_detail(bounds: &RowCountBounds, rows: u64, published: Option<u64>) -> String {
    let percent = |share: f64| format!("{}%", (share * 1e6).round() / 1e4);
    let parts = [
        Some(format!("{rows} rows")),
        published.map(|rows| format!("{rows} published")),
        bounds.min.map(|min| format!("min {min}")),
        bounds.max.map(|max| format!("max {max}")),
        bounds.max_shrink.map(|share| format!("max_shrink {}", percent(share))),
        bounds.max_growth.map(|share| format!("max_growth {}", percent(share))),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Up to `limit` rows of the columns `told` as `name=value, …`.
fn texts(batch: &RecordBatch, told: &[usize], limit: usize) -> Result<Vec<String>> {
    let cannot = |error| Error::internal(format!("a key cannot be shown: {error}"));
    let batch = batch.project(told).map_err(cannot)?;
    let schema = batch.schema();
    let options = FormatOptions::new().with_null("NULL").with_display_error(true);
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| Ok((field.name(), ArrayFormatter::try_new(column, &options)?)))
        .collect::<Result<Vec<_>, _>>()
        .map_err(cannot)?;
    let row = |at| {
        let cells = columns.iter().map(|(name, values)| {
            let text: String = values.value(at).to_string();
            let mut short: String = text.chars().take(VALUE_CHARS).collect();
            if short.len() < text.len() {
                short.push('…');
            }
            format!("{name}={short}")
        });
        cells.collect::<Vec<_>>().join(", ")
    };
    Ok((0..batch.num_rows().min(limit)).map(row).collect())
}
