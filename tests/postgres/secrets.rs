//! A password is a canary: it is given in every way there is, and then looked for in everything
//! that Longshore says, writes, starts or sends, in every form that it could take there.

use std::{
    fmt::Write as _,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use super::project;
use crate::harness::{
    postgres::{Database, PASSWORD, PASSWORD_IN_URL, READER, cluster},
    s3::Bucket,
    workspace::{Outcome, Workspace},
};

/// The forms that a secret could be shown in.
struct Canary(Vec<(&'static str, Vec<u8>)>);

impl Canary {
    fn new(secret: &str) -> Self {
        let mut forms = vec![("plain", secret.as_bytes().to_vec())];
        for digits in ["0123456789abcdef", "0123456789ABCDEF"] {
            let hex: String = secret.bytes().map(|byte| hex_of(byte, digits)).collect();
            let percent = secret.bytes().fold(String::new(), |mut text, byte| {
                if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
                    text.push(char::from(byte));
                } else {
                    let _ = write!(text, "%{}", hex_of(byte, digits));
                }
                text
            });
            forms.extend([("hexadecimal", hex.into_bytes()), ("percent", percent.into_bytes())]);
        }
        for offset in 0..3 {
            forms.push(("base64", base64_within(secret.as_bytes(), offset)));
        }
        Self(forms)
    }

    /// Panics where `bytes` hold the secret; the message names the place and not the bytes.
    fn assert_absent(&self, place: &str, bytes: &[u8]) {
        for (form, wanted) in &self.0 {
            let found = bytes.windows(wanted.len()).any(|part| part == wanted.as_slice());
            assert!(!found, "{place} holds the secret ({form})");
        }
    }

    fn assert_absent_from(&self, outcome: &Outcome) {
        self.assert_absent("what was said", outcome.to_string().as_bytes());
    }

    /// Looks into the name and the content of every file below `folder`.
    fn assert_absent_below(&self, folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            self.assert_absent("a file's name", path.to_string_lossy().as_bytes());
            if path.is_dir() {
                self.assert_absent_below(&path);
            } else {
                self.assert_absent(&path.to_string_lossy(), &fs::read(&path).unwrap());
            }
        }
    }
}

fn hex_of(byte: u8, digits: &str) -> String {
    [byte >> 4, byte & 15].map(|at| char::from(digits.as_bytes()[usize::from(at)])).iter().collect()
}

/// The part of the base64 of a text that holds `secret` after `offset` other bytes, as far as it
/// does not depend on its neighbours.
fn base64_within(secret: &[u8], offset: usize) -> Vec<u8> {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = secret
        .iter()
        .skip((3 - offset) % 3)
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1))
        .collect();
    bits.chunks_exact(6)
        .map(|six| DIGITS[six.iter().fold(0, |digit, bit| digit << 1 | usize::from(*bit))])
        .collect()
}

#[test]
fn every_form_of_a_secret_is_looked_for() {
    let canary = Canary::new(PASSWORD);
    for (form, text) in [
        ("plain", format!("a{PASSWORD}b")),
        ("percent", format!("a{PASSWORD_IN_URL}b")),
        ("base64", "Y2FuYXJ5L29mOnRlc3RzQDE=".to_owned()),
        ("base64, one later", "eGNhbmFyeS9vZjp0ZXN0c0AxeQ==".to_owned()),
        ("base64, two later", "eHhjYW5hcnkvb2Y6dGVzdHNAMXk=".to_owned()),
        ("hexadecimal", "63616e6172792f6f663a7465737473403100".to_owned()),
    ] {
        let looked = std::panic::catch_unwind(|| canary.assert_absent("", text.as_bytes()));
        assert!(looked.is_err(), "{form} is not found");
    }
    canary.assert_absent("nothing", b"canary, of tests");
}

/// A project whose connection has its password by `reference`, which `give` sets up.
fn given(database: &Database<'_>, url: &str, give: impl FnOnce(&mut Workspace)) -> Workspace {
    let mut workspace = project(database, "      - public.a\n");
    workspace.set("SOURCE_URL", url);
    give(&mut workspace);
    workspace
}

