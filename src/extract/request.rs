//! From rules and discovered tables to exact requests: which columns of which table are read as
//! what, under which name.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use super::{Mapping, Source, SourceColumn, SourceTable};
use crate::{
    config::{ColumnRules, ExtractGroup, Mask, OnMismatch, Selection, TableRule},
    error::{Error, ErrorKind, Result, did_you_mean},
    types::{ColumnType, TableName},
};

/// One table to read, down to the last column.
#[derive(Debug, Clone)]
pub struct TableRequest {
    /// The table in the warehouse.
    pub into: TableName,
    /// The table, view or query in the source.
    pub from: SourceTable,
    /// What to read of it, in order; never empty.
    pub columns: Vec<ColumnRequest>,
    /// A condition in the source's SQL that rows must meet.
    pub filter: Option<String>,
}

/// One column to read.
#[derive(Debug, Clone)]
pub struct ColumnRequest {
    /// The column in the source.
    pub source: SourceColumn,
    /// Its name and type in the warehouse; a source reads it as exactly this type.
    pub field: FieldRef,
    /// The type that the user asked for, where it is not the mapping's own.
    pub cast: Option<ColumnType>,
    /// How it is made unreadable after reading; it is then read as text.
    pub mask: Option<Mask>,
    /// What becomes of values that don't fit; never [`OnMismatch::Text`], which is a cast by now.
    pub on_mismatch: OnMismatch,
}

impl TableRequest {
    /// The schema that a source reads this request with, which is also the published one.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(
            self.columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>(),
        ))
    }

    /// Whether rows of it may be rejected.
    pub fn rejects(&self) -> bool {
        self.columns.iter().any(|column| column.on_mismatch == OnMismatch::Quarantine)
    }
}

/// A request together with the rule it came from.
pub type RuledRequest = (TableRequest, TableRule);

/// Settles which of `tables` (what [`Source::discover`] and [`Source::describe`] found for the
/// rules of `group`) are read, and how. A rule that names a table exactly beats a pattern; among
/// equals the later rule wins. `default_schema` is the schema of names without one.
///
/// # Errors
/// A rule that matches nothing, two rules for one table, two tables under one name, a column rule
/// for a column that does not exist, a column that can't be read: each names file and line.
pub fn build_requests(
    source: &dyn Source,
    group: &ExtractGroup,
    tables: &[SourceTable],
    default_schema: &str,
) -> Result<Vec<RuledRequest>> {
    let mut requests: Vec<RuledRequest> = Vec::new();
    for table in tables {
        let Some(rule) = rule_for(group, table, default_schema)? else { continue };
        if rule.skip {
            continue;
        }
        requests.push((request(source, group, rule, table)?, rule.clone()));
    }
    for rule in &group.tables {
        let used = tables.iter().any(|table| selects(rule, table, default_schema));
        if !used && !rule.skip {
            return Err(nothing_matches(rule, tables));
        }
    }
    refuse_shared_names(&requests)?;
    Ok(requests)
}

/// A table of which a pipeline reads some or all.
#[derive(Debug, Clone)]
pub struct TableUse {
    /// The table, view or query.
    pub table: SourceTable,
    /// Its columns that are not read.
    pub unread: Vec<String>,
}

/// What the rules of `group` read of `tables`, whether or not the login may.
///
/// # Errors
/// Two rules for one table.
pub fn table_uses(
    group: &ExtractGroup,
    tables: &[SourceTable],
    default_schema: &str,
) -> Result<Vec<TableUse>> {
    let mut uses = Vec::new();
    for table in tables {
        let Some(rule) = rule_for(group, table, default_schema)? else { continue };
        if !rule.skip {
            let names = table.columns.iter().map(|column| column.name.clone());
            let unread = names.filter(|name| !is_taken(&rule.columns, name)).collect();
            uses.push(TableUse { table: table.clone(), unread });
        }
    }
    Ok(uses)
}

fn selects(rule: &TableRule, table: &SourceTable, default_schema: &str) -> bool {
    match &rule.selection {
        Selection::Tables(pattern) => {
            table.query.is_none() && pattern.matches(&table.schema, &table.name, default_schema)
        }
        Selection::Query { name, .. } => table.query.is_some() && *name == table.name,
    }
}

