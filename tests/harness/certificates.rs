//! Certificates of every sort, made by `openssl`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::postgres::give_to_server;

/// What `openssl ca` has to be told.
const CONFIG: &str = "
[ca]
default_ca = here
[here]
database = index.txt
rand_serial = yes
new_certs_dir = .
policy = any
default_md = sha256
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
";

/// A certificate authority in a folder of its own, which servers may enter.
pub(crate) struct Authority {
    folder: TempDir,
}

/// A certificate and its key, both as PEM files.
#[derive(Clone)]
pub(crate) struct Pair {
    /// The certificate.
    pub certificate: PathBuf,
    /// The key, which only its owner may read.
    pub key: PathBuf,
}

/// When a certificate is valid.
#[derive(Clone, Copy)]
pub(crate) enum Validity {
    /// For years to come.
    Now,
    /// It was, for a month.
    Expired,
}

impl Authority {
    /// A new authority, whom nobody knows.
    pub(crate) fn new(name: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("longshore-ca-").tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(folder.path().join("ca.cnf"), CONFIG).unwrap();
        fs::write(folder.path().join("index.txt"), "").unwrap();
        let authority = Self { folder };
        authority.self_signed("ca", name, "CA:TRUE");
        authority
    }

    /// The authority's own certificate.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.path("ca.crt")
    }

    /// A pair that this authority signs, for the common name `name`, which also names the files,
    /// and the hosts `hosts` (`DNS:…,IP:…`).
    pub(crate) fn sign(&self, name: &str, hosts: &str, validity: Validity) -> Pair {
        let pair = self.pair(name);
        let subject = format!("/CN={name}");
        let names = format!("subjectAltName={hosts}");
        let mut request = vec!["req", "-new", "-subj", &subject, "-out", "request.pem"];
        if !hosts.is_empty() {
            request.extend(["-addext", &names]);
        }
        self.openssl(&[&request[..], &NEW_KEY, &["-keyout", self.file(&pair.key)]].concat());
        let (from, until) = match validity {
            Validity::Now => ("20200101000000Z", "20491231000000Z"),
            Validity::Expired => ("20200101000000Z", "20200201000000Z"),
        };
        self.openssl(&[
            "ca",
            "-batch",
            "-notext",
            "-config",
            "ca.cnf",
            "-cert",
            "ca.crt",
            "-keyfile",
            "ca.key",
            "-startdate",
            from,
            "-enddate",
            until,
            "-in",
            "request.pem",
            "-out",
            self.file(&pair.certificate),
        ]);
        pair
    }

    /// A pair that signed itself; `basic` are its basic constraints. It lies here and has nothing
    /// to do with the authority.
    pub(crate) fn self_signed(&self, name: &str, host: &str, basic: &str) -> Pair {
        let pair = self.pair(name);
        let (subject, names) = (format!("/CN={host}"), format!("subjectAltName=DNS:{host}"));
        let basic = format!("basicConstraints=critical,{basic}");
        let arguments = ["req", "-x509", "-days", "3650", "-subj", &subject, "-addext", &names];
        let more = ["-addext", &basic, "-out", self.file(&pair.certificate)];
        self.openssl(
            &[&arguments[..], &more, &NEW_KEY, &["-keyout", self.file(&pair.key)]].concat(),
        );
        pair
    }

    /// A copy of a key, protected by a password.
    pub(crate) fn encrypted(&self, key: &Path, password: &str) -> PathBuf {
        let copy = self.path("encrypted.key");
        let password = format!("pass:{password}");
        self.openssl(&[
            "pkey",
            "-in",
            self.file(key),
            "-aes256",
            "-passout",
            &password,
            "-out",
            self.file(&copy),
        ]);
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        copy
    }

    fn pair(&self, name: &str) -> Pair {
        Pair {
            certificate: self.path(&format!("{name}.crt")),
            key: self.path(&format!("{name}.key")),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file<'a>(&self, path: &'a Path) -> &'a str {
        path.strip_prefix(self.folder.path()).unwrap().to_str().unwrap()
    }

    fn openssl(&self, arguments: &[&str]) {
        let mut command = Command::new("openssl");
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        let output = command.output().expect("openssl: see `tests/run --setup`");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {said}");
    }
}

impl Pair {
    /// Lets the user that servers run as read the key, and nobody else.
    pub(crate) fn for_server(self) -> Self {
        fs::set_permissions(&self.key, fs::Permissions::from_mode(0o600)).unwrap();
        give_to_server(&self.key);
        self
    }
}

const NEW_KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
