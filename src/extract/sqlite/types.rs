//! Declared types, and what becomes of them.
//!
//! SQLite checks a column's declaration hardly or not at all: any cell may hold any type. So the
//! declaration decides the Arrow type, and every cell is checked against it while it is read
//! (`decode`); nothing is bent to fit.

use arrow::datatypes::DataType;

use crate::{extract::Mapping, types::ColumnType};

/// What a column is declared to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Declared {
    Integer,
    Double,
    Text,
    Binary,
    Boolean,
    /// Digits in all, and after the point.
    Decimal(u8, i8),
    Date,
    Timestamp,
    /// Nothing that fixes a type: no declaration, `numeric` without digits, or a word that SQLite
    /// knows nothing of, such as `json` or `uuid`.
    Any,
}

/// How a column without a declared type is shown.
pub(super) const UNDECLARED: &str = "any";

impl Declared {
    /// Reads a declaration as SQL writes it: words for dates, booleans and decimals by their name,
    /// everything else by SQLite's own rules of affinity.
    pub(super) fn parse(text: &str) -> Self {
        let lower = text.trim().to_ascii_lowercase();
        let (word, arguments) = lower.split_once('(').unwrap_or((&lower, ""));
        let contains = |parts: &[&str]| parts.iter().any(|part| word.contains(part));
        match word.trim() {
            "bool" | "boolean" => Self::Boolean,
            "date" => Self::Date,
            "datetime" | "timestamptz" => Self::Timestamp,
            word if word.starts_with("timestamp") => Self::Timestamp,
            "decimal" | "numeric" | "dec" | "number" => decimal(arguments).unwrap_or(Self::Any),
            _ if contains(&["int"]) => Self::Integer,
            _ if contains(&["char", "clob", "text"]) => Self::Text,
            _ if contains(&["blob"]) => Self::Binary,
            _ if contains(&["real", "floa", "doub"]) => Self::Double,
            _ => Self::Any,
        }
    }

    /// The column type that its values have in the warehouse.
    fn column_type(self) -> ColumnType {
        match self {
            Self::Integer => ColumnType::BigInt,
            Self::Double => ColumnType::Double,
            Self::Text | Self::Any => ColumnType::Text,
            Self::Binary => ColumnType::Binary,
            Self::Boolean => ColumnType::Boolean,
            Self::Decimal(precision, scale) => ColumnType::Decimal(precision, scale),
            Self::Date => ColumnType::Date,
            Self::Timestamp => ColumnType::Timestamp,
        }
    }

    /// What becomes of the column.
    pub(super) fn mapping(self) -> Mapping {
        let data_type = self.column_type().arrow();
        let note = match self {
            Self::Integer => "integers; a cell that is not a whole number does not fit",
            Self::Double => {
                "floating-point numbers; an integer that no double holds exactly does not fit"
            }
            Self::Text => "text; bytes that are not UTF-8, and blobs, do not fit",
            Self::Binary => "blobs; a cell that is not a blob does not fit",
            Self::Boolean => "0 and 1; any other cell does not fit",
            Self::Decimal(..) => {
                "integers, decimal text, and floating-point numbers whose shortest text fits the \
                 scale; any other cell does not fit"
            }
            Self::Date => "`YYYY-MM-DD`; any other cell does not fit",
            Self::Timestamp => {
                "ISO 8601 text; without a zone it is UTC; any other cell does not fit, numbers too"
            }
            Self::Any => {
                return Mapping::Kept {
                    data_type,
                    note: "no type is declared, so numbers become text; blobs do not fit; \
                           `cast` reads it as another type"
                        .to_owned(),
                };
            }
        };
        Mapping::Guarded { data_type, note: note.to_owned() }
    }

    /// The Arrow type that the column is read as under `cast: to`, or why that can't be.
    pub(super) fn cast(self, to: ColumnType) -> Result<DataType, String> {
        use ColumnType as T;
        let is_number = matches!(
            to,
            T::SmallInt | T::Integer | T::BigInt | T::Real | T::Double | T::Decimal(..)
        );
        let possible = match self {
            Self::Text | Self::Any => true,
            Self::Integer => is_number || matches!(to, T::Boolean | T::Text | T::Timestamp),
            Self::Double | Self::Decimal(..) => is_number || to == T::Text,
            Self::Boolean => is_number || matches!(to, T::Boolean | T::Text),
            Self::Binary => matches!(to, T::Binary | T::Text),
            Self::Date => matches!(to, T::Date | T::Text),
            Self::Timestamp => matches!(to, T::Timestamp | T::TimestampNtz | T::Text),
        };
        if possible {
            return Ok(to.arrow());
        }
        Err(format!("SQLite has no exact way from its declared type to `{to}`; write a query"))
    }
}

