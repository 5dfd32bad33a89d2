//! Nested loops over the places of a step's tensors, written as distances: a transposed, cut, repeated or joined tensor
//! is read where it lies.

use std::ops::Range;

/// Most loops of a step, neighbouring axes taken together.
pub const MOST_LOOPS: usize = 8;

/// One loop: how often, and how far apart neighbours lie in each of the `N` tensors. In a step that writes, the first
/// is the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loop<const N: usize> {
    pub length: usize,
    pub strides: [usize; N],
}

/// Loops, the outermost first. There is at least one, and none is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loops<const N: usize>(pub Vec<Loop<N>>);

impl<const N: usize> Loops<N> {
    /// Number of places in all; none if the count overflows.
    pub fn volume(&self) -> Option<usize> {
        let lengths = self.0.iter().map(|one| one.length);
        lengths.into_iter().try_fold(1, usize::checked_mul)
    }

    /// Values between the first and the last of a tensor, both included; none if the count overflows.
    pub fn reach(&self, tensor: usize) -> Option<usize> {
        let far = |one: &Loop<N>| (one.length - 1).checked_mul(one.strides[tensor]);
        let mut loops = self.0.iter();
        loops.try_fold(1usize, |reach, one| reach.checked_add(far(one)?))
    }

    /// Whether no two places of a tensor are the same, and those of an outer loop lie apart.
    pub fn is_nested(&self, tensor: usize) -> bool {
        let mut inner = 1usize;
        self.0.iter().rev().all(|one| {
            let stride = one.strides[tensor];
            let apart = one.length == 1 || stride >= inner;
            let far = (one.length - 1).checked_mul(stride);
            let reach = far.and_then(|far| inner.checked_add(far));
            inner = reach.unwrap_or(usize::MAX);
            apart && reach.is_some()
        })
    }

    /// Calls `row` for each innermost loop with the places of its first values and its length, for some turns of the
    /// outermost loop. Places in the first tensor count from the first of these turns.
    pub fn each(&self, turns: Range<usize>, mut row: impl FnMut([usize; N], usize)) {
        let Some((inner, outer)) = self.0.split_last() else {
            return;
        };
        if turns.is_empty() {
            return;
        }
        let mut at = [0; N];
        for (at, stride) in at.iter_mut().zip(self.0[0].strides).skip(1) {
            *at = turns.start * stride;
        }
        if outer.is_empty() {
            return row(at, turns.len());
        }
        let mut counts = [0; MOST_LOOPS];
        counts[0] = turns.start;
        loop {
            row(at, inner.length);
            let mut level = outer.len();
            loop {
                level -= 1;
                counts[level] += 1;
                let Loop { length, strides } = outer[level];
                let end = if level == 0 { turns.end } else { length };
                if counts[level] < end {
                    for (at, stride) in at.iter_mut().zip(strides) {
                        *at += stride;
                    }
                    break;
                }
                if level == 0 {
                    return;
                }
                counts[level] = 0;
                for (at, stride) in at.iter_mut().zip(strides) {
                    *at -= (length - 1) * stride;
                }
            }
        }
    }

    /// Places in all tensors of one of [`Loops::volume`] turns.
    pub fn place(&self, turn: usize) -> [usize; N] {
        let mut at = [0; N];
        let mut rest = turn;
        for one in self.0.iter().rev() {
            let count = rest % one.length;
            rest /= one.length;
            for (at, stride) in at.iter_mut().zip(one.strides) {
                *at += count * stride;
            }
        }
        at
    }

    /// The innermost loop's distances.
    pub fn inner(&self) -> [usize; N] {
        self.0.last().map_or([0; N], |one| one.strides)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(loops: &Loops<2>, turns: Range<usize>) -> Vec<[usize; 2]> {
        let mut all = Vec::new();
        let [out, from] = loops.inner();
        loops.each(turns, |[to, at], length| {
            all.extend((0..length).map(|n| [to + n * out, at + n * from]));
        });
        all
    }

    #[test]
    fn a_transposition_visits_each_place_once() {
        let one = |length, strides| Loop { length, strides };
        // 2 × 3 × 4 → 4 × 2 × 3.
        let loops = Loops(vec![one(4, [6, 1]), one(2, [3, 12]), one(3, [1, 4])]);
        let all = places(&loops, 0..4);
        let mut at = 0;
        for c in 0..4 {
            for a in 0..2 {
                for b in 0..3 {
                    assert_eq!(all[at], [at, (a * 3 + b) * 4 + c]);
                    at += 1;
                }
            }
        }
        assert_eq!(all.len(), at);
        let parts = [places(&loops, 0..1), places(&loops, 1..4)];
        let first = parts[0].iter().copied();
        let second = parts[1].iter().map(|[to, at]| [to + 6, *at]);
        assert_eq!(first.chain(second).collect::<Vec<_>>(), all);
        assert_eq!([loops.reach(0), loops.reach(1)], [Some(24); 2]);
        assert!(loops.is_nested(0));
    }

    #[test]
    fn places_that_meet_are_not_nested() {
        let one = |length, stride| Loop {
            length,
            strides: [stride],
        };
        assert!(Loops(vec![one(3, 5), one(4, 1)]).is_nested(0));
        assert!(!Loops(vec![one(3, 3), one(4, 1)]).is_nested(0));
        assert!(!Loops(vec![one(3, 0)]).is_nested(0));
        assert!(!Loops(vec![one(usize::MAX, usize::MAX)]).is_nested(0));
        assert_eq!(Loops(vec![one(usize::MAX, 4)]).reach(0), None);
    }
}
