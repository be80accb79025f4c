//! The different values of a column chunk, numbered in the order of their first occurrence.

use std::hash::{BuildHasher, RandomState};

/// A dictionary of more values is given up: too few of them occur again.
const MOST_VALUES: usize = 1 << 16;

/// A dictionary of more bytes is given up: it would not stay in a reader's cache.
const MOST_BYTES: usize = 1 << 20;

/// A slot that no value lies in.
const FREE: u32 = u32::MAX;

/// What a value becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Interned {
    /// Its number.
    Code(u32),
    /// The dictionary is full.
    Full,
}

/// Numbers integers.
pub(super) struct IntegerDictionary<T> {
    values: Vec<T>,
    slots: Slots,
    secret: u64,
}

impl<T: Copy + Eq + Into<i64>> IntegerDictionary<T> {
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), slots: Slots::new(), secret: secret() }
    }

    #[inline]
    pub(super) fn intern(&mut self, value: T) -> Interned {
        let Self { values, slots, secret } = self;
        let hash_of = |value: T| mixed(value.into() as u64 ^ *secret);
        let hash = hash_of(value);
        match slots.find(hash, |code| values.get(code as usize) == Some(&value)) {
            Found::Code(code) => Interned::Code(code),
            Found::Free(_) if values.len() >= MOST_VALUES => Interned::Full,
            Found::Free(slot) => {
                let code = values.len() as u32;
                values.push(value);
                slots.fill(slot, code, |code| {
                    values.get(code as usize).map_or(0, |value| hash_of(*value))
                });
                Interned::Code(code)
            }
        }
    }

    pub(super) fn values(&self) -> &[T] {
        &self.values
    }

    pub(super) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<T>() + self.slots.bytes()
    }
}

/// Numbers texts, which lie in Arrow's views.
pub(super) struct TextDictionary {
    /// Of each value: its view's first eight bytes (length and beginning), and where it begins in
    /// `plain`; or, where it is short, all of its view.
    keys: Vec<u128>,
    /// The values as a dictionary page holds them: `u32` length, little-endian, and bytes.
    plain: Vec<u8>,
    slots: Slots,
    secret: u64,
}

/// The longest text that a view holds in itself.
pub(super) const INLINE: usize = 12;

impl TextDictionary {
    pub(super) fn new() -> Self {
        Self { keys: Vec::new(), plain: Vec::new(), slots: Slots::new(), secret: secret() }
    }

    /// The number of a text of at most [`INLINE`] bytes, by its view.
    #[inline]
    pub(super) fn intern_short(&mut self, view: u128) -> Interned {
        let hash = mixed_view(view, self.secret);
        let Self { keys, slots, .. } = self;
        match slots.find(hash, |code| keys.get(code as usize) == Some(&view)) {
            Found::Code(code) => Interned::Code(code),
            Found::Free(slot) => {
                let bytes = view.to_le_bytes();
                let len = view as u32 as usize;
                self.add(slot, view, bytes.get(4..4 + len).unwrap_or_default())
            }
        }
    }

    /// The number of a longer text.
    #[inline]
    pub(super) fn intern_long(&mut self, text: &[u8]) -> Interned {
        let hash = mixed_text(text, self.secret);
        let Self { keys, plain, slots, .. } = self;
        let found = slots.find(hash, |code| {
            keys.get(code as usize).is_some_and(|key| long_text(*key, plain) == Some(text))
        });
        match found {
            Found::Code(code) => Interned::Code(code),
            Found::Free(slot) => {
                let key = (self.plain.len() as u128 + 4) << 64 | text.len() as u128;
                self.add(slot, key, text)
            }
        }
    }

    #[cold]
    fn add(&mut self, slot: usize, key: u128, text: &[u8]) -> Interned {
        if self.keys.len() >= MOST_VALUES || self.plain.len() + text.len() > MOST_BYTES {
            return Interned::Full;
        }
        let code = self.keys.len() as u32;
        self.keys.push(key);
        self.plain.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.plain.extend_from_slice(text);
        let Self { keys, plain, slots, secret } = self;
        slots.fill(slot, code, |code| {
            let key = keys.get(code as usize).copied().unwrap_or_default();
            match long_text(key, plain) {
                Some(text) => mixed_text(text, *secret),
                None => mixed_view(key, *secret),
            }
        });
        Interned::Code(code)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The values as a dictionary page holds them.
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }

    /// All values, in order.
    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.plain.as_slice();
        std::iter::from_fn(move || {
            let (len, tail) = rest.split_first_chunk::<4>()?;
            let (value, tail) = tail.split_at_checked(u32::from_le_bytes(*len) as usize)?;
            rest = tail;
            Some(value)
        })
    }

    pub(super) fn bytes(&self) -> usize {
        self.keys.capacity() * 16 + self.plain.capacity() + self.slots.bytes()
    }
}

