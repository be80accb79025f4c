//! Where and how to connect: `postgres://user:password@host:port/database?sslmode=…`, as libpq
//! reads such URLs.

use std::{fmt, path::PathBuf, time::Duration};

use url::Url;

use super::pgpass::Passfile;
use crate::{
    config::{ClientFiles, Secret},
    error::{Error, ErrorKind, Result, did_you_mean},
};

/// Where the server is, who we are, and how far to trust the way there. Its `Debug` shows neither
/// the password nor the URL.
#[derive(Clone)]
pub struct WireOptions {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    /// Where the password is looked for when the URL has none.
    pub(super) passfile: Option<Passfile>,
    pub(super) database: String,
    pub(super) application_name: Option<String>,
    /// `options`: switches for the server's process.
    pub(super) switches: Option<String>,
    pub(super) tls: TlsMode,
    pub(super) root_certificate: Option<PathBuf>,
    /// Our own certificate, for servers that ask for one.
    pub(super) certificate: Option<PathBuf>,
    /// Its key.
    pub(super) key: Option<PathBuf>,
    pub(super) channel_binding: ChannelBinding,
    pub(super) connect_timeout: Duration,
}

/// Where the server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A name or an address.
    Tcp(String),
    /// The folder of a Unix socket, which is always on this machine and never encrypted.
    Unix(String),
}

/// `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum TlsMode {
    /// Never encrypted.
    Disable,
    /// Encrypted where the server offers it, whoever it is.
    Prefer,
    /// Always encrypted, whoever it is; with a root certificate as `verify-ca`.
    Require,
    /// Always encrypted, by a server whose certificate is signed by one we trust.
    VerifyCa,
    /// The same, and the certificate is for the host that we asked for.
    VerifyFull,
}

/// `channel_binding`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString)]
#[strum(serialize_all = "kebab-case")]
pub(super) enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server and its certificate allow.
    Prefer,
    /// Or no connection.
    Require,
}

/// The parameters that mean something here.
const PARAMETERS: [&str; 15] = [
    "host",
    "port",
    "user",
    "password",
    "passfile",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "channel_binding",
    "application_name",
    "options",
    "connect_timeout",
    "target_session_attrs",
];

/// Parameters of other clients that change nothing about what we do.
const IGNORED: [&str; 7] = [
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "gssencmode",
    "fallback_application_name",
    "statement-cache-capacity",
];

impl WireOptions {
    /// Reads a URL. Without `sslmode`, a server on this machine may go unencrypted (`prefer`), and
    /// any other must prove who it is (`verify-full`).
    ///
    /// # Errors
    /// [`ErrorKind::Config`]; never with the URL, which holds the password.
    pub fn parse(url: &Secret) -> Result<Self> {
        let (url, hostless) = parse_url(url.reveal())?;
        let mut options = Self::authority(&url, hostless)?;
        let mut tls = None;
        let parameters = parameters(&url)?;
        refuse_cut(&url, &parameters)?;
        for (name, value) in parameters {
            if name == "sslmode" {
                tls = Some(named::<TlsMode>(
                    &name,
                    &value,
                    "disable, prefer, require, verify-ca or verify-full",
                )?);
            } else {
                options.set(&name, value)?;
            }
        }
        if options.user.is_empty() {
            return Err(wrong("it names no user").hint("write it as `postgres://user@host/…`"));
        }
        if options.database.is_empty() {
            options.database.clone_from(&options.user);
        }
        if options.certificate.is_some() != options.key.is_some() {
            return Err(wrong("only one of `sslcert` and `sslkey` is in it")
                .hint("name the certificate and its key, both as PEM files"));
        }
        options.tls = tls.unwrap_or(if options.host.is_local() {
            TlsMode::Prefer
        } else {
            TlsMode::VerifyFull
        });
        Ok(options)
    }

    /// What stands before the parameters.
    fn authority(url: &Url, hostless: bool) -> Result<Self> {
        let host = match url.host_str() {
            Some(host) if !hostless && !host.is_empty() => decoded(host)?,
            _ => "localhost".to_owned(),
        };
        Ok(Self {
            host: Host::new(&host)?,
            port: url.port().unwrap_or(5432),
            user: decoded(url.username())?,
            password: url.password().map(decoded).transpose()?.map(Secret::new),
            passfile: None,
            database: decoded(url.path().trim_start_matches('/'))?,
            application_name: None,
            switches: None,
            tls: TlsMode::VerifyFull,
            root_certificate: None,
            certificate: None,
            key: None,
            channel_binding: ChannelBinding::Prefer,
            connect_timeout: Duration::from_secs(15),
        })
    }

