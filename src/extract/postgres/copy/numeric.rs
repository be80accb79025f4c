//! `numeric`: an exact decimal in base 10 000, into decimals, integers and text. Never rounded.
//!
//! On the wire: `i16` number of digits, `i16` weight (the first digit counts 10000^weight), `u16`
//! sign, `u16` display scale, then the digits, `i16` each (`numeric_send` in PostgreSQL's
//! `numeric.c`).

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, PrimitiveArray},
    buffer::ScalarBuffer,
    datatypes::{ArrowPrimitiveType, DataType, Decimal128Type, Int16Type, Int32Type, Int64Type},
};

use super::{
    Decode,
    cells::{Bits, Cells, Fault, Problem},
};

const NAN: Problem = Problem::Unfit("NaN");
const INFINITY: Problem = Problem::Unfit("infinity");
const TOO_LARGE: Problem = Problem::Unfit("a number of too many digits");
const TOO_FINE: Problem = Problem::Unfit("a number with more digits after the point");
const MALFORMED: Problem = Problem::Malformed("a malformed numeric");

const NEGATIVE: u16 = 0x4000;

/// 10⁰ … 10¹⁸.
#[allow(clippy::indexing_slicing, reason = "the compiler itself runs this")]
const POWERS: [i64; 19] = {
    let mut powers = [1; 19];
    let mut at = 1;
    while at < 19 {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};

/// A numeric's parts, checked as far as its length goes.
#[derive(Clone, Copy)]
struct Parts<'a> {
    weight: i16,
    sign: u16,
    display_scale: u16,
    digits: &'a [[u8; 2]],
}

#[inline]
fn parts(cell: &[u8]) -> Result<Parts<'_>, Problem> {
    let (head, digits) = cell.split_first_chunk::<8>().ok_or(MALFORMED)?;
    let head = u64::from_be_bytes(*head);
    let (digits, rest) = digits.as_chunks::<2>();
    if digits.len() != (head >> 48) as usize || !rest.is_empty() {
        return Err(MALFORMED);
    }
    Ok(Parts {
        weight: (head >> 32) as i16,
        sign: (head >> 16) as u16,
        display_scale: head as u16,
        digits,
    })
}

/// What a decimal of a precision and a scale takes to decode.
#[derive(Clone, Copy)]
struct Scale {
    /// Digits after the point.
    digits: i32,
    /// How many base-10000 digits after the point are kept whole.
    whole: i32,
    /// How many decimal digits of the next one are kept, 0 to 3, and the power of ten of both
    /// sides of the cut.
    kept: i64,
    cut: i64,
    /// Every value is smaller than this: 10^precision.
    limit: i128,
}

impl Scale {
    fn new(precision: u8, scale: i8) -> Option<Self> {
        let digits = u32::try_from(scale).ok()?;
        let kept = digits % 4;
        Some(Self {
            digits: digits as i32,
            whole: (digits / 4) as i32,
            kept: 10_i64.pow(kept),
            cut: 10_i64.pow(4 - kept),
            limit: 10_i128.checked_pow(u32::from(precision))?,
        })
    }

    /// The value × 10^scale, exactly.
    #[inline]
    fn decode(&self, cell: &[u8]) -> Result<i128, Problem> {
        let parts = parts(cell)?;
        if parts.sign & !NEGATIVE != 0 {
            return Err(not_a_number(parts.sign));
        }
        let weight = i32::from(parts.weight);
        // What lies above the point has at most 4 × (weight + 1) digits: 18 of them in all can't
        // overflow, so the usual value needs no checked arithmetic.
        let magnitude = if (weight + 1) * 4 + self.digits <= 18 {
            i128::from(self.narrow(parts.digits, weight)?)
        } else {
            self.wide(parts.digits, weight)?
        };
        if magnitude >= self.limit {
            return Err(TOO_LARGE);
        }
        Ok(if parts.sign == NEGATIVE { -magnitude } else { magnitude })
    }

