//! PostgreSQL's types as the catalog describes them: a tree from a column's type down to base types.
//!
//! The catalog loader builds it; [`super::mapping`] and [`super::copy`] read it. Nothing here
//! knows Arrow.

/// A type with all that decoding its values takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgType {
    /// Its number in `pg_type`; fixed for built-in types only.
    pub oid: u32,
    /// Its name as `format_type` prints it, modifier included: `numeric(12,2)`.
    pub name: String,
    /// Its modifier (`atttypmod`); −1 where there is none.
    pub modifier: i32,
    /// What it is made of.
    pub kind: PgKind,
}

/// What a type is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PgKind {
    /// Nothing smaller.
    Base,
    /// One of a list of labels.
    Enum,
    /// Another type with constraints. The inner type carries the domain's own modifier.
    Domain(Box<PgType>),
    /// Elements of one type, in any number of dimensions.
    Array(Box<PgType>),
    /// Named fields: the attributes that are not dropped, in order.
    Composite(Vec<(String, PgType)>),
    /// A lower and an upper bound of one type.
    Range(Box<PgType>),
    /// Ranges over one type; the type of their bounds.
    Multirange(Box<PgType>),
    /// A pseudo-type, or a type without a binary send function: it can be read as text only.
    Unsendable,
}

impl PgType {
    /// The type number `oid`, named as `format_type` prints it.
    pub fn new(oid: u32, name: impl Into<String>, modifier: i32, kind: PgKind) -> Self {
        Self { oid, name: name.into(), modifier, kind }
    }

    /// A base type without a modifier.
    pub fn base(oid: u32, name: impl Into<String>) -> Self {
        Self::new(oid, name, -1, PgKind::Base)
    }

    /// The type below any domains.
    pub fn undomained(&self) -> &Self {
        match &self.kind {
            PgKind::Domain(inner) => inner.undomained(),
            _ => self,
        }
    }

    /// The name without schema, quotes and modifier: `hstore` for `ext.hstore`.
    ///
    /// Extension types have no fixed number, so they are told apart by this.
    pub fn bare_name(&self) -> &str {
        let name = self.name.split('(').next().unwrap_or(&self.name);
        let last = name.rsplit('.').next().unwrap_or(name);
        last.trim_matches('"')
    }
}

/// Numbers of built-in types, from PostgreSQL's `pg_type.dat`; they never change.
pub mod oid {
    macro_rules! oids {
        ($($name:ident = $number:literal),* $(,)?) => {
            $(
                #[doc = concat!("The number of the built-in type, ", stringify!($number), ".")]
                pub const $name: u32 = $number;
            )*
        };
    }
    oids! {
        BOOL = 16, BYTEA = 17, CHAR = 18, NAME = 19, INT8 = 20, INT2 = 21, INT2VECTOR = 22,
        INT4 = 23, TEXT = 25, OID = 26, XID = 28, CID = 29, OIDVECTOR = 30, JSON = 114, XML = 142,
        CIDR = 650, FLOAT4 = 700, FLOAT8 = 701, MACADDR8 = 774, MONEY = 790, MACADDR = 829,
        INET = 869, BPCHAR = 1042, VARCHAR = 1043, DATE = 1082, TIME = 1083, TIMESTAMP = 1114,
        TIMESTAMPTZ = 1184, INTERVAL = 1186, TIMETZ = 1266, BIT = 1560, VARBIT = 1562,
        NUMERIC = 1700, UUID = 2950, JSONB = 3802, JSONPATH = 4072,
    }
}
