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
    config::Mode,
    extract::TableKind,
    run::{
        Change, ColumnSummary, ExtractSummary, ModelSummary, Plan, PlanSummary, Risk, SchemaChange,
        Verdict,
    },
    types::TableName,
};

/// Plans a pipeline and shows the plan.
pub(crate) async fn plan(args: &args::Plan, cli: &mut Invocation) -> Outcome {
    let project = Arc::new(cli.project()?);
    let pipeline = project.pipeline(&args.pipeline)?;
    let options = run::options(&args.select, &args.accept);
    let planning = Box::pin(Plan::make(project, &pipeline, &options));
    let plan = cli.interrupts.or_stop(planning).await?;
    let summary = plan.summary();
    if args.json {
        cli.output.json(&summary)?;
    } else {
        let detail = cli.talk.detail();
        cli.output.print(&shown(&summary, detail, cli.output.paint()))?;
    }
    // What a run would refuse belongs to the plan, which is whole before the error.
    cli.output.flush()?;
    plan.refusal().map_or(Ok(()), |refusal| Err(refusal.into()))
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
        for model in &plan.models {
            text += &upserted(&model.table, &model.mode, &model.key);
        }
    }
    if !plan.changes.is_empty() {
        text += "\ndifferent from what is published\n";
        text += &changes(&plan.changes).render(paint);
    }
    text
}

fn changes(changes: &[SchemaChange]) -> Table {
    let mut table = Table::new([
        ("", Shape::Word),
        ("table or column", Shape::Text),
        ("published", Shape::Word),
        ("now", Shape::Word),
        ("what follows", Shape::Text),
    ]);
    for change in changes {
        let none = String::new;
        let (sign, published, now) = match &change.change {
            Change::TableNew => ("+", none(), "table".to_owned()),
            Change::TableGone { .. } => ("-", "table".to_owned(), none()),
            Change::ColumnNew { data_type, .. } => ("+", none(), data_type.clone()),
            Change::ColumnGone { data_type, .. } => ("-", data_type.clone(), none()),
            Change::TypeChanged { from, to, .. } => ("~", from.clone(), to.clone()),
        };
        let follows = follows(change);
        table.push(vec![sign.to_owned(), change.subject(), published, now, follows]);
    }
    table
}

