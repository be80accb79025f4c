//! Bits and small integers as Parquet lays them out.
//!
//! Source: the Parquet format's "Encodings" (RLE/bit-packing hybrid, and ULEB128 numbers).
//! Values are packed from the least significant bit of the first byte on.

/// Values that are packed in one go.
pub(super) const LANE: usize = 32;

/// Appends `value` as an unsigned LEB128 number.
pub(super) fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bits that hold `value`.
pub(super) fn width_of(value: u64) -> usize {
    (u64::BITS - value.leading_zeros()) as usize
}

/// Appends `values`, each of which fits in `width` bits (at most 64): `4 × width` bytes.
pub(super) fn pack(values: &[u64; LANE], width: usize, out: &mut Vec<u8>) {
    if let Some(pack) = PACK.get(width) {
        pack(values, out);
    }
}

/// One function a width, so that every shift in it is a constant.
fn pack_lane<const WIDTH: usize>(values: &[u64; LANE], out: &mut Vec<u8>) {
    let mut packed = [0_u8; 8 * LANE];
    let mut words = packed.chunks_exact_mut(8);
    let (mut word, mut filled) = (0_u64, 0);
    for &value in values {
        word |= value << filled;
        filled += WIDTH;
        if filled >= 64 {
            if let Some(bytes) = words.next() {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
            filled -= 64;
            word = if filled == 0 { 0 } else { value >> (WIDTH - filled) };
        }
    }
    if filled > 0
        && let Some(bytes) = words.next()
    {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(packed.get(..LANE / 8 * WIDTH).unwrap_or_default());
}

macro_rules! pack_lanes {
    ($($width:literal)*) => { [$(pack_lane::<$width>),*] };
}

type Pack = fn(&[u64; LANE], &mut Vec<u8>);

const PACK: [Pack; 65] = pack_lanes!(
    0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
    33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64
);

/// Values in a group: runs of packed values are counted in groups.
const GROUP: usize = 8;

/// So many groups of one value are written as a run of it.
const RUN_GROUPS: usize = 2;

/// Appends the numbers of values in a dictionary of so many `different` ones, as a data page holds
/// them: their width in bits, and a hybrid of them.
pub(super) fn put_codes(codes: &mut Vec<u32>, different: usize, out: &mut Vec<u8>) {
    // A width of zero would do for one value, but not every reader takes it.
    let width = width_of(different.saturating_sub(1) as u64).max(1);
    out.push(width as u8);
    hybrid(codes, width, out);
    codes.clear();
}

/// Appends `codes`, each of which fits in `width` bits (1 to 32), as runs of one value and runs of
/// packed values.
fn hybrid(codes: &[u32], width: usize, out: &mut Vec<u8>) {
    let (groups, tail) = codes.as_chunks::<GROUP>();
    let mut packed = 0;
    let mut at = 0;
    while let Some(group) = groups.get(at) {
        let same = uniform(groups.get(at..).unwrap_or_default(), group);
        if same >= RUN_GROUPS {
            pack_groups(groups.get(packed..at).unwrap_or_default(), width, out);
            let [value, ..] = *group;
            varint((same * GROUP) as u64 * 2, out);
            out.extend_from_slice(value.to_le_bytes().get(..width.div_ceil(8)).unwrap_or_default());
            packed = at + same;
        }
        at += same.max(1);
    }
    pack_groups(groups.get(packed..).unwrap_or_default(), width, out);
    if !tail.is_empty() {
        // The last group may be filled up: the page says how many values it has.
        let mut group = [0; GROUP];
        for (slot, code) in group.iter_mut().zip(tail) {
            *slot = *code;
        }
        pack_groups(&[group], width, out);
    }
}

/// How many groups hold nothing but the first value of `group`, from the first on.
fn uniform(groups: &[[u32; GROUP]], group: &[u32; GROUP]) -> usize {
    let [value, ..] = *group;
    groups.iter().take_while(|group| **group == [value; GROUP]).count()
}

fn pack_groups(groups: &[[u32; GROUP]], width: usize, out: &mut Vec<u8>) {
    if groups.is_empty() {
        return;
    }
    varint(groups.len() as u64 * 2 + 1, out);
    let end = out.len() + groups.len() * width;
    for lane in groups.chunks(LANE / GROUP) {
        let mut values = [0_u64; LANE];
        for (slot, code) in values.iter_mut().zip(lane.iter().flatten()) {
            *slot = u64::from(*code);
        }
        pack(&values, width, out);
    }
    out.truncate(end);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The `count` values of `width` bits that `bytes` holds, by the definition.
    fn unpacked(bytes: &[u8], width: usize, count: usize) -> Vec<u64> {
        let bit = |at: usize| u64::from(bytes[at / 8] >> (at % 8) & 1);
        (0..count).map(|value| (0..width).map(|at| bit(value * width + at) << at).sum()).collect()
    }

    fn read_varint(bytes: &mut &[u8]) -> usize {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (first, rest) = bytes.split_first().unwrap();
            *bytes = rest;
            value |= usize::from(first & 0x7F) << shift;
            shift += 7;
            if first & 0x80 == 0 {
                return value;
            }
        }
    }

    fn read_hybrid(mut bytes: &[u8], width: usize, count: usize) -> Vec<u32> {
        let mut codes = Vec::new();
        while codes.len() < count {
            let header = read_varint(&mut bytes);
            let (values, len) = if header & 1 == 1 {
                let groups = header >> 1;
                (unpacked(bytes, width, groups * 8), groups * width)
            } else {
                let len = width.div_ceil(8);
                let value =
                    bytes[..len].iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
                (vec![value; header >> 1], len)
            };
            codes.extend(values.into_iter().map(|value| value as u32));
            bytes = &bytes[len..];
        }
        assert!(bytes.is_empty());
        codes.truncate(count);
        codes
    }

    proptest! {
        #[test]
        fn packed_values_are_found_again(width in 0_usize..=64, seed: [u64; LANE]) {
            let mask = if width == 64 { u64::MAX } else { (1 << width) - 1 };
            let values = seed.map(|value| value & mask);
            let mut out = Vec::new();
            pack(&values, width, &mut out);
            prop_assert_eq!(out.len(), 4 * width);
            prop_assert_eq!(unpacked(&out, width, LANE), values);
        }

        #[test]
        fn codes_are_found_again(
            width in 1_usize..=32,
            runs in prop::collection::vec((any::<u32>(), 1_usize..60), 0..20),
        ) {
            let mask = u32::MAX >> (32 - width);
            let codes: Vec<u32> = runs
                .iter()
                .flat_map(|(value, count)| std::iter::repeat_n(value & mask, *count))
                .collect();
            let mut out = Vec::new();
            hybrid(&codes, width, &mut out);
            prop_assert_eq!(read_hybrid(&out, width, codes.len()), codes);
        }
    }

    #[test]
    fn long_runs_take_a_few_bytes() {
        let mut out = Vec::new();
        hybrid(&vec![3; 8000], 2, &mut out);
        assert_eq!(out.len(), 3);
    }
}
