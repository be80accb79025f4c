//! Which tables of a source a rule means.

use std::{fmt, str::FromStr};

/// `schema.table`, where each part may hold `*`; without a dot, the source's default schema.
///
/// Read from text with [`str::parse`]: `public.*`, `orders`, `"Odd.Schema"."Odd Table"`. A part in
/// double quotes is taken literally, dots and stars included; `""` in it stands for one `"`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TablePattern {
    /// The schema part; `None` is the source's default schema.
    pub schema: Option<NamePattern>,
    /// The table part.
    pub table: NamePattern,
}

impl TablePattern {
    /// Whether it can mean one table only.
    pub fn is_exact(&self) -> bool {
        self.table.exact().is_some()
            && self.schema.as_ref().is_none_or(|schema| schema.exact().is_some())
    }

    /// Whether a table of this name is meant; `default_schema` stands in where the pattern has none.
    pub fn matches(&self, schema: &str, table: &str, default_schema: &str) -> bool {
        let in_schema = match &self.schema {
            Some(pattern) => pattern.matches(schema),
            None => schema == default_schema,
        };
        in_schema && self.table.matches(table)
    }
}

impl FromStr for TablePattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (first, rest) = take_part(text)?;
        if rest.is_empty() {
            return Ok(Self { schema: None, table: first });
        }
        let (second, rest) = take_part(rest)?;
        if !rest.is_empty() {
            return Err("a table has at most a schema and a name".to_owned());
        }
        Ok(Self { schema: Some(first), table: second })
    }
}

/// Takes one part off the front of `text`, and the dot behind it.
fn take_part(text: &str) -> Result<(NamePattern, &str), String> {
    let (part, rest) = if text.starts_with('"') {
        let end = closing_quote(text).ok_or("a double quote is not closed")?;
        let inner = text.get(1..end).unwrap_or_default().replace("\"\"", "\"");
        (NamePattern { literals: vec![inner] }, text.get(end + 1..).unwrap_or_default())
    } else {
        let end = text.find('.').unwrap_or(text.len());
        let (part, rest) = text.split_at(end);
        if part.contains('"') {
            return Err("double quotes go around a whole part".to_owned());
        }
        (NamePattern::from(part), rest)
    };
    if part.exact() == Some("") {
        return Err("a part of the name is empty".to_owned());
    }
    match rest.strip_prefix('.') {
        Some("") => Err("a part of the name is empty".to_owned()),
        Some(next) => Ok((part, next)),
        None if rest.is_empty() => Ok((part, rest)),
        None => Err("only a dot may follow a closing double quote".to_owned()),
    }
}

/// Where the quote that opens `text` is closed; a doubled quote does not close it.
fn closing_quote(text: &str) -> Option<usize> {
    let mut at = 1;
    loop {
        at += text.get(at..)?.find('"')?;
        if !text.get(at + 1..)?.starts_with('"') {
            return Some(at);
        }
        at += 2;
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => f.pad(&format!("{schema}.{}", self.table)),
            None => self.table.fmt(f),
        }
    }
}

/// One part of a [`TablePattern`]: literal texts, with any run of characters between each two.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct NamePattern {
    /// Never empty; a single literal is an exact name.
    literals: Vec<String>,
}

impl NamePattern {
    /// The one name that is meant, where there is no wildcard.
    pub fn exact(&self) -> Option<&str> {
        match self.literals.as_slice() {
            [only] => Some(only),
            _ => None,
        }
    }

    /// Whether all of `name` fits.
    pub fn matches(&self, name: &str) -> bool {
        match self.literals.as_slice() {
            [] => false,
            [only] => only == name,
            [head, middle @ .., tail] => {
                let Some(mut rest) = name.strip_prefix(head.as_str()) else { return false };
                for literal in middle {
                    // The leftmost find leaves the most for what follows, so no choice is undone.
                    let Some(at) = rest.find(literal.as_str()) else { return false };
                    rest = rest.get(at + literal.len()..).unwrap_or_default();
                }
                rest.ends_with(tail.as_str())
            }
        }
    }
}

/// Every `*` in the text is a wildcard.
impl From<&str> for NamePattern {
    fn from(text: &str) -> Self {
        Self { literals: text.split('*').map(str::to_owned).collect() }
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exact() {
            Some(name) if name.contains(['*', '.', '"']) => {
                f.pad(&format!("\"{}\"", name.replace('"', "\"\"")))
            }
            _ => f.pad(&self.literals.join("*")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> TablePattern {
        text.parse().unwrap_or_else(|why| panic!("{text}: {why}"))
    }

    #[test]
    fn patterns_match_whole_names() {
        let all = pattern("public.*");
        assert!(all.matches("public", "orders", "x") && !all.matches("other", "orders", "public"));
        let some = pattern("a*b*c");
        for (name, fits) in
            [("aXbYc", true), ("aXbY", false), ("abc", true), ("aébc", true), ("abcbc", true)]
        {
            assert_eq!(some.matches("main", name, "main"), fits, "{name}");
        }
        assert!(!pattern("ab*ba").matches("main", "aba", "main"), "literals must not overlap");
        assert!(!pattern("a*").matches("other", "ab", "main"));
        assert!(pattern("*").matches("main", "", "main"));
    }

    #[test]
    fn quotes_keep_dots_stars_and_quotes() {
        let odd = pattern(r#""Odd.Schema"."a*""b""#);
        assert!(odd.is_exact());
        assert!(odd.matches("Odd.Schema", "a*\"b", "main"));
        assert!(!odd.matches("Odd.Schema", "axx\"b", "main"));
        assert!(!pattern("\"a\".*").is_exact());
    }

    #[test]
    fn patterns_print_as_they_parse() {
        for text in ["public.*", "orders", r#""Odd.Schema"."a*""b""#, "a*.b", "\"*\""] {
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for text in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "a\"b\"", "\"\"", "a..b"] {
            assert!(text.parse::<TablePattern>().is_err(), "{text}");
        }
    }
}
