//! The ledger: a local SQLite file that remembers runs. The truth of what was *published* is the
//! warehouse's generations; the ledger tells what was tried, how far it came, and why it stopped.

use std::{path::PathBuf, time::Duration};

use serde::Serialize;
use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use super::{AuditReport, MisfitReport, RunReport, StepReport};
use crate::{
    error::{Error, ErrorKind, Result},
    types::{Generation, PipelineName, RunId, Timings},
};

/// The open ledger. Cloning shares it.
#[derive(Clone)]
pub struct Ledger {
    pub(super) pool: SqlitePool,
    pub(super) path: PathBuf,
}

/// How a run ended, or that it hasn't.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, strum::Display, strum::EnumString)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RunOutcome {
    /// At work now.
    Running,
    /// Its tables are visible.
    Published,
    /// Ended well without publishing, as asked.
    Staged,
    /// Stopped by an error.
    Failed,
    /// Stopped by a person or a signal.
    Cancelled,
    /// Its process died; found by a later run.
    Crashed,
}

/// A run as the ledger remembers it.
#[derive(Debug, Clone, Serialize)]
pub struct RunRecord {
    /// Its id.
    pub run: RunId,
    /// Its pipeline.
    pub pipeline: PipelineName,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC; `None` while it runs or when it crashed.
    pub ended_at: Option<String>,
    /// How it ended.
    pub outcome: RunOutcome,
    /// What it published.
    pub generation: Option<Generation>,
    /// From start to end.
    pub seconds: Option<f64>,
    /// The whole error, as it was shown.
    pub error: Option<String>,
    /// Rows staged in all its steps; of a rebuilt one, rows of the tables that it published.
    pub rows: u64,
    /// Whether it is known from its generation alone, because the ledger that saw it was damaged.
    pub rebuilt: bool,
}

/// A run with everything that is known of it.
#[derive(Debug, Clone, Serialize)]
pub struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub record: RunRecord,
    /// What it staged.
    pub steps: Vec<StepReport>,
    /// What was checked.
    pub audits: Vec<AuditReport>,
}

impl Ledger {
    /// Notes that `run` has begun.
    pub async fn begin(
        &self,
        run: &RunId,
        pipeline: &PipelineName,
        at: jiff::Timestamp,
    ) -> Result<()> {
        sqlx::query(
            "insert into runs (run, pipeline, started_at, outcome) values (?, ?, ?, 'running')",
        )
        .bind(run.as_str())
        .bind(pipeline.as_str())
        .bind(rfc3339(at))
        .execute(&self.pool)
        .await
        .map_err(|error| self.broken(&error))?;
        Ok(())
    }

    /// Notes that runs still marked as running are dead. Only for the holder of the run lock.
    /// Returns their ids.
    pub async fn mark_crashed(&self) -> Result<Vec<RunId>> {
        let rows = sqlx::query(
            "update runs set outcome = 'crashed' where outcome = 'running' returning run",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.broken(&error))?;
        rows.iter().map(|row| text(row, "run")?.parse().map_err(damaged)).collect()
    }

