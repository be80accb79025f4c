//! The one memory ceiling: bytes that every large buffer is paid with before it is filled.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Queue, Notify};

use super::ByteSize;

/// A shared ceiling on the bytes in flight. Cloning shares it.
///
/// A [`Permit`] is taken before memory is filled, may grow while the work goes on, and gives all
/// back on drop. Work degrades to one at a time and never deadlocks: who asks for more than the
/// ceiling is given the whole ceiling, alone; and when everybody who holds a permit waits for more,
/// one of them goes on without, because nobody could give it anything back. So at most one permit
/// at a time exceeds the ceiling, by what it grew.
#[derive(Debug, Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    ceiling: u64,
    state: Mutex<State>,
    /// Who takes a permit waits in line here.
    line: Queue<()>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    taken: u64,
    /// Permits that are held.
    held: usize,
    /// Those of them that wait to grow.
    growing: usize,
}

impl Budget {
    /// A budget of `ceiling` bytes.
    pub fn new(ceiling: ByteSize) -> Self {
        Self {
            shared: Arc::new(Shared {
                ceiling: ceiling.bytes(),
                state: Mutex::default(),
                line: Queue::default(),
                changed: Notify::new(),
            }),
        }
    }

    /// The ceiling.
    pub fn ceiling(&self) -> ByteSize {
        ByteSize::new(self.shared.ceiling)
    }

    /// Waits until `bytes` are free and takes them. First come, first served, except that permits
    /// that wait to grow come before.
    ///
    /// Cancel-safe: dropping the future takes nothing.
    pub async fn take(&self, bytes: u64) -> Permit {
        let bytes = bytes.min(self.shared.ceiling);
        let _turn = self.shared.line.lock().await;
        self.shared
            .until(|state| {
                let fits = state.growing == 0 && state.taken + bytes <= self.shared.ceiling;
                fits.then(|| {
                    state.taken += bytes;
                    state.held += 1;
                })
            })
            .await;
        Permit { shared: self.shared.clone(), bytes }
    }
}

impl Shared {
    /// Waits until `attempt` gives something.
    async fn until<T>(&self, mut attempt: impl FnMut(&mut State) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // From here on no change is missed.
            changed.as_mut().enable();
            if let Some(done) = attempt(&mut self.state()) {
                return done;
            }
            changed.await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing is half done under this lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes taken from a [`Budget`]; dropping it gives them back.
#[derive(Debug)]
pub struct Permit {
    shared: Arc<Shared>,
    bytes: u64,
}

impl Permit {
    /// How many bytes this permit holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Grows to `bytes` now, or not at all.
    pub fn try_grow(&mut self, bytes: u64) -> bool {
        if bytes > self.shared.ceiling {
            return false;
        }
        let more = self.lacks(bytes);
        let mut state = self.shared.state();
        let fits = state.taken + more <= self.shared.ceiling;
        if fits {
            state.taken += more;
            self.bytes += more;
        }
        fits
    }

    /// Grows to `bytes`: waits until they are free, or until nobody is left who could free them.
    ///
    /// Cancel-safe: when the future is dropped, the permit is as it was.
    pub async fn grow(&mut self, bytes: u64) {
        let more = self.lacks(bytes);
        let waiting = Waiting::begin(&self.shared);
        self.shared
            .until(|state| {
                let fits = state.taken + more <= self.shared.ceiling;
                (fits || state.growing == state.held).then(|| {
                    state.taken += more;
                    // Under the same lock, so that two can't both find that all are waiting.
                    state.growing -= 1;
                })
            })
            .await;
        waiting.granted();
        self.shared.changed.notify_waiters();
        self.bytes += more;
    }

    /// Gives back what exceeds `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        let less = self.bytes.saturating_sub(bytes);
        self.bytes -= less;
        self.shared.state().taken -= less;
        self.shared.changed.notify_waiters();
    }

    fn lacks(&self, bytes: u64) -> u64 {
        bytes.min(self.shared.ceiling).saturating_sub(self.bytes)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        state.taken -= self.bytes;
        state.held -= 1;
        drop(state);
        self.shared.changed.notify_waiters();
    }
}

/// A permit that waits to grow; dropped when it does so no longer.
struct Waiting<'a>(Option<&'a Shared>);

impl<'a> Waiting<'a> {
    fn begin(shared: &'a Shared) -> Self {
        shared.state().growing += 1;
        // Another one may have waited for just this.
        shared.changed.notify_waiters();
        Self(Some(shared))
    }

    /// Whoever granted the growth has counted it out already.
    fn granted(mut self) {
        self.0 = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(shared) = self.0 {
            shared.state().growing -= 1;
            // Who waits in line may be next.
            shared.changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{future::Future, pin::pin, task::Poll};

    use super::*;

    fn budget(bytes: u64) -> Budget {
        Budget::new(ByteSize::new(bytes))
    }

    /// What `future` gives without waiting.
    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match pin!(future).poll(&mut context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn permits_stay_below_the_ceiling_and_a_huge_one_works_alone() {
        let budget = budget(100);
        let most = now(budget.take(70)).unwrap();
        assert!(now(budget.take(40)).is_none());
        let rest = now(budget.take(30)).unwrap();
        drop((most, rest));
        let all = now(budget.take(1 << 40)).unwrap();
        assert_eq!(all.bytes(), 100);
        assert!(now(budget.take(1)).is_none());
    }

    #[test]
    fn growth_waits_for_others_and_not_for_nobody() {
        let budget = budget(100);
        let mut one = now(budget.take(60)).unwrap();
        let other = now(budget.take(40)).unwrap();
        assert!(!one.try_grow(61));
        assert!(now(one.grow(90)).is_none(), "the other one will give some back");
        assert_eq!(one.bytes(), 60);
        drop(other);
        now(one.grow(90)).unwrap();
        one.shrink(10);
        assert!(!one.try_grow(101));
        assert!(one.try_grow(100));
        now(one.grow(1 << 40)).unwrap();
        assert_eq!(one.bytes(), 100, "alone, nothing holds it up");
        drop(one);
        assert_eq!(now(budget.take(100)).unwrap().bytes(), 100, "nothing was lost");
    }

    #[tokio::test]
    async fn when_all_wait_to_grow_one_goes_on_at_a_time() {
        let budget = budget(100);
        let (over, most) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
        let mut permits = Vec::new();
        for _ in 0..4 {
            permits.push(budget.take(25).await);
        }
        let tasks = permits.into_iter().map(|mut permit| {
            let (over, most) = (over.clone(), most.clone());
            tokio::spawn(async move {
                permit.grow(80).await;
                let now = {
                    let mut over = over.lock().unwrap();
                    *over += 1;
                    *over
                };
                let before = *most.lock().unwrap();
                *most.lock().unwrap() = now.max(before);
                tokio::task::yield_now().await;
                *over.lock().unwrap() -= 1;
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        assert_eq!(*most.lock().unwrap(), 1);
        assert!(now(budget.take(100)).is_some());
    }

    #[tokio::test]
    async fn who_grows_comes_before_who_is_in_line() {
        let budget = budget(100);
        let mut one = budget.take(50).await;
        let other = budget.take(50).await;
        let line = tokio::spawn({
            let budget = budget.clone();
            async move { drop(budget.take(50).await) }
        });
        tokio::task::yield_now().await;
        let growth = tokio::spawn(async move { one.grow(100).await });
        tokio::task::yield_now().await;
        drop(other);
        growth.await.unwrap();
        line.await.unwrap();
    }
}
