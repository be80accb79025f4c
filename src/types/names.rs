//! Names and ids.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A table's name in the warehouse: schema and table, both exactly as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableName {
    /// The schema it lives in.
    pub schema: String,
    /// Its name inside the schema.
    pub table: String,
}

impl TableName {
    /// The table `schema.table`.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }

    /// The folder of this table below the warehouse's root: `schema/table`, each as
    /// [`path_segment`] writes it, so that no name can leave its place or meet `_longshore`.
    pub fn folder(&self) -> String {
        format!("{}/{}", path_segment(&self.schema), path_segment(&self.table))
    }

    /// The table whose [`Self::folder`] is `schema/table`; `None` where no table has that.
    pub fn of_folder(schema: &str, table: &str) -> Option<Self> {
        let name = Self::new(of_segment(schema)?, of_segment(table)?);
        (name.folder() == format!("{schema}/{table}")).then_some(name)
    }

    /// Whether the folder can exist: file systems take segments of up to 255 bytes, and an empty
    /// one would be the folder above.
    pub fn has_place(&self) -> bool {
        self.folder().split('/').all(|segment| (1..=255).contains(&segment.len()))
    }

    /// The name as SQL: quoted where it needs quotes.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote(&self.schema), quote(&self.table))
    }
}

fn quote(part: &str) -> String {
    let plain = part
        .chars()
        .enumerate()
        .all(|(at, c)| c == '_' || c.is_ascii_lowercase() || (at > 0 && c.is_ascii_digit()));
    if plain && !part.is_empty() {
        part.to_owned()
    } else {
        format!("\"{}\"", part.replace('"', "\"\""))
    }
}

/// One path segment for any name: ASCII letters, digits, `-`, and inner `_` and `.` stay; every
/// other byte becomes `~` and two hex digits. `~` because no URL or reader encodes it a second time.
///
/// Two names that differ only in case give two segments that differ only in case: the plan refuses
/// such a pair, because some file systems fold case.
pub fn path_segment(name: &str) -> String {
    use fmt::Write as _;
    let mut segment = String::with_capacity(name.len());
    for (at, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' => segment.push(byte as char),
            b'_' | b'.' if at > 0 => segment.push(byte as char),
            _ => {
                let _ = write!(segment, "~{byte:02x}");
            }
        }
    }
    segment
}

/// The name that [`path_segment`] may have written as `segment`.
fn of_segment(segment: &str) -> Option<String> {
    let (plain, coded) = segment.split_once('~').unwrap_or((segment, ""));
    let mut bytes = plain.as_bytes().to_vec();
    for part in coded.split('~').filter(|_| plain.len() < segment.len()) {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend(part.get(2..)?.bytes());
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}.{}", self.schema, self.table))
    }
}

impl FromStr for TableName {
    type Err = String;

    /// Splits at the first dot; a table whose own name holds dots keeps them.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('.') {
            Some((schema, table)) if !schema.is_empty() && !table.is_empty() => {
                Ok(Self::new(schema, table))
            }
            _ => Err(format!("`{text}` is not a table name such as `schema.table`")),
        }
    }
}

impl TryFrom<String> for TableName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> Self {
        name.to_string()
    }
}

/// A run's id: unique, and sorts by start time (`20261122t141153z-3f9a1c`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(String);

