//! How an error looks: what stopped, where, why, and what to do.

use std::fmt::Write as _;

use super::{Paint, display_width};
use crate::error::{Error, Place};

/// Columns of a source line that a snippet shows at most.
const SNIPPET_WIDTH: usize = 96;

/// The whole text of `error`, ending in a newline.
pub(crate) fn error(error: &Error, paint: Paint) -> String {
    let mut text = format!("{}: {}\n", paint.alarm("error"), indented(error.what(), "  "));
    if let Some(place) = error.place() {
        push_place(&mut text, place, paint);
    }
    for cause in error.causes() {
        let label = paint.strong("caused by");
        let _ = writeln!(text, "  {label}: {}", indented(cause, "             "));
    }
    for hint in error.hints() {
        let _ = writeln!(text, "   {}: {}", paint.hint("hint"), indented(hint, "         "));
    }
    text
}

/// Lines after the first, moved under it.
fn indented(text: &str, indent: &str) -> String {
    text.trim_end().replace('\n', &format!("\n{indent}"))
}

fn push_place(text: &mut String, place: &Place, paint: Paint) {
    let Place { file, line, column, detail, .. } = place;
    let arrow = paint.faint("-->");
    let _ = writeln!(text, "  {arrow} {file}:{line}:{column}: {}", indented(detail, "      "));
    let Some(source) = place.source_line.as_deref().filter(|source| !source.trim().is_empty())
    else {
        return;
    };
    let snippet = Snippet::cut(source, *column);
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let bar = paint.faint("|");
    let _ = writeln!(text, "   {gutter} {bar}");
    let _ = writeln!(text, "   {} {bar} {}", paint.faint(&number), snippet.line);
    let pointer = format!("{}{}", " ".repeat(snippet.before), paint.alarm(&snippet.carets));
    let _ = writeln!(text, "   {gutter} {bar} {pointer}");
}

/// A source line as it is shown, and the marks below it.
struct Snippet {
    line: String,
    before: usize,
    carets: String,
}

impl Snippet {
    fn cut(source: &str, column: u32) -> Self {
        let chars: Vec<char> = without_credentials(source.trim_end()).chars().collect();
        let at = (column.saturating_sub(1) as usize).min(chars.len());
        let word = chars.iter().skip(at).take_while(|c| c.is_alphanumeric() || **c == '_').count();
        // A long line is shown from a little before the place.
        let start = if at + word.max(1) > SNIPPET_WIDTH { at.saturating_sub(24) } else { 0 };
        let show = |from: usize, until: usize| -> String {
            chars
                .iter()
                .take(until)
                .skip(from)
                .map(|c| if c.is_control() { ' ' } else { *c })
                .collect()
        };
        let end = chars.len().min(start + SNIPPET_WIDTH);
        let head = if start > 0 { "…" } else { "" };
        let tail = if end < chars.len() { "…" } else { "" };
        let marked = display_width(&show(at, (at + word).min(end))).max(1);
        Self {
            before: head.chars().count() + display_width(&show(start, at)),
            line: format!("{head}{}{tail}", show(start, end)),
            carets: "^".repeat(marked),
        }
    }
}

/// `line` with every password it may hold replaced, character by character, so that columns stay.
///
/// Files should take secrets from the environment; a snippet must not punish those that don't.
fn without_credentials(line: &str) -> String {
    let mut chars: Vec<char> = line.chars().collect();
    let text: Vec<char> = line.to_lowercase().chars().collect();
    // Lowercasing may change the number of characters; then nothing of the line is safe to place.
    if text.len() != chars.len() {
        return line.split(':').next().unwrap_or_default().to_owned();
    }
    mask_url_passwords(&mut chars);
    mask_named_secrets(&text, &mut chars);
    chars.into_iter().collect()
}

fn mask(chars: &mut [char], from: usize, until: usize) {
    for c in chars.iter_mut().take(until).skip(from) {
        *c = '*';
    }
}

/// `scheme://user:password@host`
fn mask_url_passwords(chars: &mut [char]) {
    let mut from = 0;
    while let Some(found) = find(chars, "://", from) {
        let start = found + 3;
        let ends = |c: char| c.is_whitespace() || matches!(c, '"' | '\'');
        let end =
            chars.iter().skip(start).position(|c| ends(*c)).map_or(chars.len(), |n| start + n);
        let authority = chars.get(start..end).unwrap_or_default();
        // The last `@`: a password that was not percent-encoded may hold others.
        let at = authority.iter().rposition(|c| *c == '@');
        let colon = authority.iter().position(|c| *c == ':');
        if let (Some(colon), Some(at)) = (colon, at)
            && colon < at
        {
            mask(chars, start + colon + 1, start + at);
        }
        from = end.max(start);
    }
}

