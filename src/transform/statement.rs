//! SQL text → one statement that can only read, and the tables it names.
//!
//! Positions are those of the text that was given: 1-based lines, and columns in characters.

use std::ops::ControlFlow;

use datafusion::{
    common::TableReference,
    sql::{
        parser::{DFParserBuilder, Statement},
        planner::object_name_to_table_reference,
        resolve::resolve_table_references,
        sqlparser::{
            ast::{
                Expr, ObjectName, Query, Select, SelectItem, SetExpr, Spanned, Statement as Ansi,
                TableFactor, Visit, Visitor,
            },
            tokenizer::Span,
        },
    },
};

use super::diagnose::{Problem, Spot};

/// How deep expressions may nest. The planner's own recursion is protected; this is a sanity limit.
const RECURSION_LIMIT: usize = 200;

/// What a caller lets a statement be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Allow {
    /// One query: SELECT, WITH or VALUES.
    Query,
    /// One query, or a question about one: EXPLAIN, SHOW, DESCRIBE.
    Questions,
}

/// Parses `sql` as exactly one statement of those that `allow` names.
pub(super) fn parse(sql: &str, allow: Allow) -> Result<Statement, Problem> {
    let mut statements = DFParserBuilder::new(sql)
        .with_recursion_limit(RECURSION_LIMIT)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| Problem::of(&error, sql))?;
    let Some(statement) = statements.pop_front() else {
        return Err(Problem::new("there is no query").hint("write one SELECT"));
    };
    // What only reads is said first: `select 1; drop table t` is refused for its drop.
    for each in std::iter::once(&statement).chain(&statements) {
        check_reads(each, allow)?;
    }
    if let Some(second) = statements.front() {
        let count = statements.len() + 1;
        return Err(Problem::new(format!("there are {count} statements; only one is allowed"))
            .at(spot_of(second)));
    }
    Ok(statement)
}

/// The start of `statement`, where the parser knows it.
fn spot_of(statement: &Statement) -> Option<Spot> {
    match statement {
        Statement::Statement(ansi) => Spot::of(ansi.span()),
        _ => None,
    }
}

fn check_reads(statement: &Statement, allow: Allow) -> Result<(), Problem> {
    let questions = allow == Allow::Questions;
    let reads = match statement {
        Statement::Explain(explain) if questions => {
            return check_reads(&explain.statement, Allow::Query);
        }
        Statement::Statement(ansi) => match ansi.as_ref() {
            Ansi::Query(query) => match query.visit(&mut WriteFinder) {
                ControlFlow::Continue(()) => true,
                ControlFlow::Break(word) => return Err(refusal(word, allow)),
            },
            Ansi::ShowTables { .. }
            | Ansi::ShowColumns { .. }
            | Ansi::ShowFunctions { .. }
            | Ansi::ShowVariable { .. }
            | Ansi::ExplainTable { .. } => questions,
            _ => false,
        },
        _ => false,
    };
    if reads {
        return Ok(());
    }
    let text = statement.to_string().to_lowercase();
    let word = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned();
    Err(refusal(&word, allow).at(spot_of(statement)))
}

fn refusal(word: &str, allow: Allow) -> Problem {
    let problem = Problem::new(format!("`{word}` is refused: only reading is possible here"));
    match allow {
        Allow::Query => problem.hint("write one SELECT; what it returns becomes the table"),
        Allow::Questions => {
            problem.hint("SELECT, EXPLAIN, SHOW TABLES, SHOW COLUMNS and DESCRIBE are possible")
        }
    }
}

/// Finds what writes inside of a query, such as `with x as (…) insert …` or `select … into …`.
struct WriteFinder;

impl Visitor for WriteFinder {
    type Break = &'static str;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        match query.body.as_ref() {
            SetExpr::Insert(_) => ControlFlow::Break("insert"),
            SetExpr::Update(_) => ControlFlow::Break("update"),
            SetExpr::Delete(_) => ControlFlow::Break("delete"),
            SetExpr::Merge(_) => ControlFlow::Break("merge"),
            _ if !query.locks.is_empty() => ControlFlow::Break("for update"),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Self::Break> {
        if select.into.is_some() {
            return ControlFlow::Break("select into");
        }
        ControlFlow::Continue(())
    }
}

