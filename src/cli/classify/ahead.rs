//! work to be done → its results in the same order, made on several threads beside what takes them.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// Does `work` for each item on `threads` threads, and gives the results to `take` on this one, in the order of the
/// items. At most twice as many results as there are threads are under way or waiting. Stops at the first error of
/// `take`.
pub fn ahead<I: Send, O: Send>(
    threads: usize,
    items: impl IntoIterator<Item = I>,
    work: impl Fn(&I) -> O + Sync,
    mut take: impl FnMut(I, O) -> Result<()>,
) -> Result<()> {
    let mut items = items.into_iter();
    let (give, given) = channel::<(I, SyncSender<(I, O)>)>();
    let given = Mutex::new(given);
    let next = || given.lock().unwrap_or_else(PoisonError::into_inner).recv();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Ok((item, answer)) = next() {
                    let done = work(&item);
                    // Nobody listens after an error.
                    drop(answer.send((item, done)));
                }
            });
        }
        let mut waiting: VecDeque<Receiver<(I, O)>> = VecDeque::new();
        loop {
            while waiting.len() < 2 * threads
                && let Some(item) = items.next()
            {
                let (answer, answered) = sync_channel(1);
                give.send((item, answer))
                    .ok()
                    .context("no thread is left")?;
                waiting.push_back(answered);
            }
            let Some(first) = waiting.pop_front() else {
                break;
            };
            let (item, done) = first.recv().context("a thread ended early")?;
            take(item, done)?;
        }
        drop(give);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn results_come_in_order_and_few_are_made_ahead() {
        let (made, taken) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let most = AtomicUsize::new(0);
        let mut seen = Vec::new();
        let work = |&item: &u64| {
            // The earlier one takes longer.
            thread::sleep(Duration::from_millis(if item % 3 == 0 { 5 } else { 1 }));
            let ahead = made.fetch_add(1, Ordering::Relaxed) + 1 - taken.load(Ordering::Relaxed);
            most.fetch_max(ahead, Ordering::Relaxed);
            item * 2
        };
        ahead(3, 0..100, work, |item, double| {
            assert_eq!(double, item * 2);
            seen.push(item);
            taken.fetch_add(1, Ordering::Relaxed);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, (0..100).collect::<Vec<_>>());
        // One more is taken before it is counted.
        assert!(most.into_inner() <= 7);
    }

    #[test]
    fn an_error_ends_all() {
        let done = AtomicUsize::new(0);
        let work = |_: &u64| done.fetch_add(1, Ordering::Relaxed);
        let failed = ahead(2, 0..1_000_000, work, |item, _| match item {
            5 => anyhow::bail!("the disk is full"),
            _ => Ok(()),
        });
        assert_eq!(failed.unwrap_err().to_string(), "the disk is full");
        assert!(done.into_inner() < 20);
    }
}
