//! Numbers that look random and are the same each time.

/// A linear congruential generator, of which the high bits are given.
pub(crate) struct Dice(u64);

impl Dice {
    /// The same numbers for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `sides`, which is at most 2³¹.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }

    /// Any 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        (self.roll(1 << 31) << 62) | (self.roll(1 << 31) << 31) | self.roll(1 << 31)
    }
}
