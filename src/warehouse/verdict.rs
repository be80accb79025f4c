//! Who decides whether a publish goes forward or back: whoever writes its verdict first.
//!
//! A publisher may be frozen for any time at any point, taken for dead by another start, and wake.
//! Each of the two then acts on the verdict, which is created once: without it one could write the
//! generation while the other takes its tables back. A verdict goes only once its intent has gone
//! or its generation is there, so that whoever comes late finds one of these.

use object_store::path::Path;

use super::{
    Warehouse,
    publish::Intent,
    root::{Created, child},
};
use crate::error::{Error, ErrorKind, Result};

/// What becomes of an attempt to publish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// All its tables are committed: its generation is to be.
    Forward,
    /// Its tables are taken back, and its generation will never be.
    Back,
}

impl Verdict {
    fn text(self) -> &'static str {
        match self {
            Self::Forward => "forward\n",
            Self::Back => "back\n",
        }
    }
}

impl Warehouse {
    /// Decides for `wanted`, unless it was decided before; gives what holds. Durable on return.
    pub(super) async fn decide(&self, intent: &Intent, wanted: Verdict) -> Result<Verdict> {
        let path = self.verdict_path(intent)?;
        match self.root.create(&path, wanted.text().into()).await? {
            Created::Ours => Ok(wanted),
            Created::Taken(found) => [Verdict::Forward, Verdict::Back]
                .into_iter()
                .find(|verdict| verdict.text() == found)
                .ok_or_else(|| {
                    Error::new(ErrorKind::Storage, format!("the verdict `{path}` is damaged"))
                        .hint("remove that file, then run again")
                }),
        }
    }

    /// Removes the verdict once nobody can need it.
    pub(super) async fn forget_verdict(&self, intent: &Intent) -> Result<()> {
        self.root.remove(&self.verdict_path(intent)?).await
    }

    fn verdict_path(&self, intent: &Intent) -> Result<Path> {
        child(&self.root.at("_longshore/verdicts")?, &format!("{}.txt", intent.record.commit))
    }
}
