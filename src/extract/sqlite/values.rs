//! Text and numbers read as the types that SQLite lacks: decimals, dates, timestamps.
//!
//! Each function gives the exact value or nothing; none of them rounds.

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// The last second of the year 9999.
const LAST_SECOND: i64 = 253_402_300_799;
/// The first second of the year 1.
const FIRST_SECOND: i64 = -62_135_596_800;
/// Below this, every decimal number has a double of its own: 15 digits.
const EXACT_DECIMALS: f64 = 1e15;

/// Decimal text (`-12.50`; no exponent, no sign but `-`) × 10^`scale`, where that is whole and has
/// at most `precision` digits.
pub(super) fn decimal_from_text(text: &[u8], precision: u8, scale: i8) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let point = digits.iter().position(|byte| *byte == b'.');
    let (whole, fraction) = match point {
        Some(at) => (digits.get(..at)?, digits.get(at + 1..)?),
        None => (digits, &[][..]),
    };
    if whole.is_empty() || (point.is_some() && fraction.is_empty()) {
        return None;
    }
    let kept = fraction.len().min(usize::try_from(scale).ok()?);
    let (kept, beyond) = fraction.split_at(kept);
    if beyond.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let mut value: i128 = 0;
    for byte in whole.iter().chain(kept) {
        value = value.checked_mul(10)?.checked_add(digit(*byte)?.into())?;
    }
    let missing = u32::try_from(scale).ok()? - kept.len() as u32;
    value = value.checked_mul(10_i128.checked_pow(missing)?)?;
    within(if negative { -value } else { value }, precision)
}

/// A whole number × 10^`scale`, where it has at most `precision` digits.
pub(super) fn decimal_from_integer(value: i64, precision: u8, scale: i8) -> Option<i128> {
    let factor = 10_i128.checked_pow(u32::try_from(scale).ok()?)?;
    within(i128::from(value).checked_mul(factor)?, precision)
}

/// The shortest decimal text of `value` × 10^`scale`, where that is whole and has at most
/// `precision` digits.
#[expect(clippy::float_cmp, reason = "exact or nothing is what is asked")]
pub(super) fn decimal_from_real(value: f64, precision: u8, scale: i8) -> Option<i128> {
    // Powers of ten up to 10^22 are doubles, and a division is rounded correctly: when a whole
    // number of at most 15 digits divided by one gives `value` back, it is the shortest text.
    if (0..=22).contains(&scale) {
        let factor = 10_f64.powi(scale.into());
        let scaled = (value * factor).round();
        if scaled.abs() < EXACT_DECIMALS && scaled / factor == value {
            return within(scaled as i128, precision);
        }
    }
    // `Display` of a double is its shortest text, and never has an exponent.
    decimal_from_text(value.to_string().as_bytes(), precision, scale)
}

fn within(value: i128, precision: u8) -> Option<i128> {
    let limit = 10_u128.checked_pow(precision.into())?;
    (value.unsigned_abs() < limit).then_some(value)
}

/// A whole number as text has it, where it prints back the same.
pub(super) fn integer_from_text(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [first, ..] => *first != b'0' && digits.iter().all(u8::is_ascii_digit),
        [] => false,
    };
    canonical.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// The shortest text that gives `value` back.
pub(super) fn text_from_real(value: f64) -> String {
    match value {
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        value => format!("{value:?}"),
    }
}

/// The whole number that `value` is, where every double around it is told apart.
pub(super) fn integer_from_real(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= 9_007_199_254_740_992.0).then_some(value as i64)
}

/// The double that is exactly `value`.
pub(super) fn real_from_integer(value: i64) -> Option<f64> {
    let real = value as f64;
    // Compared as i128, because i64::MAX as a double is 2⁶³, and saturates on its way back.
    (real as i128 == i128::from(value)).then_some(real)
}

