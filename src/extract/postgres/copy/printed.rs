//! Types that have no counterpart in the warehouse and are kept as text, each printed as
//! PostgreSQL itself prints it.

use std::io::Write as _;

use super::cells::{Problem, Reader};

/// `uuid`: 16 bytes.
pub(super) fn uuid(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    let whole = u128::from_be_bytes(exactly(cell)?);
    let eight = |shift: u32| eight_digits((whole >> shift) as u32);
    let (b, c) = (eight(64), eight(32));
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&eight(96));
    text[9..13].copy_from_slice(&b[..4]);
    text[14..18].copy_from_slice(&b[4..]);
    text[19..23].copy_from_slice(&c[..4]);
    text[24..28].copy_from_slice(&c[4..]);
    text[28..].copy_from_slice(&eight(0));
    out.extend_from_slice(&text);
    Ok(())
}

/// The eight hexadecimal digits of `number`, all at once: keys are often UUIDs.
fn eight_digits(number: u32) -> [u8; 8] {
    // One nibble a byte.
    let mut nibbles = u64::from(number);
    nibbles = (nibbles << 16 | nibbles) & 0x0000_FFFF_0000_FFFF;
    nibbles = (nibbles << 8 | nibbles) & 0x00FF_00FF_00FF_00FF;
    nibbles = (nibbles << 4 | nibbles) & 0x0F0F_0F0F_0F0F_0F0F;
    // Adding 6 carries into the fifth bit from ten on.
    let letters = (nibbles + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let digits = nibbles + 0x3030_3030_3030_3030 + letters * u64::from(b'a' - b'9' - 1);
    digits.to_be_bytes()
}

/// `macaddr` and `macaddr8`: 6 or 8 bytes.
pub(super) fn mac_address(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    if !matches!(cell.len(), 6 | 8) {
        return Err(WRONG_LENGTH);
    }
    for (at, byte) in cell.iter().enumerate() {
        if at > 0 {
            out.push(b':');
        }
        out.extend_from_slice(&hex(*byte));
    }
    Ok(())
}

/// `bit` and `bit varying`: `i32` number of bits, then the bits from the highest on.
pub(super) fn bits(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    let (head, bytes) = cell.split_first_chunk::<4>().ok_or(WRONG_LENGTH)?;
    let count = usize::try_from(i32::from_be_bytes(*head)).map_err(|_| WRONG_LENGTH)?;
    if bytes.len() != count.div_ceil(8) {
        return Err(WRONG_LENGTH);
    }
    let end = out.len() + count;
    for byte in bytes {
        out.extend((0..8).rev().map(|bit| b'0' + (byte >> bit & 1)));
    }
    out.truncate(end);
    Ok(())
}

/// `time`: `i64` microseconds since midnight; 24:00:00 is a value.
pub(super) fn time(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    time_of_day(i64::from_be_bytes(exactly(cell)?), out)
}

/// `time with time zone`: as [`time`], then `i32` seconds west of UTC.
pub(super) fn time_with_zone(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    let mut reader = Reader::new(cell);
    let micros = i64::from_be_bytes(reader.take()?);
    let west = reader.int()?;
    reader.end()?;
    time_of_day(micros, out)?;
    let seconds = west.unsigned_abs();
    out.push(if west > 0 { b'-' } else { b'+' });
    two_digits(seconds / 3600, out);
    if seconds % 3600 != 0 {
        out.push(b':');
        two_digits(seconds / 60 % 60, out);
    }
    if seconds % 60 != 0 {
        out.push(b':');
        two_digits(seconds % 60, out);
    }
    Ok(())
}

fn time_of_day(micros: i64, out: &mut Vec<u8>) -> Result<(), Problem> {
    if !(0..=86_400_000_000).contains(&micros) {
        return Err(Problem::Malformed("a time of day out of range"));
    }
    let seconds = (micros / 1_000_000) as u32;
    two_digits(seconds / 3600, out);
    out.push(b':');
    two_digits(seconds / 60 % 60, out);
    out.push(b':');
    two_digits(seconds % 60, out);
    let fraction = micros % 1_000_000;
    if fraction != 0 {
        write_to(out, format_args!(".{fraction:06}"));
        while out.last() == Some(&b'0') {
            out.pop();
        }
    }
    Ok(())
}

/// `inet` and `cidr`: family (2 or 3), bits of the mask, is it a `cidr`, length, address.
pub(super) fn network(cell: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
    let ([family, bits, is_cidr, len], address) =
        cell.split_first_chunk::<4>().ok_or(WRONG_LENGTH)?;
    if usize::from(*len) != address.len() {
        return Err(WRONG_LENGTH);
    }
    let full = match *family {
        2 => {
            let [a, b, c, d]: [u8; 4] = exactly(address)?;
            write_to(out, format_args!("{a}.{b}.{c}.{d}"));
            32
        }
        3 => {
            ipv6(exactly(address)?, out);
            128
        }
        _ => return Err(Problem::Malformed("an address of an unknown family")),
    };
    if *bits > full {
        return Err(Problem::Malformed("an address with too long a mask"));
    }
    if *bits != full || *is_cidr != 0 {
        write_to(out, format_args!("/{bits}"));
    }
    Ok(())
}

/// Prints as PostgreSQL's `inet_net_ntop.c`: the first longest run of zero groups is `::`, and an
/// address that embeds an IPv4 one ends like it.
fn ipv6(bytes: [u8; 16], out: &mut Vec<u8>) {
    let whole = u128::from_be_bytes(bytes);
    let group = |at: u32| (whole >> (112 - 16 * at)) as u16;
    let run = |from: u32| (from..8).take_while(|at| group(*at) == 0).count() as u32;
    // The first of the longest: a later one must be longer to win.
    let (mut start, mut len) = (8, 1);
    for from in 0..8 {
        if run(from) > len {
            (start, len) = (from, run(from));
        }
    }
    let embeds = start == 0 && (len == 6 || (len == 5 && group(5) == 0xFFFF));
    let mut at = 0;
    while at < 8 {
        if at == start {
            out.extend_from_slice(b"::");
            at += len;
            continue;
        }
        if at > 0 && at != start + len {
            out.push(b':');
        }
        if at == 6 && embeds {
            let [a, b, c, d] = (whole as u32).to_be_bytes();
            write_to(out, format_args!("{a}.{b}.{c}.{d}"));
            return;
        }
        write_to(out, format_args!("{:x}", group(at)));
        at += 1;
    }
}

const WRONG_LENGTH: Problem = Problem::Malformed("a value of the wrong length");

fn exactly<const N: usize>(cell: &[u8]) -> Result<[u8; N], Problem> {
    cell.try_into().map_err(|_| WRONG_LENGTH)
}

fn hex(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|nibble| nibble + if nibble < 10 { b'0' } else { b'a' - 10 })
}