    fn set(&mut self, name: &str, value: String) -> Result<()> {
        match name {
            "host" => self.host = Host::new(&value)?,
            "port" => {
                self.port = value.parse().map_err(|_| wrong("its `port` is not a port number"))?;
            }
            "user" => self.user = value,
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = value,
            "sslrootcert" if value == "system" => self.root_certificate = None,
            "sslrootcert" => self.root_certificate = Some(PathBuf::from(value)),
            "sslcert" => self.certificate = Some(PathBuf::from(value)),
            "sslkey" => self.key = Some(PathBuf::from(value)),
            "sslpassword" => {
                return Err(wrong("it holds an `sslpassword`, and encrypted keys are not read")
                    .hint("take the password off a copy: `openssl pkey -in KEY -out PLAIN_KEY`"));
            }
            "passfile" => self.passfile = Some(Passfile::named(value, "passfile")),
            "channel_binding" => {
                self.channel_binding = named(name, &value, "disable, prefer or require")?;
            }
            "application_name" => self.application_name = Some(value),
            "options" => self.switches = Some(value),
            "connect_timeout" => {
                let seconds = value
                    .parse()
                    .map_err(|_| wrong("its `connect_timeout` is not a number of seconds"))?;
                // As in libpq, none means to wait for ever, which no nightly run should.
                self.connect_timeout =
                    Duration::from_secs(if seconds == 0 { 3600 } else { seconds });
            }
            "target_session_attrs" if value == "any" => {}
            "target_session_attrs" => {
                return Err(wrong("its `target_session_attrs` is not supported")
                    .hint("name the one server to read in the url, without this parameter"));
            }
            name if IGNORED.contains(&name) => {}
            name => {
                let error = wrong(format!("its parameter `{name}` is not known"));
                return Err(match did_you_mean(name, PARAMETERS) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint(format!("there are {}", PARAMETERS.join(", "))),
                });
            }
        }
        Ok(())
    }

    /// Looks for files where `files` says: those that the URL names, and the file with passwords
    /// that clients of PostgreSQL look into by themselves. Nothing is read yet.
    #[must_use]
    pub fn with_files(mut self, files: &ClientFiles) -> Self {
        let named = [&mut self.root_certificate, &mut self.certificate, &mut self.key];
        for path in named.into_iter().flatten() {
            *path = files.root.join(&*path);
        }
        self.passfile = Passfile::among(self.passfile, files);
        self
    }

    /// The host's name or address, or the folder of its Unix socket.
    pub fn host(&self) -> &str {
        match &self.host {
            Host::Tcp(host) | Host::Unix(host) => host,
        }
    }

    /// The port; for a Unix socket, the number in its name.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The login.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// The URL's `application_name`; [`super::WireConnection::connect`] may be given another.
    pub fn application_name(&self) -> Option<&str> {
        self.application_name.as_deref()
    }
}

impl fmt::Debug for WireOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WireOptions")
            .field("host", &self.host)
            .field("port", &self.port)
            .field("user", &self.user)
            .field("database", &self.database)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

impl Host {
    fn new(host: &str) -> Result<Self> {
        if host.contains(',') {
            return Err(wrong("it names several hosts").hint("name the one server to read"));
        }
        Ok(if host.starts_with('/') {
            Self::Unix(host.to_owned())
        } else {
            Self::Tcp(host.trim_start_matches('[').trim_end_matches(']').to_owned())
        })
    }

    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tcp(host) => {
                host == "localhost"
                    || host.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
            }
        }
    }
}

/// The parsed URL, and whether a host stands in it that the user did not write.
fn parse_url(text: &str) -> Result<(Url, bool)> {
    let parse = |text: &str| {
        Url::parse(text).map_err(|error| {
            wrong(error.to_string())
                .hint("percent-encode special characters in the password: `@` is `%40`, `/` `%2F`")
        })
    };
    let Some((scheme, rest)) = text.split_once("://") else {
        return Err(wrong("it has no scheme").hint("write it as `postgres://user@host/database`"));
    };
    if !matches!(scheme, "postgres" | "postgresql") {
        return Err(wrong("its scheme is not `postgres`"));
    }
    // `postgres://user@/database?host=/folder`: libpq allows it, the URL standard does not.
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.split_at(end) {
        (login, tail) if login.ends_with('@') => {
            Ok((parse(&format!("{scheme}://{login}localhost{tail}"))?, true))
        }
        _ => Ok((parse(text)?, false)),
    }
    .and_then(|(url, hostless): (Url, bool)| match url.fragment() {
        // A `#` in a password cuts the URL in two, and what is left may even name a host.
        Some(_) => Err(wrong("it holds a `#`").hint("write a `#` in the password as `%23`")),
        None => Ok((url, hostless)),
    })
}

/// A sign of the password that is not percent-encoded can end the host, and what is left of the
/// password then stands where a name is expected, which errors and logs show.
fn refuse_cut(url: &Url, parameters: &[(String, String)]) -> Result<()> {
    let is_name = |name: &str| PARAMETERS.contains(&name) || IGNORED.contains(&name);
    let tail = [url.path(), url.query().unwrap_or_default()];
    let is_cut = url.username().is_empty()
        && tail.iter().any(|part| part.contains('@'))
        && (url.path().contains('@') || !parameters.iter().all(|(name, _)| is_name(name)));
    if is_cut {
        return Err(wrong("an `@` stands behind its host")
            .hint("write in the password `/` as `%2F`, `?` as `%3F`, `@` as `%40`"));
    }
    Ok(())
}