/// The double nearest to decimal text of at most 15 significant digits: so few are always given
/// back by the double's own text.
pub(super) fn real_from_text(text: &[u8]) -> Option<f64> {
    let mantissa = text.split(|byte| byte.eq_ignore_ascii_case(&b'e')).next()?;
    let significant = mantissa.iter().filter(|byte| byte.is_ascii_digit()).count();
    if significant == 0 || significant > 15 {
        return None;
    }
    let real: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    real.is_finite().then_some(real)
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(super) fn date(text: &[u8]) -> Option<i32> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = text else { return None };
    let year = number(&[*y1, *y2, *y3, *y4])?;
    let (month, day) = (number(&[*m1, *m2])?, number(&[*d1, *d2])?);
    let date = jiff::civil::Date::new(
        i16::try_from(year).ok().filter(|year| *year > 0)?,
        i8::try_from(month).ok()?,
        i8::try_from(day).ok()?,
    );
    date.ok().map(days_since_epoch)
}

fn days_since_epoch(date: jiff::civil::Date) -> i32 {
    // Counted in years that begin in March, so that the leap day is the last of its year.
    let (month, day) = (i32::from(date.month()), i32::from(date.day()));
    let year = i32::from(date.year()) - i32::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// A moment as ISO 8601 text gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// Microseconds since 1970-01-01T00:00:00 UTC, or of the clock on the wall where no zone is
    /// given.
    pub(super) micros: i64,
    /// Whether the text names its zone.
    pub(super) zoned: bool,
}

/// `YYYY-MM-DD`, a space or `T`, `HH:MM[:SS[.f…]]`, and `Z`, `±HH:MM` or nothing. More than six
/// digits of a second must be zeros.
pub(super) fn moment(text: &[u8]) -> Option<Moment> {
    let (day, rest) = text.split_at_checked(10)?;
    let days = i64::from(date(day)?);
    let (b'T' | b't' | b' ', rest) = rest.split_first()? else { return None };
    let zone = rest.iter().position(|byte| matches!(byte, b'Z' | b'z' | b'+' | b'-'));
    let (clock, zone) = rest.split_at_checked(zone.unwrap_or(rest.len()))?;
    let offset = zone_offset(zone)?;
    let seconds = days * SECONDS_PER_DAY + clock_seconds(clock.get(..8).unwrap_or(clock))?;
    let seconds = in_range(seconds - offset.unwrap_or(0))?;
    let micros = match clock.get(8..) {
        None | Some([]) => 0,
        Some([b'.', fraction @ ..]) => micros(fraction)?,
        Some(_) => return None,
    };
    Some(Moment { micros: seconds * MICROS_PER_SECOND + micros, zoned: offset.is_some() })
}

/// Microseconds since 1970 of a number of seconds since then, in the years 1 to 9999.
pub(super) fn micros_from_seconds(seconds: i64) -> Option<i64> {
    in_range(seconds).map(|seconds| seconds * MICROS_PER_SECOND)
}

fn in_range(seconds: i64) -> Option<i64> {
    (FIRST_SECOND..=LAST_SECOND).contains(&seconds).then_some(seconds)
}

fn clock_seconds(clock: &[u8]) -> Option<i64> {
    let (hour, minute, second) = match clock {
        [h1, h2, b':', m1, m2] => (number(&[*h1, *h2])?, number(&[*m1, *m2])?, 0),
        [h1, h2, b':', m1, m2, b':', s1, s2] => {
            (number(&[*h1, *h2])?, number(&[*m1, *m2])?, number(&[*s1, *s2])?)
        }
        _ => return None,
    };
    // A leap second has no place in a count of seconds.
    (hour < 24 && minute < 60 && second < 60)
        .then_some(i64::from(hour * 3600 + minute * 60 + second))
}

/// Seconds east of UTC; nothing inside where no zone is given.
#[expect(clippy::option_option, reason = "no zone is an answer, a malformed one is not")]
fn zone_offset(zone: &[u8]) -> Option<Option<i64>> {
    match zone {
        [] => Some(None),
        [b'Z' | b'z'] => Some(Some(0)),
        [sign, clock @ ..] => {
            let [h1, h2, b':', m1, m2] = clock else { return None };
            let (hours, minutes) = (number(&[*h1, *h2])?, number(&[*m1, *m2])?);
            let seconds = i64::from(hours * 3600 + minutes * 60);
            (hours < 24 && minutes < 60).then_some(Some(if *sign == b'-' {
                -seconds
            } else {
                seconds
            }))
        }
    }
}