/// A table that a statement reads, as it is written there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reference {
    /// The name; parts without quotes are folded to lower case.
    pub name: TableReference,
    /// Where it is first named.
    pub at: Option<Spot>,
}

/// Every table that `statement` reads, sorted by name, without its CTEs and table functions.
pub(super) fn references(statement: &Statement) -> Result<Vec<Reference>, Problem> {
    let (tables, _ctes) = resolve_table_references(statement, true)
        .map_err(|error| Problem::of(&error, &statement.to_string()))?;
    let mut seen = Mentions::default();
    let mut inner = statement;
    while let Statement::Explain(explain) = inner {
        inner = &explain.statement;
    }
    if let Statement::Statement(ansi) = inner {
        let _ = ansi.visit(&mut seen);
    }
    Ok(tables
        .into_iter()
        .filter_map(|name| {
            let mut mentions = seen.relations.iter().filter(|(mention, _)| *mention == name);
            match mentions.clone().find(|(_, span)| !seen.functions.contains(span)) {
                Some((_, span)) => Some(Reference { at: Spot::of(*span), name }),
                // Every mention is a call such as `generate_series(1, 9)`.
                None if mentions.next().is_some() => None,
                None => Some(Reference { at: None, name }),
            }
        })
        .collect())
}

#[derive(Default)]
struct Mentions {
    relations: Vec<(TableReference, Span)>,
    functions: Vec<Span>,
}

impl Visitor for Mentions {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, args: Some(_), .. } = factor {
            self.functions.push(name.span());
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, name: &ObjectName) -> ControlFlow<()> {
        if let Ok(table) = object_name_to_table_reference(name.clone(), true) {
            self.relations.push((table, name.span()));
        }
        ControlFlow::Continue(())
    }
}

/// Where the `index`-th output column of `statement` is written, if its SELECT list says so
/// without wildcards before it.
pub(super) fn output_column(statement: &Statement, index: usize) -> Option<Spot> {
    Spot::of(output_item(statement, index)?.span())
}

/// Like [`output_column`], of the one statement in `sql`, where that column is called `name`.
pub(super) fn named_column(sql: &str, index: usize, name: &str) -> Option<Spot> {
    let statement = parse(sql, Allow::Questions).ok()?;
    let item = output_item(&statement, index)?;
    let written = match item {
        SelectItem::ExprWithAlias { alias, .. } => &alias.value,
        SelectItem::UnnamedExpr(Expr::Identifier(column)) => &column.value,
        SelectItem::UnnamedExpr(Expr::CompoundIdentifier(parts)) => &parts.last()?.value,
        _ => return None,
    };
    written.eq_ignore_ascii_case(name).then(|| Spot::of(item.span()))?
}

fn output_item(statement: &Statement, index: usize) -> Option<&SelectItem> {
    let Statement::Statement(ansi) = statement else { return None };
    let Ansi::Query(query) = ansi.as_ref() else { return None };
    let mut body = query.body.as_ref();
    let select = loop {
        match body {
            SetExpr::Select(select) => break select,
            SetExpr::Query(inner) => body = inner.body.as_ref(),
            SetExpr::SetOperation { left, .. } => body = left,
            _ => return None,
        }
    };
    let items = select.projection.get(..=index)?;
    let wild = |item: &SelectItem| {
        matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..))
    };
    if items.iter().any(wild) { None } else { items.last() }
}

/// `show tables`, without the catalog and without the tables about tables.
const SHOW_TABLES: &str = "select table_schema as schema, table_name as table \
                           from information_schema.tables \
                           where table_schema <> 'information_schema' order by 1, 2";

/// `statement`, or what is asked in its place.
pub(super) fn friendlier(statement: Statement) -> Statement {
    let plain = statement.to_string().eq_ignore_ascii_case("show tables");
    if plain { parse(SHOW_TABLES, Allow::Query).unwrap_or(statement) } else { statement }
}
