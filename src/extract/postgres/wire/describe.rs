//! What a statement would return, without running it.

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::{
    connection::WireConnection,
    error::{ServerError, WireError},
    frame::text,
};

/// A column that a statement would return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// Its type's number.
    pub type_oid: u32,
    /// Its type's modifier; −1 where there is none.
    pub modifier: i32,
}

impl WireConnection {
    /// Has the server take `sql` apart by the extended protocol, which knows no more than one
    /// statement; nothing runs. Gives its columns, none for a statement that returns no rows.
    ///
    /// Within a transaction this locks the tables that `sql` names, as running it would. After an
    /// error it is with the session as it is after [`WireConnection::simple`].
    pub async fn describe(&mut self, sql: &str) -> Result<Vec<Described>, WireError> {
        if std::mem::replace(&mut self.busy, true) {
            return Err(WireError::Lost("the session is in the middle of a statement".to_owned()));
        }
        let mut message = BytesMut::new();
        frontend::parse("", sql, std::iter::empty(), &mut message)
            .and_then(|()| frontend::describe(b'S', "", &mut message))
            .map_err(|_| WireError::protocol("a statement that holds a NUL"))?;
        frontend::sync(&mut message);
        self.frames.send(&message).await?;
        let mut columns = Vec::new();
        let mut refused = None;
        loop {
            let frame = self.frames.next_or_error().await?;
            match frame.tag {
                b'T' => columns = row_description(&frame.body)?,
                b'E' => refused = Some(ServerError::parse(&frame.body)),
                b'Z' => break,
                // Parsed; its parameters; no rows; a setting that changed.
                b'1' | b't' | b'n' | b'S' => {}
                _ => return Err(WireError::protocol("an unknown answer to a description")),
            }
        }
        self.busy = false;
        match refused {
            Some(error) => Err(WireError::Server(error)),
            None => Ok(columns),
        }
    }
}

/// A `RowDescription`: `i16` number of columns; per column its name, `i32` table, `i16` place in it,
/// `u32` type, `i16` length of the type, `i32` modifier, `i16` format.
fn row_description(body: &[u8]) -> Result<Vec<Described>, WireError> {
    let broken = || WireError::protocol("a description that ends early");
    let (count, mut rest) = body.split_first_chunk::<2>().ok_or_else(broken)?;
    let mut columns = Vec::new();
    for _ in 0..i16::from_be_bytes(*count) {
        let (name, tail) = text(rest)?;
        let (fixed, tail) = tail.split_first_chunk::<18>().ok_or_else(broken)?;
        let [_, _, _, _, _, _, t0, t1, t2, t3, _, _, m0, m1, m2, m3, _, _] = *fixed;
        columns.push(Described {
            name: name.to_owned(),
            type_oid: u32::from_be_bytes([t0, t1, t2, t3]),
            modifier: i32::from_be_bytes([m0, m1, m2, m3]),
        });
        rest = tail;
    }
    Ok(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_read_and_never_past_their_end() {
        let mut body = vec![0, 1];
        body.extend(b"total\0");
        body.extend([0, 0, 64, 1, 0, 3]);
        body.extend(1700_u32.to_be_bytes());
        body.extend((-1_i16).to_be_bytes());
        body.extend(786_438_i32.to_be_bytes());
        body.extend([0, 0]);
        let total = Described { name: "total".into(), type_oid: 1700, modifier: 786_438 };
        assert_eq!(row_description(&body).unwrap(), [total]);
        for end in 0..body.len() {
            assert!(row_description(&body[..end]).is_err(), "{end}");
        }
    }
}
