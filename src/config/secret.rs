//! A text that must never be shown.

/// A secret text. It has no `Debug`, `Display` or `Serialize`; whoever needs it says so.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes `text` into keeping.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the moment of use only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}
