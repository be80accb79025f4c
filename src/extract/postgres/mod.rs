//! Reading PostgreSQL.

pub mod copy;
pub mod mapping;
pub mod pg_type;
pub mod wire;
