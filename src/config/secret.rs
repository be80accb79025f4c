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

/// Compiles for as long as nothing that holds a [`Secret`] can be shown: `shown` is one function for
/// a type that is none of these things, and an ambiguous one for a type that is any.
#[cfg(test)]
mod tests {
    use std::fmt::{Debug, Display};

    use super::Secret;
    use crate::config::{Connection, Project, WarehouseConfig};

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
    fn what_holds_a_secret_cannot_be_shown() {
        let shown = [
            <Secret as Hidden<_>>::shown(),
            <Connection as Hidden<_>>::shown(),
            <WarehouseConfig as Hidden<_>>::shown(),
            <Project as Hidden<_>>::shown(),
        ];
        assert_eq!(shown, [false; 4]);
    }
}