fn two_digits(number: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

fn write_to(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Writing to a vector can't fail.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    type Print = fn(&[u8], &mut Vec<u8>) -> Result<(), Problem>;

    fn shown(print: Print, cell: &[u8]) -> String {
        let mut out = Vec::new();
        print(cell, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn inet6(groups: [u16; 8], bits: u8, cidr: u8) -> String {
        let mut cell = vec![3, bits, cidr, 16];
        cell.extend(groups.iter().flat_map(|group| group.to_be_bytes()));
        shown(network, &cell)
    }

    #[test]
    fn addresses_print_as_postgresql_prints_them() {
        assert_eq!(shown(network, &[2, 32, 0, 4, 192, 168, 0, 1]), "192.168.0.1");
        assert_eq!(shown(network, &[2, 24, 0, 4, 192, 168, 0, 1]), "192.168.0.1/24");
        assert_eq!(shown(network, &[2, 32, 1, 4, 10, 0, 0, 1]), "10.0.0.1/32");
        assert_eq!(inet6([0; 8], 128, 0), "::");
        assert_eq!(inet6([0, 0, 0, 0, 0, 0, 0, 1], 128, 0), "::1");
        assert_eq!(inet6([0, 0, 0, 0, 0, 0, 0, 2], 128, 0), "::2");
        assert_eq!(inet6([0, 0, 0, 0, 0, 0, 1, 2], 128, 0), "::0.1.0.2");
        assert_eq!(inet6([0, 0, 0, 0, 0, 0xFFFF, 0x0102, 0x0304], 128, 0), "::ffff:1.2.3.4");
        assert_eq!(inet6([0x2001, 0xDB8, 0, 0, 1, 0, 0, 0], 64, 1), "2001:db8:0:0:1::/64");
        assert_eq!(inet6([0x2001, 0, 0, 1, 0, 0, 0, 1], 128, 0), "2001:0:0:1::1");
        assert_eq!(inet6([1, 0, 2, 0, 3, 0, 4, 0], 128, 0), "1:0:2:0:3:0:4:0");
        assert_eq!(inet6([0xFE80, 0, 0, 0, 0, 0, 0, 0], 10, 1), "fe80::/10");
    }

    #[test]
    fn times_print_as_postgresql_prints_them() {
        let time = |micros: i64| shown(time, &micros.to_be_bytes());
        assert_eq!(time(0), "00:00:00");
        assert_eq!(time(86_400_000_000), "24:00:00");
        assert_eq!(time(45_296_500_000), "12:34:56.5");
        assert_eq!(time(1), "00:00:00.000001");
        assert!(super::time(&86_400_000_001_i64.to_be_bytes(), &mut Vec::new()).is_err());
        let zoned = |west: i32| {
            shown(time_with_zone, &[&0_i64.to_be_bytes()[..], &west.to_be_bytes()].concat())
        };
        assert_eq!(zoned(0), "00:00:00+00");
        assert_eq!(zoned(-36_000), "00:00:00+10");
        assert_eq!(zoned(12_600), "00:00:00-03:30");
        assert_eq!(zoned(-3_601), "00:00:00+01:00:01");
    }

    #[test]
    fn bits_uuids_and_hardware_addresses_print() {
        assert_eq!(shown(bits, &[0, 0, 0, 10, 0b1010_0000, 0b1100_0000]), "1010000011");
        assert_eq!(shown(bits, &[0, 0, 0, 0]), "");
        assert!(bits(&[0, 0, 0, 9, 0], &mut Vec::new()).is_err());
        assert_eq!(shown(mac_address, &[8, 0, 0x2B, 1, 2, 0xFF]), "08:00:2b:01:02:ff");
        assert_eq!(
            shown(uuid, &(0..16).collect::<Vec<u8>>()),
            "00010203-0405-0607-0809-0a0b0c0d0e0f"
        );
        assert_eq!(
            shown(uuid, &[0x9A, 0xBC, 0xDE, 0xF0].repeat(4)),
            "9abcdef0-9abc-def0-9abc-def09abcdef0"
        );
        assert!(uuid(&[0; 15], &mut Vec::new()).is_err());
    }
}
