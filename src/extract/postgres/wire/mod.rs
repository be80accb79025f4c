//! A small PostgreSQL client for reading COPY streams at the speed of the socket.
//!
//! General clients hand a COPY out row by row, which costs more than decoding it. This one reads
//! the socket in large pieces and gives them out as [`Block`]s, with the places of the messages in
//! them. It speaks the start-up, the logins (SCRAM with channel binding, MD5, clear text), TLS,
//! simple statements and COPY out; it can't send rows. [`super`] opens one connection per worker
//! and keeps catalog queries to a general client.
//!
//! Whatever a server or an impostor sends, nothing here panics, and memory grows with what arrives.
//! Where TLS was asked for, nothing is sent in the clear.

mod connection;
mod copy_out;
mod error;
mod frame;
mod login;
mod options;
mod socket;
mod tls;

pub use connection::WireConnection;
pub use copy_out::{Block, CopyOut};
pub use error::{ServerError, WireError};
pub use options::WireOptions;