    /// Notes a staged table.
    pub async fn step(&self, run: &RunId, step: &StepReport) -> Result<()> {
        let misfits = serde_json::to_string(&step.misfits.columns)
            .map_err(|error| Error::internal(format!("cannot write misfits as JSON: {error}")))?;
        let upsert = step.upsert.as_ref().map(serde_json::to_string).transpose();
        let upsert = upsert
            .map_err(|error| Error::internal(format!("cannot write counts as JSON: {error}")))?;
        sqlx::query(
            "insert into steps (run, table_name, kind, rows, bytes, files, seconds, \
             memory_seconds, read_seconds, decode_seconds, encode_seconds, write_seconds, \
             rejected, nulled, misfits, upsert) \
             values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(run.as_str())
        .bind(step.table.to_string())
        .bind(step.kind.to_string())
        .bind(step.rows as i64)
        .bind(step.bytes as i64)
        .bind(step.files as i64)
        .bind(step.elapsed.as_secs_f64())
        .bind(step.spent.map(|spent| spent.memory.as_secs_f64()))
        .bind(step.spent.map(|spent| spent.read.as_secs_f64()))
        .bind(step.spent.map(|spent| spent.decode.as_secs_f64()))
        .bind(step.spent.map(|spent| spent.encode.as_secs_f64()))
        .bind(step.spent.map(|spent| spent.write.as_secs_f64()))
        .bind(step.misfits.rejected as i64)
        .bind(step.misfits.nulled as i64)
        .bind(misfits)
        .bind(upsert)
        .execute(&self.pool)
        .await
        .map_err(|error| self.broken(&error))?;
        Ok(())
    }

    /// Notes a check's outcome.
    pub async fn audit(&self, run: &RunId, audit: &AuditReport) -> Result<()> {
        let sample = serde_json::to_string(&audit.sample)
            .map_err(|error| Error::internal(format!("cannot write keys as JSON: {error}")))?;
        sqlx::query(
            "insert into audits (run, table_name, audit, detail, passed, blocking, failing_rows, \
             sample, origin) values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(run.as_str())
        .bind(audit.table.to_string())
        .bind(&audit.audit)
        .bind(&audit.detail)
        .bind(audit.passed)
        .bind(audit.blocking)
        .bind(audit.failing_rows as i64)
        .bind(sample)
        .bind(&audit.origin)
        .execute(&self.pool)
        .await
        .map_err(|error| self.broken(&error))?;
        Ok(())
    }

    /// Notes that a run ended well.
    pub async fn succeed(&self, report: &RunReport, at: jiff::Timestamp) -> Result<()> {
        let outcome = match report.generation {
            Some(_) => RunOutcome::Published,
            None => RunOutcome::Staged,
        };
        sqlx::query(
            "update runs set outcome = ?, generation = ?, ended_at = ?, seconds = ?, exit_code = 0 \
             where run = ?",
        )
        .bind(outcome.to_string())
        .bind(report.generation.map(|generation| generation.0 as i64))
        .bind(rfc3339(at))
        .bind(report.elapsed.as_secs_f64())
        .bind(report.run.as_str())
        .execute(&self.pool)
        .await
        .map_err(|error| self.broken(&error))?;
        Ok(())
    }

    /// Notes that a run ended with `error`.
    pub async fn fail(
        &self,
        run: &RunId,
        error: &Error,
        elapsed: Duration,
        at: jiff::Timestamp,
    ) -> Result<()> {
        let outcome = match error.kind() {
            ErrorKind::Cancelled => RunOutcome::Cancelled,
            _ => RunOutcome::Failed,
        };
        sqlx::query(
            "update runs set outcome = ?, error = ?, ended_at = ?, seconds = ?, exit_code = ? \
             where run = ?",
        )
        .bind(outcome.to_string())
        .bind(error.to_string())
        .bind(rfc3339(at))
        .bind(elapsed.as_secs_f64())
        .bind(i64::from(error.kind().policy().exit))
        .bind(run.as_str())
        .execute(&self.pool)
        .await
        .map_err(|error| self.broken(&error))?;
        Ok(())
    }

    /// The newest `limit` runs, newest first.
    pub async fn runs(&self, limit: u32) -> Result<Vec<RunRecord>> {
        sqlx::query(
            "select runs.*, coalesce(rebuilt_rows, (select sum(rows) from steps \
             where steps.run = runs.run), 0) as rows \
             from runs order by started_at desc, runs.rowid desc limit ?",
        )
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.broken(&error))?
        .iter()
        .map(record)
        .collect()
    }

    /// Everything about the run whose id is or ends with `run`, or `None`.
    pub async fn run(&self, run: &str) -> Result<Option<RunDetail>> {
        let row = sqlx::query(
            "select runs.*, coalesce(rebuilt_rows, (select sum(rows) from steps \
             where steps.run = runs.run), 0) as rows \
             from runs where run = ?1 or run like '%-' || ?1 order by started_at desc, runs.rowid desc limit 1",
        )
        .bind(run)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.broken(&error))?;
        let Some(row) = row else { return Ok(None) };
        let record = record(&row)?;
        let steps = sqlx::query("select * from steps where run = ? order by rowid")
            .bind(record.run.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.broken(&error))?;
        let audits = sqlx::query("select * from audits where run = ? order by rowid")
            .bind(record.run.as_str())
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.broken(&error))?;
        Ok(Some(RunDetail {
            record,
            steps: steps.iter().map(step).collect::<Result<_>>()?,
            audits: audits.iter().map(audit).collect::<Result<_>>()?,
        }))
    }

    /// Notes that a run whose end nobody noted has published `generation` all the same.
    pub async fn settle(&self, run: &RunId, generation: Generation, at: &str) -> Result<()> {
        sqlx::query(
            "update runs set outcome = 'published', generation = ?, ended_at = ?, exit_code = 0, \
             error = null where run = ?",
        )
        .bind(generation.0 as i64)
        .bind(at)
        .bind(run.as_str())
        .execute(&self.pool)
        .await
        .map_err(|error| self.broken(&error))?;
        Ok(())
    }

    /// Closes the file, so that its last transactions are in it and not beside it.
    pub async fn close(self) {
        self.pool.close().await;
    }
}

