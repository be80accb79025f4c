//! `longshore plan`: what a run would read, compute and publish.

use std::{fmt::Write as _, sync::Arc};

use super::{
    args,
    invocation::Invocation,
    render::{Paint, Shape, Table, bytes, count},
    run,
    talk::{Detail, Outcome},
};
use crate::{
    extract::TableKind,
    run::{ColumnSummary, ExtractSummary, ModelSummary, Plan, PlanSummary, Risk},
};

/// Plans a pipeline and shows the plan.
pub(crate) async fn plan(args: &args::Plan, cli: &mut Invocation) -> Outcome {
    let project = Arc::new(cli.project()?);
    let pipeline = project.pipeline(&args.pipeline)?;
    let options = run::options(&args.select);
    let planning = Box::pin(Plan::make(project, &pipeline, &options));
    let plan = cli.interrupts.or_stop(planning).await?.summary();
    if args.json {
        return cli.output.json(&plan);
    }
    let detail = cli.talk.detail();
    cli.output.print(&shown(&plan, detail, cli.output.paint()))
}

fn shown(plan: &PlanSummary, detail: Detail, paint: Paint) -> String {
    let now = match plan.base {
        Some(generation) => format!("the warehouse is at generation {generation}"),
        None => "the warehouse is still empty".to_owned(),
    };
    let mut text = format!("plan of {}; {now}\n", paint.strong(plan.pipeline.as_str()));
    for source in &plan.sources {
        let own: Vec<_> =
            plan.extracts.iter().filter(|one| one.connection == source.connection).collect();
        let (name, preflight) = (paint.strong(&source.connection), &source.preflight);
        let _ = writeln!(text, "\nextract from {name}: {}, {}", preflight.server, preflight.role);
        text += &extracts(&own).render(paint);
        text += &columns(&own, detail);
    }
    if !plan.models.is_empty() {
        text += "\ncompute\n";
        text += &models(&plan.models).render(paint);
    }
    text
}

fn extracts(extracts: &[&ExtractSummary]) -> Table {
    let mut table = Table::new([
        ("table", Shape::Text),
        ("source", Shape::Text),
        ("kind", Shape::Word),
        ("mode", Shape::Word),
        ("columns", Shape::Number),
        ("about rows", Shape::Number),
        ("about bytes", Shape::Number),
        ("audits", Shape::Number),
    ]);
    let unknown = || "?".to_owned();
    for extract in extracts {
        table.push(vec![
            extract.table.to_string(),
            extract.source.clone(),
            kind(extract.kind).to_owned(),
            extract.mode.clone(),
            count(extract.columns.len() as u64),
            extract.estimated_rows.map_or_else(unknown, count),
            extract.estimated_bytes.map_or_else(unknown, bytes),
            count(extract.audits as u64),
        ]);
    }
    table
}

fn kind(kind: TableKind) -> &'static str {
    match kind {
        TableKind::Table => "table",
        TableKind::Partitioned => "partitioned",
        TableKind::View => "view",
        TableKind::Foreign => "foreign",
        TableKind::Query => "query",
    }
}

/// Columns that do not arrive as they are, and those whose values that don't fit have a rule; with
/// more detail, all, each with its risk.
fn columns(extracts: &[&ExtractSummary], detail: Detail) -> String {
    let mut text = String::new();
    for extract in extracts {
        if let Some(filter) = &extract.filter {
            let _ = writeln!(text, "  {}: only rows where {filter}", extract.table);
        }
        for column in &extract.columns {
            if detail == Detail::Full {
                let _ = writeln!(text, "  {}.{}", extract.table, described(column));
                continue;
            }
            let told = match column.risk {
                Risk::Exact | Risk::Guarded => column.on_mismatch != "error",
                Risk::Kept | Risk::Cast | Risk::Masked => true,
            };
            if told {
                let _ = writeln!(text, "  {}.{}", extract.table, changed(column));
            }
        }
        if let (Some(rejects), Some(most)) = (&extract.rejects, &extract.max_rejects) {
            let _ = writeln!(text, "  {}: rejects go to {rejects}, {most} at most", extract.table);
        }
    }
    text
}

/// What becomes of a column, with what does not fit where that has a rule.
fn changed(column: &ColumnSummary) -> String {
    let rule = column.mismatch().filter(|_| column.on_mismatch != "error");
    let ColumnSummary { name, declared, published, note, .. } = column;
    joined(&format!("{name}: {declared} → {published}"), note.as_deref(), rule)
}