/// The rule of `group` that means the table `schema.name` of the source, as [`build_requests`] finds
/// it, whether there is such a table or not.
pub fn selecting_rule<'a>(
    group: &'a ExtractGroup,
    schema: &str,
    name: &str,
    default_schema: &str,
) -> Option<&'a TableRule> {
    let mut matching = group.tables.iter().filter(|rule| match &rule.selection {
        Selection::Tables(pattern) => pattern.matches(schema, name, default_schema),
        Selection::Query { .. } => false,
    });
    let exact = matching.clone().find(|rule| is_exact(rule));
    exact.or_else(|| matching.next_back())
}

fn is_exact(rule: &TableRule) -> bool {
    !rule.selection.is_pattern()
}

fn rule_for<'a>(
    group: &'a ExtractGroup,
    table: &SourceTable,
    default_schema: &str,
) -> Result<Option<&'a TableRule>> {
    let matching = || group.tables.iter().filter(|rule| selects(rule, table, default_schema));
    let mut exact = matching().filter(|rule| is_exact(rule));
    match (exact.next(), exact.next()) {
        (Some(first), Some(second)) => Err(Error::new(
            ErrorKind::Config,
            format!("`{}` is listed twice; nothing was extracted", table.display_name()),
        )
        .at(second.origin.place(format!("first listed in line {}", first.origin.line)))
        .hint("keep one of the two entries")),
        (Some(only), None) => Ok(Some(only)),
        (None, _) => Ok(matching().next_back()),
    }
}

fn nothing_matches(rule: &TableRule, tables: &[SourceTable]) -> Error {
    let (what, wanted) = match &rule.selection {
        Selection::Tables(pattern) => (pattern.to_string(), pattern.table.to_string()),
        Selection::Query { name, .. } => (name.clone(), name.clone()),
    };
    let error = Error::new(
        ErrorKind::Config,
        format!("no table of the source matches `{what}`; nothing was extracted"),
    )
    .at(rule.origin.place("no such table or view, or the login may not see its schema"));
    match did_you_mean(&wanted, tables.iter().map(|table| table.name.as_str())) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint("see `longshore check` for the tables that the login can read"),
    }
}

fn request(
    source: &dyn Source,
    group: &ExtractGroup,
    rule: &TableRule,
    table: &SourceTable,
) -> Result<TableRequest> {
    let into = TableName::new(&group.into, rule.rename.as_ref().unwrap_or(&table.name));
    if !table.readable {
        return Err(Error::new(
            ErrorKind::Refused,
            format!(
                "`{}` may not be read by this login; nothing was extracted",
                table.display_name()
            ),
        )
        .at(rule.origin.place("selected here"))
        .hint(format!(
            "grant it: GRANT SELECT ON {} TO <login>",
            TableName::new(&table.schema, &table.name).quoted()
        ))
        .hint("or leave it out with `skip: true`"));
    }
    refuse_unknown_columns(rule, table)?;
    let columns = table
        .columns
        .iter()
        .filter(|column| is_taken(&rule.columns, &column.name))
        .map(|column| column_request(source, rule, table, column))
        .collect::<Result<Vec<_>>>()?;
    if columns.is_empty() {
        return Err(Error::new(
            ErrorKind::Config,
            format!(
                "no column of `{}` is left to read; nothing was extracted",
                table.display_name()
            ),
        )
        .at(rule.origin.place("`columns` leaves none")));
    }
    refuse_shared_columns(rule, table, &columns)?;
    Ok(TableRequest { into, from: table.clone(), columns, filter: rule.filter.clone() })
}

fn is_taken(rules: &ColumnRules, name: &str) -> bool {
    rules.only.as_ref().is_none_or(|only| only.iter().any(|column| column == name))
        && !rules.drop.iter().any(|column| column == name)
}

fn refuse_unknown_columns(rule: &TableRule, table: &SourceTable) -> Result<()> {
    let rules = &rule.columns;
    // A pattern's rules hold where the column exists: `drop: [password_hash]` for `public.*`.
    if !is_exact(rule) {
        return Ok(());
    }
    let named = rules
        .only
        .iter()
        .flatten()
        .chain(&rules.drop)
        .chain(rules.cast.keys())
        .chain(rules.mask.keys())
        .chain(rules.rename.keys())
        .chain(rules.on_mismatch.keys());
    for name in named {
        if !table.columns.iter().any(|column| column.name == *name) {
            let error = Error::new(
                ErrorKind::Config,
                format!("`{}` has no column `{name}`; nothing was extracted", table.display_name()),
            )
            .at(rule.origin.place(format!("`columns` names `{name}`")));
            return Err(match did_you_mean(name, table.columns.iter().map(|c| c.name.as_str())) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("see `longshore check` for the table's columns"),
            });
        }
    }
    Ok(())
}