pub(super) fn rfc3339(at: jiff::Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn damaged(why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Storage, "the ledger is damaged").because(why)
}

fn text(row: &SqliteRow, column: &str) -> Result<String> {
    row.try_get(column).map_err(damaged)
}

fn record(row: &SqliteRow) -> Result<RunRecord> {
    Ok(RunRecord {
        run: text(row, "run")?.parse().map_err(damaged)?,
        pipeline: PipelineName::new(text(row, "pipeline")?),
        started_at: row.try_get("started_at").map_err(damaged)?,
        ended_at: row.try_get("ended_at").map_err(damaged)?,
        outcome: text(row, "outcome")?.parse().map_err(damaged)?,
        generation: row
            .try_get::<Option<i64>, _>("generation")
            .map_err(damaged)?
            .map(|number| Generation(number as u64)),
        seconds: row.try_get("seconds").map_err(damaged)?,
        error: row.try_get("error").map_err(damaged)?,
        rows: row.try_get::<i64, _>("rows").map_err(damaged)? as u64,
        rebuilt: row.try_get::<Option<i64>, _>("rebuilt_rows").map_err(damaged)?.is_some(),
    })
}

fn step(row: &SqliteRow) -> Result<StepReport> {
    Ok(StepReport {
        table: text(row, "table_name")?.parse().map_err(damaged)?,
        kind: text(row, "kind")?.parse().map_err(damaged)?,
        rows: row.try_get::<i64, _>("rows").map_err(damaged)? as u64,
        bytes: row.try_get::<i64, _>("bytes").map_err(damaged)? as u64,
        files: row.try_get::<i64, _>("files").map_err(damaged)? as u64,
        elapsed: Duration::try_from_secs_f64(row.try_get("seconds").map_err(damaged)?)
            .map_err(damaged)?,
        spent: spent(row)?,
        misfits: MisfitReport {
            rejected: row.try_get::<i64, _>("rejected").map_err(damaged)? as u64,
            nulled: row.try_get::<i64, _>("nulled").map_err(damaged)? as u64,
            columns: serde_json::from_str(&text(row, "misfits")?).map_err(damaged)?,
        },
        upsert: row
            .get::<Option<String>, _>("upsert")
            .map(|counts| serde_json::from_str(&counts).map_err(damaged))
            .transpose()?,
    })
}

fn spent(row: &SqliteRow) -> Result<Option<Timings>> {
    let part = |column| {
        let seconds: Option<f64> = row.try_get(column).map_err(damaged)?;
        seconds.map(Duration::try_from_secs_f64).transpose().map_err(damaged)
    };
    let parts = (
        part("memory_seconds")?,
        part("read_seconds")?,
        part("decode_seconds")?,
        part("encode_seconds")?,
        part("write_seconds")?,
    );
    Ok(match parts {
        (Some(memory), Some(read), Some(decode), Some(encode), Some(write)) => {
            Some(Timings { memory, read, decode, encode, write })
        }
        _ => None,
    })
}

