//! Passwords in the file that all clients of PostgreSQL share: a line each,
//! `host:port:database:user:password`.
//!
//! It is looked into when the server asks for a password and the URL has none. As libpq has it, a
//! field that is `*` fits all, `\\` takes what follows it literally, lines that begin with `#` are
//! comments, and the first line that fits counts. Unlike libpq, a file that others may read stops
//! us instead of being passed over.

use std::path::PathBuf;

use super::{
    error::WireError,
    options::{Host, WireOptions},
};
use crate::config::{ClientFiles, NoSecret, Privacy, Secret, read_secret};

/// A file with passwords.
#[derive(Clone)]
pub(super) struct Passfile {
    path: PathBuf,
    /// What named it; nothing did where it is the one in the user's home, which need not exist.
    named_by: Option<&'static str>,
}

impl Passfile {
    /// The file at `path`, which must exist, because `by` names it.
    pub(super) fn named(path: impl Into<PathBuf>, by: &'static str) -> Self {
        Self { path: path.into(), named_by: Some(by) }
    }

    /// The first there is of the one that the URL names, `PGPASSFILE`, and `~/.pgpass`.
    pub(super) fn among(of_url: Option<Self>, files: &ClientFiles) -> Option<Self> {
        let of_variable = || Some(Self::named(files.passfile.clone()?, "PGPASSFILE"));
        let of_home = || Some(Self { path: files.home.as_ref()?.join(".pgpass"), named_by: None });
        let found = of_url.or_else(of_variable).or_else(of_home)?;
        Some(Self { path: files.root.join(found.path), ..found })
    }

    /// The password for the login of `options`, where the file holds one. Blocks.
    pub(super) fn password(&self, options: &WireOptions) -> Result<Option<Secret>, WireError> {
        match read_secret(&self.path, Privacy::Owner) {
            Ok(text) => Ok(password(text.reveal(), options)),
            Err(NoSecret::Missing) if self.named_by.is_none() => Ok(None),
            Err(why) => {
                let by = self.named_by.map(|name| format!(" (`{name}`)")).unwrap_or_default();
                Err(WireError::setup(
                    format!(
                        "the file with passwords `{}`{by} {}",
                        self.path.display(),
                        why.reason()
                    ),
                    why.remedy(&self.path),
                ))
            }
        }
    }
}

/// The password in the first line of `text` that fits.
fn password(text: &str, options: &WireOptions) -> Option<Secret> {
    let port = options.port.to_string();
    let hosts = match &options.host {
        Host::Tcp(host) => [host.as_str(), host],
        Host::Unix(folder) => [folder.as_str(), "localhost"],
    };
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let mut rest = line;
        for wanted in [&hosts[..], &[&port], &[&options.database], &[&options.user]] {
            let field = take_field(rest)?;
            if !(field.is_any() || wanted.contains(&field.text.as_str())) {
                return None;
            }
            rest = field.rest?;
        }
        let password = take_field(rest)?.text;
        (!password.is_empty()).then(|| Secret::new(password))
    })
}

struct Field<'a> {
    written: &'a str,
    text: String,
    /// What follows its colon, where there is one.
    rest: Option<&'a str>,
}

impl Field<'_> {
    fn is_any(&self) -> bool {
        self.written == "*"
    }
}

fn take_field(line: &str) -> Option<Field<'_>> {
    let mut text = String::new();
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            ':' => {
                let (written, rest) = (line.get(..at)?, line.get(at + 1..));
                return Some(Field { written, text, rest });
            }
            '\\' => text.push(chars.next().map_or('\\', |(_, literal)| literal)),
            plain => text.push(plain),
        }
    }
    Some(Field { written: line, text, rest: None })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    use super::*;

    fn options(url: &str) -> WireOptions {
        WireOptions::parse(&Secret::new(url)).unwrap()
    }

    #[test]
    fn the_first_line_that_fits_counts() {
        let tcp = "postgres://me@db.example:6432/shop";
        let socket = "postgres:///shop?host=/run/pg&port=6432&user=me";
        for (url, text, expected) in [
            (tcp, "db.example:6432:shop:me:pw", Some("pw")),
            (tcp, "*:*:*:*:one\n*:*:*:*:two", Some("one")),
            (tcp, "# *:*:*:*:one\n\ndb.example:5432:shop:me:no\n*:6432:*:me:two\r\n", Some("two")),
            (tcp, r"*:*:*:*:a\:b\\c\d\", Some(r"a:b\cd\")),
            (tcp, "*:*:*:*:pw:more", Some("pw")),
            (tcp, r"d\b.example:*:*:*:pw", Some("pw")),
            (tcp, r"\*:*:*:*:pw", None),
            (tcp, "db*:*:*:*:pw", None),
            (tcp, "localhost:*:*:*:pw", None),
            (tcp, "*:*:*:me", None),
            (tcp, "*:*:*:me:", None),
            (tcp, "", None),
            (socket, "localhost:6432:shop:me:pw", Some("pw")),
            (socket, "/run/pg:*:*:*:pw", Some("pw")),
            (socket, "/run:*:*:*:pw", None),
            ("postgres://a%3Ab@[::1]/d", r"\:\:1:5432:d:a\:b:pw", Some("pw")),
        ] {
            let found = password(text, &options(url));
            assert_eq!(found.as_ref().map(Secret::reveal), expected, "{url} {text}");
        }
    }

    #[test]
    fn the_file_is_private_and_may_be_missing_only_at_home() {
        let folder = tempfile::tempdir().unwrap();
        let home = ClientFiles { home: Some(folder.path().to_owned()), ..ClientFiles::default() };
        let options = options("postgres://me@h/d");
        let look = |files: &ClientFiles| {
            let found = Passfile::among(None, files).unwrap().password(&options)?;
            Ok::<_, WireError>(found.map(|found| found.reveal().to_owned()))
        };
        assert_eq!(look(&home).unwrap(), None);
        let path = folder.path().join(".pgpass");
        fs::write(&path, "*:*:*:*:hush\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let told = look(&home).unwrap_err().to_string();
        assert!(told.contains("(mode 0604)") && !told.contains("hush"), "{told}");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(look(&home).unwrap().as_deref(), Some("hush"));
        let named = ClientFiles { passfile: Some(folder.path().join("none")), ..home };
        let told = look(&named).unwrap_err().to_string();
        assert!(told.ends_with("none` (`PGPASSFILE`) does not exist"), "{told}");
    }
}
