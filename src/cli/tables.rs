//! `longshore tables`: what the warehouse holds.

use serde_json::{Value, json};

use super::{
    args::Tables,
    invocation::{Invocation, place_of},
    render::{Shape, Table, bytes, count, plural},
    sql,
    talk::Outcome,
};
use crate::{
    error::{Error, ErrorKind, did_you_mean},
    run::published_type,
    types::{TableFiles, TableName},
    warehouse::{GenerationRecord, PinnedTable, Warehouse},
};

/// Generations that are listed at most.
const GENERATIONS: usize = 100;

/// Lists tables, one table's columns, or generations.
pub(crate) async fn tables(args: &Tables, cli: &mut Invocation) -> Outcome {
    let project = cli.project()?;
    let warehouse = Warehouse::open_read(&project.warehouse)?;
    if args.generations {
        let records = warehouse.generations(GENERATIONS).await?;
        if args.json {
            return cli.output.json(&records);
        }
        if records.is_empty() {
            cli.talk.say("nothing is published yet");
            return Ok(());
        }
        return cli.output.print(&generations(&records).render(cli.output.paint()));
    }
    let record = sql::generation(&warehouse, args.generation).await?;
    if let Some(name) = &args.table {
        return columns(name, record.as_ref(), &warehouse, args, cli).await;
    }
    if args.json {
        return cli.output.json(&record);
    }
    let Some(record) = record else {
        cli.talk.say("nothing is published yet");
        return Ok(());
    };
    cli.output.print(&list(&record).render(cli.output.paint()))?;
    cli.output.flush()?;
    cli.talk.say(&format!(
        "generation {} of {}, published {} by run {} of {}",
        record.generation,
        place_of(&project.warehouse, &project.root),
        published_at(&record),
        record.run,
        cause(&record)
    ));
    Ok(())
}

/// To the second; as it is kept where it is no time.
fn published_at(record: &GenerationRecord) -> String {
    match record.published_at.parse::<jiff::Timestamp>() {
        Ok(at) => at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        Err(_) => record.published_at.clone(),
    }
}

fn list(record: &GenerationRecord) -> Table {
    let mut table = Table::new([
        ("table", Shape::Text),
        ("rows", Shape::Number),
        ("bytes", Shape::Number),
        ("files", Shape::Number),
        ("columns", Shape::Number),
        ("version", Shape::Number),
    ]);
    for (name, pinned) in &record.tables {
        table.push(vec![
            name.to_string(),
            count(pinned.rows),
            bytes(pinned.bytes),
            count(pinned.files),
            count(pinned.columns),
            pinned.version.to_string(),
        ]);
    }
    table
}

fn generations(records: &[GenerationRecord]) -> Table {
    let mut table = Table::new([
        ("generation", Shape::Number),
        ("published", Shape::Word),
        ("pipeline", Shape::Text),
        ("run", Shape::Word),
        ("tables", Shape::Number),
        ("changed", Shape::Number),
        ("rows", Shape::Number),
        ("bytes", Shape::Number),
    ]);
    for record in records {
        let pinned = || record.tables.values();
        table.push(vec![
            record.generation.to_string(),
            published_at(record),
            cause(record),
            record.run.to_string(),
            count(record.tables.len() as u64),
            count(pinned().filter(|table| table.changed).count() as u64),
            count(pinned().map(|table| table.rows).sum()),
            bytes(pinned().map(|table| table.bytes).sum()),
        ]);
    }
    table
}

/// The pipeline that published it, or what it brought back.
fn cause(record: &GenerationRecord) -> String {
    match record.rollback_to {
        Some(to) => format!("rollback to {to}"),
        None => record.pipeline.to_string(),
    }
}

async fn columns(
    name: &TableName,
    record: Option<&GenerationRecord>,
    warehouse: &Warehouse,
    args: &Tables,
    cli: &mut Invocation,
) -> Outcome {
    let Some((record, pinned)) = record.and_then(|record| Some((record, record.tables.get(name)?)))
    else {
        return Err(unknown(name, record).into());
    };
    let files = warehouse.files(name, pinned).await?;
    if args.json {
        return cli.output.json(&description(name, record, pinned, &files));
    }
    let mut table =
        Table::new([("column", Shape::Text), ("type", Shape::Text), ("nulls", Shape::Number)]);
    for field in files.schema.fields() {
        table.push(vec![
            field.name().clone(),
            published_type(field.data_type()),
            nulls(&files, field.name()).map_or_else(|| "-".to_owned(), count),
        ]);
    }
    cli.output.print(&table.render(cli.output.paint()))?;
    cli.output.flush()?;
    cli.talk.say(&format!(
        "{name}: {}, {} in {}, version {} in generation {}",
        plural(pinned.rows, "row"),
        bytes(pinned.bytes),
        plural(pinned.files, "file"),
        pinned.version,
        record.generation
    ));
    Ok(())
}

fn description(
    name: &TableName,
    record: &GenerationRecord,
    pinned: &PinnedTable,
    files: &TableFiles,
) -> Value {
    let columns: Vec<_> = files
        .schema
        .fields()
        .iter()
        .map(|field| {
            json!({
                "name": field.name(),
                "type": published_type(field.data_type()),
                "nulls": nulls(files, field.name()),
            })
        })
        .collect();
    let urls: Vec<_> = files.files.iter().map(|file| file.url.as_str()).collect();
    json!({
        "table": name,
        "generation": record.generation,
        "pinned": pinned,
        "columns": columns,
        "files": urls,
    })
}

/// How many values of `column` are NULL, where every file says so.
fn nulls(files: &TableFiles, column: &str) -> Option<u64> {
    let of_file = |file: &crate::types::DataFile| {
        file.columns.iter().find(|stats| stats.name == column)?.nulls
    };
    files.files.iter().map(of_file).sum()
}

fn unknown(name: &TableName, record: Option<&GenerationRecord>) -> Error {
    let Some(record) = record else {
        return Error::new(ErrorKind::Usage, "nothing is published yet")
            .hint("see `longshore run`");
    };
    let error = Error::new(
        ErrorKind::Usage,
        format!("generation {} has no table `{name}`", record.generation),
    );
    let names: Vec<String> = record.tables.keys().map(ToString::to_string).collect();
    match did_you_mean(&name.to_string(), names.iter().map(String::as_str)) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("see `longshore tables` for those there are"),
    }
}
