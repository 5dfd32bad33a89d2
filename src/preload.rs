//! The once-per-page guard: many callers → one load.
//!
//! `Empty → Loading → Ready`, and back to `Empty` when the load fails, when nobody waits for it any
//! more, or when it is disposed of.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;

use futures_util::future::{AbortHandle, Abortable, FutureExt, LocalBoxFuture, Shared, WeakShared};

use crate::error::{Error, Result};

type Load<T> = LocalBoxFuture<'static, Result<Rc<T>>>;

enum State<T> {
    Empty,
    /// Weak, so that the load is dropped, and its transfer stopped, when its last waiter goes.
    Loading(WeakShared<Load<T>>, AbortHandle),
    Ready(Rc<T>),
}

/// Loads a value at most once at a time and keeps it.
pub struct Preload<T> {
    inner: Rc<Inner<T>>,
}

struct Inner<T> {
    state: RefCell<State<T>>,
    loads: Cell<u32>,
}

impl<T> Default for Preload<T> {
    fn default() -> Self {
        Preload {
            inner: Rc::new(Inner {
                state: RefCell::new(State::Empty),
                loads: Cell::new(0),
            }),
        }
    }
}

impl<T: 'static> Preload<T> {
    /// The value, from the load under way or else from a new one that `load` starts.
    ///
    /// The state changes before this returns, not when the future is first polled: a second caller
    /// always finds the first one's load. Dropping the future gives up waiting; the load itself goes
    /// on as long as anybody waits.
    pub fn get_or_load<F, L>(&self, load: L) -> impl Future<Output = Result<Rc<T>>> + use<T, F, L>
    where
        L: (FnOnce() -> F) + 'static,
        F: Future<Output = Result<T>> + 'static,
    {
        let ready = |value: Rc<T>| -> Load<T> { async move { Ok(value) }.boxed_local() };
        let mut state = self.inner.state.borrow_mut();
        match &*state {
            State::Ready(value) => return ready(value.clone()).shared(),
            State::Loading(load, _) => {
                if let Some(load) = load.upgrade() {
                    return load;
                }
            }
            State::Empty => {}
        }
        self.inner.loads.set(self.inner.loads.get() + 1);
        let turn = self.inner.loads.get();
        let (handle, registration) = AbortHandle::new_pair();
        let load = Abortable::new(async move { load().await }, registration);
        let inner = Rc::downgrade(&self.inner);
        let load: Load<T> = async move {
            let result = load.await.unwrap_or(Err(Error::Disposed)).map(Rc::new);
            if let Some(inner) = inner.upgrade()
                && inner.loads.get() == turn
                && matches!(*inner.state.borrow(), State::Loading(..))
            {
                *inner.state.borrow_mut() = match &result {
                    Ok(value) => State::Ready(value.clone()),
                    Err(_) => State::Empty,
                };
            }
            result
        }
        .boxed_local();
        let load: Shared<Load<T>> = load.shared();
        if let Some(weak) = load.downgrade() {
            *state = State::Loading(weak, handle);
        }
        load
    }

    /// The value, if it is loaded.
    pub fn get(&self) -> Option<Rc<T>> {
        match &*self.inner.state.borrow() {
            State::Ready(value) => Some(value.clone()),
            _ => None,
        }
    }

    /// Whether a load is under way.
    #[cfg(test)]
    pub fn is_loading(&self) -> bool {
        matches!(&*self.inner.state.borrow(), State::Loading(load, _) if load.upgrade().is_some())
    }

    /// Drops the value; a load under way is stopped and its waiters get [`Error::Disposed`].
    pub fn dispose(&self) {
        let state = self.inner.state.replace(State::Empty);
        if let State::Loading(_, handle) = state {
            handle.abort();
        }
    }

    /// How many loads were started.
    #[cfg(test)]
    pub fn loads(&self) -> u32 {
        self.inner.loads.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::{join_all, pending};
    use std::task::{Context, Poll, Waker};

    type Outcome = Rc<RefCell<Option<Result<u32>>>>;

    /// A load that is finished by writing into the outcome.
    fn load(outcome: &Outcome) -> impl FnOnce() -> LocalBoxFuture<'static, Result<u32>> + use<> {
        let outcome = outcome.clone();
        move || {
            std::future::poll_fn(move |_| {
                outcome.borrow().clone().map_or(Poll::Pending, Poll::Ready)
            })
            .boxed_local()
        }
    }

    #[track_caller]
    fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
        future.poll_unpin(&mut Context::from_waker(Waker::noop()))
    }

    #[track_caller]
    fn done<F: Future + Unpin>(mut future: F) -> F::Output {
        match poll(&mut future) {
            Poll::Ready(value) => value,
            Poll::Pending => panic!("still pending"),
        }
    }

    #[test]
    fn many_callers_share_one_load_and_one_instance() {
        let (guard, outcome) = (Preload::default(), Outcome::default());
        let callers: Vec<_> = (0..20)
            .map(|_| Box::pin(guard.get_or_load(load(&outcome))))
            .collect();
        *outcome.borrow_mut() = Some(Ok(7));
        let values: Vec<_> = done(join_all(callers))
            .into_iter()
            .map(|v| v.unwrap())
            .collect();
        assert!(values.iter().all(|value| Rc::ptr_eq(value, &values[0])));
        assert_eq!((*values[0], guard.loads()), (7, 1));
        assert!(Rc::ptr_eq(
            &done(Box::pin(guard.get_or_load(load(&outcome)))).unwrap(),
            &values[0]
        ));
        assert_eq!(guard.loads(), 1);
    }

    #[test]
    fn a_failure_reaches_every_waiter_and_clears_the_guard() {
        let (guard, outcome) = (Preload::default(), Outcome::default());
        let mut callers: Vec<_> = (0..3)
            .map(|_| Box::pin(guard.get_or_load(load(&outcome))))
            .collect();
        assert!(poll(&mut callers[1]).is_pending());
        *outcome.borrow_mut() = Some(Err(Error::Network("gone".into())));
        for caller in callers {
            assert_eq!(done(caller).unwrap_err().code(), "network");
        }
        assert!(guard.get().is_none() && !guard.is_loading());
        *outcome.borrow_mut() = Some(Ok(1));
        assert_eq!(
            *done(Box::pin(guard.get_or_load(load(&outcome)))).unwrap(),
            1
        );
        assert_eq!(guard.loads(), 2);
    }

    #[test]
    fn one_waiter_going_away_does_not_stop_the_others() {
        let (guard, outcome) = (Preload::default(), Outcome::default());
        let mut first = Box::pin(guard.get_or_load(load(&outcome)));
        let second = Box::pin(guard.get_or_load(load(&outcome)));
        assert!(poll(&mut first).is_pending());
        drop(first);
        *outcome.borrow_mut() = Some(Ok(2));
        assert_eq!(*done(second).unwrap(), 2);
        assert_eq!(guard.loads(), 1);
    }

    #[test]
    fn the_last_waiter_going_away_stops_the_load() {
        struct Stopped(Rc<Cell<bool>>);
        impl Drop for Stopped {
            fn drop(&mut self) {
                self.0.set(true);
            }
        }
        let (guard, stopped) = (Preload::<u32>::default(), Rc::new(Cell::new(false)));
        let transfer = Stopped(stopped.clone());
        let mut waiter = Box::pin(guard.get_or_load(move || async move {
            let _transfer = transfer;
            pending().await
        }));
        assert!(poll(&mut waiter).is_pending() && !stopped.get());
        drop(waiter);
        assert!(stopped.get() && !guard.is_loading());
        let outcome = Outcome::new(RefCell::new(Some(Ok(3))));
        assert_eq!(
            *done(Box::pin(guard.get_or_load(load(&outcome)))).unwrap(),
            3
        );
    }

    #[test]
    fn a_load_finds_itself_under_way() {
        let guard = Rc::new(Preload::<u32>::default());
        let inner = guard.clone();
        let waiter = guard.get_or_load(move || {
            assert!(inner.is_loading());
            drop(inner.get_or_load(|| async { unreachable!("there is a load") }));
            async { Ok(1) }
        });
        assert_eq!(*done(Box::pin(waiter)).unwrap(), 1);
        assert_eq!(guard.loads(), 1);
    }

    #[test]
    fn a_load_that_nobody_waited_for_does_not_start() {
        let (guard, outcome) = (Preload::default(), Outcome::new(RefCell::new(Some(Ok(4)))));
        drop(guard.get_or_load(|| async { unreachable!("nobody waits") }));
        assert!(!guard.is_loading());
        assert_eq!(
            *done(Box::pin(guard.get_or_load(load(&outcome)))).unwrap(),
            4
        );
    }

    #[test]
    fn a_failure_while_a_late_caller_joins_is_shared_and_cleared() {
        let (guard, outcome) = (Preload::default(), Outcome::default());
        let mut first = Box::pin(guard.get_or_load(load(&outcome)));
        assert!(poll(&mut first).is_pending());
        *outcome.borrow_mut() = Some(Err(Error::Network("gone".into())));
        let late = Box::pin(guard.get_or_load(load(&outcome)));
        assert_eq!(done(late).unwrap_err().code(), "network");
        *outcome.borrow_mut() = Some(Ok(5));
        let next = Box::pin(guard.get_or_load(load(&outcome)));
        assert_eq!(*done(next).unwrap(), 5);
        assert_eq!(done(first).unwrap_err().code(), "network");
        assert_eq!(guard.get().map(|value| *value), Some(5));
    }

    #[test]
    fn dispose_before_the_first_poll_rejects() {
        let (guard, outcome) = (Preload::default(), Outcome::new(RefCell::new(Some(Ok(6)))));
        let waiter = Box::pin(guard.get_or_load(load(&outcome)));
        guard.dispose();
        assert_eq!(done(waiter).unwrap_err(), Error::Disposed);
        assert!(guard.get().is_none() && !guard.is_loading());
    }

    #[test]
    fn every_waiter_is_woken_when_the_load_ends() {
        struct Count(std::sync::atomic::AtomicU32);
        impl std::task::Wake for Count {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let guard = Preload::default();
        let (sender, receiver) = futures_util::future::AbortHandle::new_pair();
        let mut first = Box::pin(guard.get_or_load(move || async move {
            let never = Abortable::new(pending::<()>(), receiver);
            never.await.map_err(|_| Error::Cancelled).map(|()| 0)
        }));
        let mut second = Box::pin(guard.get_or_load(|| async { Ok(1) }));
        let wakes = [(); 2].map(|()| std::sync::Arc::new(Count(0.into())));
        for (future, wake) in [
            &mut first as &mut (dyn Future<Output = _> + Unpin),
            &mut second,
        ]
        .into_iter()
        .zip(&wakes)
        {
            let waker = Waker::from(wake.clone());
            assert!(
                future
                    .poll_unpin(&mut Context::from_waker(&waker))
                    .is_pending()
            );
        }
        sender.abort();
        assert!(poll(&mut first).is_ready());
        for wake in &wakes {
            assert!(wake.0.load(std::sync::atomic::Ordering::Relaxed) > 0);
        }
        assert_eq!(done(second).unwrap_err(), Error::Cancelled);
    }

    #[test]
    fn dispose_during_a_load_rejects_its_waiters_and_lets_a_new_one_start() {
        let (guard, old, new) = (Preload::default(), Outcome::default(), Outcome::default());
        let mut first = Box::pin(guard.get_or_load(load(&old)));
        assert!(poll(&mut first).is_pending());
        guard.dispose();
        let mut second = Box::pin(guard.get_or_load(load(&new)));
        assert!(poll(&mut second).is_pending());
        *old.borrow_mut() = Some(Ok(1));
        assert_eq!(done(first).unwrap_err(), Error::Disposed);
        assert!(guard.is_loading());
        *new.borrow_mut() = Some(Ok(2));
        assert_eq!(*done(second).unwrap(), 2);
        assert_eq!(guard.get().map(|value| *value), Some(2));
    }

    #[test]
    fn dispose_when_ready_lets_the_value_go() {
        let (guard, outcome) = (Preload::default(), Outcome::new(RefCell::new(Some(Ok(1)))));
        let value = done(Box::pin(guard.get_or_load(load(&outcome)))).unwrap();
        guard.dispose();
        assert_eq!(Rc::strong_count(&value), 1);
        assert!(guard.get().is_none());
    }
}