fn follows(change: &SchemaChange) -> String {
    match (&change.change, change.verdict) {
        (_, Verdict::Refused) => format!("refused by {}", change.rule.replace('`', "")),
        (Change::TableNew, Verdict::LeftOut) => "left out".to_owned(),
        (Change::TableNew, _) => "extracted".to_owned(),
        (Change::TableGone { .. }, _) => "stays published as it was".to_owned(),
        (Change::ColumnNew { .. }, Verdict::LeftOut) => "not read".to_owned(),
        (Change::ColumnNew { .. }, _) => "added".to_owned(),
        (Change::ColumnGone { .. }, Verdict::Kept) => "NULL in the new rows".to_owned(),
        (Change::ColumnGone { .. }, _) => "leaves the table".to_owned(),
        (Change::TypeChanged { from, .. }, Verdict::Kept) => format!("read as {from}"),
        (Change::TypeChanged { to, .. }, Verdict::Rewritten) => {
            format!("{to}, and the published rows are rewritten")
        }
        (Change::TypeChanged { to, .. }, _) => format!("published as {to}"),
    }
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
        text += &upserted(&extract.table, &extract.mode, &extract.key);
        if let Some(filter) = &extract.filter {
            let _ = writeln!(text, "  {}: only rows where {filter}", extract.table);
        }
        for column in &extract.columns {
            if detail == Detail::Full {
                let _ = writeln!(text, "  {}.{}", extract.table, described(column));
                continue;
            }
            let told = match column.risk {
                Risk::Exact => false,
                Risk::Guarded => column.on_mismatch != "error",
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

/// What rows take the place of, where they do.
fn upserted(table: &TableName, mode: &str, key: &[String]) -> String {
    if mode == Mode::Upsert.to_string() {
        format!("  {table}: replaces rows of the same {}\n", key.join(", "))
    } else {
        String::new()
    }
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
        types::{Generation, PipelineName},
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
            mode: if table == "orders" { "upsert" } else { "replace" }.into(),
            key: vec!["id".into()],
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
                key: Vec::new(),
                inputs: vec![TableName::new("shop", "orders")],
                columns: vec![("day".into(), "date".into())],
                audits: 3,
            }],
            changes: Vec::new(),
        }
    }

    fn change(table: &str, change: Change, verdict: Verdict) -> SchemaChange {
        SchemaChange::example(TableName::new("shop", table), change, verdict)
    }

    #[test]
    fn a_plan_shows_what_is_different_and_what_follows() {
        let text = str::to_owned;
        let gone = || Change::ColumnGone { column: text("old"), data_type: text("text") };
        let new = || Change::ColumnNew { column: text("note"), data_type: text("text") };
        let wider = || Change::TypeChanged {
            column: text("total"),
            from: text("integer"),
            to: text("bigint"),
        };
        let source = text("`public.notes` of connection `shop`");
        let changes = vec![
            change("notes", Change::TableGone { source }, Verdict::Kept),
            change("tags", Change::TableNew, Verdict::Published),
            change("more_tags", Change::TableNew, Verdict::LeftOut),
            change("orders", new(), Verdict::Published),
            change("items", new(), Verdict::LeftOut),
            change("orders", gone(), Verdict::Refused),
            change("events", gone(), Verdict::Kept),
            change("items", gone(), Verdict::Published),
            change("orders", wider(), Verdict::Published),
            change("events", wider(), Verdict::Rewritten),
            change("items", wider(), Verdict::Kept),
            change("payments", wider(), Verdict::Refused),
        ];
        insta::assert_snapshot!(super::changes(&changes).render(Paint::Plain), @r"
           table or column      published  now     what follows
        ─  ───────────────────  ─────────  ──────  ──────────────────────────────────────────────────────────────
        -  shop.notes           table              stays published as it was
        +  shop.tags                       table   extracted
        +  shop.more_tags                  table   left out
        +  shop.orders.note                text    added
        +  shop.items.note                 text    not read
        -  shop.orders.old      text               refused by on_schema_change: freeze (pipelines/nightly.yml:14)
        -  shop.events.old      text               NULL in the new rows
        -  shop.items.old       text               leaves the table
        ~  shop.orders.total    integer    bigint  published as bigint
        ~  shop.events.total    integer    bigint  bigint, and the published rows are rewritten
        ~  shop.items.total     integer    bigint  read as integer
        ~  shop.payments.total  integer    bigint  refused by on_schema_change: freeze (pipelines/nightly.yml:14)
        ");
        let warnings: Vec<_> = changes.iter().filter_map(SchemaChange::warning).collect();
        insta::assert_snapshot!(warnings.join("\n"), @r"
        `shop.notes` no longer comes: `public.notes` of connection `shop` is gone or hidden from the login; it stays published as it was
        `shop.events.old` is published and no longer comes; it is NULL in the new rows
        `shop.items.old` is published and no longer comes; it leaves the table
        `shop.orders.total` changed from `integer` to `bigint`; the published schema follows
        `shop.events.total` changed from `integer` to `bigint`; its published rows are rewritten
        ");
    }

    #[test]
    fn a_plan_shows_what_moves_and_what_changes_on_the_way() {
        insta::assert_snapshot!(shown(&summary(), Detail::Brief, Paint::Plain), @r"
        plan of nightly; the warehouse is at generation 41

        extract from shop: PostgreSQL 17.2, standby
        table               source                kind   mode     columns  about rows  about bytes  audits
        ──────────────────  ────────────────────  ─────  ───────  ───────  ──────────  ───────────  ──────
        shop.orders         public.orders         table  upsert         3   1,200,000     91.6 MiB       2
        shop.recent_orders  public.recent_orders  table  replace        3           ?            ?       2
          shop.orders: replaces rows of the same id
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
