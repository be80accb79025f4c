//! What a source has to say while it is read.

use std::{fmt, sync::Arc};

/// Takes sentences, without a period, that whoever watches a run should read. Cloning shares it; the
/// default hears nothing.
#[derive(Clone, Default)]
pub struct Notices(Option<Arc<dyn Fn(String) + Send + Sync>>);

impl Notices {
    /// Hands every sentence to `hear`, which must return at once. It is called from any thread.
    pub fn new(hear: impl Fn(String) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    /// Says `what`.
    pub fn say(&self, what: impl Into<String>) {
        if let Some(hear) = &self.0 {
            hear(what.into());
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notices")
    }
}