/// The text of a key that refers to `plain`; a short text's key holds it itself.
fn long_text(key: u128, plain: &[u8]) -> Option<&[u8]> {
    let len = key as u32 as usize;
    let start = (key >> 64) as usize;
    if len > INLINE { plain.get(start..start + len) } else { None }
}

/// An open hash table of numbers.
struct Slots {
    slots: Vec<u32>,
    used: usize,
}

enum Found {
    Code(u32),
    /// It is not there; here is where it belongs.
    Free(usize),
}

impl Slots {
    fn new() -> Self {
        Self { slots: vec![FREE; 64], used: 0 }
    }

    #[inline]
    fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Found {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match self.slots.get(at) {
                Some(&code) if code != FREE => {
                    if is_it(code) {
                        return Found::Code(code);
                    }
                }
                _ => return Found::Free(at),
            }
            at = (at + 1) & mask;
        }
    }

    /// Puts `code` into the free `slot`; grows by the hashes of all codes when it is half full.
    fn fill(&mut self, slot: usize, code: u32, hash_of: impl Fn(u32) -> u64) {
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = code;
        }
        self.used += 1;
        if self.used * 2 <= self.slots.len() {
            return;
        }
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![FREE; old.len() * 4];
        for code in old.into_iter().filter(|code| *code != FREE) {
            if let Found::Free(at) = self.find(hash_of(code), |_| false)
                && let Some(slot) = self.slots.get_mut(at)
            {
                *slot = code;
            }
        }
    }

    fn bytes(&self) -> usize {
        self.slots.capacity() * size_of::<u32>()
    }
}

/// Spreads `value` over all bits: the finaliser of `MurmurHash3`. Callers mix a secret in, so that
/// nobody can choose values that meet.
#[inline]
fn mixed(value: u64) -> u64 {
    let value = (value ^ value >> 33).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    let value = (value ^ value >> 33).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    value ^ value >> 33
}

#[inline]
fn mixed_view(view: u128, secret: u64) -> u64 {
    mixed(view as u64 ^ mixed((view >> 64) as u64 ^ secret))
}

#[inline]
fn mixed_text(text: &[u8], secret: u64) -> u64 {
    let (words, rest) = text.as_chunks::<8>();
    let mut tail = [0; 8];
    for (slot, byte) in tail.iter_mut().zip(rest) {
        *slot = *byte;
    }
    let start = mixed(secret ^ text.len() as u64);
    let hash = words.iter().fold(start, |hash, word| mixed(hash ^ u64::from_le_bytes(*word)));
    mixed(hash ^ u64::from_le_bytes(tail))
}

fn secret() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn view(text: &[u8]) -> u128 {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&(text.len() as u32).to_le_bytes());
        bytes[4..4 + text.len()].copy_from_slice(text);
        u128::from_le_bytes(bytes)
    }

    proptest! {
        #[test]
        fn equal_values_have_equal_numbers(
            texts in prop::collection::vec("[ab\0]{0,3}|[a-c]{10,15}", 0..400),
            numbers in prop::collection::vec(-90_i64..90, 0..400),
        ) {
            let mut dictionary = TextDictionary::new();
            let mut known = HashMap::new();
            for text in &texts {
                let bytes = text.as_bytes();
                let code = if bytes.len() <= INLINE {
                    dictionary.intern_short(view(bytes))
                } else {
                    dictionary.intern_long(bytes)
                };
                let next = known.len() as u32;
                prop_assert_eq!(code, Interned::Code(*known.entry(text).or_insert(next)));
            }
            prop_assert_eq!(dictionary.len(), known.len());
            for (code, value) in dictionary.values().enumerate() {
                let text = str::from_utf8(value).unwrap().to_owned();
                prop_assert_eq!(known[&text], code as u32);
            }

            let mut dictionary = IntegerDictionary::new();
            for number in &numbers {
                let Interned::Code(code) = dictionary.intern(*number) else { panic!("full") };
                prop_assert_eq!(dictionary.values()[code as usize], *number);
            }
        }
    }

    #[test]
    fn a_dictionary_has_its_limits() {
        let mut dictionary = IntegerDictionary::new();
        for number in 0..MOST_VALUES as i64 {
            assert_eq!(dictionary.intern(number), Interned::Code(number as u32));
        }
        assert_eq!(dictionary.intern(-1), Interned::Full);
        assert_eq!(dictionary.intern(7), Interned::Code(7));
        let mut dictionary = TextDictionary::new();
        assert_eq!(dictionary.intern_long(&vec![b'x'; MOST_BYTES + 1]), Interned::Full);
    }
}
