//! What goes wrong while a query runs → an error that tells the cause and never a row's value.
//!
//! Arrow's and DataFusion's messages quote the values they stumble over, so none of them is
//! passed on as it is.

use arrow::error::ArrowError;
use datafusion::{common::DataFusionError, parquet::errors::ParquetError};

use crate::{
    error::{Error, ErrorKind},
    types::ByteSize,
};

use super::diagnose::sentence;

/// The names of types in messages; all that is kept of a message about a value.
const TYPES: [&str; 22] = [
    "Boolean",
    "Int8",
    "Int16",
    "Int32",
    "Int64",
    "UInt8",
    "UInt16",
    "UInt32",
    "UInt64",
    "Float16",
    "Float32",
    "Float64",
    "Decimal32",
    "Decimal64",
    "Decimal128",
    "Decimal256",
    "Date32",
    "Date64",
    "Timestamp",
    "Interval",
    "timestamp",
    "date",
];

/// How DataFusion begins the message about a task that was cancelled.
const LOST_TASK: &str = "Non Panic Task error";

/// The error of a query that stopped while it ran, under the first line `what`.
pub(super) fn failed(what: String, error: &DataFusionError, memory: ByteSize) -> Error {
    match root(error) {
        Root::Arrow(ArrowError::DivideByZero) => by_zero(what),
        Root::Arrow(ArrowError::ArithmeticOverflow(_)) => overflow(what),
        Root::Arrow(
            ArrowError::CastError(text)
            | ArrowError::ParseError(text)
            | ArrowError::ComputeError(text)
            | ArrowError::InvalidArgumentError(text),
        ) => of_value(what, text),
        // A filter that was pushed into a scan: the error it met is told in Rust's own notation.
        Root::Parquet(text) => of_value(what, text),
        Root::Arrow(ArrowError::IoError(text, _)) => storage(what, text),
        Root::Arrow(other) => {
            Error::new(ErrorKind::Data, what).because(redacted(&other.to_string()))
        }
        Root::DataFusion(error) => of_datafusion(what, error, memory),
    }
}

fn by_zero(what: String) -> Error {
    Error::new(ErrorKind::Data, what)
        .because("a division by zero")
        .hint("make the divisor NULL where it is zero: `nullif(divisor, 0)`")
}

fn overflow(what: String) -> Error {
    Error::new(ErrorKind::Data, what)
        .because("a number is too large for its type")
        .hint("cast to a wider type first, such as decimal(38,0)")
}

/// A message about a value, reduced to the type it was meant for.
fn of_value(what: String, text: &str) -> Error {
    let mut words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let lower = text.to_lowercase();
    if lower.contains("dividebyzero") || lower.contains("divide by zero") {
        return by_zero(what);
    }
    let cause = match words.rfind(|word| TYPES.contains(word)) {
        Some(name) => format!("a value does not fit the type `{name}`"),
        None if lower.contains("overflow") => return overflow(what),
        None => "a value does not fit its type".to_owned(),
    };
    Error::new(ErrorKind::Data, what)
        .because(cause)
        .hint("where NULL will do instead, write `try_cast(… as …)`")
}

fn of_datafusion(what: String, error: &DataFusionError, memory: ByteSize) -> Error {
    let text = error.strip_backtrace();
    match error {
        DataFusionError::ResourcesExhausted(text) if text.contains("disk") => {
            Error::new(ErrorKind::Storage, what)
                .because("the disk space for spilling is used up")
                .hint("free space where `.longshore` lies")
        }
        DataFusionError::ResourcesExhausted(_) => Error::new(ErrorKind::Memory, what)
            .because(format!("it needs more memory than the {memory} that queries may use"))
            .hint("raise `memory` in longshore.yml, or join and sort less at once"),
        DataFusionError::ParquetError(_)
        | DataFusionError::ObjectStore(_)
        | DataFusionError::IoError(_) => storage(what, &text),
        DataFusionError::External(inner)
            if inner.is::<object_store::Error>() || inner.is::<std::io::Error>() =>
        {
            storage(what, &text)
        }
        // A task of the engine's own that ended early: DataFusion has no variant for it.
        DataFusionError::Execution(text) if text.starts_with(LOST_TASK) => {
            Error::new(ErrorKind::Internal, what).because(redacted(text))
        }
        DataFusionError::Internal(_)
        | DataFusionError::ExecutionJoin(_)
        | DataFusionError::External(_) => {
            Error::new(ErrorKind::Internal, what).because(redacted(&text))
        }
        DataFusionError::Plan(_)
        | DataFusionError::SchemaError(..)
        | DataFusionError::NotImplemented(_)
        | DataFusionError::Configuration(_) => {
            Error::new(ErrorKind::Model, what).because(redacted(&text))
        }
        _ => Error::new(ErrorKind::Data, what).because(redacted(&text)),
    }
}

