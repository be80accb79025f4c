//! What DataFusion says of a statement it cannot parse or plan → where, what, and what to do.
//!
//! The texts speak of the user's SQL only; no row has been read when these errors arise.

use datafusion::{
    common::{Column, DataFusionError, Diagnostic, SchemaError},
    execution::SessionStateDefaults,
    sql::sqlparser::{
        dialect::GenericDialect,
        parser::ParserError,
        tokenizer::{Location, Span, Token, Tokenizer},
    },
};

use super::statement::named_column;
use crate::error::did_you_mean;

/// A position in SQL text: 1-based line, 1-based column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Spot {
    pub line: u32,
    pub column: u32,
}

impl Spot {
    fn new(line: u64, column: u64) -> Option<Self> {
        let (line, column) = (u32::try_from(line).ok()?, u32::try_from(column).ok()?);
        (line > 0).then_some(Self { line, column: column.max(1) })
    }

    /// The start of `span`, unless the parser did not know it.
    pub(super) fn of(span: Span) -> Option<Self> {
        Self::new(span.start.line, span.start.column)
    }
}

/// What is wrong with a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    /// Where, if known.
    pub at: Option<Spot>,
    /// What.
    pub detail: String,
    /// What to do about it.
    pub hints: Vec<String>,
    /// Further problems of the same statement.
    pub others: Vec<Self>,
}

impl Problem {
    pub(super) fn new(detail: impl Into<String>) -> Self {
        Self { at: None, detail: detail.into(), hints: Vec::new(), others: Vec::new() }
    }

