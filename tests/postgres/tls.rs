//! Whom a connection trusts: a server with certificates right and wrong, impostors, and a network
//! that garbles what it carries.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use crate::harness::{
    certificates::{Authority, Pair, Validity},
    postgres::{self, Cluster, Database, OWNER, PASSWORD, PASSWORD_IN_URL, READER},
    proxy::{Fault, Proxy},
    readers::{self, Reader},
    wait,
    workspace::{Outcome, Workspace},
};

const HOSTS: &str = "DNS:localhost,IP:127.0.0.1";

/// Who may come in how; the harness's own logins by password, as ever.
const ACCESS: &str = "
hostssl   all certified 127.0.0.1/32 cert
hostssl   all twofold   127.0.0.1/32 scram-sha-256 clientcert=verify-full
hostnossl all open      127.0.0.1/32 scram-sha-256
host      all open      127.0.0.1/32 reject
host      all all       127.0.0.1/32 scram-sha-256
host      replication all 127.0.0.1/32 scram-sha-256
";

/// A cluster of its own whose standby speaks TLS.
struct Server {
    cluster: Cluster,
    authority: Authority,
    good: Pair,
}

impl Server {
    async fn start() -> Self {
        let authority = Authority::new("Longshore's tests");
        let access = authority.certificate().with_file_name("access.conf");
        std::fs::write(&access, ACCESS).unwrap();
        let good = authority.sign("server", HOSTS, Validity::Now).for_server();
        let cluster = Cluster::start(&[&format!("hba_file={}", access.display())]);
        let server = Self { cluster, authority, good };
        let trusted = server.authority.certificate();
        server.set("ssl_ca_file", trusted.to_str().unwrap()).await;
        server.show(&server.good).await;
        server
    }

    async fn database(&self) -> Database<'_> {
        let database = self.cluster.database("shop").await;
        database
            .load(&format!(
                "create table t (id int primary key, pad text, amount numeric(12,2));
                 insert into t select i, repeat(md5(i::text), 6), i / 7.0
                     from generate_series(1, 20000) i;
                 create role certified login; create role open login password '{PASSWORD}';
                 create role twofold login password '{PASSWORD}';
                 grant select on t to certified, open, twofold;
                 grant usage on schema public to certified, open, twofold;"
            ))
            .await;
        database
    }

    /// Has the standby show a certificate from now on.
    async fn show(&self, pair: &Pair) {
        self.set("ssl_key_file", pair.key.to_str().unwrap()).await;
        self.set("ssl_cert_file", pair.certificate.to_str().unwrap()).await;
        self.set("ssl", "on").await;
        self.reload("ssl_cert_file", pair.certificate.to_str().unwrap()).await;
    }

    async fn set(&self, name: &str, value: &str) {
        let sql = format!("alter system set {name} = '{value}'");
        postgres::execute(&self.cluster.standby_url(OWNER, OWNER), &sql).await.unwrap();
    }

    async fn reload(&self, name: &str, value: &str) {
        let url = self.cluster.standby_url(OWNER, OWNER);
        postgres::execute(&url, "select pg_reload_conf()").await.unwrap();
        let limit = Duration::from_mins(1);
        wait::until_async("new settings", limit, async || {
            let set = postgres::text(&url, &format!("show {name}")).await.ok()?;
            (set == value).then_some(())
        })
        .await;
    }

    /// The standby's URL; `{CA}` in the parameters is the authority's certificate.
    fn url(&self, user: &str, host: &str, parameters: &str) -> String {
        let trusted = self.authority.certificate();
        let url =
            self.cluster.standby_url("shop", user).replace("@127.0.0.1:", &format!("@{host}:"));
        format!("{url}?{}", parameters.replace("{CA}", trusted.to_str().unwrap()))
    }
}

fn project(url: &str) -> Workspace {
    let mut workspace = Workspace::new();
    workspace.set("SOURCE_URL", url);
    workspace.write(
        "longshore.yml",
        "warehouse: {url: ./warehouse}\nconnections:\n  \
         source: {url: \"${SOURCE_URL}\", connections: 3, statement_timeout: 10s}\n",
    );
    workspace.write(
        "pipelines/load.yml",
        "extract:\n  - from: source\n    into: shop\n    tables: [public.t]\n",
    );
    workspace
}