fn audit(row: &SqliteRow) -> Result<AuditReport> {
    Ok(AuditReport {
        table: text(row, "table_name")?.parse().map_err(damaged)?,
        audit: row.try_get("audit").map_err(damaged)?,
        detail: row.try_get("detail").map_err(damaged)?,
        passed: row.try_get("passed").map_err(damaged)?,
        blocking: row.try_get("blocking").map_err(damaged)?,
        failing_rows: row.try_get::<i64, _>("failing_rows").map_err(damaged)? as u64,
        sample: serde_json::from_str(&text(row, "sample")?).map_err(damaged)?,
        origin: row.try_get("origin").map_err(damaged)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        run::{ColumnMisfits, MisfitOutcome, StepKind, UpsertReport},
        types::TableName,
    };

    const UPSERT: UpsertReport =
        UpsertReport { inserted: 4, updated: 3, kept_files: 2, replaced_files: 1 };

    #[tokio::test]
    async fn a_run_is_remembered_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger.db");
        let start: jiff::Timestamp = "2026-01-01T01:30:00Z".parse().unwrap();
        let (good, bad, dead) = (RunId::new(start), RunId::new(start), RunId::new(start));
        let nightly = PipelineName::new("nightly");
        let ledger = Ledger::open_at(&path).await.unwrap();
        for run in [&good, &bad, &dead] {
            ledger.begin(run, &nightly, start).await.unwrap();
        }
        let step = StepReport {
            table: TableName::new("shop", "orders"),
            kind: StepKind::Extract,
            rows: 7,
            bytes: 512,
            files: 1,
            elapsed: Duration::from_millis(1500),
            spent: Some(Timings { read: Duration::from_millis(900), ..Timings::default() }),
            misfits: MisfitReport {
                rejected: 2,
                nulled: 0,
                columns: vec![ColumnMisfits {
                    column: "total".into(),
                    reason: "holds NaN, which `decimal(12,2)` can't".into(),
                    outcome: MisfitOutcome::Rejected,
                    values: 2,
                }],
            },
            upsert: Some(UPSERT),
        };
        ledger.step(&good, &step).await.unwrap();
        let audit = AuditReport {
            table: step.table.clone(),
            audit: "unique".into(),
            detail: "id".into(),
            passed: false,
            blocking: false,
            failing_rows: 2,
            sample: vec!["id = 7".into()],
            origin: "pipelines/nightly.yml:9".into(),
        };
        ledger.audit(&good, &audit).await.unwrap();
        let report = RunReport {
            run: good.clone(),
            pipeline: nightly,
            generation: Some(Generation(3)),
            steps: vec![step.clone()],
            audits: vec![audit.clone()],
            elapsed: Duration::from_secs(2),
        };
        ledger.succeed(&report, start).await.unwrap();
        let error = Error::new(ErrorKind::Audit, "`nightly` was not published").because("why");
        ledger.fail(&bad, &error, Duration::from_secs(1), start).await.unwrap();
        ledger.close().await;

        let ledger = Ledger::open_at(&path).await.unwrap();
        assert_eq!(ledger.mark_crashed().await.unwrap(), std::slice::from_ref(&dead));
        let detail = ledger.run(good.as_str()).await.unwrap().unwrap();
        assert_eq!(detail.record.generation, Some(Generation(3)));
        assert_eq!((detail.record.rows, detail.steps[0].rows), (7, 7));
        assert_eq!(detail.steps[0].spent, step.spent);
        assert_eq!(detail.steps[0].misfits, step.misfits);
        assert_eq!(detail.steps[0].upsert, step.upsert);
        assert_eq!(detail.audits, [audit]);
        let failed = ledger.run(bad.as_str()).await.unwrap().unwrap().record;
        assert_eq!(failed.outcome, RunOutcome::Failed);
        assert_eq!(failed.error.as_deref(), Some("`nightly` was not published: why"));
        // All three began in the same second: the order is the one they began in.
        let newest = ledger.runs(10).await.unwrap().into_iter().map(|record| record.run);
        assert_eq!(newest.collect::<Vec<_>>(), [dead, bad, good]);
        assert!(ledger.run("none").await.unwrap().is_none());
    }
}
