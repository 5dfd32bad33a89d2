//! A closure → many calls of it at the same time, on the threads of a crew.
//!
//! A step of a plan takes less than a millisecond, so a fork and a join may take no more than a microsecond. Helpers
//! therefore look for work without sleeping for a moment, and the caller takes parts of the work like any of them.
#![allow(
    unsafe_code,
    reason = "helpers call a closure that lives on the caller's stack; the caller waits for them"
)]
#![cfg_attr(
    all(target_arch = "wasm32", not(target_feature = "atomics")),
    allow(dead_code, reason = "one thread has no helpers")
)]

use std::any::Any;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::*};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, TryLockError};
#[cfg(not(target_arch = "wasm32"))]
use std::thread;

/// Whether this build can have more than one thread.
pub const SHARES: bool = cfg!(any(not(target_arch = "wasm32"), target_feature = "atomics"));

/// Most threads of a crew.
pub const MOST_THREADS: usize = 64;

/// How often a thread looks before it sleeps: about 50 µs. WebAssembly has no instruction for waiting.
const LOOKS: usize = if cfg!(target_arch = "wasm32") {
    40_000
} else {
    2_000
};

type Work<'a> = &'a (dyn Fn() + Sync);

/// Threads that help whoever runs something.
pub struct Crew {
    /// Held by the one whom they help; another works alone meanwhile.
    turn: Mutex<()>,
    shared: Arc<Shared>,
    #[cfg(not(target_arch = "wasm32"))]
    threads: Vec<thread::JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    helpers: AtomicUsize,
    /// Most threads; 0: all there are.
    most: AtomicUsize,
    /// A [`Work`]; valid while calls are unfinished.
    work: AtomicPtr<()>,
    /// Calls that nobody has begun.
    left: AtomicUsize,
    /// Calls that are not finished.
    unfinished: AtomicUsize,
    /// Whether the caller sleeps.
    waits: AtomicBool,
    /// Helpers that sleep.
    asleep: AtomicUsize,
    closed: AtomicBool,
    /// Whether a helper died in the middle of a call.
    died: AtomicBool,
    sleep: Mutex<()>,
    wake: Condvar,
    end: Condvar,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

/// A call that was begun; it is finished when this is dropped, even by a panic.
struct Call<'a>(&'a Shared);

/// Waits until all calls are finished when it is dropped; those that nobody has begun are not made any more.
struct Join<'a>(&'a Shared);

impl Crew {
    /// A crew of this many threads, one of which is its caller's; of fewer where they cannot be had.
    #[cfg(not(target_arch = "wasm32"))]
    pub fn of(threads: usize) -> Arc<Crew> {
        let shared = Arc::<Shared>::default();
        let start = |_| {
            let shared = Arc::clone(&shared);
            let name = thread::Builder::new().name("whylens".into());
            name.spawn(move || shared.help()).ok()
        };
        let threads: Vec<_> = (1..threads).map_while(start).collect();
        shared.helpers.store(threads.len(), Relaxed);
        Arc::new(Crew {
            turn: Mutex::default(),
            shared,
            threads,
        })
    }

    /// The crew of this module: workers join it by [`help`].
    #[cfg(target_arch = "wasm32")]
    pub fn of(_threads: usize) -> Arc<Crew> {
        Arc::new(Crew {
            turn: Mutex::default(),
            shared: Arc::clone(module()),
        })
    }

    /// Threads that work at the same time.
    pub fn threads(&self) -> usize {
        match SHARES {
            true => self.shared.threads(),
            false => 1,
        }
    }

    /// Calls `work` so many times, and returns when all calls have ended.
    ///
    /// # Panics
    /// When a call panics.
    pub fn run(&self, times: usize, work: Work) {
        let alone = || (0..times).for_each(|_| work());
        if times < 2 || self.threads() < 2 {
            return alone();
        }
        let _turn = match self.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return alone(),
        };
        let shared = &*self.shared;
        shared
            .work
            .store((&raw const work).cast_mut().cast(), Relaxed);
        shared.unfinished.store(times, Relaxed);
        shared.left.store(times, SeqCst);
        let join = Join(shared);
        if shared.asleep.load(SeqCst) > 0 {
            let _sleep = lock(&shared.sleep);
            shared.wake.notify_all();
        }
        while let Some(_call) = shared.begin() {
            work();
        }
        drop(join);
        if let Some(panic) = lock(&shared.panic).take() {
            resume_unwind(panic);
        }
    }
}