fn private(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

/// Every way to give a password. The first is a whole URL in the environment; where a reference
/// stands in the URL, the secret has to be percent-encoded.
fn ways(database: &Database<'_>) -> Vec<(&'static str, Workspace)> {
    let whole = database.url();
    let bare = whole.replace(&format!(":{PASSWORD_IN_URL}"), "");
    let with = |reference: &str| whole.replace(PASSWORD_IN_URL, reference);
    let in_config = |workspace: &mut Workspace, url: &str| {
        let config = workspace.read("longshore.yml").replace("${SOURCE_URL}", url);
        workspace.write("longshore.yml", config);
    };
    let line = format!("*:*:*:{READER}:{}\n", PASSWORD.replace(':', "\\:"));
    vec![
        ("environment", given(database, &whole, |_| {})),
        (
            ".env",
            given(database, "", |workspace| {
                private(&workspace.path(".env"), &format!("CANARY='{PASSWORD_IN_URL}'\n"));
                in_config(workspace, &with("${CANARY}"));
            }),
        ),
        (
            "file",
            given(database, "", |workspace| {
                private(&workspace.path("secrets/pw"), &format!("{PASSWORD_IN_URL}\n"));
                in_config(workspace, &with("${file:secrets/pw}"));
            }),
        ),
        (
            "credential",
            given(database, "", |workspace| {
                workspace.write("credentials/pw", PASSWORD_IN_URL);
                let folder = workspace.path("credentials").to_str().unwrap().to_owned();
                workspace.set("CREDENTIALS_DIRECTORY", folder);
                in_config(workspace, &with("${credential:pw}"));
            }),
        ),
        (
            "command",
            given(database, "", |workspace| {
                private(&workspace.path("secrets/pw"), PASSWORD_IN_URL);
                private(&workspace.path(".env"), &format!("CANARY='{PASSWORD_IN_URL}'\n"));
                in_config(
                    workspace,
                    &with(
                        "${command:cat /proc/self/environ /proc/$PPID/cmdline > seen; cat secrets/pw}",
                    ),
                );
            }),
        ),
        (
            "~/.pgpass",
            given(database, &bare, |workspace| {
                private(&workspace.root().with_file_name("home").join(".pgpass"), &line);
            }),
        ),
        (
            "PGPASSFILE",
            given(database, &bare, |workspace| {
                private(&workspace.path("secrets/pgpass"), &line);
                let path = workspace.path("secrets/pgpass").to_str().unwrap().to_owned();
                workspace.set("PGPASSFILE", path);
            }),
        ),
        (
            "passfile",
            given(database, &format!("{bare}?passfile=secrets/pgpass"), |workspace| {
                private(&workspace.path("secrets/pgpass"), &line);
            }),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_nowhere_however_it_is_given() {
    let canary = Canary::new(PASSWORD);
    let database = cluster().database("secrets").await;
    database.load("create table a as select generate_series(1, 10) as id;").await;
    for (way, workspace) in ways(&database) {
        let run = workspace.run(&["run", "load", "-vvv"]);
        canary.assert_absent_from(&run);
        assert_eq!(run.code, Some(0), "{way}: {run}");
        for verb in [
            &["check", "-vvv"][..],
            &["check", "--json"],
            &["plan", "load", "--json"],
            &["run", "load", "--json"],
            &["runs", "--json"],
            &["runs", "latest", "-vv", "--json"],
            &["tables", "--json"],
            &["sql", "select * from shop.a"],
        ] {
            let outcome = workspace.run(verb).succeeded();
            canary.assert_absent_from(&outcome);
        }
        for folder in [".longshore", "warehouse", "../tmp"] {
            canary.assert_absent_below(&workspace.path(folder));
        }
        if way == "command" {
            // What others see of it while it runs, and what it was handed: `.env` is for us alone.
            canary.assert_absent("the command", &fs::read(workspace.path("seen")).unwrap());
        }
    }
    canary.assert_absent("the standby's log", cluster().standby_log().as_bytes());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_error_tells_a_password() {
    let canary = Canary::new(PASSWORD);
    let database = cluster().database("secret_errors").await;
    database.load("create table a as select generate_series(1, 10) as id;").await;
    let url = database.url();
    let (login, _) = url.split_once('@').unwrap();
    let raw = |password: &str| url.replace(PASSWORD_IN_URL, password);
    for (what, url) in [
        ("a wrong user", url.replace(READER, "nobody")),
        ("a wrong host", format!("{login}@nowhere.invalid/x")),
        ("nobody there", format!("{login}@127.0.0.1:1/x")),
        ("no such database", url.replace("secret_errors", "none")),
        ("no TLS", format!("{url}?sslmode=verify-full")),
        ("an unknown parameter", format!("{url}?sslmod=require")),
        ("an unknown setting", format!("{url}?options=-c%20nothing%3D1")),
        ("a plain password", raw(PASSWORD)),
        ("a plain password after digits", raw(&format!("1/{PASSWORD}"))),
        ("a plain password after a `?`", raw(&format!("1?{PASSWORD}"))),
        ("a plain password after a `#`", raw(&format!("1#{PASSWORD}"))),
        ("a broken percent sign", raw(&format!("{PASSWORD_IN_URL}%zz"))),
        ("another scheme", url.replace("postgres://", "mysql://")),
        ("another scheme yet", url.replace("postgres://", "postgres:/")),
        ("a URL without a scheme", url.replace("postgres://", "")),
    ] {
        let workspace = given(&database, &url, |_| {});
        for verb in [&["check", "-vvv"][..], &["run", "load", "-vvv"]] {
            let outcome = workspace.run(verb);
            assert!(outcome.code.is_some_and(|code| code == 1 || code == 2), "{what}: {outcome}");
            canary.assert_absent(what, outcome.to_string().as_bytes());
        }
        // The same, written where it should not be: in the file that errors quote.
        let config = workspace.read("longshore.yml").replace("${SOURCE_URL}", &url);
        workspace.write("longshore.yml", config);
        canary.assert_absent(what, workspace.run(&["check"]).to_string().as_bytes());
        canary.assert_absent_below(&workspace.path(".longshore"));
    }
    canary.assert_absent("the standby's log", cluster().standby_log().as_bytes());
    let wrong = Canary::new("another/canary:2");
    let outcome = given(&database, &raw("another%2Fcanary%3A2"), |_| {}).run(&["check", "-vvv"]);
    assert!(outcome.stderr.contains("password authentication failed"), "{outcome}");
    wrong.assert_absent_from(&outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn others_do_not_see_a_password_while_a_run_lasts() {
    let canary = Canary::new(PASSWORD);
    let database = cluster().database("secret_processes").await;
    database.load("create table a as select generate_series(1, 10) as id;").await;
    let workspace = given(&database, &database.url(), |workspace| {
        let config = workspace.read("pipelines/load.yml").replace(
            "      - public.a\n",
            "      - {table: public.a, where: \"id <> 7 or pg_sleep(2) is not null\"}\n",
        );
        workspace.write("pipelines/load.yml", config);
    });
    let mut running = workspace.spawn(&["run", "load", "-vvv"]);
    running.wait_for_words("reading");
    let shown = fs::read(format!("/proc/{}/cmdline", running.id())).unwrap();
    assert!(String::from_utf8_lossy(&shown).contains("run\0load\0-vvv"));
    canary.assert_absent("the list of processes", &shown);
    let outcome = running.finish().succeeded();
    canary.assert_absent_from(&outcome);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_others_may_read_are_refused() {
    let database = cluster().database("secret_modes").await;
    database.load("create table a (id int);").await;
    for (way, workspace) in ways(&database) {
        let file: PathBuf = match way {
            ".env" => workspace.path(".env"),
            "file" => workspace.path("secrets/pw"),
            "~/.pgpass" => workspace.root().with_file_name("home").join(".pgpass"),
            "PGPASSFILE" | "passfile" => workspace.path("secrets/pgpass"),
            _ => continue,
        };
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let outcome = workspace.run(&["check"]);
        let hint = format!("chmod 600 {}", file.display());
        let hint = hint.replace(&format!("{}/", workspace.root().display()), "");
        let said = outcome.to_string().replace(&format!("{}/", workspace.root().display()), "");
        assert!(said.contains(&hint), "{way}: {outcome}");
        // Clones and editors make `.env` so, and much besides secrets may stand in it.
        assert_eq!(outcome.code == Some(0), way == ".env", "{way}: {outcome}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_s_key_is_nowhere() {
    let canary = Canary::new(PASSWORD);
    let database = cluster().database("secret_store").await;
    database.load("create table a as select generate_series(1, 10) as id;").await;
    let bucket = Bucket::new("secrets");
    let workspace = given(&database, &database.url(), |workspace| {
        workspace.set("STORE_KEY", PASSWORD);
    });
    let config = |url: &str, more: &str| {
        let options = bucket.options().into_iter().map(|(name, value)| {
            let value = if value == PASSWORD { "${STORE_KEY}".to_owned() } else { value };
            format!("    {name}: \"{value}\"\n")
        });
        let options: String = options.collect();
        let connections = "connections:\n  source: {url: \"${SOURCE_URL}\", connections: 2}\n";
        format!("warehouse:\n  url: {url}\n  options:\n{options}{more}{connections}")
    };
    let outside = workspace.path("longshore.yml");
    for (url, more, code) in [
        (bucket.url(), "", 0),
        ("s3://no-such-bucket".to_owned(), "", 1),
        (bucket.url(), "    aws_no_such_option: \"${STORE_KEY}\"\n", 2),
        (bucket.url(), "    aws_skip_signature: \"${STORE_KEY}\"\n", 2),
    ] {
        fs::write(&outside, config(&url, more)).unwrap();
        let outcome = workspace.run(&["run", "load", "-vvv"]);
        canary.assert_absent_from(&outcome);
        assert_eq!(outcome.code, Some(code), "{outcome}");
        canary.assert_absent_below(&workspace.path(".longshore"));
    }
    let bytes = bucket_bytes(&bucket).await;
    assert!(bytes.len() > 1000, "the bucket holds what was published");
    canary.assert_absent("the bucket", &bytes);
}

/// All names and contents of a bucket.
async fn bucket_bytes(bucket: &Bucket) -> Vec<u8> {
    use futures::TryStreamExt as _;
    use object_store::{ObjectStore as _, ObjectStoreExt as _};
    let store = bucket.store();
    let objects: Vec<_> = store.list(None).try_collect().await.unwrap();
    let mut bytes = Vec::new();
    for object in objects {
        bytes.extend_from_slice(object.location.as_ref().as_bytes());
        bytes.extend_from_slice(&store.get(&object.location).await.unwrap().bytes().await.unwrap());
    }
    bytes
}