fn storage(what: String, text: &str) -> Error {
    Error::new(ErrorKind::Storage, what).because(sentence(text))
}

enum Root<'a> {
    Arrow(&'a ArrowError),
    /// What a scan's own filter met.
    Parquet(&'a str),
    DataFusion(&'a DataFusionError),
}

/// The innermost error: wrappers add where in DataFusion it passed, which helps nobody.
fn root(error: &DataFusionError) -> Root<'_> {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => root(inner),
        DataFusionError::Shared(inner) => root(inner),
        DataFusionError::Collection(all) => all.first().map_or(Root::DataFusion(error), root),
        DataFusionError::ArrowError(inner, _) => arrow_root(inner),
        DataFusionError::ParquetError(inner) => parquet_root(inner, error),
        DataFusionError::External(inner) => {
            foreign(inner.as_ref()).unwrap_or(Root::DataFusion(error))
        }
        other => Root::DataFusion(other),
    }
}

fn parquet_root<'a>(error: &'a ParquetError, outer: &'a DataFusionError) -> Root<'a> {
    match error {
        ParquetError::External(inner) => foreign(inner.as_ref()).unwrap_or(Root::DataFusion(outer)),
        ParquetError::ArrowError(text) => Root::Parquet(text),
        _ => Root::DataFusion(outer),
    }
}

fn arrow_root(error: &ArrowError) -> Root<'_> {
    match error {
        ArrowError::ExternalError(inner) => foreign(inner.as_ref()).unwrap_or(Root::Arrow(error)),
        other => Root::Arrow(other),
    }
}

fn foreign<'a>(error: &'a (dyn std::error::Error + Send + Sync + 'static)) -> Option<Root<'a>> {
    let error: &'a (dyn std::error::Error + 'static) = error;
    error
        .downcast_ref::<DataFusionError>()
        .map(root)
        .or_else(|| error.downcast_ref::<ArrowError>().map(arrow_root))
}

/// The first line of `text` without anything in quotes and without free-standing numbers.
fn redacted(text: &str) -> String {
    let quote = ['\'', '"', '`'];
    let text = match (text.find(quote), text.rfind(quote)) {
        (Some(first), Some(last)) if first < last => {
            let head = text.get(..first).unwrap_or_default();
            format!("{head}…{}", text.get(last + 1..).unwrap_or_default())
        }
        _ => text.to_owned(),
    };
    let line = text.lines().next().unwrap_or_default();
    let words = line.split_whitespace().map(|word| {
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '-') { "…" } else { word }
    });
    sentence(&words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_is_told() {
        let arrow = |error: ArrowError| DataFusionError::ArrowError(Box::new(error), None);
        let errors = [
            arrow(ArrowError::CastError(
                "Cannot cast string 'secret' to value of Int32 type".into(),
            )),
            arrow(ArrowError::ComputeError("Overflow happened on: 42 + 4242".into())),
            arrow(ArrowError::ArithmeticOverflow("Overflow happened on: 42 * 4242".into())),
            arrow(ArrowError::ExternalError(Box::new(DataFusionError::Execution(
                "Error parsing 'it's secret' at 42: secret \"secret\"".into(),
            )))),
            DataFusionError::ParquetError(Box::new(ParquetError::External(Box::new(
                ArrowError::ComputeError("Error evaluating: ArrowError(DivideByZero)".into()),
            )))),
            DataFusionError::Execution("array has 42 elements, not `secret`\nsecret".into()),
        ];
        let told: Vec<String> = errors
            .iter()
            .map(|error| failed("stopped".into(), error, ByteSize::mib(1)).to_string())
            .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        stopped: a value does not fit the type `Int32`
        stopped: a number is too large for its type
        stopped: a number is too large for its type
        stopped: execution error: Error parsing …
        stopped: a division by zero
        stopped: execution error: array has … elements, not …
        ");
    }

    #[test]
    fn a_lost_task_is_not_the_data_s_fault() {
        let error = DataFusionError::Execution(format!("{LOST_TASK}: task 7 was cancelled"));
        assert_eq!(failed("stopped".into(), &error, ByteSize::mib(1)).kind(), ErrorKind::Internal);
    }

    #[test]
    fn memory_is_its_own_kind() {
        let error = DataFusionError::ResourcesExhausted("Failed to allocate".into())
            .context("while sorting");
        let error = failed("stopped".into(), &error, ByteSize::mib(512));
        assert_eq!(error.kind(), ErrorKind::Memory);
        insta::assert_snapshot!(error, @"stopped: it needs more memory than the 512 MiB that queries may use");
    }
}
