//! Steps + weights → a plan that runs: an input → scores and layers, a class → gradients.

#[cfg(feature = "profile")]
mod profile;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use super::super::crew::{Crew, MOST_THREADS, SHARES};
use super::super::record::Numbers;
use super::Team;
use super::elementwise;
use super::memory::{Kept, Memory, Sizes, Space};
use super::read::{Draft, Outcome, Pass};

/// A plan whose weights are read.
pub struct Executor {
    input: Vec<usize>,
    sizes: Sizes,
    constants: Vec<f32>,
    forward: Pass,
    backward: Option<Pass>,
    /// Values that a part of a step takes meanwhile.
    scratch: usize,
    /// What is overwritten by every pass, and what its steps take meanwhile; made by the first.
    work: Mutex<[Vec<f32>; 2]>,
    /// Threads that compute the turns of a step: results do not depend on how many.
    crew: Arc<Crew>,
    threads: usize,
    /// Operations that are worth a part of their own.
    least: u64,
}

/// Operations of a step that are worth a part of their own: some ten microseconds, where a fork and a join take one.
const LEAST: u64 = 1 << 17;

/// Threads that a plan is run by where nobody says how many: as many as there are cores, up to this; in a page too, by
/// `www/library/features.js`.
pub const USUAL_THREADS: usize = 8;

/// The number of threads that is meant by an option.
pub fn threads(asked: Option<usize>) -> usize {
    let usual = || {
        let cores = std::thread::available_parallelism();
        cores.map_or(1, usize::from).min(USUAL_THREADS)
    };
    match SHARES {
        true => asked.unwrap_or_else(usual).clamp(1, MOST_THREADS),
        false => 1,
    }
}

/// What a forward pass makes.
pub struct Passed {
    /// The scores, and then the layers: each in the order of its axes.
    pub made: Vec<Vec<f32>>,
    /// What the gradient needs.
    pub kept: Vec<f32>,
}

/// A forward pass that stopped at a layer.
pub struct Halfway {
    layer: usize,
    /// Steps done.
    steps: usize,
    kept: Vec<f32>,
    work: Vec<f32>,
}

/// A number that no step makes: one that is not a number, with a mark.
const UNWRITTEN: u32 = 0x7fc5_a5a5;

/// Bytes that a plan takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Needed {
    /// Weights and constants.
    pub weights: u64,
    /// Most, while these are read, with what is left of the file.
    pub reading: u64,
    /// What all passes share.
    pub work: u64,
    /// What one run keeps for its gradients.
    pub kept: u64,
}

fn bytes(values: usize) -> u64 {
    values as u64 * size_of::<f32>() as u64
}

impl Draft {
    /// What it takes, from a file of this many bytes that is freed as it is read.
    pub fn needed(&self, file: usize) -> Needed {
        let sum = u64::saturating_add;
        let told = self.unread.iter().map(|unread| unread.told);
        let mut weights = told.fold(bytes(self.sizes.constants), sum);
        let mut reading = sum(weights, file as u64);
        let mut order: Vec<_> = self.unread.iter().collect();
        order.sort_by_key(|unread| Reverse(unread.end));
        for unread in order {
            let [packed, moment] = unread.bytes;
            weights = sum(weights, packed);
            let left = unread.end.min(file) as u64;
            reading = reading.max(sum(sum(left, weights), moment));
            weights -= unread.told;
        }
        Needed {
            weights,
            reading,
            work: sum(
                bytes(self.sizes.work),
                bytes(self.scratch).saturating_mul(self.threads as u64),
            ),
            kept: bytes(self.sizes.kept),
        }
    }

    /// Reads the weights, from the end of the file backwards, and the plan's `numbers`; an owned file is freed as it is
    /// read.
    ///
    /// # Panics
    /// When it is another file, or another plan.
    pub fn finish(mut self, numbers: &[Numbers], onnx: &mut Cow<[u8]>) -> Executor {
        let mut constants = vec![0.0; self.sizes.constants];
        let mut unread = std::mem::take(&mut self.unread);
        unread.sort_by_key(|unread| Reverse(unread.end));
        for one in unread {
            if let Cow::Owned(bytes) = onnx {
                bytes.truncate(one.end);
                bytes.shrink_to_fit();
            }
            self.read(one.source, (numbers, onnx), &mut constants);
        }
        self.share();
        Executor {
            input: self.input,
            sizes: self.sizes,
            constants,
            forward: self.forward,
            backward: self.backward,
            scratch: self.scratch,
            work: Mutex::default(),
            crew: Crew::of(self.threads),
            threads: self.threads,
            least: LEAST,
        }
    }
}

impl Executor {
    /// The same, with even the smallest steps shared out.
    #[cfg(feature = "compile")]
    pub fn sharing_all(self) -> Executor {
        Executor { least: 1, ..self }
    }

    /// Whether an input of this shape and with this many values is the one that it is for.
    pub fn takes(&self, shape: &[usize], values: usize) -> bool {
        self.input == shape && self.forward.given.len() == values
    }

    /// Runs the forward pass.
    ///
    /// # Panics
    /// When the input has another size than the plan says.
    pub fn forward(&self, input: &[f32]) -> Passed {
        let mut kept = vec![0.0; self.sizes.kept];
        let made = self.pass(&self.forward, Kept::Write(&mut kept), |given| {
            given.copy_from_slice(input);
        });
        Passed { made, kept }
    }