/// The same with the risk in a word, and with what becomes of a misfit in any case.
pub(super) fn described(column: &ColumnSummary) -> String {
    let ColumnSummary { name, declared, published, risk, note, .. } = column;
    let what = format!("{name}: {declared} → {published}, {risk}");
    joined(&what, note.as_deref(), column.mismatch())
}

fn joined(what: &str, note: Option<&str>, rule: Option<&str>) -> String {
    [Some(what), note, rule].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn models(models: &[ModelSummary]) -> Table {
    let mut table = Table::new([
        ("table", Shape::Text),
        ("mode", Shape::Word),
        ("columns", Shape::Number),
        ("audits", Shape::Number),
        ("reads", Shape::Text),
    ]);
    for model in models {
        let inputs: Vec<_> = model.inputs.iter().map(ToString::to_string).collect();
        table.push(vec![
            model.table.to_string(),
            model.mode.clone(),
            count(model.columns.len() as u64),
            count(model.audits as u64),
            inputs.join(", "),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        extract::Preflight,
        run::SourceSummary,
        types::{Generation, PipelineName, TableName},
    };

    fn column(name: &str, declared: &str, published: &str, risk: Risk) -> ColumnSummary {
        let note = (risk != Risk::Exact).then(|| format!("a note on {risk} columns"));
        ColumnSummary {
            name: name.into(),
            source: name.into(),
            declared: declared.into(),
            published: published.into(),
            risk,
            note,
            on_mismatch: "error".into(),
        }
    }

    fn summary() -> PlanSummary {
        let preflight = Preflight {
            server: "PostgreSQL 17.2".into(),
            role: "standby",
            login: Some("etl".into()),
            lag_seconds: Some(1.5),
            facts: Vec::new(),
            refusals: Vec::new(),
        };
        let extract = |table: &str, rows| ExtractSummary {
            table: TableName::new("shop", table),
            connection: "shop".into(),
            source: format!("public.{table}"),
            kind: TableKind::Table,
            mode: "replace".into(),
            estimated_rows: rows,
            estimated_bytes: rows.map(|rows| rows * 80),
            filter: (table == "orders").then(|| "placed_at >= '2024-01-01'".into()),
            columns: vec![
                column("id", "bigint", "bigint", Risk::Exact),
                column("email", "text", "text", Risk::Masked),
                column("total", "numeric", "decimal(38,9)", Risk::Guarded),
            ],
            audits: 2,
            rejects: None,
            max_rejects: None,
        };
        PlanSummary {
            pipeline: PipelineName::new("nightly"),
            base: Some(Generation(41)),
            sources: vec![SourceSummary { connection: "shop".into(), preflight }],
            extracts: vec![extract("orders", Some(1_200_000)), extract("recent_orders", None)],
            models: vec![ModelSummary {
                table: TableName::new("mart", "daily_revenue"),
                file: "sql/nightly/mart/daily_revenue.sql".into(),
                mode: "replace".into(),
                inputs: vec![TableName::new("shop", "orders")],
                columns: vec![("day".into(), "date".into())],
                audits: 3,
            }],
        }
    }

    #[test]
    fn a_plan_shows_what_moves_and_what_changes_on_the_way() {
        insta::assert_snapshot!(shown(&summary(), Detail::Brief, Paint::Plain), @r"
        plan of nightly; the warehouse is at generation 41

        extract from shop: PostgreSQL 17.2, standby
        table               source                kind   mode     columns  about rows  about bytes  audits
        ──────────────────  ────────────────────  ─────  ───────  ───────  ──────────  ───────────  ──────
        shop.orders         public.orders         table  replace        3   1,200,000     91.6 MiB       2
        shop.recent_orders  public.recent_orders  table  replace        3           ?            ?       2
          shop.orders: only rows where placed_at >= '2024-01-01'
          shop.orders.email: text → text; a note on masked columns
          shop.recent_orders.email: text → text; a note on masked columns

        compute
        table               mode     columns  audits  reads
        ──────────────────  ───────  ───────  ──────  ───────────
        mart.daily_revenue  replace        1       3  shop.orders
        ");
    }

    #[test]
    fn verbose_shows_every_column() {
        let (brief, full) = (
            shown(&summary(), Detail::Brief, Paint::Plain),
            shown(&summary(), Detail::Full, Paint::Plain),
        );
        assert_eq!(full.lines().count(), brief.lines().count() + 4);
        assert!(
            full.contains("shop.orders.total: numeric → decimal(38,9), guarded; a note on guarded")
        );
        assert!(full.contains("shop.orders.id: bigint → bigint, exact\n"), "{full}");
    }
}
