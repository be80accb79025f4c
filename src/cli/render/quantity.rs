//! Numbers for people. JSON never passes through here.

use std::time::Duration;

use crate::types::ByteSize;

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 table`, `2 tables`
pub(crate) fn plural(number: u64, noun: &str) -> String {
    let ending = if number == 1 { "" } else { "s" };
    format!("{} {noun}{ending}", count(number))
}

/// `12.5 MiB`
pub(crate) fn bytes(bytes: u64) -> String {
    ByteSize::new(bytes).to_string()
}

/// `0.42 s`, `12.3 s`, `1m 12s`, `2h 05m`, `3d 04h`
pub(crate) fn duration(elapsed: Duration) -> String {
    let seconds = elapsed.as_secs_f64();
    // The bounds are where rounding would otherwise print `10.00 s` and `60.0 s`.
    if seconds < 9.995 {
        return format!("{seconds:.2} s");
    }
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    match whole {
        0..3_600 => format!("{}m {:02}s", whole / 60, whole % 60),
        3_600..86_400 => format!("{}h {:02}m", whole / 3_600, whole % 3_600 / 60),
        _ => format!("{}d {:02}h", whole / 86_400, whole % 86_400 / 3_600),
    }
}

/// `83,333`; a dash where no time passed.
pub(crate) fn rate(rows_per_second: Option<f64>) -> String {
    rows_per_second.map_or_else(|| "-".to_owned(), |rate| count(rate.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        let counts = [0, 999, 1_000, 12_345, 123_456, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "12,345", "123,456", "1,234,567"]);
        assert_eq!(plural(1, "row") + ", " + &plural(2_000, "row"), "1 row, 2,000 rows");
        assert_eq!(rate(None), "-");
    }

    #[test]
    fn durations_never_show_a_full_next_unit() {
        let shown = [0.0, 0.421, 9.999, 12.34, 59.99, 72.4, 3_599.7, 7_500.0, 273_600.0]
            .map(|seconds| duration(Duration::from_secs_f64(seconds)));
        assert_eq!(
            shown.join(" | "),
            "0.00 s | 0.42 s | 10.0 s | 12.3 s | 1m 00s | 1m 12s | 1h 00m | 2h 05m | 3d 04h"
        );
    }
}