    #[inline]
    fn narrow(&self, digits: &[[u8; 2]], weight: i32) -> Result<i64, Problem> {
        let mut value = 0_i64;
        let mut exponent = weight;
        for digit in digits {
            let digit = i64::from(u16::from_be_bytes(*digit));
            if digit >= 10_000 {
                return Err(MALFORMED);
            }
            if exponent >= -self.whole {
                value = value * 10_000 + digit;
            } else {
                value = self.last(value, digit, exponent)?;
            }
            exponent -= 1;
        }
        // The digits that were not sent are zeros.
        let zeros = (exponent + 1) * 4 + self.digits;
        match usize::try_from(zeros).ok().and_then(|zeros| POWERS.get(zeros)) {
            Some(power) => Ok(value * power),
            None => Ok(value),
        }
    }

    /// Takes in the digit that the scale cuts in two, or one beyond it.
    #[inline]
    fn last(&self, value: i64, digit: i64, exponent: i32) -> Result<i64, Problem> {
        if exponent == -self.whole - 1 && digit % self.cut == 0 {
            Ok(value * self.kept + digit / self.cut)
        } else if digit == 0 {
            Ok(value)
        } else {
            Err(TOO_FINE)
        }
    }

    #[cold]
    fn wide(&self, digits: &[[u8; 2]], weight: i32) -> Result<i128, Problem> {
        let mut value = 0_i128;
        let mut exponent = weight;
        let join = |value: i128, factor: i64, digit: i64| {
            value.checked_mul(factor.into())?.checked_add(digit.into())
        };
        for digit in digits {
            let digit = i64::from(u16::from_be_bytes(*digit));
            if digit >= 10_000 {
                return Err(MALFORMED);
            }
            if exponent >= -self.whole {
                value = join(value, 10_000, digit).ok_or(TOO_LARGE)?;
            } else if exponent == -self.whole - 1 && digit % self.cut == 0 {
                value = join(value, self.kept, digit / self.cut).ok_or(TOO_LARGE)?;
            } else if digit != 0 {
                return Err(TOO_FINE);
            }
            exponent -= 1;
        }
        let zeros = (exponent + 1) * 4 + self.digits;
        match u32::try_from(zeros) {
            Ok(zeros) if value != 0 => 10_i128
                .checked_pow(zeros)
                .and_then(|power| value.checked_mul(power))
                .ok_or(TOO_LARGE),
            _ => Ok(value),
        }
    }
}

#[cold]
fn not_a_number(sign: u16) -> Problem {
    match sign {
        0xC000 => NAN,
        0xD000 | 0xF000 => INFINITY,
        _ => MALFORMED,
    }
}

struct Numeric<T: ArrowPrimitiveType, F> {
    scale: Scale,
    values: Vec<T::Native>,
    validity: Bits,
    data_type: DataType,
    convert: F,
}

/// A decoder of `numeric` into `target`, a decimal or an integer, or `None` where there is none.
/// What `target` can't hold digit for digit is refused.
pub(super) fn numeric(target: &DataType) -> Option<Box<dyn Decode>> {
    let same = target.clone();
    Some(match target {
        DataType::Decimal128(precision, scale) => {
            boxed::<Decimal128Type, _>(same, Scale::new(*precision, *scale)?, Ok)
        }
        DataType::Int64 => boxed::<Int64Type, _>(same, Scale::new(19, 0)?, |value| {
            i64::try_from(value).map_err(|_| TOO_LARGE)
        }),
        DataType::Int32 => boxed::<Int32Type, _>(same, Scale::new(10, 0)?, |value| {
            i32::try_from(value).map_err(|_| TOO_LARGE)
        }),
        DataType::Int16 => boxed::<Int16Type, _>(same, Scale::new(5, 0)?, |value| {
            i16::try_from(value).map_err(|_| TOO_LARGE)
        }),
        _ => return None,
    })
}