fn column_request(
    source: &dyn Source,
    rule: &TableRule,
    table: &SourceTable,
    column: &SourceColumn,
) -> Result<ColumnRequest> {
    let mask = rule.columns.mask.get(&column.name).copied();
    let (cast, on_mismatch) = cast_and_mismatch(rule, column);
    let refused = |why: &str| {
        let full = format!("{}.{}", table.display_name(), column.name);
        Error::new(
            ErrorKind::Config,
            format!("column `{full}` can't be read as asked; nothing was extracted"),
        )
        .at(rule.origin.place(format!("`{}` is `{}`", column.name, column.declared)))
        .because(why)
        .hint(format!("leave it out: `columns: {{drop: [{}]}}`", column.name))
    };
    let data_type = match (cast, &column.mapping) {
        (Some(to), _) => source.cast(column, to).map_err(|why| refused(&why))?,
        (None, Mapping::Refused { reason }) => {
            return Err(refused(reason).hint(format!(
                "or read it as text: `columns: {{cast: {{{}: text}}}}`",
                column.name
            )));
        }
        (None, mapping) => mapping.data_type().cloned().unwrap_or(DataType::Utf8View),
    };
    let name = rule.columns.rename.get(&column.name).unwrap_or(&column.name);
    let field = Arc::new(Field::new(name, data_type, true));
    Ok(ColumnRequest { source: column.clone(), field, cast, mask, on_mismatch })
}

/// What `column` is cast to, and what becomes of values that don't fit even so.
fn cast_and_mismatch(rule: &TableRule, column: &SourceColumn) -> (Option<ColumnType>, OnMismatch) {
    let ColumnRules { mask, cast, on_mismatch, .. } = &rule.columns;
    let own = on_mismatch.get(&column.name).copied();
    let cast = match mask.get(&column.name) {
        Some(_) => Some(ColumnType::Text),
        None => cast.get(&column.name).copied(),
    };
    match own.unwrap_or(rule.on_mismatch) {
        OnMismatch::Text => {
            let may_misfit =
                matches!(column.mapping, Mapping::Guarded { .. } | Mapping::Refused { .. });
            let as_text = cast.is_none() && (own.is_some() || may_misfit);
            (cast.or(as_text.then_some(ColumnType::Text)), OnMismatch::Error)
        }
        on_mismatch => (cast, on_mismatch),
    }
}

fn refuse_shared_columns(
    rule: &TableRule,
    table: &SourceTable,
    columns: &[ColumnRequest],
) -> Result<()> {
    for (at, column) in columns.iter().enumerate() {
        // Delta Lake and most readers compare column names without case.
        let same = |other: &ColumnRequest| {
            other.field.name().to_lowercase() == column.field.name().to_lowercase()
        };
        if columns.iter().take(at).any(same) {
            let name = column.field.name();
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "two columns of `{}` would be named `{name}`; nothing was extracted",
                    table.display_name()
                ),
            )
            .at(rule.origin.place("selected here"))
            .because("the warehouse tells column names apart without regard to case")
            .hint(format!("rename one: `columns: {{rename: {{{}: …}}}}`", column.source.name)));
        }
    }
    Ok(())
}

fn refuse_shared_names(requests: &[RuledRequest]) -> Result<()> {
    for (at, (request, rule)) in requests.iter().enumerate() {
        if let Some((other, _)) =
            requests.iter().take(at).find(|(other, _)| other.into == request.into)
        {
            return Err(Error::new(
                ErrorKind::Config,
                format!(
                    "two tables would be published as `{}`; nothing was extracted",
                    request.into
                ),
            )
            .at(rule.origin.place(format!(
                "`{}` and `{}` take the same name",
                other.from.display_name(),
                request.from.display_name()
            )))
            .hint(
                "give one of them another name with `as:`, or extract it `into` another schema",
            ));
        }
    }
    Ok(())
}
