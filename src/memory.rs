//! allocations → bytes in use now, at most, and refused.
//!
//! WebAssembly memory never shrinks, so its size is only a high-water mark; the bytes really in use have to
//! be counted.
#![allow(unsafe_code)] // an allocator is an unsafe trait; this one counts and passes on

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// Bytes in use.
pub fn live() -> usize {
    LIVE.load(Relaxed)
}

/// The most bytes that were in use since [`forget_peak`].
pub fn peak() -> usize {
    PEAK.load(Relaxed)
}

/// Starts measuring the peak again.
pub fn forget_peak() {
    PEAK.store(live(), Relaxed);
}

/// The size of the last allocation that failed; 0 when none did.
pub fn refused() -> usize {
    REFUSED.load(Relaxed)
}

fn count(pointer: *mut u8, old: usize, new: usize) -> *mut u8 {
    if pointer.is_null() {
        REFUSED.store(new, Relaxed);
    } else {
        LIVE.fetch_sub(old, Relaxed);
        let live = LIVE.fetch_add(new, Relaxed) + new;
        PEAK.fetch_max(live, Relaxed);
    }
    pointer
}

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(unsafe { System.alloc(layout) }, 0, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(unsafe { System.alloc_zeroed(layout) }, 0, layout.size())
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new: usize) -> *mut u8 {
        let moved = unsafe { System.realloc(pointer, layout, new) };
        count(moved, layout.size(), new)
    }
}
