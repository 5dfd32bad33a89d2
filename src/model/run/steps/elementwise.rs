//! Steps that make each value from the values at one place: moved, by a function of one or two numbers, or chosen.

use std::ops::Range;

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
    loops.each(turns, |mut at, length| {
        for start in (0..length).step_by(CHUNK) {
            let count = CHUNK.min(length - start);
            if strides[0] == 1 {
                each(&mut output[at[0]..at[0] + count], at);
            } else {
                let mut values = [0.0; CHUNK];
                let values = &mut values[..count];
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
    let stride = loops.inner()[1];
    chunks(loops, turns, output, false, |values, [_, at]| {
        load(from, at, stride, values);
    });
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
    chunks(loops, turns, output, a.is_none(), |values, at| {
        if let Some(a) = a {
            load(a, at[1], first, values);
        }
        let mut gathered = [0.0; CHUNK];
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
    chunks(loops, turns, output, false, |values, at| {
        load(b, at[3], second, values);
        let mut others = [[0.0; CHUNK]; 2];
        let [truths, chosen] = others.each_mut().map(|all| &mut all[..values.len()]);
        load(truth, at[1], t, truths);
        load(a, at[2], first, chosen);
        for ((value, truth), chosen) in values.iter_mut().zip(truths).zip(chosen) {
            *value = if *truth == 0.0 { *value } else { *chosen };
        }
    });
}