/// What `check` says, on both streams.
fn check(url: &str) -> (bool, String) {
    let outcome = project(url).run(&["check"]);
    let said = format!("{}{}", outcome.stdout, outcome.stderr);
    assert!(!said.contains(PASSWORD) && !said.contains(PASSWORD_IN_URL), "{said}");
    (outcome.code == Some(0), said)
}

fn assert_trusted(url: &str, fact: &str) {
    let (is_ok, said) = check(url);
    assert!(is_ok && said.contains(fact), "{url} is not `{fact}`: {said}");
}

fn assert_refused(url: &str, why: &str) {
    let (is_ok, said) = check(url);
    assert!(!is_ok && said.contains(why), "{url} is not refused with `{why}`: {said}");
}

fn assert_whole(database: &Database<'_>, workspace: &Workspace, outcome: &Outcome) {
    let folder = workspace.path("warehouse/shop/t");
    let published = readers::fingerprint(Reader::DeltaRs, folder.to_str().unwrap(), &[]);
    let source = readers::source_fingerprint(&database.primary_url(READER), "public.t");
    assert_eq!(published, source, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_trusted_as_far_as_its_certificate_goes() {
    let server = Server::start().await;
    let database = server.database().await;
    let url = |parameters: &str| server.url(READER, "localhost", parameters);
    let full = url("sslmode=verify-full&sslrootcert={CA}");

    let bound = format!("{full}&channel_binding=require");
    assert_trusted(&bound, "encrypted with TLS 1.3, certificate verified for `localhost`");
    let workspace = project(&bound);
    let outcome = workspace.run(&["run", "load"]).succeeded();
    assert_whole(&database, &workspace, &outcome);
    let by_address = server.url(READER, "127.0.0.1", "sslmode=verify-full&sslrootcert={CA}");
    assert_trusted(&by_address, "certificate verified for `127.0.0.1`");
    // Nobody has to be trusted: the servers of the system's authorities are others.
    assert_refused(&url("sslmode=verify-full"), "UnknownIssuer");
    let stranger = Authority::new("somebody else");
    let other = stranger.certificate();
    let by_other = |mode: &str| url(&format!("sslmode={mode}&sslrootcert={}", other.display()));
    for mode in ["verify-full", "verify-ca", "require"] {
        assert_refused(&by_other(mode), "UnknownIssuer");
    }
    assert_trusted(&url("sslmode=require"), "but the server did not prove who it is");
    assert_trusted(&url(""), "but the server did not prove who it is (`sslmode=prefer`)");
    for mode in ["require", "verify-ca", "verify-full"] {
        let nowhere = url(&format!("sslmode={mode}&sslrootcert=/nowhere/ca.crt"));
        assert_refused(&nowhere, "`sslrootcert=/nowhere/ca.crt` can't be read");
    }

    let elsewhere = server.authority.sign("elsewhere", "DNS:db.example", Validity::Now);
    server.show(&elsewhere.for_server()).await;
    assert_refused(&full, "db.example");
    let signed = "signed by a trusted authority, though not verified for `localhost`";
    assert_trusted(&url("sslmode=verify-ca&sslrootcert={CA}"), signed);

    let expired = server.authority.sign("expired", HOSTS, Validity::Expired);
    server.show(&expired.clone().for_server()).await;
    let pinned = |pair: &Pair, mode: &str| {
        url(&format!("sslmode={mode}&sslrootcert={}", pair.certificate.display()))
    };
    for url in [&full, &url("sslmode=verify-ca&sslrootcert={CA}"), &pinned(&expired, "verify-ca")] {
        assert_refused(url, "renew the server's certificate");
    }

    for (name, basic) in [("own", "CA:FALSE"), ("own-authority", "CA:TRUE")] {
        let own = server.authority.self_signed(name, "localhost", basic).for_server();
        server.show(&own).await;
        assert_refused(&full, "no trusted TLS connection to `localhost`");
        assert_refused(&url("sslmode=verify-full"), "no trusted TLS connection to `localhost`");
        assert_trusted(&pinned(&own, "verify-full"), "certificate verified for `localhost`");
        let parameters = format!("sslmode=verify-full&sslrootcert={}", own.certificate.display());
        let by_address = server.url(READER, "127.0.0.1", &parameters);
        assert_refused(&by_address, "connect by a name in the certificate's subjectAltName");
    }

    server.set("ssl", "off").await;
    server.reload("ssl", "off").await;
    for mode in ["require", "verify-ca&sslrootcert={CA}", "verify-full&sslrootcert={CA}"] {
        assert_refused(&url(&format!("sslmode={mode}")), "offers no TLS");
    }
    assert_trusted(&url("sslmode=prefer"), "not encrypted: `localhost` is on this machine");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_shows_its_certificate() {
    let server = Server::start().await;
    let database = server.database().await;
    let ours = server.authority.sign("certified", "DNS:certified", Validity::Now);
    let twofold = server.authority.sign("twofold", "DNS:twofold", Validity::Now);
    let stranger = Authority::new("somebody else");
    let unknown = stranger.sign("certified", "DNS:certified", Validity::Now);
    let shown = |user: &str, pair: &Pair, more: &str| {
        let (certificate, key) = (pair.certificate.display(), pair.key.display());
        let parameters = format!(
            "sslmode=verify-full&sslrootcert={{CA}}&sslcert={certificate}&sslkey={key}{more}"
        );
        server.url(user, "localhost", &parameters)
    };

    let without_password =
        shown("certified", &ours, "").replace(&format!(":{PASSWORD_IN_URL}"), "");
    let workspace = project(&without_password);
    let outcome = workspace.run(&["run", "load"]).succeeded();
    assert_whole(&database, &workspace, &outcome);
    assert_trusted(&shown("twofold", &twofold, "&channel_binding=require"), "verified for");

    let none = "sslmode=verify-full&sslrootcert={CA}";
    let words = "connection requires a valid client certificate";
    for user in ["certified", "twofold"] {
        assert_refused(&server.url(user, "localhost", none), words);
    }
    // In the name of another, and by an authority that the server does not know.
    assert_refused(&shown("twofold", &ours, ""), "failed for user \"twofold\"");
    assert!(!check(&shown("certified", &unknown, "")).0);

    let ancient = server.authority.sign("ancient", "", Validity::Now);
    assert_refused(&shown("certified", &ancient, ""), "(UnsupportedCertVersion)");
    let mixed = Pair { key: twofold.key.clone(), ..ours.clone() };
    assert_refused(&shown("certified", &mixed, ""), "is not the key of");
    let encrypted = server.authority.encrypted(&ours.key, PASSWORD);
    let locked = Pair { key: encrypted, ..ours.clone() };
    assert_refused(&shown("certified", &locked, ""), "encrypted keys are not read");
    let missing = Pair { key: Path::new("/nowhere/me.key").to_owned(), ..ours.clone() };
    // Whoever names a certificate means it, also where nothing else is asked of TLS.
    let wants = shown("reader", &missing, "").replace("verify-full", "prefer");
    assert_refused(&wants, "`sslkey=/nowhere/me.key` does not exist");
    open_to_all(&ours.key);
    assert_refused(&shown("certified", &ours, ""), &format!("chmod 600 {}", ours.key.display()));

    // A server that wants no TLS of this login gets no second try without.
    for mode in ["prefer", "require"] {
        let url = server.url("open", "localhost", &format!("sslmode={mode}"));
        assert_refused(&url, "pg_hba.conf rejects connection");
    }
    let clear = server.url("open", "localhost", "sslmode=disable");
    assert_trusted(&clear, "not encrypted: `localhost` is on this machine");
}

fn open_to_all(file: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o644)).unwrap();
}

/// What stands in for a server, and says `answers` one after the other, each when it was spoken to.
/// Gives its port, and what it has heard.
fn impostor(answers: &'static [&'static [u8]]) -> (u16, Arc<Mutex<Vec<u8>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&heard);
    // It ends with the process.
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            let mut buffer = [0; 16 << 10];
            for answer in answers {
                let Ok(read @ 1..) = stream.read(&mut buffer) else { break };
                ours.lock().unwrap().extend_from_slice(&buffer[..read]);
                if stream.write_all(answer).is_err() {
                    break;
                }
            }
            // What comes after the last answer is heard too.
            if !answers.is_empty() {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(500)));
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    ours.lock().unwrap().extend_from_slice(&buffer[..read]);
                }
            }
        }
    });
    (port, heard)
}