/// `…password: value`, `…secret_key = value`, `?password=value`
fn mask_named_secrets(lower: &[char], chars: &mut [char]) {
    for name in ["password", "passwd", "secret", "token", "access_key", "account_key", "sas_key"] {
        let mut from = 0;
        while let Some(found) = find(lower, name, from) {
            from = found + name.len();
            let rest = lower.get(from..).unwrap_or_default();
            let name_end =
                rest.iter().position(|c| !(c.is_alphanumeric() || matches!(c, '_' | '"' | '\'')));
            let Some(sign) = name_end.filter(|at| matches!(rest.get(*at), Some(':' | '='))) else {
                continue;
            };
            let blank = rest.iter().skip(sign + 1).take_while(|c| c.is_whitespace()).count();
            let start = from + sign + 1 + blank;
            // A reference such as `${NAME}` names the secret without holding it.
            if lower.get(start..).is_some_and(|value| !value.starts_with(&['$', '{'])) {
                mask(chars, start, chars.len());
            }
        }
    }
}

fn find(chars: &[char], wanted: &str, from: usize) -> Option<usize> {
    let wanted: Vec<char> = wanted.chars().collect();
    let rest = chars.get(from..)?;
    rest.windows(wanted.len()).position(|window| window == wanted).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn place(line: u32, column: u32, source: &str) -> Place {
        Place {
            file: "sql/nightly/mart/daily_revenue.sql".into(),
            line,
            column,
            detail: "no column `amout` in `shop.orders`".into(),
            source_line: Some(source.into()),
        }
    }

    #[test]
    fn a_place_shows_its_line_with_the_word_marked() {
        let shown = error(
            &Error::new(
                ErrorKind::Model,
                "model `mart.daily_revenue` cannot be planned; nothing was extracted",
            )
            .at(place(107, 12, "select sum(amout) as revenue"))
            .hint("did you mean `amount`?"),
            Paint::Plain,
        );
        insta::assert_snapshot!(shown, @r"
        error: model `mart.daily_revenue` cannot be planned; nothing was extracted
          --> sql/nightly/mart/daily_revenue.sql:107:12: no column `amout` in `shop.orders`
               |
           107 | select sum(amout) as revenue
               |            ^^^^^
           hint: did you mean `amount`?
        ");
    }

    #[test]
    fn causes_follow_in_order_and_hang_under_their_label() {
        let shown = error(
            &Error::new(
                ErrorKind::Refused,
                "`nightly` stopped extracting `shop.orders`; the warehouse is unchanged at \
                 generation 41",
            )
            .because("replica `shop` is 42m behind; the limit is 10m")
            .because("two\nlines")
            .hint("retry later, or raise `max_lag` (longshore.yml:9)"),
            Paint::Plain,
        );
        insta::assert_snapshot!(shown, @r"
        error: `nightly` stopped extracting `shop.orders`; the warehouse is unchanged at generation 41
          caused by: replica `shop` is 42m behind; the limit is 10m
          caused by: two
                     lines
           hint: retry later, or raise `max_lag` (longshore.yml:9)
        ");
    }

    #[test]
    fn colour_only_adds() {
        let full =
            Error::new(ErrorKind::Model, "it broke").at(place(7, 8, "select a")).because("x");
        let coloured = error(&full, Paint::Ansi);
        assert_ne!(coloured, error(&full, Paint::Plain));
        assert_eq!(console::strip_ansi_codes(&coloured), error(&full, Paint::Plain));
    }

    #[test]
    fn wide_and_long_lines_keep_the_mark_in_place() {
        let wide = Snippet::cut("\tselect '日本', tótal", 15);
        assert_eq!((wide.line.as_str(), wide.before), (" select '日本', tótal", 16));
        assert_eq!(wide.carets, "^^^^^");
        let long = Snippet::cut(&format!("{}wrong{}", "x ".repeat(150), " y".repeat(150)), 301);
        assert!(long.line.starts_with('…') && long.line.ends_with('…'));
        assert_eq!(long.line.chars().skip(long.before).take(5).collect::<String>(), "wrong");
        assert_eq!(Snippet::cut("short", 99).before, 5);
    }

    #[test]
    fn a_snippet_never_holds_a_password() {
        for (line, shown) in [
            ("url: postgres://etl:hunter2@db/shop", "url: postgres://etl:*******@db/shop"),
            ("url: 'postgres://etl:a@b/c@db/x'", "url: 'postgres://etl:*****@db/x'"),
            ("url: postgres://etl@db:5432/shop", "url: postgres://etl@db:5432/shop"),
            ("aws_secret_access_key: abc", "aws_secret_access_key: ***"),
            ("password: ${DB_PASSWORD}", "password: ${DB_PASSWORD}"),
            ("columns: {drop: [password_hash]}", "columns: {drop: [password_hash]}"),
        ] {
            assert_eq!(without_credentials(line), shown);
        }
    }
}
