//! An S3 server in memory (moto), started on demand.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    sync::OnceLock,
};

use object_store::aws::{AmazonS3, AmazonS3Builder};

use super::{postgres::PASSWORD, readers};

/// A bucket of the server that this process shares, for one test.
pub(crate) struct Bucket {
    /// Its name.
    pub name: String,
    /// The server's address, `http://127.0.0.1:port`.
    pub endpoint: String,
}

impl Bucket {
    /// Makes a new bucket; the first one starts the server.
    pub(crate) fn new(name: &str) -> Self {
        let address = format!("127.0.0.1:{}", server_port());
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "PUT /{name} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\
             Connection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "no bucket `{name}`: {answer}");
        Self { name: name.to_owned(), endpoint: format!("http://{address}") }
    }

    /// `s3://bucket`.
    pub(crate) fn url(&self) -> String {
        format!("s3://{}", self.name)
    }

    /// The object store's settings, by the names that Longshore, object_store and the readers
    /// take. The secret is the same canary as the databases' password. A proxy goes in by leading
    /// [`Self::endpoint`] through it.
    pub(crate) fn options(&self) -> Vec<(&'static str, String)> {
        vec![
            ("aws_endpoint", self.endpoint.clone()),
            ("aws_region", "us-east-1".to_owned()),
            ("aws_access_key_id", "harness".to_owned()),
            ("aws_secret_access_key", PASSWORD.to_owned()),
            ("aws_allow_http", "true".to_owned()),
        ]
    }

    /// A client of the bucket.
    pub(crate) fn store(&self) -> AmazonS3 {
        let mut builder = AmazonS3Builder::new().with_bucket_name(&self.name);
        for (name, value) in self.options() {
            builder = builder.with_config(name.parse().unwrap(), value);
        }
        builder.build().unwrap()
    }
}

/// The server ends when our end of its standard input closes.
struct Server {
    port: u16,
    _process: Child,
}

fn server_port() -> u16 {
    static SHARED: OnceLock<Server> = OnceLock::new();
    SHARED.get_or_init(start).port
}

fn start() -> Server {
    let mut process = readers::script("s3_server.py")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let port = line.trim().parse().expect("the S3 server's first line is its port");
    Server { port, _process: process }
}
