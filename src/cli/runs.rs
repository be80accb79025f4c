//! `longshore runs`: what the ledger remembers.

use std::{fmt::Write as _, time::Duration};

use super::{
    args::Runs,
    invocation::Invocation,
    render::{self, Paint, Shape, Table, count, duration},
    talk::{Detail, Outcome, Talk},
};
use crate::{
    config::Project,
    error::{Error, ErrorKind, Result},
    run::{Ledger, RunDetail, RunRecord},
};

/// Lists runs, or shows one.
pub(crate) async fn runs(args: &Runs, cli: &mut Invocation) -> Outcome {
    let project = cli.project()?;
    if let Some(wanted) = &args.run {
        let detail = find(&project, wanted, &cli.talk).await?;
        if args.json {
            return cli.output.json(&detail);
        }
        return cli.output.print(&shown(&detail, cli.talk.detail(), cli.output.paint()));
    }
    let ledger = open(&project, &cli.talk).await?;
    let records = ledger.runs(args.limit).await?;
    ledger.close().await;
    if args.json {
        return cli.output.json(&records);
    }
    if records.is_empty() {
        cli.talk.say("nothing has run yet");
        return Ok(());
    }
    cli.output.print(&list(&records).render(cli.output.paint()))
}

/// The run whose id is or ends with `wanted`, or the newest for `latest`.
pub(crate) async fn find(project: &Project, wanted: &str, talk: &Talk) -> Result<RunDetail> {
    let ledger = open(project, talk).await?;
    let id = match wanted {
        "latest" => ledger.runs(1).await?.pop().map(|record| record.run.to_string()),
        id => Some(id.to_owned()),
    };
    let found = match &id {
        Some(id) => ledger.run(id).await?,
        None => None,
    };
    ledger.close().await;
    found.ok_or_else(|| match wanted {
        "latest" => Error::new(ErrorKind::Usage, "nothing has run yet").hint("see `longshore run`"),
        id => Error::new(ErrorKind::Usage, format!("there is no run `{id}`"))
            .hint("see `longshore runs` for those there are"),
    })
}

async fn open(project: &Project, talk: &Talk) -> Result<Ledger> {
    let (ledger, warning) = Ledger::open(project).await?;
    if let Some(warning) = warning {
        talk.warn(&warning);
    }
    Ok(ledger)
}

fn list(records: &[RunRecord]) -> Table {
    let mut table = Table::new([
        ("run", Shape::Word),
        ("pipeline", Shape::Text),
        ("started", Shape::Word),
        ("time", Shape::Number),
        ("outcome", Shape::Word),
        ("generation", Shape::Number),
        ("rows", Shape::Number),
    ]);
    for record in records {
        table.push(vec![
            record.run.to_string(),
            record.pipeline.to_string(),
            record.started_at.clone(),
            took(record),
            record.outcome.to_string(),
            record.generation.map(|number| number.to_string()).unwrap_or_default(),
            count(record.rows),
        ]);
    }
    table
}

fn took(record: &RunRecord) -> String {
    let elapsed = record.seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    elapsed.map(duration).unwrap_or_default()
}

fn shown(detail: &RunDetail, how_much: Detail, paint: Paint) -> String {
    let record = &detail.record;
    let mut text = format!("run {} of {}: {}", record.run, record.pipeline, record.outcome);
    if let Some(generation) = record.generation {
        let _ = write!(text, " as generation {generation}");
    }
    let _ = write!(text, "\nstarted {}", record.started_at);
    if record.seconds.is_some() {
        let _ = write!(text, ", took {}", took(record));
    }
    text += "\n";
    if let Some(error) = &record.error {
        let _ = writeln!(text, "{}: {error}", paint.alarm("error"));
    }
    if record.rebuilt {
        text += "its steps and audits are not known: the ledger that saw it was damaged\n";
    }
    if !detail.steps.is_empty() {
        text += "\n";
        text += &render::steps(&detail.steps).render(paint);
        if how_much >= Detail::Full {
            text += &render::bounds(&detail.steps, paint);
        }
    }
    text += "\n";
    let unpublished = record.generation.is_none().then_some(&record.run);
    text += &render::upserts(&detail.steps, paint);
    text += &render::misfits(&detail.steps, unpublished, paint);
    text += &render::audits(&detail.audits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        run::{MisfitReport, RunOutcome, StepKind, StepReport},
        types::{Generation, PipelineName, TableName},
    };

    fn record(run: &str, outcome: RunOutcome) -> RunRecord {
        let published = outcome == RunOutcome::Published;
        RunRecord {
            run: run.parse().unwrap(),
            pipeline: PipelineName::new("nightly"),
            started_at: "2026-11-22T14:11:53Z".into(),
            ended_at: (outcome != RunOutcome::Running).then(|| "2026-11-22T14:13:20Z".into()),
            outcome,
            generation: published.then_some(Generation(42)),
            seconds: (outcome != RunOutcome::Running).then_some(87.4),
            error: (!published).then(|| "`nightly` was not published: why".into()),
            rows: 1_234_567,
            rebuilt: false,
        }
    }

    #[test]
    fn runs_are_listed_in_columns() {
        let records = [
            record("20261122t141153z-3f9a1c", RunOutcome::Published),
            record("20261121t141153z-0b7d55", RunOutcome::Failed),
            record("20261120t141153z-aa01ff", RunOutcome::Running),
        ];
        insta::assert_snapshot!(list(&records).render(Paint::Plain), @r"
        run                      pipeline  started                 time  outcome    generation       rows
        ───────────────────────  ────────  ────────────────────  ──────  ─────────  ──────────  ─────────
        20261122t141153z-3f9a1c  nightly   2026-11-22T14:11:53Z  1m 27s  published          42  1,234,567
        20261121t141153z-0b7d55  nightly   2026-11-22T14:11:53Z  1m 27s  failed                 1,234,567
        20261120t141153z-aa01ff  nightly   2026-11-22T14:11:53Z          running                1,234,567
        ");
    }

    #[test]
    fn a_run_is_shown_with_its_error_and_steps() {
        let step = StepReport {
            table: TableName::new("shop", "orders"),
            kind: StepKind::Extract,
            rows: 100_000,
            bytes: 3_251_200,
            files: 1,
            elapsed: Duration::from_millis(1_250),
            spent: None,
            misfits: MisfitReport::default(),
            upsert: None,
        };
        let detail = RunDetail {
            record: record("20261121t141153z-0b7d55", RunOutcome::Failed),
            steps: vec![step],
            audits: Vec::new(),
        };
        insta::assert_snapshot!(shown(&detail, Detail::Brief, Paint::Plain), @r"
        run 20261121t141153z-0b7d55 of nightly: failed
        started 2026-11-22T14:11:53Z, took 1m 27s
        error: `nightly` was not published: why

        table        step        rows    bytes    time  rows/s
        ───────────  ───────  ───────  ───────  ──────  ──────
        shop.orders  extract  100,000  3.1 MiB  1.25 s  80,000

        audits: none
        ");
    }
}