fn parameters(url: &Url) -> Result<Vec<(String, String)>> {
    url.query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

fn named<T: std::str::FromStr>(name: &str, value: &str, choices: &str) -> Result<T> {
    value.parse().map_err(|_| wrong(format!("its `{name}` is not {choices}")))
}

fn wrong(what: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Config, "the url of a PostgreSQL connection is wrong").because(what)
}

/// Undoes percent-encoding. Unlike in web forms, `+` is itself.
fn decoded(text: &str) -> Result<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, tail) =
            tail.split_first_chunk::<2>().ok_or_else(|| wrong("it ends after a `%`"))?;
        rest = tail;
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let [high, low] = digits.map(digit);
        match (high, low) {
            (Some(high), Some(low)) if (high, low) != (0, 0) => bytes.push((high * 16 + low) as u8),
            _ => {
                return Err(wrong("a `%` is not followed by two hexadecimal digits")
                    .hint("a `%` itself is written `%25`"));
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<WireOptions> {
        WireOptions::parse(&Secret::new(url))
    }

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        let options =
            parse("postgres://me%40x:p%2Fw%25+@db.example:6432/sh%20op?application_name=a+b")
                .unwrap();
        assert_eq!(options.host, Host::Tcp("db.example".to_owned()));
        assert_eq!((options.port(), options.user(), options.database()), (6432, "me@x", "sh op"));
        assert_eq!(options.password.as_ref().map(Secret::reveal), Some("p/w%+"));
        assert_eq!(options.application_name(), Some("a+b"));
        assert_eq!(options.tls, TlsMode::VerifyFull);
    }

    #[test]
    fn only_this_machine_may_go_unencrypted_by_default() {
        for (url, tls) in [
            ("postgres://u@localhost/d", TlsMode::Prefer),
            ("postgres://u@127.0.0.1/d", TlsMode::Prefer),
            ("postgresql://u@[::1]:5433/d", TlsMode::Prefer),
            ("postgres:///d?user=u&host=/run/pg", TlsMode::Prefer),
            ("postgres://u@10.0.0.1/d", TlsMode::VerifyFull),
            ("postgres://u@10.0.0.1/d?sslmode=require", TlsMode::Require),
            ("postgres://u@localhost/d?host=elsewhere", TlsMode::VerifyFull),
        ] {
            assert_eq!(parse(url).unwrap().tls, tls, "{url}");
        }
    }

    #[test]
    fn sockets_are_named_in_every_way_that_libpq_knows() {
        for url in [
            "postgres://u@%2Frun%2Fpg/d",
            "postgres://u@/d?host=/run/pg",
            "postgres://u@localhost/d?host=%2Frun%2Fpg",
        ] {
            assert_eq!(parse(url).unwrap().host, Host::Unix("/run/pg".to_owned()), "{url}");
        }
    }

    #[test]
    fn wrong_urls_are_refused_without_being_shown() {
        for url in [
            "postgres://u:hush@h/d?sslmode=perhaps",
            "postgres://u:hush@h/d?ssl_mode=require",
            "postgres://u:hush@h1,h2/d",
            "postgres://:hush@h/d",
            "postgres://u:hush%zz@h/d",
            "mysql://u:hush@h/d",
            "postgres://u:hush@h:99999/d",
            "postgres://u:123#hush@h/d",
            "postgres://u:123?hush@h/d",
            "postgres://u:123?hush&x@h/d",
            "postgres://u:123/hush@h/d?user=x",
            "postgres://u:hush@h/d?sslcert=a",
            "postgres://u@h/d?sslcert=a&sslkey=b&sslpassword=hush",
            "u:hush@h/d",
        ] {
            let error = parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Config, "{url}");
            assert!(!format!("{error} {:?}", error.hints()).contains("hush"), "{url}");
        }
        let error = parse("postgres://u@h/d?sslmod=require").unwrap_err();
        assert_eq!(error.hints(), ["did you mean `sslmode`?"]);
    }

    #[test]
    fn files_are_looked_for_beside_the_project() {
        let files = ClientFiles {
            root: "/project".into(),
            passfile: Some("/run/pgpass".into()),
            home: Some("/home/u".into()),
        };
        let url = "postgres://u@h/d?sslrootcert=ca.pem&sslcert=tls/me.crt&sslkey=/etc/me.key";
        let options = parse(url).unwrap().with_files(&files);
        let paths = [&options.root_certificate, &options.certificate, &options.key];
        let expected = ["/project/ca.pem", "/project/tls/me.crt", "/etc/me.key"];
        assert_eq!(paths.map(|path| path.as_ref().unwrap().to_str().unwrap()), expected);
    }

    #[test]
    fn the_password_is_not_debugged() {
        let options = parse("postgres://u:hush@h/d?password=quiet").unwrap();
        let shown = format!("{options:?}");
        assert!(!shown.contains("hush") && !shown.contains("quiet"), "{shown}");
    }
}
