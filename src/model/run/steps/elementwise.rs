//! Steps that make each value from the values at one place: moved, by a function of one or two numbers, or chosen.

use std::ops::Range;

use super::super::kernel::transpose;
use super::functions::{Binary, Right, Unary};
use super::loops::Loops;

/// Values that are worked on before the next: they stay in the first-level cache.
const CHUNK: usize = 1024;

/// Copies values `stride` apart from `at` on.
pub fn load(from: &[f32], at: usize, stride: usize, to: &mut [f32]) {
    match stride {
        0 => to.fill(from[at]),
        1 => to.copy_from_slice(&from[at..at + to.len()]),
        _ => {
            let from = from[at..].iter().step_by(stride);
            to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        }
    }
}

/// Calls `each` with values of the output, in order and some at a time, and with the places that belong to the first
/// of them in the other tensors. Values that do not lie side by side are gathered, and then written where they belong.
fn chunks<const N: usize>(
    loops: &Loops<N>,
    turns: Range<usize>,
    output: &mut [f32],
    same: bool,
    mut each: impl FnMut(&mut [f32], [usize; N]),
) {
    let strides = loops.inner();
    // Made once: for a short row, the zeros take longer than the row.
    let mut gathered = [0.0; CHUNK];
    loops.each(turns, |mut at, length| {
        for start in (0..length).step_by(CHUNK) {
            let count = CHUNK.min(length - start);
            if strides[0] == 1 {
                each(&mut output[at[0]..at[0] + count], at);
            } else {
                let values = &mut gathered[..count];
                if same {
                    load(output, at[0], strides[0], values);
                }
                each(values, at);
                let to = output[at[0]..].iter_mut().step_by(strides[0].max(1));
                to.zip(values).for_each(|(to, value)| *to = *value);
            }
            for (at, stride) in at.iter_mut().zip(strides) {
                *at += count * stride;
            }
        }
    });
}

/// Output ← values of `from`.
pub fn copy(loops: &Loops<2>, turns: Range<usize>, from: &[f32], output: &mut [f32]) {
    if let Some(rows) = crossing(loops) {
        return cross(loops, rows, turns, from, output);
    }
    let stride = loops.inner()[1];
    chunks(loops, turns, output, false, |values, [_, at]| {
        load(from, at, stride, values);
    });
}

/// The loop over neighbours of the input, where the innermost one is over neighbours of the output and not of these.
fn crossing(loops: &Loops<2>) -> Option<usize> {
    let (inner, outer) = loops.0.split_last()?;
    let crosses = inner.strides[0] == 1 && inner.strides[1] > 1;
    let rows = outer.iter().position(|one| one.strides[1] == 1);
    rows.filter(|_| crosses)
}

/// A copy whose loop `rows` and innermost loop are a matrix to be transposed, for each turn of the others.
fn cross(loops: &Loops<2>, rows: usize, turns: Range<usize>, from: &[f32], output: &mut [f32]) {
    let columns = loops.0.len() - 1;
    // The first loop makes these turns only.
    let length = |at: usize| match at {
        0 => turns.len(),
        _ => loops.0[at].length,
    };
    let others = || (0..columns).filter(|&at| at != rows).rev();
    let [size, apart] = [
        [length(rows), length(columns)],
        [loops.0[rows].strides[0], loops.0[columns].strides[1]],
    ];
    for turn in 0..others().map(length).product() {
        let (mut rest, mut to) = (turn, 0);
        let mut at = turns.start * loops.0[0].strides[1];
        for other in others() {
            let count = rest % length(other);
            rest /= length(other);
            to += count * loops.0[other].strides[0];
            at += count * loops.0[other].strides[1];
        }
        transpose(&from[at..], size, apart, &mut output[to..]);
    }
}

/// A function of one number, or its derivative.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Map {
    pub function: Unary,
    pub parameter: f32,
    pub slope: bool,
}

impl Map {
    /// Output ← the function of `from`; of the output itself where there is none.
    pub fn run(
        self,
        loops: &Loops<2>,
        turns: Range<usize>,
        from: Option<&[f32]>,
        output: &mut [f32],
    ) {
        let stride = loops.inner()[1];
        chunks(loops, turns, output, from.is_none(), |values, [_, at]| {
            if let Some(from) = from {
                load(from, at, stride, values);
            }
            match self.slope {
                true => self.function.slope(self.parameter, values),
                false => self.function.apply(self.parameter, values),
            }
        });
    }
}

/// Output ← the function of `a` and `b`; of the output itself where there is no `a`.
pub fn pair(
    function: Binary,
    loops: &Loops<3>,
    turns: Range<usize>,
    (a, b): (Option<&[f32]>, &[f32]),
    output: &mut [f32],
) {
    let [_, first, second] = loops.inner();
    let mut gathered = [0.0; CHUNK];
    chunks(loops, turns, output, a.is_none(), |values, at| {
        if let Some(a) = a {
            load(a, at[1], first, values);
        }
        let right = match second {
            0 => Right::One(b[at[2]]),
            1 => Right::Each(&b[at[2]..at[2] + values.len()]),
            _ => {
                let gathered = &mut gathered[..values.len()];
                load(b, at[2], second, gathered);
                Right::Each(gathered)
            }
        };
        function.apply(values, right);
    });
}

/// Output ← `a` where `truth` is not 0, else `b`.
pub fn choose(
    loops: &Loops<4>,
    turns: Range<usize>,
    [truth, a, b]: [&[f32]; 3],
    output: &mut [f32],
) {
    let [_, t, first, second] = loops.inner();
    let mut others = [[0.0; CHUNK]; 2];
    chunks(loops, turns, output, false, |values, at| {
        load(b, at[3], second, values);
        let [truths, chosen] = others.each_mut().map(|all| &mut all[..values.len()]);
        load(truth, at[1], t, truths);
        load(a, at[2], first, chosen);
        for ((value, truth), chosen) in values.iter_mut().zip(truths).zip(chosen) {
            *value = if *truth == 0.0 { *value } else { *chosen };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::loops::Loop;
    use super::*;

    #[test]
    fn transposed_copies_are_the_same_in_parts() {
        let one = |length, strides| Loop { length, strides };
        // Tensors of 6 × 9 × 5, one of whose axes is last in the input: the first, or the second.
        let first = Loops(vec![one(6, [45, 1]), one(9, [5, 30]), one(5, [1, 6])]);
        let second = Loops(vec![one(6, [45, 45]), one(9, [5, 1]), one(5, [1, 9])]);
        let from: Vec<f32> = (0..270).map(|n| n as f32).collect();
        for (loops, rows) in [(first, 0), (second, 1)] {
            assert_eq!(crossing(&loops), Some(rows));
            let mut expected = Vec::new();
            loops.each(0..6, |[_, at], length| {
                let stride = loops.inner()[1];
                expected.extend((0..length).map(|n| from[at + n * stride]));
            });
            let mut actual = vec![f32::NAN; 270];
            let (low, high) = actual.split_at_mut(45 * 4);
            copy(&loops, 0..4, &from, low);
            copy(&loops, 4..6, &from, high);
            assert_eq!(actual, expected);
        }
    }
}