fn boxed<T, F>(data_type: DataType, scale: Scale, convert: F) -> Box<dyn Decode>
where
    T: ArrowPrimitiveType,
    F: Fn(i128) -> Result<T::Native, Problem> + Send + 'static,
{
    Box::new(Numeric::<T, F> {
        scale,
        values: Vec::new(),
        validity: Bits::default(),
        data_type,
        convert,
    })
}

impl<T, F> Decode for Numeric<T, F>
where
    T: ArrowPrimitiveType,
    F: Fn(i128) -> Result<T::Native, Problem> + Send,
{
    fn append(&mut self, cells: Cells<'_>) -> Result<(), Fault> {
        let scale = self.scale;
        self.values.reserve(cells.len());
        for (group, at) in cells.at.chunks(64).enumerate() {
            let (mut mask, mut bit, mut fault) = (0_u64, 1_u64, None);
            self.values.extend(at.iter().map(|&at| {
                let value = cells.get(at).and_then(|cell| {
                    scale
                        .decode(cell)
                        .and_then(&self.convert)
                        .map_err(|problem| fault.get_or_insert((bit, problem)).1)
                        .ok()
                });
                mask |= if value.is_some() { bit } else { 0 };
                bit = bit.rotate_left(1);
                value.unwrap_or_default()
            }));
            if let Some((bit, problem)) = fault {
                return Err(problem.in_row(group * 64 + bit.trailing_zeros() as usize));
            }
            self.validity.push(mask, at.len());
        }
        Ok(())
    }

    fn truncate(&mut self, rows: usize) {
        self.values.truncate(rows);
        self.validity.truncate(rows);
    }

    fn finish(&mut self) -> Result<ArrayRef, String> {
        let empty = Vec::with_capacity(self.values.len());
        let values = ScalarBuffer::from(std::mem::replace(&mut self.values, empty));
        let array = PrimitiveArray::<T>::try_new(values, self.validity.take_validity())
            .map_err(|error| error.to_string())?;
        Ok(Arc::new(array.with_data_type(self.data_type.clone())))
    }

    fn bytes(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}

/// Prints the numeric in `cell` as PostgreSQL does: every digit of its display scale, `NaN`,
/// `Infinity`.
pub(super) fn print(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    let parts = parts(cell)?;
    match parts.sign {
        0 => {}
        NEGATIVE => out.push(b'-'),
        0xC000 | 0xD000 | 0xF000 => {
            out.extend_from_slice(match parts.sign {
                0xC000 => b"NaN",
                0xD000 => b"Infinity",
                _ => b"-Infinity",
            });
            return Ok(());
        }
        _ => return Err(MALFORMED),
    }
    let digit = |exponent: i32| -> Result<u16, Problem> {
        let digit = usize::try_from(i32::from(parts.weight) - exponent)
            .ok()
            .and_then(|at| parts.digits.get(at))
            .map_or(0, |digit| u16::from_be_bytes(*digit));
        if digit < 10_000 { Ok(digit) } else { Err(MALFORMED) }
    };
    if parts.weight < 0 {
        out.push(b'0');
    } else {
        let first = four_digits(digit(parts.weight.into())?);
        let zeros = first.iter().take_while(|digit| **digit == b'0').count().min(3);
        out.extend_from_slice(first.get(zeros..).unwrap_or_default());
        for exponent in (0..i32::from(parts.weight)).rev() {
            out.extend_from_slice(&four_digits(digit(exponent)?));
        }
    }
    if parts.display_scale > 0 {
        out.push(b'.');
        let end = out.len() + usize::from(parts.display_scale);
        let groups = i32::from(parts.display_scale).div_euclid(4) + 1;
        for exponent in 1..=groups {
            out.extend_from_slice(&four_digits(digit(-exponent)?));
        }
        out.truncate(end);
    }
    Ok(())
}

fn four_digits(digit: u16) -> [u8; 4] {
    [1000, 100, 10, 1].map(|unit| b'0' + (digit / unit % 10) as u8)
}
