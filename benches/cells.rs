//! Values as PostgreSQL sends them in a binary COPY, without their length prefix.

use longshore::extract::postgres::pg_type::oid;

use crate::dice::Dice;

/// Appends the value of a row.
pub(crate) type Make = fn(u64, &mut Dice, &mut Vec<u8>);

pub(crate) fn boolean(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.push(dice.roll(2) as u8);
}

pub(crate) fn int2(row: u64, _: &mut Dice, out: &mut Vec<u8>) {
    out.extend((row as i16).to_be_bytes());
}

pub(crate) fn int4(row: u64, _: &mut Dice, out: &mut Vec<u8>) {
    out.extend((row as i32).to_be_bytes());
}

pub(crate) fn int8(row: u64, _: &mut Dice, out: &mut Vec<u8>) {
    out.extend((row as i64).to_be_bytes());
}

pub(crate) fn float4(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend((dice.roll(1 << 24) as f32 / 7.0).to_be_bytes());
}

pub(crate) fn float8(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend((dice.roll(1 << 31) as f64 / 7.0).to_be_bytes());
}

pub(crate) fn date(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend((dice.roll(2_500) as i32).to_be_bytes());
}

pub(crate) fn timestamp(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend((dice.roll(1 << 31) as i64 * 1_000).to_be_bytes());
}

pub(crate) fn time(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend((dice.roll(86_400_000) as i64 * 1_000).to_be_bytes());
}

pub(crate) fn time_with_zone(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    time(row, dice, out);
    out.extend((-7_200_i32).to_be_bytes());
}

pub(crate) fn interval(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend((dice.roll(1 << 31) as i64).to_be_bytes());
    out.extend((dice.roll(31) as i32).to_be_bytes());
    out.extend((dice.roll(12) as i32).to_be_bytes());
}

/// `unscaled` with `scale` digits after the point, as `numeric_send` has it.
fn numeric(mut unscaled: u128, scale: u32, out: &mut Vec<u8>) {
    // Groups of four digits are counted from the point to either side.
    let after = scale.div_ceil(4);
    unscaled *= 10_u128.pow(after * 4 - scale);
    let mut groups = Vec::new();
    while unscaled > 0 {
        groups.push((unscaled % 10_000) as i16);
        unscaled /= 10_000;
    }
    groups.reverse();
    let weight = groups.len() as i16 - after as i16 - 1;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    let weight = if groups.is_empty() { 0 } else { weight };
    for int in [groups.len() as i16, weight, 0, scale as i16].iter().chain(&groups) {
        out.extend(int.to_be_bytes());
    }
}

/// `numeric(15,2)` as an amount of money.
pub(crate) fn price(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    numeric(u128::from(90_000 + dice.roll(10_400_000)), 2, out);
}

/// `numeric(15,2)` from 0.00 to 0.10.
pub(crate) fn percent(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    numeric(u128::from(dice.roll(11)), 2, out);
}

/// `numeric(15,2)` from 1.00 to 50.00.
pub(crate) fn quantity(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    numeric(u128::from((1 + dice.roll(50)) * 100), 2, out);
}

/// `numeric(38,10)`, of 30 digits or so.
pub(crate) fn large_number(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    numeric(u128::from(dice.bits()) * u128::from(1 + dice.roll(1 << 31)), 10, out);
}

/// `numeric` without a scale: 0 to 12 digits after the point.
pub(crate) fn any_number(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let scale = dice.roll(13) as u32;
    numeric(u128::from(dice.bits() >> dice.roll(60)), scale, out);
}

pub(crate) fn flag(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.push(b"NRA"[dice.roll(3) as usize]);
}

pub(crate) fn mode(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend([b"AIR       ", b"TRUCK     ", b"RAIL      "][dice.roll(3) as usize]);
}

pub(crate) fn instruction(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend([b"DELIVER IN PERSON        ", b"TAKE BACK RETURN         "][dice.roll(2) as usize]);
}

const WORDS: &[u8] = b"carefully final deposits detect slyly against the bold theodolites ";

pub(crate) fn comment(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend(&WORDS[..10 + dice.roll(34) as usize]);
}

pub(crate) fn greek(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let text = "μῆνιν ἄειδε θεὰ Πηληϊάδεω Ἀχιλῆος οὐλομένην";
    out.extend(text.chars().take(5 + dice.roll(30) as usize).collect::<String>().bytes());
}

/// 2 to 6 KiB.
pub(crate) fn article(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let len = 2_048 + dice.roll(4_096) as usize;
    out.extend(WORDS.iter().cycle().take(len));
}

pub(crate) fn bytes(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    (0..2 + dice.roll(12)).for_each(|_| out.extend(dice.bits().to_be_bytes()));
}

pub(crate) fn json(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let (a, b) = (dice.roll(1_000), dice.roll(100));
    out.extend(format!(r#"{{"id": {row}, "tags": ["a", "b{b}"], "size": {a}.5}}"#).bytes());
}

pub(crate) fn jsonb(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.push(1);
    json(row, dice, out);
}

pub(crate) fn uuid(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    (0..2).for_each(|_| out.extend(dice.bits().to_be_bytes()));
}

/// An IPv4 address.
pub(crate) fn address(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend([2, 32, 0, 4]);
    out.extend((dice.bits() as u32).to_be_bytes());
}

pub(crate) fn bits(_: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend(24_i32.to_be_bytes());
    out.extend(&dice.bits().to_be_bytes()[5..]);
}

/// `int4range`, with both bounds.
pub(crate) fn range(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.push(2);
    cell(row, dice, int4, out);
    cell(row + 7, dice, int4, out);
}

/// A composite of `bigint`, `text` and `numeric(15,2)`.
pub(crate) fn composite(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    let fields: [(u32, Make); 3] = [(oid::INT8, int8), (oid::TEXT, comment), (oid::NUMERIC, price)];
    out.extend((fields.len() as i32).to_be_bytes());
    for (oid, make) in fields {
        out.extend(oid.to_be_bytes());
        cell(row, dice, make, out);
    }
}

pub(crate) fn ints(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    array(row, dice, oid::INT4, int4, out);
}

pub(crate) fn texts(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    array(row, dice, oid::TEXT, comment, out);
}

pub(crate) fn numbers(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    array(row, dice, oid::NUMERIC, price, out);
}

/// No more than five elements.
fn array(row: u64, dice: &mut Dice, oid: u32, make: Make, out: &mut Vec<u8>) {
    let size = dice.roll(6) as i32;
    for int in [i32::from(size > 0), 0, oid as i32] {
        out.extend(int.to_be_bytes());
    }
    if size > 0 {
        out.extend([size, 1].iter().flat_map(|int| int.to_be_bytes()));
    }
    (0..size).for_each(|_| cell(row, dice, make, out));
}

/// `hstore`, of two pairs.
pub(crate) fn pairs(row: u64, dice: &mut Dice, out: &mut Vec<u8>) {
    out.extend(2_i32.to_be_bytes());
    for key in [b"one", b"two"] {
        out.extend(3_i32.to_be_bytes());
        out.extend(key);
        cell(row, dice, comment, out);
    }
}

/// A value with its length before it.
pub(crate) fn cell(row: u64, dice: &mut Dice, make: Make, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend([0; 4]);
    make(row, dice, out);
    let len = (out.len() - at - 4) as i32;
    out[at..at + 4].copy_from_slice(&len.to_be_bytes());
}