#[cfg(any(all(target_arch = "wasm32", target_feature = "atomics"), test))]
impl Crew {
    /// Keeps the fastest of all threads, half of them, and so on, by the best of `rounds`, timed by `now` in any unit.
    /// Each gets the same share of what is measured, as it does of a step; `work` takes its part of 840.
    fn tune(&self, rounds: usize, now: impl Fn() -> f64, work: impl Fn(usize) + Sync) -> usize {
        const UNITS: usize = 840;
        let most = &self.shared.most;
        most.store(0, Relaxed);
        let halves = |&threads: &usize| (threads > 1).then(|| threads.div_ceil(2));
        let all: Vec<usize> = std::iter::successors(Some(self.threads()), halves).collect();
        let mut best = vec![f64::INFINITY; all.len()];
        for _ in 0..rounds {
            for (&threads, best) in all.iter().zip(&mut best) {
                let start = now();
                self.run(threads, &|| work(UNITS / threads));
                *best = best.min(now() - start);
            }
        }
        let fastest = (0..all.len()).min_by(|&a, &b| best[a].total_cmp(&best[b]));
        let threads = fastest.map_or(1, |at| all[at]);
        // Helpers that start later count too, unless fewer are faster.
        if fastest != Some(0) {
            most.store(threads, Relaxed);
        }
        threads
    }
}

