//! A small PostgreSQL client for reading COPY streams at the speed of the socket.
//!
//! General clients hand a COPY out row by row, which costs more than decoding it. This one reads
//! the socket in large pieces and gives them out as [`Block`]s, with the places of the messages in
//! them. It speaks the start-up, the logins (SCRAM with channel binding, MD5, clear text), TLS,
//! simple statements, descriptions, COPY out and cancelling it; it can't send rows. [`super`] asks servers by
//! nothing else, so that there is one login and one policy for TLS.
//!
//! Whatever a server or an impostor sends, nothing here panics, and memory grows with what arrives.
//! Where TLS was asked for, nothing is sent in the clear.

mod cancel;
mod connection;
mod copy_out;
mod describe;
mod detached;
mod error;
mod frame;
mod identity;
mod login;
mod options;
mod pgpass;
mod protection;
mod socket;
mod tls;

pub use cancel::CancelKey;
pub use connection::WireConnection;
pub use copy_out::{Block, CopyOut};
pub use describe::Described;
pub use error::{ServerError, WireError};
pub use options::WireOptions;
pub use protection::Protection;
