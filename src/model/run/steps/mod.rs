//! The steps of a plan, over flat tensors in one arena, and how they are run. Nothing here allocates while it runs.
//!
//! A step is made of *turns*, each of which writes its own part of the output, in order and without gaps between turns
//! other than the loops' own: any number of threads may share them, and the result is the same to the last bit.

pub mod elementwise;
pub mod executor;
pub mod functions;
pub mod loops;
pub mod memory;
pub mod products;
pub mod read;
pub mod record;
pub mod rows;
mod series;
pub mod windows;

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use self::elementwise::Map;
use self::functions::Binary;
use self::loops::Loops;
use self::memory::Memory;
use self::products::{Filter, Multiply, Pack, Product, Tiles};
use self::rows::Reducer;
use self::windows::Pool;
use super::crew::Crew;
use super::kernel::{Window, Winograd, max_pool_rows};

/// A step that is ready to run; [`read`] has checked its places against each other and against its work.
#[derive(Debug, Clone)]
pub struct Step {
    /// Places that it writes.
    pub output: Range<usize>,
    /// Places that it reads, at most three; unused ones are empty.
    pub inputs: [Range<usize>; 3],
    pub work: Work,
    /// Operations that all turns take, as they are counted when the plan is read.
    pub cost: u64,
}

/// Who computes the turns of steps.
#[derive(Clone, Copy)]
pub struct Team<'a> {
    pub crew: &'a Crew,
    /// Most parts in which turns are shared out: there is scratch for so many.
    pub threads: usize,
    /// Operations that are worth a part of their own.
    pub least: u64,
}

/// What a step computes. Where the first input is the output itself, it is computed in place.
#[derive(Debug, Clone)]
pub enum Work {
    /// The same value everywhere.
    Set(f32),
    Copy(Loops<2>),
    Map(Map, Loops<2>),
    Pair(Binary, Loops<3>),
    /// By the truth of the first input, the second or the third.
    Choose(Loops<4>),
    Reduce(Reducer, Loops<2>, Loops<1>),
    /// Of rows of this many values.
    Softmax(usize),
    /// Of rows of this many values, with this epsilon.
    Normalise(usize, f32),
    /// A second input is added before the activation, here and in `Tiles`.
    Product(Product),
    Tiles(Tiles),
    Filter(Filter),
    Pack(Pack),
    Multiply(Multiply),
    Largest(usize, Window),
    Pool(Pool),
    /// Whether a single tap stands for all.
    Fold(Window, bool),
    Unpool(Window),
}

impl Step {
    /// The number of turns, and the distance between their parts of the output.
    pub fn turns(&self) -> [usize; 2] {
        fn outer<const N: usize>(loops: &Loops<N>) -> [usize; 2] {
            [loops.0[0].length, loops.0[0].strides[0]]
        }
        fn rows(window: &Window, channels: usize) -> [usize; 2] {
            [window.output[0], window.output[1] * channels]
        }
        let all = self.output.len();
        match &self.work {
            Work::Set(_) => [all, 1],
            Work::Copy(loops) | Work::Map(_, loops) | Work::Reduce(_, loops, _) => outer(loops),
            Work::Pair(_, loops) => outer(loops),
            Work::Choose(loops) => outer(loops),
            Work::Softmax(length) | Work::Normalise(length, _) => [all / length, *length],
            Work::Product(product) => product.turns(),
            Work::Tiles(tiles) => tiles.winograd.turns(),
            Work::Filter(filter) => rows(&filter.window, all / area(filter.window.output)),
            Work::Pack(pack) => {
                let products = pack.batch.volume().unwrap_or(1);
                [products, all / products]
            }
            Work::Multiply(multiply) => [all / multiply.columns, multiply.columns],
            Work::Largest(channels, window) => rows(window, *channels),
            Work::Pool(pool) => rows(&pool.window, pool.channels),
            Work::Fold(window, _) | Work::Unpool(window) => {
                let pixels = area(window.input);
                [all / pixels, pixels]
            }
        }
    }

