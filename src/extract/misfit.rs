//! Values that their columns' types can't hold, on their way to where they are counted and kept.

/// A value that does not fit its column, which bears that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// The row in its batch.
    pub row: usize,
    /// The column's place in the request.
    pub column: usize,
    /// What is wrong, without the value: "holds NaN, which `decimal(12,2)` can't".
    pub reason: String,
    /// The value as text, or `\x` and its bytes in hexadecimal where it has none. The one place
    /// where a value goes along with a problem: it belongs into the stage, never into a message.
    pub value: String,
}