#[cfg(not(target_arch = "wasm32"))]
impl Drop for Crew {
    fn drop(&mut self) {
        self.shared.closed.store(true, SeqCst);
        {
            let _sleep = lock(&self.shared.sleep);
            self.shared.wake.notify_all();
        }
        for thread in self.threads.drain(..) {
            // What a helper panicked with was passed on.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn threads(&self) -> usize {
        let all = self.helpers.load(Relaxed) + 1;
        match self.most.load(Relaxed) {
            0 => all,
            most => most.min(all),
        }
    }

    /// Helps until the crew is closed.
    fn help(&self) {
        while self.find() {
            while let Some(_call) = self.begin() {
                let work = self.work.load(Relaxed).cast::<Work>();
                // SAFETY: the caller waits for this call, which was begun after the pointer was stored.
                let work = unsafe { *work };
                if let Err(panic) = catch_unwind(AssertUnwindSafe(work)) {
                    *lock(&self.panic) = Some(panic);
                }
            }
        }
    }

    /// Waits until there is something to do; false if there never will be.
    fn find(&self) -> bool {
        let found = || self.left.load(SeqCst) > 0 || self.closed.load(SeqCst);
        if !look(found) {
            let mut sleep = lock(&self.sleep);
            self.asleep.fetch_add(1, SeqCst);
            while !found() {
                sleep = self
                    .wake
                    .wait(sleep)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            self.asleep.fetch_sub(1, SeqCst);
        }
        !self.closed.load(SeqCst)
    }

    fn begin(&self) -> Option<Call<'_>> {
        let fewer = |left: usize| left.checked_sub(1);
        let begun = self.left.fetch_update(SeqCst, Relaxed, fewer);
        begun.ok().map(|_| Call(self))
    }

    fn finish(&self, calls: usize) {
        if self.unfinished.fetch_sub(calls, SeqCst) == calls && self.waits.load(SeqCst) {
            let _sleep = lock(&self.sleep);
            self.end.notify_one();
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.0.finish(1);
    }
}

impl Drop for Join<'_> {
    fn drop(&mut self) {
        let shared = self.0;
        let never = shared.left.swap(0, SeqCst);
        if never > 0 {
            shared.finish(never);
        }
        let ended = || shared.unfinished.load(SeqCst) == 0 || shared.died.load(SeqCst);
        if !look(ended) {
            let mut sleep = lock(&shared.sleep);
            shared.waits.store(true, SeqCst);
            while !ended() {
                sleep = shared
                    .end
                    .wait(sleep)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            shared.waits.store(false, SeqCst);
        }
        // Only on wasm32, where a panic ends the module.
        assert!(!shared.died.load(SeqCst), "a thread that helps has ended");
        shared.work.store(ptr::null_mut(), Relaxed);
    }
}

/// Whether something happens soon.
fn look(happened: impl Fn() -> bool) -> bool {
    (0..LOOKS).any(|_| {
        spin_loop();
        happened()
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(target_arch = "wasm32")]
fn module() -> &'static Arc<Shared> {
    static MODULE: std::sync::OnceLock<Arc<Shared>> = std::sync::OnceLock::new();
    MODULE.get_or_init(Arc::default)
}

/// Makes the worker that calls this a helper of the module's crew; never returns.
#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
pub fn help() {
    module().helpers.fetch_add(1, Relaxed);
    module().help();
}

/// Threads of the module's crew.
#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
pub fn threads() -> usize {
    module().threads()
}

/// Measures all threads, half of them, and so on, and keeps the number that is fastest; see [`Crew::tune`].
#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
pub fn tune(rounds: usize, now: impl Fn() -> f64, work: impl Fn(usize) + Sync) {
    Crew::of(0).tune(rounds, now, work);
}

/// Says that a helper has ended, so that nobody waits for it.
#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
pub fn died() {
    let shared = module();
    shared.died.store(true, SeqCst);
    let _sleep = lock(&shared.sleep);
    shared.end.notify_one();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_made_once_whoever_makes_it() {
        for threads in [1, 2, 5] {
            let crew = Crew::of(threads);
            assert_eq!(crew.threads(), threads);
            for times in [0, 1, 2, 7, 64] {
                for _ in 0..200 {
                    let next = AtomicUsize::new(0);
                    let made: Vec<_> = (0..times).map(|_| AtomicUsize::new(0)).collect();
                    crew.run(times, &|| {
                        made[next.fetch_add(1, SeqCst)].fetch_add(1, SeqCst);
                    });
                    assert!(made.iter().all(|made| made.load(SeqCst) == 1));
                }
            }
        }
    }

    #[test]
    fn calls_are_made_at_the_same_time_even_after_a_pause() {
        let crew = Crew::of(3);
        for pause in [0, 50] {
            thread::sleep(std::time::Duration::from_millis(pause));
            let barrier = std::sync::Barrier::new(3);
            crew.run(3, &|| {
                barrier.wait();
            });
        }
    }

    #[test]
    fn a_panic_in_any_thread_is_the_callers_and_the_pool_goes_on() {
        let crew = Crew::of(3);
        for bad in 0..3 {
            let (barrier, next) = (std::sync::Barrier::new(3), AtomicUsize::new(0));
            let run = || {
                crew.run(3, &|| {
                    barrier.wait();
                    assert_ne!(next.fetch_add(1, SeqCst), bad, "as expected");
                });
            };
            let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
            let text = panic.downcast_ref::<String>().unwrap();
            assert!(text.contains("as expected"), "{text}");
        }
        let count = AtomicUsize::new(0);
        crew.run(9, &|| {
            count.fetch_add(1, SeqCst);
        });
        assert_eq!(count.into_inner(), 9);
    }

    #[test]
    fn two_callers_do_not_wait_for_each_other() {
        let crew = Crew::of(2);
        let count = AtomicUsize::new(0);
        let work = || {
            count.fetch_add(1, SeqCst);
        };
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..100).for_each(|_| crew.run(5, &work)));
            }
        });
        crew.run(1, &|| crew.run(4, &work));
        assert_eq!(count.into_inner(), 4 * 100 * 5 + 4);
    }

    #[test]
    fn the_fastest_number_of_threads_is_kept() {
        for fastest in [5, 3, 1] {
            let crew = Crew::of(5);
            let (clock, calls) = (std::cell::Cell::new(0.0), AtomicUsize::new(0));
            // Made up: between two looks there were as many calls as threads.
            let now = || {
                let threads = calls.swap(0, SeqCst);
                let slow = if threads == fastest { 1.0 } else { 2.0 };
                clock.set(clock.get() + slow);
                clock.get()
            };
            let work = |_| {
                calls.fetch_add(1, SeqCst);
            };
            assert_eq!(crew.tune(2, now, work), fastest);
            assert_eq!(crew.threads(), fastest);
        }
    }

    #[test]
    fn no_helper_is_left() {
        let shared = {
            let crew = Crew::of(4);
            crew.run(8, &|| ());
            Arc::downgrade(&crew.shared)
        };
        assert!(shared.upgrade().is_none());
    }
}