    /// Values that one thread takes meanwhile.
    pub fn scratch(&self) -> usize {
        match &self.work {
            Work::Tiles(tiles) => {
                let [inputs, outputs] = [tiles.winograd.inputs(), tiles.winograd.outputs()];
                Winograd::values(&tiles.window, inputs, outputs)
            }
            _ => 0,
        }
    }

    /// In how many parts a team computes the turns.
    fn parts(&self, team: &Team, turns: usize) -> usize {
        let worth = usize::try_from(self.cost / team.least).unwrap_or(usize::MAX);
        worth.min(team.threads).min(turns).max(1)
    }

    /// Computes all turns, shared out to a team; there is scratch for each of its threads.
    pub fn run(&self, memory: &mut Memory, scratch: &mut [f32], team: &Team) {
        let [turns, apart] = self.turns();
        let (mut output, around) = memory.part(&self.output);
        let same = self.inputs[0] == self.output;
        let inputs = std::array::from_fn(|at| match &self.inputs[at] {
            places if places.is_empty() || at == 0 && same => None,
            places => Some(around.get(places)),
        });
        let parts = self.parts(team, turns);
        if parts == 1 {
            return self.some(0..turns, inputs, output, scratch);
        }
        let (takes, mut free, mut part) = (self.scratch(), scratch, 0);
        let shares = Mutex::new(move || {
            let [start, end] = [part, part + 1].map(|part| turns * part / parts);
            part += 1;
            let length = match part == parts {
                true => output.len(),
                false => (end - start) * apart,
            };
            let mine = output.split_off_mut(..length).unwrap_or_default();
            let scratch = free.split_off_mut(..takes).unwrap_or_default();
            (start..end, mine, scratch)
        });
        team.crew.run(parts, &|| {
            let (turns, output, scratch) = {
                let mut next = shares.lock().unwrap_or_else(PoisonError::into_inner);
                next()
            };
            self.some(turns, inputs, output, scratch);
        });
    }

    /// Computes some turns; the output begins with the first of them. An input that is missing is the output itself or
    /// not there at all.
    fn some(
        &self,
        turns: Range<usize>,
        inputs: [Option<&[f32]>; 3],
        output: &mut [f32],
        scratch: &mut [f32],
    ) {
        let [first, second, _] = inputs;
        let [a, b, c] = inputs.map(Option::unwrap_or_default);
        match &self.work {
            Work::Set(value) => output.fill(*value),
            Work::Copy(loops) => elementwise::copy(loops, turns, a, output),
            Work::Map(map, loops) => map.run(loops, turns, first, output),
            Work::Pair(function, loops) => {
                elementwise::pair(*function, loops, turns, (first, b), output);
            }
            Work::Choose(loops) => elementwise::choose(loops, turns, [a, b, c], output),
            Work::Reduce(reducer, kept, reduced) => reducer.run(kept, reduced, turns, a, output),
            Work::Softmax(length) => {
                move_in(first, &turns, *length, output);
                rows::softmax(*length, output);
            }
            Work::Normalise(length, epsilon) => {
                move_in(first, &turns, *length, output);
                rows::normalise(*length, *epsilon, output);
            }
            Work::Product(product) => product.run(turns, (a, second), output),
            Work::Tiles(tiles) => tiles.run(turns, (a, second), output, scratch),
            Work::Filter(Filter {
                filter,
                window,
                activation,
            }) => {
                filter.run_rows(turns, a, window, output, *activation);
            }
            Work::Pack(pack) => pack.run(turns, a, output),
            Work::Multiply(multiply) => multiply.run(turns, [a, b], output),
            Work::Largest(channels, window) => max_pool_rows(turns, a, *channels, window, output),
            Work::Pool(pool) => pool.run(turns, a, output),
            Work::Fold(window, one) => windows::fold(window, *one, turns, a, output),
            Work::Unpool(window) => windows::unpool(window, turns, [a, b], output),
        }
    }
}

/// Rows that are computed in place, brought there first.
fn move_in(from: Option<&[f32]>, turns: &Range<usize>, length: usize, output: &mut [f32]) {
    if let Some(from) = from {
        output.copy_from_slice(&from[turns.start * length..turns.end * length]);
    }
}

fn area(sides: [usize; 2]) -> usize {
    sides[0] * sides[1]
}
