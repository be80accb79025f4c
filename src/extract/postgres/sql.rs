//! The SQL that is sent to PostgreSQL, in one place: quoting, and what wraps a user's own SQL.

use arrow::datatypes::DataType;

use super::{mapping::select_expression, pg_type::PgType};
use crate::extract::{ChunkPart, SourceTable, TableRequest};

/// `name` as a SQL identifier. Always quoted, so that no word and no case is special.
pub(super) fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `text` as a SQL string; our sessions fix `standard_conforming_strings`.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A table's name with its schema.
pub(super) fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote(schema), quote(name))
}

/// What to select from: the table's name, or the query in parentheses.
pub(super) fn from_clause(table: &SourceTable) -> String {
    match &table.query {
        // The line break ends a comment that the query may end with.
        Some(query) => format!("({query}\n) AS q"),
        None => qualified(&table.schema, &table.name),
    }
}

/// The statement that shows the columns of `request` as the server has them, without a row.
pub(super) fn bare_select(request: &TableRequest) -> String {
    let columns: Vec<_> = request.columns.iter().map(|column| quote(&column.source.name)).collect();
    format!("SELECT {} FROM {} LIMIT 0", columns.join(", "), from_clause(&request.from))
}

/// The statement that reads `part` of the table that `request` asks for, with `types` for its
/// columns in order, in the form that the decoder expects.
pub(super) fn select(request: &TableRequest, types: &[PgType], part: &ChunkPart) -> String {
    let columns: Vec<_> = request
        .columns
        .iter()
        .zip(types)
        .map(|(column, pg)| {
            let target: &DataType = column.field.data_type();
            select_expression(&quote(&column.source.name), pg, target)
        })
        .collect();
    let (from, mut conditions) = match part {
        ChunkPart::Pages { relation, from, until } => {
            (format!("ONLY {relation}"), page_conditions(*from, *until))
        }
        ChunkPart::Keys { relation, column, from, until } => {
            (format!("ONLY {relation}"), key_conditions(column, *from, *until))
        }
        ChunkPart::Whole | ChunkPart::RowIds(_) => (from_clause(&request.from), Vec::new()),
    };
    conditions.extend(request.filter.as_ref().map(|filter| format!("({filter}\n)")));
    let mut sql = format!("SELECT {} FROM {from}", columns.join(", "));
    if !conditions.is_empty() {
        sql += " WHERE ";
        sql += &conditions.join(" AND ");
    }
    sql
}

/// No condition for the whole of a relation, which every server and every kind of storage takes.
fn page_conditions(from: u32, until: Option<u32>) -> Vec<String> {
    let mut conditions = Vec::new();
    if from > 0 || until.is_some() {
        conditions.push(format!("ctid >= '({from},0)'::tid"));
    }
    conditions.extend(until.map(|until| format!("ctid < '({until},0)'::tid")));
    conditions
}

/// Comparisons of any kind of integer with these are the index's own.
fn key_conditions(column: &str, from: Option<i64>, until: Option<i64>) -> Vec<String> {
    let compare = |sign: &str, key: i64| format!("{column} {sign} '{key}'::pg_catalog.int8");
    let from = from.map(|key| compare(">=", key));
    from.into_iter().chain(until.map(|key| compare("<", key))).collect()
}

/// `COPY` of what `select` returns.
pub(super) fn copy_out(select: &str) -> String {
    format!("COPY ({select}) TO STDOUT (FORMAT binary)")
}

/// The text of a query without the semicolon that may end it.
pub(super) fn query_body(sql: &str) -> &str {
    sql.trim_end().trim_end_matches(';').trim_end()
}

/// Statements that all must be understood for `filter` to be one condition on the rows of `from`.
///
/// It must hold up bare as well as in parentheses: `a) OR (b` does only in parentheses and would
/// undo what is joined to it with AND; `a ORDER BY b` does only bare.
pub(super) fn filter_proofs(from: &str, filter: &str) -> [String; 2] {
    [
        format!("SELECT 1 FROM {from} WHERE {filter}"),
        format!("SELECT 1 FROM {from} WHERE ({filter}\n)"),
    ]
}