fn micros(fraction: &[u8]) -> Option<i64> {
    let kept = fraction.get(..6).unwrap_or(fraction);
    let beyond = fraction.get(6..).unwrap_or_default();
    if kept.is_empty() || beyond.iter().any(|byte| *byte != b'0') {
        return None;
    }
    let value = i64::from(number(kept)?);
    Some(value * 10_i64.pow(6 - kept.len() as u32))
}

/// At most nine digits.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, byte| Some(value * 10 + u32::from(digit(*byte)?)))
}

fn digit(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_exact_or_nothing() {
        let text = |text: &str| decimal_from_text(text.as_bytes(), 5, 2);
        assert_eq!(text("12.5"), Some(1250));
        assert_eq!(text("-0.01"), Some(-1));
        assert_eq!(text("1.500"), Some(150));
        assert_eq!(text("999.99"), Some(99999));
        for wrong in ["1000", "0.005", "1e2", "+1", "", "-", ".5", "1.", "1 ", "ten"] {
            assert_eq!(text(wrong), None, "{wrong}");
        }
        assert_eq!(decimal_from_integer(-7, 38, 4), Some(-70000));
        assert_eq!(decimal_from_integer(i64::MAX, 18, 0), None);
        assert_eq!(decimal_from_real(12.34, 10, 2), Some(1234));
        assert_eq!(decimal_from_real(0.1 + 0.2, 10, 2), None);
        assert_eq!(decimal_from_real(0.1 + 0.2, 38, 17), Some(30_000_000_000_000_004));
        assert_eq!(decimal_from_real(1e300, 38, 0), None);
        assert_eq!(decimal_from_real(f64::INFINITY, 38, 2), None);
    }

    #[test]
    fn numbers_change_type_only_without_loss() {
        assert_eq!(integer_from_text(b"-42"), Some(-42));
        for wrong in ["007", "-0", "+1", "1.0", "", "-", "9223372036854775808"] {
            assert_eq!(integer_from_text(wrong.as_bytes()), None, "{wrong}");
        }
        assert_eq!(integer_from_real(3.0), Some(3));
        assert_eq!(integer_from_real(3.5), None);
        assert_eq!(integer_from_real(1e18), None);
        assert_eq!(real_from_integer(1 << 53), Some(9_007_199_254_740_992.0));
        assert_eq!(real_from_integer((1 << 53) + 1), None);
        assert_eq!(real_from_integer(i64::MAX), None);
        assert_eq!(real_from_text(b"-1.25e3"), Some(-1250.0));
        assert_eq!(real_from_text(b"0.1234567890123456"), None);
        assert_eq!(real_from_text(b"inf"), None);
    }

    #[test]
    fn dates_count_days() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("1969-12-31", -1),
            ("2000-02-29", 11_016),
            ("0001-01-01", -719_162),
            ("9999-12-31", 2_932_896),
        ] {
            assert_eq!(date(text.as_bytes()), Some(days), "{text}");
        }
        for wrong in
            ["1900-02-29", "2024-13-01", "0000-01-01", "2024-1-1", "20240101", "-001-01-01"]
        {
            assert_eq!(date(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn moments_keep_every_microsecond() {
        let micros = |text: &str| moment(text.as_bytes()).map(|moment| moment.micros);
        assert_eq!(micros("1970-01-01 00:00:01"), Some(1_000_000));
        assert_eq!(micros("1970-01-01T00:00:00.5Z"), Some(500_000));
        assert_eq!(micros("1970-01-01 10:00:00+10:00"), Some(0));
        assert_eq!(micros("1969-12-31 23:59:59.999999"), Some(-1));
        assert_eq!(micros("1970-01-01 00:00:00.123456000"), Some(123_456));
        assert_eq!(micros("1970-01-01 00:01"), Some(60_000_000));
        assert!(moment(b"1970-01-01 00:00:00Z").is_some_and(|moment| moment.zoned));
        for wrong in [
            "1970-01-01",
            "1970-01-01 24:00:00",
            "1970-01-01 00:00:60",
            "1970-01-01 00:00:00.1234567",
            "1970-01-01 00:00:00.",
            "1970-01-01 00:00:00+10",
            "1970-01-01 00:00:00 UTC",
            "0001-01-01 00:00:00+01:00",
            "now",
        ] {
            assert_eq!(micros(wrong), None, "{wrong}");
        }
        assert_eq!(micros_from_seconds(1_700_000_000_000), None);
    }
}
