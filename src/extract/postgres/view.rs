//! What is known of one consistent view of many tables: before it is opened, and once it stands.

use super::{pg_type::PgType, pressure::Ceilings, session::Sessions, wire::WireConnection};
use crate::extract::{Chunk, Session, SourcePosition, TableRequest, throttle::Throttle};

/// Gives a text that no other server gives (two servers don't start in the same microsecond), and
/// the number of the process that serves the connection.
pub(super) const IDENTITY: &str = "SELECT pg_catalog.pg_postmaster_start_time()::pg_catalog.text,
     pg_catalog.pg_backend_pid()";

/// Where a snapshot is opened, and what it may use.
pub(super) struct Place {
    /// The connection's name.
    pub(super) name: String,
    pub(super) sessions: Sessions,
    /// How many connections there may be at once, all in all.
    pub(super) connections: usize,
    pub(super) ceilings: Ceilings,
    pub(super) throttle: Throttle,
    pub(super) session: Session,
}

/// One table as it will be read.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) request: TableRequest,
    /// The types of the requested columns, in order.
    pub(super) types: Vec<PgType>,
}

/// The coordinator once its snapshot stands.
pub(super) struct Opened {
    /// The connection whose transaction holds the snapshot.
    pub(super) connection: WireConnection,
    /// The snapshot's name, for the workers.
    pub(super) snapshot: String,
    /// What tells this server from any other.
    pub(super) server: String,
    pub(super) position: SourcePosition,
    pub(super) plans: Vec<Plan>,
    pub(super) chunks: Vec<Vec<Chunk>>,
}
