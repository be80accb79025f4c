//! How Arrow's values become JSON, wherever they do. No value changes on the way: a whole number
//! beyond 2⁵³, a decimal of more than 15 digits, NaN and the infinities are text, because most
//! readers keep numbers as doubles; NULL is `null`; times are RFC 3339; binary values are
//! hexadecimal.

use std::{fmt::Write as _, sync::Arc};

use arrow::{
    array::Array,
    datatypes::{DataType, FieldRef},
    error::ArrowError,
    json::writer::{Encoder, EncoderFactory, EncoderOptions, NullableEncoder},
    util::display::{ArrayFormatter, FormatOptions},
};

/// Values that can't be shown are errors, never a text that looks like a value.
const DISPLAY: FormatOptions<'static> = FormatOptions::new().with_display_error(false);

/// Encodes values as above.
pub fn exact_json() -> EncoderOptions {
    EncoderOptions::default().with_explicit_nulls(true).with_encoder_factory(exact_numbers())
}

/// The part of it that is not Arrow's own.
pub fn exact_numbers() -> Arc<dyn EncoderFactory> {
    Arc::new(ExactNumbers)
}

/// Encodes numbers so that a reader who takes them for doubles reads them exactly.
#[derive(Debug)]
struct ExactNumbers;

impl EncoderFactory for ExactNumbers {
    fn make_default_encoder<'a>(
        &self,
        _: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        use DataType as D;
        let limit = match array.data_type() {
            D::Int64 | D::UInt64 => Limit::Magnitude(1 << 53),
            D::Decimal32(..) | D::Decimal64(..) | D::Decimal128(..) | D::Decimal256(..) => {
                Limit::Magnitude(999_999_999_999_999)
            }
            D::Float16 | D::Float32 | D::Float64 => Limit::Finite,
            _ => return Ok(None),
        };
        let formatter = ArrayFormatter::try_new(array, &DISPLAY)?;
        let encoder = Number { formatter, limit, text: String::new() };
        Ok(Some(NullableEncoder::new(Box::new(encoder), array.logical_nulls())))
    }
}

/// Which numbers a double holds.
enum Limit {
    /// Those whose digits, read as a whole number, are at most this.
    Magnitude(u128),
    /// Those that are numbers.
    Finite,
}

struct Number<'a> {
    formatter: ArrayFormatter<'a>,
    limit: Limit,
    text: String,
}

impl Number<'_> {
    fn is_exact(&self) -> bool {
        match self.limit {
            Limit::Finite => self.text.ends_with(|c: char| c.is_ascii_digit()),
            Limit::Magnitude(limit) => {
                let digits: String = self.text.chars().filter(char::is_ascii_digit).collect();
                digits.parse::<u128>().is_ok_and(|magnitude| magnitude <= limit)
            }
        }
    }
}

impl Encoder for Number<'_> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        self.text.clear();
        // Numbers always have a text, and a string always takes it.
        let _ = write!(self.text, "{}", self.formatter.value(at));
        if self.is_exact() {
            out.extend_from_slice(self.text.as_bytes());
            return;
        }
        let text = match self.text.as_str() {
            "inf" => "Infinity",
            "-inf" => "-Infinity",
            text => text,
        };
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }
}
