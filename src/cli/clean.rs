//! `longshore clean`: removes what nobody can read any more, and tells what that was.

use super::{
    args::Clean,
    invocation::{Invocation, place_of},
    render::{Shape, Table, bytes, count, plural, progress},
    talk::{Detail, Outcome},
};
use crate::{
    run,
    types::Generation,
    warehouse::{CleanDepth, Cleaned},
};

/// Cleans the warehouse, or shows what that would remove.
pub(crate) async fn clean(args: &Clean, cli: &mut Invocation) -> Outcome {
    let project = cli.project()?;
    let depth = if args.dry_run { CleanDepth::DryRun } else { CleanDepth::Remove };
    let observer = progress::observer(&cli.talk);
    let mut interrupts = cli.interrupts.clone();
    // Stopped anywhere, the next clean goes on.
    let work = Box::pin(run::clean(&project, depth, observer.as_ref()));
    let cleaned = interrupts.or_stop(work).await?;
    if args.json {
        return cli.output.json(&cleaned);
    }
    if !cleaned.tables.is_empty() {
        cli.output.print(&tables(&cleaned).render(cli.output.paint()))?;
    }
    if args.dry_run || cli.talk.detail() >= Detail::Full {
        for table in &cleaned.tables {
            for name in table.files.iter().chain(&table.others) {
                cli.output.print(&format!("{}/{name}\n", table.table.folder()))?;
            }
        }
    }
    cli.output.flush()?;
    for line in told(&cleaned, depth, &place_of(&project.warehouse, &project.root)) {
        cli.talk.say(&line);
    }
    Ok(())
}

fn tables(cleaned: &Cleaned) -> Table {
    let mut table = Table::new([
        ("table", Shape::Text),
        ("files", Shape::Number),
        ("bytes", Shape::Number),
        ("others", Shape::Number),
    ]);
    for one in &cleaned.tables {
        table.push(vec![
            one.table.to_string(),
            count(one.files.len() as u64),
            bytes(one.bytes),
            count(one.others.len() as u64),
        ]);
    }
    table
}

fn told(cleaned: &Cleaned, depth: CleanDepth, warehouse: &str) -> Vec<String> {
    let (removes, expires) = match depth {
        CleanDepth::Remove => ("removed", "can't be read any more"),
        CleanDepth::DryRun => ("would be removed", "would expire"),
    };
    let files = cleaned.tables.iter().map(|table| table.files.len() + table.others.len());
    let size = cleaned.tables.iter().map(|table| table.bytes).sum();
    let mut lines = vec![format!(
        "{removes}: {} of {warehouse}, {}",
        plural(files.sum::<usize>() as u64, "file"),
        bytes(size)
    )];
    if let Some(range) = range(&cleaned.expired) {
        lines.push(format!("{range} {expires}; what nobody else holds goes after `grace`"));
    }
    if let Some(range) = range(&cleaned.waiting) {
        lines.push(format!("{range} expired before; what nobody else holds goes after `grace`"));
    }
    if let Some(range) = range(&cleaned.kept) {
        lines.push(format!("kept: {range}"));
    }
    lines
}

/// Generations from the lowest to the highest; they have no gaps.
fn range(generations: &[Generation]) -> Option<String> {
    let (first, last) = (generations.iter().min()?, generations.iter().max()?);
    Some(match generations.len() {
        1 => format!("generation {first}"),
        _ => format!("generations {first} to {last}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::render::Paint, types::TableName, warehouse::CleanedTable};

    #[test]
    fn what_went_is_told_in_few_lines() {
        let cleaned = Cleaned {
            kept: vec![Generation(9), Generation(8)],
            expired: vec![Generation(7)],
            waiting: vec![Generation(4), Generation(5), Generation(6)],
            tables: vec![CleanedTable {
                table: TableName::new("shop", "orders"),
                files: vec!["a.parquet".into(), "b.parquet".into()],
                bytes: 3_251_200,
                others: Vec::new(),
            }],
        };
        let shown = |depth| {
            let lines = told(&cleaned, depth, "./warehouse").join("\n");
            format!("{}{lines}\n", tables(&cleaned).render(Paint::Plain))
        };
        insta::assert_snapshot!(shown(CleanDepth::Remove), @r"
        table        files    bytes  others
        ───────────  ─────  ───────  ──────
        shop.orders      2  3.1 MiB       0
        removed: 2 files of ./warehouse, 3.1 MiB
        generation 7 can't be read any more; what nobody else holds goes after `grace`
        generations 4 to 6 expired before; what nobody else holds goes after `grace`
        kept: generations 8 to 9
        ");
        let dry = shown(CleanDepth::DryRun);
        insta::assert_snapshot!(dry.lines().skip(3).collect::<Vec<_>>().join("\n"), @r"
        would be removed: 2 files of ./warehouse, 3.1 MiB
        generation 7 would expire; what nobody else holds goes after `grace`
        generations 4 to 6 expired before; what nobody else holds goes after `grace`
        kept: generations 8 to 9
        ");
    }
}
