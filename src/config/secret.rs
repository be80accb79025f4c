//! A text that must never be shown.

use zeroize::Zeroize as _;

/// A secret text. It has no `Debug`, `Display` or `Serialize`; whoever needs it says so. Its memory
/// is wiped when it is dropped, which can't be said of copies that a library makes.
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

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// Compiles for as long as [`Secret`] can't be shown: `shown` is one function for a type that is
/// none of these things, and an ambiguous one for a type that is any.
#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use super::Secret;

    trait Hidden<Because> {
        fn shown() -> bool {
            false
        }
    }

    struct IsDebug;
    struct IsDisplay;
    struct IsSerialize;

    impl<T: ?Sized> Hidden<()> for T {}
    impl<T: Debug + ?Sized> Hidden<IsDebug> for T {}
    impl<T: Display + ?Sized> Hidden<IsDisplay> for T {}
    impl<T: serde::Serialize + ?Sized> Hidden<IsSerialize> for T {}

    #[test]
    fn a_secret_cannot_be_shown() {
        assert!(!<Secret as Hidden<_>>::shown());
    }
}
