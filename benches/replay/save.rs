//! Saves what a server sends for a table.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::Path,
};

use longshore::{
    config::Secret,
    extract::postgres::{
        mapping::select_expression,
        wire::{Block, WireConnection, WireOptions},
    },
};

use crate::saved::{Column, Description, Kind, Type, description_file, schema, typed};

/// What decides the form of the values, as a run has it.
const SETTINGS: &[(&str, &str)] = &[
    ("default_transaction_read_only", "on"),
    ("application_name", "longshore/replay"),
    ("search_path", "public"),
    ("client_encoding", "UTF8"),
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, YMD"),
    ("IntervalStyle", "postgres"),
    ("max_parallel_workers_per_gather", "0"),
];

/// Saves `table` of the server at `url` in `file`, its description beside it.
pub(crate) async fn save(url: &str, table: &str, file: &Path) {
    let options = WireOptions::parse(&Secret::new(url)).expect("a server's URL");
    let mut connection = WireConnection::connect(&options, SETTINGS).await.expect("a connection");
    let whole = format!("SELECT * FROM {table}");
    let mut columns = Vec::new();
    for column in connection.describe(&whole).await.expect("a description") {
        let pg = resolve(&mut connection, column.type_oid, column.modifier).await;
        columns.push(Column { name: column.name, pg });
    }
    let sql = format!("SELECT {} FROM {table}", expressions(&columns));
    let rows = copy(connection, &sql, file).await;
    let description = Description { sql, rows, columns };
    let json = serde_json::to_vec_pretty(&description).expect("a description is JSON");
    fs::write(description_file(file), json).expect("the description can be written");
    let bytes = fs::metadata(file).expect("the file").len();
    println!("saved {rows} rows, {bytes} bytes, in {}", file.display());
}

fn expressions(columns: &[Column]) -> String {
    let typed = typed(columns);
    let schema = schema(&typed);
    let expressions = typed.iter().zip(schema.fields()).map(|((name, pg), field)| {
        let quoted = format!("\"{}\"", name.replace('"', "\"\""));
        select_expression(&quoted, pg, field.data_type())
    });
    expressions.collect::<Vec<_>>().join(", ")
}

async fn copy(connection: WireConnection, sql: &str, file: &Path) -> u64 {
    let copy = format!("COPY ({sql}) TO STDOUT (FORMAT binary)");
    let mut copy = connection.copy_out(&copy).await.expect("a copy");
    let mut to = BufWriter::new(File::create(file).expect("the file can be made"));
    let mut block = Block::default();
    while let Some(next) = copy.next_block(block).await.expect("the whole copy") {
        for payload in next.payloads() {
            to.write_all(&next.bytes()[payload]).expect("the file can be written");
        }
        block = next;
    }
    to.flush().expect("the file can be written");
    copy.rows().expect("a number of rows")
}

/// The type `oid` with all that it is made of, from the server's catalog.
async fn resolve(connection: &mut WireConnection, oid: u32, modifier: i32) -> Type {
    let sql = format!(
        "SELECT pg_catalog.format_type(oid, {modifier}), typtype, typbasetype, typtypmod, typrelid,
             CASE WHEN typcategory = 'A' AND typlen = -1 THEN typelem ELSE 0 END
         FROM pg_catalog.pg_type WHERE oid = {oid}"
    );
    let row = connection.simple(&sql).await.expect("a type").remove(0);
    let text = |at: usize| row[at].clone().expect("no NULL");
    let number = |at: usize| text(at).parse::<u32>().expect("a number");
    let kind = match (text(1).as_str(), number(5)) {
        ("b", 0) => Kind::Base,
        // An array's modifier is that of its elements.
        ("b", element) => Kind::Array(Box::new(inner(connection, element, modifier).await)),
        ("e", _) => Kind::Enum,
        ("d", _) => {
            let modifier = text(3).parse().expect("a modifier");
            Kind::Domain(Box::new(inner(connection, number(2), modifier).await))
        }
        ("c", _) => Kind::Composite(fields(connection, number(4)).await),
        _ => panic!("`{}` can't be saved: leave its columns out", text(0)),
    };
    Type { name: text(0), oid, modifier, kind }
}

async fn inner(connection: &mut WireConnection, oid: u32, modifier: i32) -> Type {
    Box::pin(resolve(connection, oid, modifier)).await
}

async fn fields(connection: &mut WireConnection, relation: u32) -> Vec<Column> {
    let sql = format!(
        "SELECT attname, atttypid, atttypmod FROM pg_catalog.pg_attribute
         WHERE attrelid = {relation} AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
    );
    let mut fields = Vec::new();
    for row in connection.simple(&sql).await.expect("attributes") {
        let [Some(name), Some(oid), Some(modifier)] = row.as_slice() else { panic!("a NULL") };
        let (oid, modifier) = (oid.parse().expect("a number"), modifier.parse().expect("a number"));
        fields.push(Column { name: name.clone(), pg: inner(connection, oid, modifier).await });
    }
    fields
}
