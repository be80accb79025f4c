//! A store that fails: work that is refused, and work that is done while its reply is lost.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use super::site::{Site, run};
use crate::{config::Format, warehouse::Keep};
use async_trait::async_trait;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};

/// What happens to one write.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    /// It is not done.
    Refused,
    /// It is done, and the reply is an error.
    ReplyLost,
    /// It is done, and the reply is that of a second attempt.
    Retried,
}

/// Lets writes pass until a counter runs out, then has one fault.
#[derive(Debug)]
struct Faulty {
    inner: InMemory,
    fault: Fault,
    passes: AtomicI64,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

fn down() -> Error {
    Error::Generic { store: "faulty", source: "503 slow down".into() }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        at: &Path,
        content: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if self.passes.fetch_sub(1, Ordering::SeqCst) != 0 {
            return self.inner.put_opts(at, content, options).await;
        }
        if self.fault == Fault::Refused {
            return Err(down());
        }
        self.inner.put_opts(at, content.clone(), options.clone()).await?;
        match self.fault {
            Fault::Retried => self.inner.put_opts(at, content, options).await,
            Fault::Refused | Fault::ReplyLost => Err(down()),
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, options).await
    }

    async fn get_opts(&self, at: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(at, options).await
    }

    fn delete_stream(
        &self,
        all: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(all)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

/// Writes of a publish of two tables: intent, two commits, verdict, generation.
const WRITES: i64 = 5;

cases! {
    every_write_may_fail_or_lose_its_reply:
        delta_refused(Format::Delta, Fault::Refused),
        delta_reply_lost(Format::Delta, Fault::ReplyLost),
        delta_retried(Format::Delta, Fault::Retried),
        parquet_refused(Format::Parquet, Fault::Refused),
        parquet_reply_lost(Format::Parquet, Fault::ReplyLost),
        parquet_retried(Format::Parquet, Fault::Retried),
}

async fn every_write_may_fail_or_lose_its_reply(format: Format, fault: Fault) {
    for write in 0..WRITES {
        one_write_has_a_fault(format, fault, write).await;
    }
}

async fn one_write_has_a_fault(format: Format, fault: Fault, write: i64) {
    let store = Arc::new(Faulty { inner: InMemory::new(), fault, passes: AtomicI64::new(-1) });
    let site = Site::over(store.clone(), format);
    site.publish(&run(1), &[("a", Keep::Nothing, 0..1), ("b", Keep::Nothing, 0..1)]).await.unwrap();
    let old = site.pinned().await;
    let tables = [("a", Keep::Everything, 1..2), ("b", Keep::Everything, 1..2)];
    let publication = site.publication(&run(2), &tables).await;
    store.passes.store(write, Ordering::SeqCst);
    let result = site.warehouse.publish(publication.clone()).await;
    assert!(store.passes.load(Ordering::SeqCst) < 0, "the fault happened");

    if fault == Fault::Refused {
        let error = result.unwrap_err();
        assert!(error.what().contains("the warehouse is unchanged at generation 1"), "{error}");
        assert_eq!(site.pinned().await, old);
        if write < WRITES - 2 {
            assert_eq!(site.newest(&["a", "b"]).await, old, "taken back at once");
        }
    } else {
        assert_eq!(result.unwrap().record().tables.len(), 2);
    }
    site.warehouse.reconcile().await.unwrap();
    site.warehouse.publish(publication).await.unwrap();
    let new = vec![("a".to_owned(), vec![0, 1]), ("b".to_owned(), vec![0, 1])];
    assert_eq!((site.pinned().await, site.newest(&["a", "b"]).await), (new.clone(), new));
    assert_eq!(site.warehouse.current().await.unwrap().unwrap().generation.0, 2);
}
