//! Connections: checked when the project is loaded as far as they are written out, expanded only
//! when one is used.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use url::Url;

use super::Scope;
use crate::{
    config::{
        ClientFiles, Connection, Secret, SourceKind,
        document::{Document, listed},
        expand::Expander,
        raw,
        written::{Named, Text},
    },
    error::{Error, ErrorKind, Result, did_you_mean},
};

/// The connections as they are written.
pub(in crate::config) struct Connections {
    document: Document,
    expander: Expander,
    written: BTreeMap<String, (Text, raw::Connection)>,
}

impl Connections {
    /// Takes the connections of `document`.
    ///
    /// # Errors
    /// What is wrong with a connection that refers to nothing outside the file.
    pub(super) fn new(
        written: Option<Named<raw::Connection>>,
        document: Document,
        expander: Expander,
    ) -> Result<Self> {
        let entries = written.map(|named| named.0).unwrap_or_default();
        let written = entries.into_iter().map(|entry| (entry.0.value.clone(), entry)).collect();
        let connections = Self { document, expander, written };
        for (name, connection) in connections.written.values() {
            // A name is also the default schema of the tables that are read with it.
            if name.value.is_empty() || name.value.contains('.') {
                let detail = "a connection's name is not empty and has no dot";
                return Err(connections.scope().wrong(name, detail));
            }
            if connections.scope().is_written_out(connection) {
                connections.scope().connection(name, connection, &connections.expander.root)?;
            }
        }
        Ok(connections)
    }

    /// Their names, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.written.keys().map(String::as_str)
    }

    /// The connection `name`, expanded now.
    pub(super) fn get(&self, name: &str) -> Result<Connection> {
        let Some((key, connection)) = self.written.get(name) else {
            let file = &self.document.start().file;
            let what = format!("there is no connection `{name}` in `{file}`; nothing was run");
            return Err(self.suggest(Error::new(ErrorKind::Config, what), name));
        };
        self.scope().connection(key, connection, &self.expander.root)
    }

    /// Whether there is a connection `name`.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.written.contains_key(name)
    }

    /// What gives references their values, also in pipelines.
    pub(super) fn expander(&self) -> &Expander {
        &self.expander
    }

    /// Adds to `error`, which says that there is no connection `name`, what there is.
    pub(super) fn suggest(&self, error: Error, name: &str) -> Error {
        let names: Vec<&str> = self.names().collect();
        let file = &self.document.start().file;
        match did_you_mean(name, names.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None if names.is_empty() => {
                error.hint(format!("add it to `{file}` under `connections`"))
            }
            None => error.hint(format!("the connections in `{file}` are {}", listed(&names))),
        }
    }

    fn scope(&self) -> Scope<'_> {
        Scope { document: &self.document, expander: Some(&self.expander) }
    }
}

impl Scope<'_> {
    fn is_written_out(&self, written: &raw::Connection) -> bool {
        written.texts().all(|text| self.is_literal(text))
    }

    fn connection(
        &self,
        name: &Text,
        written: &raw::Connection,
        root: &Path,
    ) -> Result<Connection> {
        let (kind, url) = self.source_url(&written.url, root)?;
        let allow_primary = self.flag(written.allow_primary.as_ref())?;
        let limits = self.limits(written)?;
        if let (true, None, Some(at)) = (allow_primary, &limits.window, &written.allow_primary) {
            return Err(self
                .wrong(at, "a primary is only read in a window")
                .hint("say when its users are away: `window: 22:00-05:00`, `timezone: …`")
                .hint("or that it has none: `window: 00:00-24:00`, `timezone: UTC`"));
        }
        Ok(Connection {
            name: name.value.clone(),
            kind,
            url: Secret::new(url),
            files: self.client_files(root),
            allow_primary,
            limits,
            origin: self.origin(name),
        })
    }

    fn client_files(&self, root: &Path) -> ClientFiles {
        let variable = |name: &str| {
            let value = self.expander.and_then(|expander| expander.environment.get(name));
            value.filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        ClientFiles {
            root: root.to_owned(),
            passfile: variable("PGPASSFILE"),
            home: variable("HOME"),
        }
    }

    /// The kind of source and the URL, a file's path made absolute. Errors never show the URL.
    fn source_url(&self, written: &Text, root: &Path) -> Result<(SourceKind, String)> {
        let text = self.text(written)?;
        let (scheme, rest) = text.split_once(':').unwrap_or_default();
        match scheme {
            "postgres" | "postgresql" => {
                if let Err(error) = Url::parse(&with_host(&text)) {
                    return Err(self
                        .wrong(written, format!("this is not a PostgreSQL URL: {error}"))
                        .hint("write it as `postgres://user:password@host:5432/database`")
                        .hint("percent-encode signs such as `/`, `#` and `@` in the password"));
                }
                Ok((SourceKind::Postgres, text))
            }
            "sqlite" => Ok((SourceKind::Sqlite, self.sqlite_url(written, rest, root)?)),
            "mysql" | "mariadb" => Err(self
                .wrong(written, "MySQL and MariaDB are not in this version")
                .hint("there are `postgres://…` and `sqlite:…`")),
            _ => Err(self
                .wrong(written, "this is not a database's URL")
                .hint("there are `postgres://user@host/database` and `sqlite:path/to/file.db`")),
        }
    }

    fn sqlite_url(&self, written: &Text, rest: &str, root: &Path) -> Result<String> {
        let path = rest.strip_prefix("//").unwrap_or(rest);
        if path.is_empty() || path.starts_with('?') || path.starts_with(":memory:") {
            return Err(self
                .wrong(written, "the URL names no file")
                .hint("write it as `sqlite:path/to/file.db`"));
        }
        if path.starts_with('/') {
            return Ok(format!("sqlite://{path}"));
        }
        // The path is part of a URL as the user wrote it; the root is not, so it is encoded.
        let root = Url::from_directory_path(root)
            .map_err(|()| self.wrong(written, "the project's folder has no URL"))?;
        Ok(format!("sqlite://{}{}", root.path(), path.trim_start_matches("./")))
    }
}

/// `postgres://user@/database?host=/folder` names no host before its parameters: clients of
/// PostgreSQL allow it, the URL standard does not.
fn with_host(url: &str) -> Cow<'_, str> {
    let authority = url.find("://").map_or(0, |at| at + "://".len());
    let end =
        url.get(authority..).and_then(|rest| rest.find(['/', '?'])).map(|end| authority + end);
    match end.and_then(|end| url.split_at_checked(end)) {
        Some((login, rest)) if login.ends_with('@') => {
            Cow::Owned(format!("{login}localhost{rest}"))
        }
        _ => Cow::Borrowed(url),
    }
}