impl RunId {
    /// A new id for a run that starts at `start`.
    pub fn new(start: jiff::Timestamp) -> Self {
        let random = uuid::Uuid::now_v7().simple().to_string();
        let tail = &random[random.len() - 6..];
        Self(format!("{}-{tail}", start.strftime("%Y%m%dt%H%M%Sz")))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the run started, to the second, where the id tells.
    pub fn started_at(&self) -> Option<jiff::Timestamp> {
        let (start, _) = self.0.split_once('-')?;
        let start = start.strip_suffix('z')?;
        let civil = jiff::civil::DateTime::strptime("%Y%m%dt%H%M%S", start).ok()?;
        civil.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for RunId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sound = !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if sound { Ok(Self(text.to_owned())) } else { Err(format!("`{text}` is not a run's id")) }
    }
}

/// A pipeline's name: the stem of its file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PipelineName(String);

impl PipelineName {
    /// Takes `name` as it is.
    pub fn new(name: impl Into<String>) -> Self {
        Self(name.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PipelineName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A generation's number: 1 is the first; each publish adds one.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Generation(pub u64);

impl Generation {
    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_run_id_tells_when_it_started() {
        let start: jiff::Timestamp = "2026-11-22T14:11:53Z".parse().unwrap();
        assert_eq!(RunId::new(start).started_at(), Some(start));
        assert_eq!("nightly-1".parse::<RunId>().unwrap().started_at(), None);
    }

    #[test]
    fn folders_never_leave_their_place() {
        let folder = |schema: &str, table: &str| TableName::new(schema, table).folder();
        assert_eq!(folder("shop", "orders_2024"), "shop/orders_2024");
        assert_eq!(folder("..", "a/b"), "~2e./a~2fb");
        assert_eq!(folder("_longshore", "x"), "~5flongshore/x");
        assert_eq!(folder("Shop", "~"), "Shop/~7e");
        assert_eq!(folder("a", "é"), "a/~c3~a9");
    }

    #[test]
    fn folders_that_no_table_has_are_no_table_s() {
        for schema in ["_longshore", "a b", "~", "~2", "~zz", "~61", "~ff", ".git", "p=1"] {
            assert_eq!(TableName::of_folder(schema, "t"), None, "{schema}");
        }
        assert_eq!(TableName::of_folder("~5fx", "t~2f"), Some(TableName::new("_x", "t/")));
    }

    fn any_name() -> impl Strategy<Value = String> {
        prop_oneof![
            any::<String>(),
            // What paths, URLs and our own encoding are made of, and what looks like it.
            proptest::collection::vec(
                prop::sample::select(vec!["a", "A", "_", ".", "/", "~", "2e", "%", "\\", " ", "é"]),
                0..8
            )
            .prop_map(|parts| parts.concat()),
        ]
    }

    proptest! {
        #[test]
        fn a_folder_says_its_name_and_stays_below_the_root(
            schema in any_name(), table in any_name(), other in any_name(),
        ) {
            let name = TableName::new(&schema, &table);
            let folder = name.folder();
            prop_assert_eq!(folder.split('/').count(), 2);
            let (first, second) = folder.split_once('/').unwrap();
            prop_assert_eq!(TableName::of_folder(first, second), Some(name.clone()));
            let readable = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~/".contains(&byte);
            prop_assert!(folder.bytes().all(readable));
            prop_assert!(!folder.split('/').any(|part| part.starts_with(['.', '_'])));
            for (one, two) in [(&table, &other), (&schema, &other)] {
                prop_assert_eq!(one == two, path_segment(one) == path_segment(two));
            }
            let short = schema.len().max(table.len()) < 86;
            prop_assert!(!short || name.has_place() != (schema.is_empty() || table.is_empty()));
        }
    }

    #[test]
    fn a_folder_has_a_name_that_file_systems_take() {
        for (table, has_place) in [
            ("a".repeat(255), true),
            ("a".repeat(256), false),
            ("é".repeat(42), true),
            ("é".repeat(43), false),
            (String::new(), false),
        ] {
            assert_eq!(TableName::new("s", &table).has_place(), has_place, "{table}");
        }
    }

    #[test]
    fn names_quote_only_where_sql_needs_it() {
        assert_eq!(TableName::new("shop", "orders").quoted(), "shop.orders");
        assert_eq!(TableName::new("Shop", "a\"b").quoted(), "\"Shop\".\"a\"\"b\"");
    }

    #[test]
    fn run_ids_sort_by_start() {
        let early = RunId::new("2026-01-01T00:00:00Z".parse().unwrap());
        let late = RunId::new("2026-01-02T00:00:00Z".parse().unwrap());
        assert!(early < late);
        assert_eq!(early.as_str().parse::<RunId>().unwrap(), early);
        assert!("../x".parse::<RunId>().is_err());
    }
}
