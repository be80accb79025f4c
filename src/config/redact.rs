//! A copy of a file's text that is fit for showing: what looks like a credential is starred out.
//!
//! Errors show the line they are about, and a line may hold a password even though it should not.
//! Each hidden character becomes one `*`, so lines and columns stay as they are. References such
//! as `${NAME}` are no secrets and stay.

use std::ops::Range;

/// A key whose name holds one of these has a secret value.
const TELLTALES: [&str; 7] =
    ["password", "passwd", "secret", "token", "credential", "_key", "signature"];

/// `text` with credentials starred out, character by character.
pub(super) fn redacted(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let hidden: Vec<Range<usize>> =
            passwords_in_urls(line).chain(secret_values(line)).collect();
        shown.extend(line.char_indices().map(|(at, c)| {
            if c != '\n' && hidden.iter().any(|range| range.contains(&at)) { '*' } else { c }
        }));
    }
    shown
}

/// What stands between `:` and the last `@` in `scheme://user:password@host`, and in the same
/// without its scheme.
fn passwords_in_urls(line: &str) -> impl Iterator<Item = Range<usize>> {
    let is_end = |c: char| c.is_whitespace() || c == '"' || c == '\'';
    line.split_inclusive(is_end)
        .scan(0, |next, word| {
            let start = *next;
            *next += word.len();
            Some((start, word))
        })
        .filter_map(|(start, word)| {
            let (login, _) = word.rsplit_once('@')?;
            let from = login.find("://").map_or(0, |at| at + "://".len());
            let colon = from + login.get(from..)?.find(':')?;
            let password = start + colon + 1..start + login.len();
            (!is_reference(line.get(password.clone())?)).then_some(password)
        })
}

/// What stands behind `name:` or `name=` where the name tells of a secret.
fn secret_values(line: &str) -> impl Iterator<Item = Range<usize>> {
    line.match_indices([':', '=']).filter_map(|(at, _)| {
        let name = line.get(..at)?.trim_end_matches(['"', '\'', ' ']);
        let from = name.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '-');
        let name = name.get(from.map_or(0, |from| from + 1)..)?.to_lowercase();
        if !TELLTALES.iter().any(|telltale| name.contains(telltale)) {
            return None;
        }
        let rest = line.get(at + 1..)?;
        let value = rest.trim_start();
        let start = at + 1 + rest.len() - value.len();
        let end = value.find([',', '}', '&', '\n']).unwrap_or(value.len());
        let value = value.get(..end)?.trim_end();
        let list = value.starts_with(['[', '{']);
        (!value.is_empty() && !list && !is_reference(value)).then_some(start..start + value.len())
    })
}

/// Whether `value` is one `${…}` and nothing else.
fn is_reference(value: &str) -> bool {
    let value = value.trim_matches(['"', '\'']);
    value.starts_with("${") && value.find('}').is_none_or(|end| end + 1 == value.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_become_stars_of_the_same_length() {
        for (text, shown) in [
            ("url: postgres://etl:pä:ss@db/x # y", "url: postgres://etl:*****@db/x # y"),
            ("{url: \"postgres://etl:p@ss@db/x\"}", "{url: \"postgres://etl:****@db/x\"}"),
            ("url: postgres://etl:${PW}@db/x", "url: postgres://etl:${PW}@db/x"),
            ("url: postgres://etl:a${PW}@db/x", "url: postgres://etl:******@db/x"),
            ("url: postgres://db/x?password=abc&a=b", "url: postgres://db/x?password=***&a=b"),
            ("aws_secret_access_key: abc/d", "aws_secret_access_key: *****"),
            ("o: {\"api_token\": abc, b: c}", "o: {\"api_token\": ***, b: c}"),
            ("sas_token: ${SAS:-x}", "sas_token: ${SAS:-x}"),
            ("url: postgres://etl@db:5432/x", "url: postgres://etl@db:5432/x"),
            ("url: etl:abc@db/x", "url: etl:***@db/x"),
            ("{url: 'etl:a@c@db/x'}", "{url: 'etl:***@db/x'}"),
            ("key: [id]\r\n", "key: [id]\r\n"),
        ] {
            assert_eq!(redacted(text), shown);
        }
    }
}
