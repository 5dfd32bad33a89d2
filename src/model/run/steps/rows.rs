//! Steps over whole rows: sums and other reductions, softmax, normalisation.

use std::ops::Range;

use super::super::kernel::{Task, Vector, widest};
use super::loops::Loops;
use super::series::exp;

/// What becomes of the values that are reduced to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reducer {
    Sum,
    Max,
    MeanOfSquares,
}

/// Sums that are added up side by side: always as many, so that the result does not depend on the machine.
const LANES: usize = 8;

impl Reducer {
    /// In the order of their numbers in a plan.
    pub const ALL: [Reducer; 3] = [Reducer::Sum, Reducer::Max, Reducer::MeanOfSquares];

    fn start(self) -> f32 {
        match self {
            Reducer::Max => f32::NEG_INFINITY,
            _ => 0.0,
        }
    }

    #[inline(always)]
    fn add(self, sum: f32, value: f32) -> f32 {
        match self {
            Reducer::Sum => sum + value,
            Reducer::MeanOfSquares => sum + value * value,
            Reducer::Max => {
                if sum < value {
                    value
                } else {
                    sum
                }
            }
        }
    }

    fn join(self, sums: [f32; LANES]) -> f32 {
        let other = match self {
            Reducer::Max => Reducer::Max,
            _ => Reducer::Sum,
        };
        sums.into_iter()
            .fold(self.start(), |sum, value| other.add(sum, value))
    }

    /// Output ← the values of `from` at each place of `kept`, reduced over `reduced`.
    pub fn run(
        self,
        kept: &Loops<2>,
        reduced: &Loops<1>,
        turns: Range<usize>,
        from: &[f32],
        output: &mut [f32],
    ) {
        let all = reduced.0[0].length;
        let [apart] = reduced.inner();
        let strides = kept.inner();
        // The order of a sum must not depend on how many turns are taken at once.
        let side_by_side = strides == [1, 1] && kept.0.last().is_some_and(|one| one.length > 1);
        let count = reduced.volume().unwrap_or(1) as f32;
        kept.each(turns, |[to, at], length| {
            if side_by_side {
                let sums = &mut output[to..to + length];
                sums.fill(self.start());
                reduced_each(reduced, |start| {
                    let row = &from[at + start..][..length];
                    match self {
                        Reducer::Sum => fold(sums, row, |sum, value| Reducer::Sum.add(sum, value)),
                        Reducer::Max => fold(sums, row, |sum, value| Reducer::Max.add(sum, value)),
                        Reducer::MeanOfSquares => fold(sums, row, |sum, value| {
                            Reducer::MeanOfSquares.add(sum, value)
                        }),
                    }
                });
                if self == Reducer::MeanOfSquares {
                    sums.iter_mut().for_each(|sum| *sum /= count);
                }
                return;
            }
            for n in 0..length {
                let at = at + n * strides[1];
                let mut sums = [self.start(); LANES];
                rows(reduced, 0..all, |start, length| {
                    let from = &from[at + start..];
                    if apart == 1 {
                        match self {
                            Reducer::Sum => lanes(&mut sums, &from[..length], |s, v| s + v),
                            Reducer::Max => {
                                lanes(&mut sums, &from[..length], |s, v| Reducer::Max.add(s, v))
                            }
                            Reducer::MeanOfSquares => {
                                lanes(&mut sums, &from[..length], |s, v| s + v * v);
                            }
                        }
                    } else {
                        for n in 0..length {
                            let sum = &mut sums[n % LANES];
                            *sum = self.add(*sum, from[n * apart]);
                        }
                    }
                });
                let sum = self.join(sums);
                output[to + n * strides[0]] = match self {
                    Reducer::MeanOfSquares => sum / count,
                    _ => sum,
                };
            }
        });
    }
}

/// As [`Loops::each`], with places that count from the tensor's first value.
fn rows(loops: &Loops<1>, turns: Range<usize>, mut row: impl FnMut(usize, usize)) {
    loops.each(turns, |[at], length| row(at, length));
}

fn reduced_each(loops: &Loops<1>, mut each: impl FnMut(usize)) {
    let [apart] = loops.inner();
    rows(loops, 0..loops.0[0].length, |at, length| {
        (0..length).for_each(|n| each(at + n * apart));
    });
}

fn fold(sums: &mut [f32], row: &[f32], add: impl Fn(f32, f32) -> f32) {
    let pairs = sums.iter_mut().zip(row);
    pairs.for_each(|(sum, value)| *sum = add(*sum, *value));
}

#[inline(always)]
fn lanes(sums: &mut [f32; LANES], row: &[f32], add: impl Fn(f32, f32) -> f32) {
    let (whole, rest) = row.as_chunks::<LANES>();
    for values in whole {
        for (sum, value) in sums.iter_mut().zip(values) {
            *sum = add(*sum, *value);
        }
    }
    for (sum, value) in sums.iter_mut().zip(rest) {
        *sum = add(*sum, *value);
    }
}

fn sum(row: &[f32], add: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    lanes(&mut sums, row, add);
    Reducer::Sum.join(sums)
}

fn largest(row: &[f32]) -> f32 {
    let mut sums = [f32::NEG_INFINITY; LANES];
    lanes(&mut sums, row, |most, value| Reducer::Max.add(most, value));
    Reducer::Max.join(sums)
}

/// Each value → e to the power of what is left of it without the largest; the sum of all.
struct Exponentials<'a>(&'a mut [f32], f32);