/// `p` or `p,s` and the closing parenthesis, where a decimal of 38 digits holds it.
fn decimal(arguments: &str) -> Option<Declared> {
    let inner = arguments.trim().strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    ((1..=38).contains(&precision) && (0..=precision as i8).contains(&scale))
        .then_some(Declared::Decimal(precision, scale))
}

/// One row of the table of types that the manual shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeRow {
    /// Declarations that mean the same.
    pub declared: &'static [&'static str],
    /// The Arrow type that they are read as.
    pub arrow: String,
    /// The Delta Lake type that they are published as.
    pub delta: String,
    /// What the reader of the warehouse must know.
    pub note: String,
}

/// Every kind of declaration with what becomes of it, as the code that reads them has it.
pub fn type_table() -> Vec<TypeRow> {
    const DECLARATIONS: [&[&str]; 9] = [
        &["INTEGER", "INT", "BIGINT", "SMALLINT", "TINYINT"],
        &["REAL", "DOUBLE", "FLOAT"],
        &["TEXT", "VARCHAR(40)", "CHAR(2)", "CLOB"],
        &["BLOB"],
        &["BOOLEAN", "BOOL"],
        &["DECIMAL(12,2)", "NUMERIC(12,2)"],
        &["DATE"],
        &["DATETIME", "TIMESTAMP", "TIMESTAMPTZ"],
        &["", "ANY", "NUMERIC", "JSON", "UUID", "TIME"],
    ];
    DECLARATIONS
        .into_iter()
        .map(|declared| {
            let meant = Declared::parse(declared.first().copied().unwrap_or_default());
            let note = match meant.mapping() {
                Mapping::Kept { note, .. } | Mapping::Guarded { note, .. } => note,
                Mapping::Exact { .. } | Mapping::Refused { .. } => String::new(),
            };
            let (arrow, delta) = (meant.column_type().arrow().to_string(), meant.delta());
            TypeRow { declared, arrow, delta, note }
        })
        .collect()
}

impl Declared {
    fn delta(self) -> String {
        match self {
            Self::Integer => "long".to_owned(),
            Self::Text | Self::Any => "string".to_owned(),
            other => other.column_type().to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_types() {
        let mut text = String::new();
        for row in type_table() {
            let meant: Vec<_> = row.declared.iter().map(|text| Declared::parse(text)).collect();
            assert!(meant.windows(2).all(|pair| pair[0] == pair[1]), "{:?}", row.declared);
            text += &format!("{} | {} | {}\n", row.declared[0], row.arrow, row.delta);
        }
        insta::assert_snapshot!(text, @r#"
        INTEGER | Int64 | long
        REAL | Float64 | double
        TEXT | Utf8View | string
        BLOB | BinaryView | binary
        BOOLEAN | Boolean | boolean
        DECIMAL(12,2) | Decimal128(12, 2) | decimal(12,2)
        DATE | Date32 | date
        DATETIME | Timestamp(µs, "UTC") | timestamp
         | Utf8View | string
        "#);
    }

    #[test]
    fn declarations_follow_affinity_where_no_name_says_more() {
        for (text, meant) in [
            ("unsigned big int", Declared::Integer),
            ("VARYING CHARACTER(255)", Declared::Text),
            ("double precision", Declared::Double),
            ("decimal( 10 , 4 )", Declared::Decimal(10, 4)),
            ("decimal(10)", Declared::Decimal(10, 0)),
            ("numeric(60, 2)", Declared::Any),
            ("timestamp(3) with time zone", Declared::Timestamp),
            ("string", Declared::Any),
        ] {
            assert_eq!(Declared::parse(text), meant, "{text}");
        }
    }

    #[test]
    fn casts_without_an_exact_way_are_refused() {
        assert!(Declared::Binary.cast(ColumnType::BigInt).is_err());
        assert!(Declared::Double.cast(ColumnType::Timestamp).is_err());
        assert_eq!(Declared::Any.cast(ColumnType::BigInt), Ok(DataType::Int64));
    }
}