/// Statements that all must be understood for `query` to be one SELECT that can stand in
/// parentheses, with no more in it than it shows.
pub(super) fn query_proofs(query: &str) -> [String; 2] {
    [query.to_owned(), format!("SELECT * FROM ({query}\n) AS q")]
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Field;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        config::OnMismatch,
        extract::{ColumnRequest, Mapping, SourceColumn, TableKind},
        types::TableName,
    };

    fn request(query: Option<&str>, filter: Option<&str>) -> TableRequest {
        let mapping = Mapping::Exact { data_type: DataType::Int64 };
        let column = SourceColumn {
            name: "Odd\"id".into(),
            declared: "bigint".into(),
            nullable: false,
            type_id: 20,
            type_modifier: -1,
            mapping,
        };
        TableRequest {
            into: TableName::new("shop", "orders"),
            columns: vec![ColumnRequest {
                field: Arc::new(Field::new("id", DataType::Int64, true)),
                source: column.clone(),
                cast: None,
                mask: None,
                on_mismatch: OnMismatch::Error,
            }],
            from: SourceTable {
                schema: "public".into(),
                name: "orders".into(),
                kind: TableKind::Table,
                readable: true,
                columns: vec![column],
                key: Vec::new(),
                estimated_rows: None,
                estimated_bytes: None,
                query: query.map(str::to_owned),
            },
            filter: filter.map(str::to_owned),
        }
    }

    #[test]
    fn chunks_select_their_pages() {
        let types = [PgType::base(20, "bigint")];
        let pages = |from, until| ChunkPart::Pages {
            relation: "\"public\".\"orders\"".into(),
            from,
            until,
        };
        let sql = |part, filter| select(&request(None, filter), &types, &part);
        insta::assert_snapshot!(sql(ChunkPart::Whole, None),
            @r#"SELECT "Odd""id" FROM "public"."orders""#);
        insta::assert_snapshot!(sql(pages(0, Some(8)), None), @r#"SELECT "Odd""id" FROM ONLY "public"."orders" WHERE ctid >= '(0,0)'::tid AND ctid < '(8,0)'::tid"#);
        insta::assert_snapshot!(sql(pages(8, None), Some("id > 3 -- few")), @r#"
        SELECT "Odd""id" FROM ONLY "public"."orders" WHERE ctid >= '(8,0)'::tid AND (id > 3 -- few
        )
        "#);
        insta::assert_snapshot!(sql(pages(0, None), None), @r#"SELECT "Odd""id" FROM ONLY "public"."orders""#);
        let keys = |from, until| ChunkPart::Keys {
            relation: "\"public\".\"orders\"".into(),
            column: quote("id"),
            from,
            until,
        };
        insta::assert_snapshot!(sql(keys(None, Some(i64::MIN)), None), @r#"SELECT "Odd""id" FROM ONLY "public"."orders" WHERE "id" < '-9223372036854775808'::pg_catalog.int8"#);
        insta::assert_snapshot!(sql(keys(Some(-7), None), None), @r#"SELECT "Odd""id" FROM ONLY "public"."orders" WHERE "id" >= '-7'::pg_catalog.int8"#);
        let query = request(Some("select 1 -- one"), None);
        insta::assert_snapshot!(copy_out(&select(&query, &types, &ChunkPart::Whole)), @r#"
        COPY (SELECT "Odd""id" FROM (select 1 -- one
        ) AS q) TO STDOUT (FORMAT binary)
        "#);
    }

    #[test]
    fn a_query_loses_only_its_end() {
        assert_eq!(query_body("select ';' ; \n"), "select ';'");
    }

    proptest! {
        #[test]
        fn quoted_names_end_where_they_should(name in "\\PC*") {
            let quoted = quote(&name);
            let inner = quoted.strip_prefix('"').unwrap().strip_suffix('"').unwrap();
            prop_assert!(!inner.replace("\"\"", "").contains('"'));
            prop_assert_eq!(inner.replace("\"\"", "\""), name);
        }
    }
}
