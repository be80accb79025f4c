//! Real servers, independent readers and throw-away projects for the integration tests.
//!
//! Every server is started on demand, on a free loopback port, at most once a process, and ends
//! with the process however that ends. Nothing here knows how Longshore works inside: it starts
//! the built program, and looks at what servers, files and other software say afterwards.
//!
//! | module      | gives                                                                        |
//! |-------------|------------------------------------------------------------------------------|
//! | `postgres`  | a primary and its hot standby, a database of its own for each test           |
//! | `tpch`      | TPC-H tables at any scale                                                    |
//! | `s3`        | an S3 server, a bucket of its own for each test                              |
//! | `proxy`     | a TCP proxy that cuts, resets, stalls, garbles or swallows answers           |
//! | `certificates` | a certificate authority, and certificates that are right or wrong         |
//! | `readers`   | what deltalake, DuckDB and pyarrow find in a published table                 |
//! | `workspace` | a project folder, the program run in it, its output as a snapshot            |
//! | `guardian`  | children that die with us; `wait` waits for conditions                       |
#![allow(dead_code, reason = "each area of tests uses its own part of the harness")]

pub(crate) mod certificates;
pub(crate) mod guardian;
pub(crate) mod postgres;
pub(crate) mod proxy;
pub(crate) mod readers;
pub(crate) mod s3;
pub(crate) mod tpch;
pub(crate) mod wait;
pub(crate) mod workspace;

mod exam;
