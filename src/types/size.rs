//! Sizes in bytes, as people write them.

use std::{fmt, str::FromStr};

/// A number of bytes: `4GiB`, `512 MiB`, `1.5GB` or plain `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

const UNITS: [(&str, u64); 9] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("b", 1),
];

impl ByteSize {
    /// `bytes` bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// `mebibytes` × 2²⁰ bytes.
    pub const fn mib(mebibytes: u64) -> Self {
        Self(mebibytes << 20)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory, saturating.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is not a size such as `512MiB` or `4GiB`");
        let lower = text.trim().to_lowercase();
        let (digits, factor) = UNITS
            .iter()
            .find_map(|(unit, factor)| lower.strip_suffix(unit).map(|rest| (rest.trim(), *factor)))
            .unwrap_or((lower.as_str(), 1));
        if let Ok(whole) = digits.parse::<u64>() {
            return whole.checked_mul(factor).map(Self).ok_or_else(wrong);
        }
        let part: f64 = digits.parse().map_err(|_| wrong())?;
        let bytes = part * factor as f64;
        if !(0.0..1e18).contains(&bytes) {
            return Err(wrong());
        }
        Ok(Self(bytes as u64))
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const STEPS: [(u64, &str); 4] =
            [(1 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        for (size, unit) in STEPS {
            if self.0 >= size {
                let value = self.0 as f64 / size as f64;
                return match value {
                    v if v >= 100.0 || self.0.is_multiple_of(size) => {
                        f.pad(&format!("{v:.0} {unit}"))
                    }
                    v => f.pad(&format!("{v:.1} {unit}")),
                };
            }
        }
        f.pad(&format!("{} B", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_and_print() {
        for (text, bytes) in
            [("4GiB", 4 << 30), ("512 mib", 512 << 20), ("1.5GB", 1_500_000_000), ("42", 42)]
        {
            assert_eq!(text.parse::<ByteSize>().unwrap().bytes(), bytes, "{text}");
        }
        for wrong in ["", "GiB", "-1", "4 parsecs", "1e30GB", "99999999999TiB"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
        assert_eq!(ByteSize::new(4 << 30).to_string(), "4 GiB");
        assert_eq!(ByteSize::new(1_572_864).to_string(), "1.5 MiB");
        assert_eq!(ByteSize::new(17).to_string(), "17 B");
    }
}
