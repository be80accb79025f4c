//! Which column types hold every value of another one, exactly.

use arrow::datatypes::DataType;

/// Whether every value of type `from` is a value of type `to`, and the types differ.
///
/// Floats take integers only where all of them are exact: 24 bits in a real, 53 in a double.
/// Nothing becomes text, because a reader that computes with the column would break. Nested types
/// are equal or different.
pub(super) fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType as D;
    match (from, to) {
        (D::Int16, D::Int32 | D::Int64 | D::Float32 | D::Float64)
        | (D::Int32, D::Int64 | D::Float64)
        | (D::Float32, D::Float64) => true,
        (D::Int16, D::Decimal128(precision, scale)) => digits(*precision, *scale) >= 5,
        (D::Int32, D::Decimal128(precision, scale)) => digits(*precision, *scale) >= 10,
        (D::Int64, D::Decimal128(precision, scale)) => digits(*precision, *scale) >= 19,
        (D::Decimal128(p, s), D::Decimal128(precision, scale)) => {
            from != to && scale >= s && digits(*precision, *scale) >= digits(*p, *s)
        }
        _ => false,
    }
}

/// Digits before the point.
fn digits(precision: u8, scale: i8) -> i16 {
    i16::from(precision) - i16::from(scale)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;

    use super::widens;
    use crate::types::ColumnType;

    fn type_of(text: &str) -> DataType {
        text.parse::<ColumnType>().unwrap().arrow()
    }

    #[test]
    fn only_what_holds_every_value_is_wider() {
        let types: Vec<_> = "boolean smallint integer bigint real double decimal(5,0) \
             decimal(10,0) decimal(19,0) decimal(21,2) decimal(12,2) decimal(14,4) decimal(12,4) \
             text binary date timestamp timestamp_ntz"
            .split_whitespace()
            .collect();
        let mut found = String::new();
        for from in &types {
            let wider: Vec<_> =
                types.iter().filter(|to| widens(&type_of(from), &type_of(to))).copied().collect();
            if !wider.is_empty() {
                found += &format!("{from} → {}\n", wider.join(" "));
            }
        }
        insta::assert_snapshot!(found, @r"
        smallint → integer bigint real double decimal(5,0) decimal(10,0) decimal(19,0) decimal(21,2) decimal(12,2) decimal(14,4) decimal(12,4)
        integer → bigint double decimal(10,0) decimal(19,0) decimal(21,2) decimal(12,2) decimal(14,4)
        bigint → decimal(19,0) decimal(21,2)
        real → double
        decimal(5,0) → decimal(10,0) decimal(19,0) decimal(21,2) decimal(12,2) decimal(14,4) decimal(12,4)
        decimal(10,0) → decimal(19,0) decimal(21,2) decimal(12,2) decimal(14,4)
        decimal(19,0) → decimal(21,2)
        decimal(12,2) → decimal(21,2) decimal(14,4)
        decimal(12,4) → decimal(14,4)
        ");
    }
}