impl Task for Exponentials<'_> {
    type Made = f32;

    #[inline(always)]
    fn run<V: Vector>(self) -> f32 {
        let Exponentials(row, most) = self;
        let most = V::splat(most);
        // At most two vectors hold as many sums.
        let mut sums = [V::splat(0.0); 2];
        let (whole, rest) = row.as_chunks_mut::<LANES>();
        for values in whole {
            for (sum, values) in sums.iter_mut().zip(values.chunks_exact_mut(V::LANES)) {
                let power = exp(V::read(values).sub(most));
                power.write(values);
                *sum = sum.add(power);
            }
        }
        let mut lanes = [0.0; LANES];
        for (sum, lanes) in sums.into_iter().zip(lanes.chunks_exact_mut(V::LANES)) {
            sum.write(lanes);
        }
        if !rest.is_empty() {
            let mut last = [f32::NEG_INFINITY; LANES];
            last[..rest.len()].copy_from_slice(rest);
            for values in last.chunks_exact_mut(V::LANES) {
                exp(V::read(values).sub(most)).write(values);
            }
            for ((sum, to), value) in lanes.iter_mut().zip(rest).zip(last) {
                *to = value;
                *sum += value;
            }
        }
        Reducer::Sum.join(lanes)
    }
}

/// Softmax of each row of `length` values, in place.
pub fn softmax(length: usize, values: &mut [f32]) {
    for row in values.chunks_exact_mut(length) {
        let most = largest(row);
        let factor = 1.0 / widest(Exponentials(row, most));
        row.iter_mut().for_each(|value| *value *= factor);
    }
}

/// Each row of `length` values divided by the root of the mean of its squares plus `epsilon`, in place.
pub fn normalise(length: usize, epsilon: f32, values: &mut [f32]) {
    for row in values.chunks_exact_mut(length) {
        let squares = sum(row, |sum, value| sum + value * value);
        let factor = 1.0 / (squares / length as f32 + epsilon).sqrt();
        row.iter_mut().for_each(|value| *value *= factor);
    }
}

#[cfg(test)]
mod tests {
    use super::super::loops::Loop;
    use super::*;

    fn noise(count: usize) -> Vec<f32> {
        (0..count)
            .map(|n| ((n * 7919) % 1000) as f32 / 500.0 - 1.0)
            .collect()
    }

    #[test]
    fn reductions_of_either_side_equal_plain_sums() {
        // 5 × 4 × 19: over the first and the last axis, and over the first two.
        let values = noise(5 * 4 * 19);
        let one = |length, strides| Loop { length, strides };
        let over = |length, stride| Loop {
            length,
            strides: [stride],
        };
        for reducer in [Reducer::Sum, Reducer::Max, Reducer::MeanOfSquares] {
            let expect = |all: &mut dyn Iterator<Item = f32>| -> f64 {
                let all: Vec<f64> = all.map(f64::from).collect();
                match reducer {
                    Reducer::Sum => all.iter().sum(),
                    Reducer::Max => all.iter().copied().fold(f64::MIN, f64::max),
                    Reducer::MeanOfSquares => {
                        all.iter().map(|v| v * v).sum::<f64>() / all.len() as f64
                    }
                }
            };
            let kept = Loops(vec![one(4, [1, 19])]);
            let reduced = Loops(vec![over(5, 76), over(19, 1)]);
            let mut output = [f32::NAN; 4];
            reducer.run(&kept, &reduced, 0..4, &values, &mut output);
            for (b, actual) in output.iter().enumerate() {
                let mut all = (0..5 * 19).map(|n| values[(n / 19) * 76 + b * 19 + n % 19]);
                let off = f64::from(*actual) - expect(&mut all);
                assert!(off.abs() < 1e-5, "{reducer:?}: {off}");
            }
            let kept = Loops(vec![one(19, [1, 1])]);
            let reduced = Loops(vec![over(20, 19)]);
            let mut output = [f32::NAN; 19];
            let (low, high) = output.split_at_mut(7);
            reducer.run(&kept, &reduced, 0..7, &values, low);
            reducer.run(&kept, &reduced, 7..19, &values, high);
            for (c, actual) in output.iter().enumerate() {
                let mut all = (0..20).map(|n| values[n * 19 + c]);
                let off = f64::from(*actual) - expect(&mut all);
                assert!(off.abs() < 1e-5, "{reducer:?}: {off}");
            }
        }
    }

    #[test]
    fn softmax_and_normalisation_equal_their_formulas() {
        for length in [1, 3, 8, 21] {
            let given = noise(2 * length);
            let (mut soft, mut even) = (given.clone(), given.clone());
            softmax(length, &mut soft);
            normalise(length, 1e-3, &mut even);
            for (at, row) in given.chunks_exact(length).enumerate() {
                let row: Vec<f64> = row.iter().map(|&v| f64::from(v)).collect();
                let sum: f64 = row.iter().map(|v| v.exp()).sum();
                let mean = row.iter().map(|v| v * v).sum::<f64>() / length as f64;
                for (n, value) in row.iter().enumerate() {
                    let at = at * length + n;
                    assert!((f64::from(soft[at]) - value.exp() / sum).abs() < 1e-6);
                    assert!((f64::from(even[at]) - value / (mean + 1e-3).sqrt()).abs() < 1e-5);
                }
            }
        }
    }
}
