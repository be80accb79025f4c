//! The one memory ceiling: a semaphore of bytes that every large buffer draws from.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ByteSize;

/// Bytes are counted in units of this many, so that a semaphore can hold any ceiling.
const UNIT: u64 = 1024;

/// A shared ceiling on the bytes in flight. Cloning shares it.
///
/// Permits are taken before memory is filled, and given back on drop. A request larger than the
/// whole budget is granted the whole budget, alone: work degrades to one at a time and never
/// deadlocks.
#[derive(Debug, Clone)]
pub struct Budget {
    semaphore: Arc<Semaphore>,
    units: u32,
}

impl Budget {
    /// A budget of `ceiling` bytes.
    pub fn new(ceiling: ByteSize) -> Self {
        let units = u32::try_from(ceiling.bytes().div_ceil(UNIT)).unwrap_or(u32::MAX).max(1);
        Self { semaphore: Arc::new(Semaphore::new(units as usize)), units }
    }

    /// The ceiling.
    pub fn ceiling(&self) -> ByteSize {
        ByteSize::new(u64::from(self.units) * UNIT)
    }

    /// What is not taken just now.
    pub fn free(&self) -> ByteSize {
        ByteSize::new(self.semaphore.available_permits() as u64 * UNIT)
    }

    /// Waits until `bytes` are free and takes them. Fair: first come, first served.
    ///
    /// Cancel-safe: dropping the future takes nothing.
    pub async fn take(&self, bytes: u64) -> Permit {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        // The semaphore is never closed, so the only error can't happen; an empty permit is the
        // honest fallback because the work may go on.
        Permit(self.semaphore.clone().acquire_many_owned(units).await.ok())
    }

    /// Takes `bytes` now, or not at all.
    pub fn try_take(&self, bytes: u64) -> Option<Permit> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(self.units);
        self.semaphore.clone().try_acquire_many_owned(units).ok().map(|permit| Permit(Some(permit)))
    }
}

/// Bytes taken from a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
pub struct Permit(Option<OwnedSemaphorePermit>);

impl Permit {
    /// How many bytes this permit holds.
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |permit| permit.num_permits() as u64 * UNIT)
    }
}
