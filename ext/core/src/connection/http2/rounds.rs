//! A task that polls several things which wake one another: the connection's frames and its streams. They are polled in rounds until
//! none has woken another, so that the runtime is not asked to poll a task again that is being polled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    task::{Context, Poll, Wake, Waker},
};

use atomic_waker::AtomicWaker;

/// Rounds within one poll of the task. A client that keeps it busy for longer lets others have their turn.
const MOST: usize = 16;

const WAITING: u8 = 0;
const POLLING: u8 = 1;
const WOKEN: u8 = 2;

/// What the parts of the task are polled with.
pub(super) struct Rounds {
    state: AtomicU8,
    task: AtomicWaker,
}

impl Rounds {
    /// With the waker for the parts.
    pub(super) fn new() -> (Arc<Self>, Waker) {
        let rounds = Arc::new(Self { state: AtomicU8::new(WAITING), task: AtomicWaker::new() });
        let waker = rounds.clone().into();
        (rounds, waker)
    }

    /// Does `round` until it is ready, or has woken no part.
    pub(super) fn poll<T>(&self, cx: &mut Context<'_>, mut round: impl FnMut() -> Poll<T>) -> Poll<T> {
        self.task.register(cx.waker());
        for _ in 0..MOST {
            self.state.store(POLLING, SeqCst);
            if let Poll::Ready(done) = round() {
                self.state.store(WAITING, SeqCst);
                return Poll::Ready(done);
            }
            if self.state.compare_exchange(POLLING, WAITING, SeqCst, SeqCst).is_ok() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Wake for Rounds {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.state.swap(WOKEN, SeqCst) == WAITING {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    fn task() -> (Arc<Count>, Waker) {
        let count = Arc::new(Count::default());
        (count.clone(), count.into())
    }

    #[test]
    fn a_part_that_is_woken_in_a_round_has_another_and_the_runtime_hears_nothing() {
        let ((rounds, parts), (woken, waker)) = (Rounds::new(), task());
        let mut done = 0;
        let polled: Poll<()> = rounds.poll(&mut Context::from_waker(&waker), || {
            done += 1;
            if done < 3 {
                parts.wake_by_ref();
            }
            Poll::Pending
        });
        assert_eq!((polled, done, woken.0.load(SeqCst)), (Poll::Pending, 3, 0));
        parts.wake_by_ref();
        parts.wake_by_ref();
        assert_eq!(woken.0.load(SeqCst), 1);
    }

    #[test]
    fn parts_that_wake_one_another_for_ever_let_others_have_their_turn() {
        let ((rounds, parts), (woken, waker)) = (Rounds::new(), task());
        for turn in 1..3 {
            let polled: Poll<()> = rounds.poll(&mut Context::from_waker(&waker), || {
                parts.wake_by_ref();
                Poll::Pending
            });
            assert_eq!((polled, woken.0.load(SeqCst)), (Poll::Pending, turn));
        }
    }
}