    pub(super) fn at(mut self, spot: Option<Spot>) -> Self {
        self.at = self.at.or(spot);
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// What `error` says of `sql`.
    pub(super) fn of(error: &DataFusionError, sql: &str) -> Self {
        match error {
            DataFusionError::Collection(errors) => {
                let mut problems = errors.iter().map(|error| Self::of(error, sql));
                let mut first = problems.next().unwrap_or_else(|| Self::new("it is not valid"));
                first.others = problems.filter(|other| *other != first).collect();
                first
            }
            DataFusionError::Diagnostic(diagnostic, inner) => {
                let spot = diagnostic.span.and_then(|s| Spot::new(s.start.line, s.start.column));
                let inner = Self::of(inner, sql);
                Self { at: spot.or(inner.at), ..inner.or_diagnostic(diagnostic) }
            }
            DataFusionError::Context(_, inner) => Self::of(inner, sql),
            DataFusionError::Shared(inner) => Self::of(inner, sql),
            DataFusionError::SQL(error, _) => of_parser(error),
            DataFusionError::SchemaError(error, _) => of_schema(error, sql),
            other => of_message(&other.strip_backtrace(), sql),
        }
    }

    /// Prefers the diagnostic's help where the error itself gives none.
    fn or_diagnostic(mut self, diagnostic: &Diagnostic) -> Self {
        if self.hints.is_empty() {
            self.hints = diagnostic.helps.iter().map(|help| sentence(&help.message)).collect();
        }
        self
    }
}

fn of_parser(error: &ParserError) -> Problem {
    let (ParserError::ParserError(text) | ParserError::TokenizerError(text)) = error else {
        return Problem::new("it is nested too deeply").hint("split it with WITH, or into models");
    };
    let (message, spot) = match text.rsplit_once(" at Line: ") {
        Some((message, place)) => {
            let mut numbers = place.split(", Column: ").map(|part| part.trim().parse().ok());
            let spot = match (numbers.next().flatten(), numbers.next().flatten()) {
                (Some(line), Some(column)) => Spot::new(line, column),
                _ => None,
            };
            (message, spot)
        }
        None => (text.as_str(), None),
    };
    let detail = match message.strip_prefix("Expected: ").and_then(|m| m.split_once(", found: ")) {
        Some((expected, "EOF")) => format!("expected {expected}, found the end of the text"),
        Some((expected, found)) => format!("expected {expected}, found `{found}`"),
        None => sentence(message),
    };
    Problem::new(detail).at(spot)
}

fn of_schema(error: &SchemaError, sql: &str) -> Problem {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => missing_column(field, valid_fields)
            .at(field.spans().first().and_then(|s| Spot::new(s.start.line, s.start.column)))
            .at(find_word(sql, &field.name)),
        SchemaError::AmbiguousReference { field } => {
            Problem::new(format!("column `{}` is in more than one table here", field.name))
                .hint(format!("write which table's, as in `orders.{}`", field.name))
                .at(find_word(sql, &field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            Problem::new(format!("column `{name}` occurs twice"))
                .hint(if name.contains('(') {
                    // Casts are left out of such names: `sum(x)` and `sum(cast(x as …))` are one.
                    "compute the argument of one of them in an inner query, under another name"
                } else {
                    "give one of them another name with `as`"
                })
                .at(find_word(sql, name))
        }
    }
}

fn missing_column(field: &Column, valid: &[Column]) -> Problem {
    let mut tables: Vec<String> = match &field.relation {
        Some(relation) => vec![relation.to_string()],
        None => valid.iter().filter_map(|c| Some(c.relation.as_ref()?.to_string())).collect(),
    };
    tables.sort();
    tables.dedup();
    let listed = tables.iter().map(|table| format!("`{table}`")).collect::<Vec<_>>().join(", ");
    let known = valid.iter().filter(|c| field.relation.is_none() || c.relation == field.relation);
    let names: Vec<&str> = known.map(Column::name).collect();
    let detail = match (listed.is_empty(), &field.relation) {
        (true, _) => format!("no column `{}`", field.name),
        (false, Some(_)) if names.is_empty() => {
            format!("no table {listed} in this part of the query")
        }
        (false, _) => format!("no column `{}` in {listed}", field.name),
    };
    let problem = Problem::new(detail);
    if let Some(name) = did_you_mean(&field.name, names.iter().copied()) {
        return problem.hint(format!("did you mean `{}`?", written(name)));
    }
    match names.len() {
        0 => problem,
        1..=30 => problem.hint(format!(
            "there are {}",
            names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
        )),
        more => problem.hint(format!("there are {more} others: see them with `describe`")),
    }
}

/// How a name has to be written in SQL, where unquoted names are folded to lower case.
pub(super) fn written(name: &str) -> String {
    let plain = name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit())
        && !name.starts_with(|c: char| c.is_ascii_digit());
    if plain && !name.is_empty() { name.to_owned() } else { quoted(name) }
}

/// A name as SQL, always in quotes.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// What DataFusion puts before its messages.
const PREFIXES: [&str; 4] = [
    "Error during planning: ",
    "This feature is not implemented: ",
    "Execution error: ",
    "Internal error: ",
];

fn of_message(message: &str, sql: &str) -> Problem {
    let text =
        PREFIXES.iter().fold(message, |text, prefix| text.strip_prefix(prefix).unwrap_or(text));
    // A request to report a bug to others follows what DataFusion calls internal.
    let text = text.split_once(". This issue was likely caused").map_or(text, |(text, _)| text);
    if let Some(rest) = text.strip_prefix("Invalid function '")
        && let Some((name, _)) = rest.split_once('\'')
    {
        let problem = Problem::new(format!("no function `{name}`")).at(find_word(sql, name));
        let known = functions();
        return match did_you_mean(name, known.iter().map(String::as_str)) {
            Some(close) => problem.hint(format!("did you mean `{close}`?")),
            None => problem.hint("see the functions with `longshore sql \"show functions\"`"),
        };
    }
    if let Some(rest) = text.strip_prefix("Invalid qualifier ") {
        return Problem::new(format!("no table `{rest}` in this part of the query"))
            .at(find_word(sql, rest));
    }
    if let Some((_, rest)) = text.split_once("While expanding wildcard, column \"")
        && let Some((name, _)) = rest.split_once("\" must appear in the GROUP BY")
    {
        let column = name.rsplit('.').next().unwrap_or(name);
        return Problem::new(format!("`{column}` is neither in GROUP BY nor inside an aggregate"))
            .at(find_word(sql, column))
            .hint(format!("add it to GROUP BY, or say which of its values: `max({column})`"));
    }
    if text.contains("require unique expression names") {
        return twice(text, sql);
    }
    Problem::new(sentence(text))
}

/// Two columns of one SELECT have the same name.
fn twice(text: &str, sql: &str) -> Problem {
    let position = |part: &str| {
        let digits = part.split_once("at position ")?.1;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse::<usize>().ok()
    };
    let (first, second) = text.split_once(" and \"").unwrap_or((text, ""));
    let name = second.split_once("\" at position").map_or("", |(name, _)| name);
    let name = name.rsplit_once(" AS ").map_or(name, |(_, alias)| alias);
    let name = name.rsplit('.').next().unwrap_or(name);
    let problem = match (position(first), position(second)) {
        (Some(first), Some(second)) => {
            let detail = format!("columns {} and {} are both `{name}`", first + 1, second + 1);
            Problem::new(detail).at(named_column(sql, second, name))
        }
        _ => Problem::new("two columns have the same name"),
    };
    problem.hint("give one of them another name with `as`")
}

/// The names of all functions that SQL can call.
fn functions() -> Vec<String> {
    let scalar = SessionStateDefaults::default_scalar_functions();
    let aggregate = SessionStateDefaults::default_aggregate_functions();
    let window = SessionStateDefaults::default_window_functions();
    let scalar = scalar.iter().map(|function| function.name().to_owned());
    let aggregate = aggregate.iter().map(|function| function.name().to_owned());
    scalar
        .chain(aggregate)
        .chain(window.iter().map(|function| function.name().to_owned()))
        .collect()
}

/// A foreign message in our words' shape: one line, lower case, no final period.
pub(super) fn sentence(message: &str) -> String {
    let line = message.split_whitespace().collect::<Vec<_>>().join(" ");
    let line = line.trim_end_matches(['.', ' ']);
    let mut chars = line.chars();
    match (chars.next(), chars.next()) {
        // Acronyms and type names keep their capitals.
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().chain(line.chars().skip(1)).collect()
        }
        _ => line.to_owned(),
    }
}

/// The first place where `sql` says `word`, comments and strings aside.
pub(super) fn find_word(sql: &str, word: &str) -> Option<Spot> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    tokens.iter().find_map(|token| match &token.token {
        Token::Word(found) if found.quote_style.is_some() && found.value == word => {
            Spot::of(token.span)
        }
        Token::Word(found)
            if found.quote_style.is_none() && found.value.eq_ignore_ascii_case(word) =>
        {
            Spot::of(token.span)
        }
        _ => None,
    })
}

/// The first place of `sql` that is neither white space nor a comment.
pub(super) fn first_token(sql: &str) -> Option<Spot> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().ok()?;
    let start = |location: Location| Spot::new(location.line, location.column);
    tokens
        .iter()
        .find(|token| !matches!(token.token, Token::Whitespace(_)))
        .and_then(|token| start(token.span.start))
}