#[test]
fn a_broken_handshake_is_never_followed_by_plain_text() {
    const PLAIN_ERROR: &[u8] = b"E\0\0\0\x20SFATAL\0C28000\0Mno TLS today\0\0";
    for (answers, mode) in [
        (&[][..], "prefer"),
        (&[b"S" as &[u8]][..], "prefer"),
        (&[b"S", b"N"], "prefer"),
        (&[b"S", b"HTTP/1.1 400 Bad Request\r\n\r\n"], "prefer"),
        (&[b"S", b"\x15\x03\x03\x00\x02\x02\x28"], "prefer"),
        (&[b"SR\0\0\0\x08\0\0\0\0"], "prefer"),
        (&[b"S", PLAIN_ERROR], "prefer"),
        (&[PLAIN_ERROR], "prefer"),
        (&[b"G"], "prefer"),
        (&[b"N"], "require"),
        (&[b"N"], "verify-full"),
    ] {
        let (port, heard) = impostor(answers);
        let url = format!(
            "postgres://{READER}:{PASSWORD_IN_URL}@127.0.0.1:{port}/shop?sslmode={mode}&connect_timeout=5"
        );
        let (is_ok, said) = check(&url);
        assert!(!is_ok, "{answers:?}: {said}");
        let heard = heard.lock().unwrap();
        for word in [READER, "client_encoding", PASSWORD] {
            let found = heard.windows(word.len()).any(|part| part == word.as_bytes());
            assert!(!found, "{answers:?} with {mode} heard `{word}`");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_garbled_stream_is_never_data() {
    let server = Server::start().await;
    let database = server.database().await;
    let proxy = Proxy::start(server.cluster.standby_port());
    let parameters = "sslmode=verify-full&sslrootcert={CA}&connect_timeout=3";
    let url = server.url(READER, "127.0.0.1", parameters);
    let workspace = project(&proxy.lead(&url));
    workspace.run(&["run", "load"]).succeeded();
    let longest = proxy.longest();
    assert!(longest > 1_000_000, "the rows went through the proxy");
    // In the one COPY, whose stream is by far the longest.
    for after in [longest / 3, longest / 2 + 1, longest - 100_000] {
        proxy.inject(Fault::Corrupt { after }, 1);
        let outcome = workspace.run(&["run", "load"]).succeeded();
        assert_eq!(proxy.pending(), 0, "a byte was flipped");
        assert!(outcome.stderr.contains("reads it again"), "{outcome}");
        assert_whole(&database, &workspace, &outcome);
    }
    let generations = "warehouse/_longshore/generations";
    // In the answer to the wish for TLS, the handshake, the login and the first statements, of the
    // first connection, which is what tells that a server can't be read; and where a COPY and its
    // connection end.
    let start = [0, 20, 400, 1_100, 1_500, 1_800, 2_500];
    for after in start.into_iter().chain([longest - 5_000, longest - 300, longest - 60]) {
        let published = workspace.files(generations);
        proxy.inject(Fault::Corrupt { after }, 1);
        let outcome = workspace.run(&["run", "load"]);
        assert_eq!(proxy.pending(), 0, "a byte was flipped: {after}");
        if outcome.code == Some(0) {
            assert_whole(&database, &workspace, &outcome);
        } else {
            assert_eq!(outcome.code, Some(1), "{after}: {outcome}");
            assert_eq!(workspace.files(generations), published, "{after}: {outcome}");
        }
    }
}