    /// The gradient of the sum of the scores, each times its weight, at each layer, in the order of its axes; none
    /// without heatmaps.
    ///
    /// # Panics
    /// When there are not as many weights as scores, or `kept` is of another plan.
    pub fn gradients(&self, kept: &[f32], weights: &[f32]) -> Option<Vec<Vec<f32>>> {
        let backward = self.backward.as_ref()?;
        Some(self.pass(backward, Kept::Read(kept), |given| {
            given.copy_from_slice(weights);
        }))
    }

    fn team(&self) -> Team<'_> {
        Team {
            crew: &self.crew,
            threads: self.threads.min(self.crew.threads()),
            least: self.least,
        }
    }

    fn pass(&self, pass: &Pass, kept: Kept, give: impl FnOnce(&mut [f32])) -> Vec<Vec<f32>> {
        self.lend(kept, |memory, scratch| {
            let team = self.team();
            give(memory.get_mut(&pass.given));
            for step in &pass.steps {
                step.run(memory, scratch, &team);
            }
            let made = pass.made.iter();
            made.map(|outcome| read(outcome, memory)).collect()
        })
    }

    /// Values of a run, and what its steps take meanwhile.
    fn lend<T>(&self, kept: Kept, run: impl FnOnce(&mut Memory, &mut [f32]) -> T) -> T {
        let mut work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        if work.iter().all(Vec::is_empty) {
            let scratch = self.scratch * self.threads;
            *work = [self.sizes.work, scratch].map(|size| vec![0.0; size]);
        }
        let [work, scratch] = &mut *work;
        let mut memory = Memory {
            sizes: self.sizes,
            constants: &self.constants,
            kept,
            work,
        };
        run(&mut memory, scratch)
    }

    /// Runs the forward pass up to the step that completes a layer; none for a layer that no step completes.
    ///
    /// # Panics
    /// When the input has another size than the plan says.
    pub fn until(&self, input: &[f32], layer: usize) -> Option<Halfway> {
        let outcome = self.forward.made.get(1 + layer)?;
        self.is_made(outcome).then_some(())?;
        let whole = self.forward(input).made.into_iter().nth(1 + layer)?;
        let bits = |values: &[f32]| {
            values
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        let whole = bits(&whole);
        let mut kept = vec![f32::from_bits(UNWRITTEN); self.sizes.kept];
        let (steps, work) = self.lend(Kept::Write(&mut kept), |memory, scratch| {
            let team = self.team();
            // What the last run has left there would look complete.
            memory.work.fill(f32::from_bits(UNWRITTEN));
            memory.get_mut(&self.forward.given).copy_from_slice(input);
            let complete = |memory: &Memory| bits(&read(outcome, memory)) == whole;
            let near = |places: &Range<usize>| {
                places.start < outcome.places.end && outcome.places.start < places.end
            };
            if near(&self.forward.given) && complete(memory) {
                return Some((0, memory.work.to_vec()));
            }
            // Parts of a layer may be written by several steps, and steps may write beside it.
            for (at, step) in self.forward.steps.iter().enumerate() {
                step.run(memory, scratch, &team);
                if near(&step.output) && complete(memory) {
                    return Some((at + 1, memory.work.to_vec()));
                }
            }
            None
        })?;
        Some(Halfway {
            layer,
            steps,
            kept,
            work,
        })
    }

    /// Whether a layer lies where steps write.
    fn is_made(&self, layer: &Outcome) -> bool {
        let space = self.sizes.space(&layer.places);
        matches!(space, Some(Space::Kept | Space::Work))
    }

    /// The scores of such a run with some of the layer's values at 0, by their places in the order of its axes; none for
    /// one of another plan.
    pub fn onwards(
        &self,
        halfway: &Halfway,
        values: impl Iterator<Item = usize>,
    ) -> Option<Vec<f32>> {
        let outcome = self.forward.made.get(1 + halfway.layer)?;
        let steps = self.forward.steps.get(halfway.steps..)?;
        let sizes = [halfway.kept.len(), halfway.work.len()];
        let ours = sizes == [self.sizes.kept, self.sizes.work] && self.is_made(outcome);
        ours.then_some(())?;
        let mut kept = halfway.kept.clone();
        self.lend(Kept::Write(&mut kept), |memory, scratch| {
            memory.work.copy_from_slice(&halfway.work);
            let layer = memory.get_mut(&outcome.places);
            for value in values {
                let [_, at] = outcome.loops.place(value);
                layer[at] = 0.0;
            }
            let team = self.team();
            for step in steps {
                step.run(memory, scratch, &team);
            }
            self.forward.made.first().map(|scores| read(scores, memory))
        })
    }
}

/// A tensor that a pass has made, in the order of its axes.
fn read(outcome: &Outcome, memory: &Memory) -> Vec<f32> {
    let Outcome { places, loops } = outcome;
    let mut values = vec![0.0; loops.volume().unwrap_or(0)];
    elementwise::copy(loops, 0..loops.0[0].length, memory.get(places), &mut values);
    values
}
