//! A plan → steps that are ready to run, each checked; what they take is counted before anything is allocated.

mod fields;
mod kinds;
mod products;
mod weights;

use std::collections::HashMap;
use std::ops::Range;

use super::super::record::Numbers;
use super::super::weights::Packed;
use super::super::{File, MOST_ELEMENTS, MOST_OPERATIONS};
use super::loops::Loops;
use super::memory::{Sizes, Space};
use super::record::{Half, Plan};
use super::{Step, Work};
use fields::{Fields, Sound, check, places, range};
use weights::{Source, Unread};

/// Multiplications of a product that take as long as a value that goes through memory.
const VALUE: u64 = 16;

/// A plan whose weights are still in the file.
#[derive(Debug)]
pub struct Draft {
    /// Shape of the input.
    pub input: Vec<usize>,
    pub sizes: Sizes,
    /// Values that a thread takes meanwhile.
    pub scratch: usize,
    /// Threads that will run it.
    pub threads: usize,
    pub forward: Pass,
    pub backward: Option<Pass>,
    /// What is to be read from the file.
    pub unread: Vec<Unread>,
    /// Steps with the weights of earlier ones, and those; each by its pass and number.
    pub again: Vec<[(bool, usize); 2]>,
}

/// A pass that is ready to run.
#[derive(Debug, Clone)]
pub struct Pass {
    /// Places of what it is given.
    pub given: Range<usize>,
    /// What it makes.
    pub made: Vec<Outcome>,
    pub steps: Vec<Step>,
}

/// A tensor that a pass makes: where it lies, and how it is read in the order of its axes.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub places: Range<usize>,
    pub loops: Loops<2>,
}

struct Reader<'a> {
    plan: &'a Plan,
    file: &'a File<'a>,
    sizes: Sizes,
    unread: Vec<Unread>,
    again: Vec<[(bool, usize); 2]>,
    /// What a record says of weights → the first step that has them.
    packed: HashMap<Vec<u32>, (bool, usize)>,
    operations: u64,
    /// Values that may still be read from the file's tensors.
    left: usize,
}

impl Plan {
    /// The plan's steps without their weights; without the gradient unless `heatmap`.
    ///
    /// # Errors
    /// For a plan that is not sound.
    pub fn draft(&self, file: &File, heatmap: bool) -> Sound<Draft> {
        let [constants, kept, work] = self.spaces.map(|size| size as usize);
        let sizes = Sizes {
            constants,
            kept,
            work,
        };
        let total = sizes.total().ok_or("an arena that cannot be counted")?;
        check(total <= i32::MAX as usize, "an arena of absurd size")?;
        // Each reading is a copy. A sound plan reads a tensor once, or twice for both passes.
        let mut reader = Reader {
            plan: self,
            file,
            sizes,
            unread: Vec::new(),
            again: Vec::new(),
            packed: HashMap::new(),
            operations: 0,
            left: file.held().saturating_mul(2),
        };
        for &[at, numbers] in &self.constants {
            reader.constant(at, numbers)?;
        }
        let volume = |shape: &[usize]| -> Sound<usize> {
            let sizes = shape.iter();
            let volume = sizes.copied().try_fold(1usize, usize::checked_mul);
            let volume = volume.filter(|volume| (1..=MOST_ELEMENTS).contains(volume));
            volume.ok_or("a tensor of absurd size")
        };
        let scores = volume(&self.scores)?;
        let layers = self.places.iter().map(|place| volume(&place.shape));
        let layers = layers.collect::<Sound<Vec<usize>>>()?;
        let made: Vec<usize> = [scores].into_iter().chain(layers.iter().copied()).collect();
        let input = volume(&self.input)?;
        let mut forward = reader.pass(&self.forward, false, input, &made)?;
        let backward = match (heatmap, &self.backward) {
            (false, _) => {
                forward.made.truncate(1);
                None
            }
            (true, None) if self.unexplained.is_some() => None,
            (true, None) => return Err("there is no gradient"),
            (true, Some(half)) => Some(reader.pass(half, true, scores, &layers)?),
        };
        check(reader.operations <= MOST_OPERATIONS, "a run without end")?;
        let passes = [Some(&forward), backward.as_ref()];
        let steps = passes.into_iter().flatten().flat_map(|pass| &pass.steps);
        let scratch = steps.map(Step::scratch).max().unwrap_or(0);
        Ok(Draft {
            input: self.input.clone(),
            sizes,
            scratch,
            threads: 1,
            forward,
            backward,
            unread: reader.unread,
            again: reader.again,
        })
    }
}

impl Reader<'_> {
    fn constant(&mut self, at: u32, numbers: u32) -> Sound<()> {
        let values = self.given(numbers)?;
        let places = range(at, values.len())?;
        let space = self.sizes.space(&places);
        check(
            space == Some(Space::Constants),
            "a constant that lies elsewhere",
        )?;
        self.unread.push(Unread {
            end: values.end(),
            bytes: [0, 0],
            told: 0,
            source: Source::Constant(places, values),
        });
        Ok(())
    }

    fn pass(&mut self, half: &Half, backward: bool, given: usize, made: &[usize]) -> Sound<Pass> {
        let given = range(half.given, given)?;
        let writable = self.writable(&given, backward);
        check(writable, "an input that lies elsewhere")?;
        let mut steps = Vec::with_capacity(half.steps.len());
        for (at, (kind, fields)) in half.steps.iter().enumerate() {
            let mut fields = Fields(fields.iter());
            let before = self.operations;
            let mut step = self.step(*kind, &mut fields, (backward, at))?;
            step.cost = self.operations - before;
            check(fields.0.len() == 0, "a step with more than it needs")?;
            self.check(&step, backward)?;
            steps.push(step);
        }
        check(half.made.len() == made.len(), "another number of layers")?;
        let outcome = |(record, &volume): (&Vec<u32>, &usize)| {
            let mut fields = Fields(record.iter());
            let at = fields.next()?;
            let loops = fields.loops::<2>()?;
            check(fields.0.len() == 0, "a layer with more than it needs")?;
            let places = places(at, loops.reach(1))?;
            check(
                self.sizes.space(&places).is_some(),
                "a layer that lies elsewhere",
            )?;
            let whole = loops.volume() == Some(volume) && loops.reach(0) == Some(volume);
            check(whole && loops.is_nested(0), "a layer of another size")?;
            Ok(Outcome { places, loops })
        };
        let made = half
            .made
            .iter()
            .zip(made)
            .map(outcome)
            .collect::<Sound<_>>()?;
        Ok(Pass { given, made, steps })
    }

    fn writable(&self, places: &Range<usize>, backward: bool) -> bool {
        match self.sizes.space(places) {
            Some(Space::Work) => true,
            Some(Space::Kept) => !backward,
            _ => false,
        }
    }

    /// Checks where a step reads and writes.
    fn check(&self, step: &Step, backward: bool) -> Sound<()> {
        check(!step.output.is_empty(), "a step that writes nothing")?;
        check(
            self.writable(&step.output, backward),
            "a step that writes elsewhere",
        )?;
        let may_replace = matches!(
            step.work,
            Work::Map(..) | Work::Pair(..) | Work::Softmax(_) | Work::Normalise(..)
        );
        for (at, input) in step.inputs.iter().enumerate() {
            if input.is_empty() || at == 0 && may_replace && *input == step.output {
                continue;
            }
            check(
                self.sizes.space(input).is_some(),
                "a step that reads elsewhere",
            )?;
            let apart = input.end <= step.output.start || step.output.end <= input.start;
            check(apart, "a step that reads what it writes")?;
        }
        // In place, each value takes the place of the one that it is made of.
        let alike = match &step.work {
            _ if step.inputs[0] != step.output => true,
            Work::Map(_, loops) => loops.0.iter().all(|one| one.strides[0] == one.strides[1]),
            Work::Pair(_, loops) => loops.0.iter().all(|one| one.strides[0] == one.strides[1]),
            _ => true,
        };
        check(alike, "a step that takes the place of what it still needs")
    }

    fn count(&mut self, sizes: &[usize], each: u64) {
        let sizes = sizes.iter().map(|&size| size as u64);
        let all = sizes.fold(each, u64::saturating_mul);
        self.operations = self.operations.saturating_add(all);
    }

    fn written<const N: usize>(&mut self, loops: &Loops<N>) -> Sound<()> {
        check(loops.is_nested(0), "places that are written twice")?;
        let volume = loops.volume().ok_or(fields::ENDLESS)?;
        self.count(&[volume], VALUE);
        Ok(())
    }
}

impl Draft {
    fn work(&mut self, backward: bool, step: usize) -> &mut Work {
        let pass = match (backward, &mut self.backward) {
            (true, Some(pass)) => pass,
            _ => &mut self.forward,
        };
        &mut pass.steps[step].work
    }

    /// Gives steps the weights that earlier ones have read.
    pub fn share(&mut self) {
        for [to, from] in std::mem::take(&mut self.again) {
            let packed = self.work(from.0, from.1).clone();
            match (self.work(to.0, to.1), packed) {
                (Work::Product(to), Work::Product(from)) => to.groups = from.groups,
                (Work::Tiles(to), Work::Tiles(from)) => to.winograd = from.winograd,
                (Work::Filter(to), Work::Filter(from)) => to.filter = from.filter,
                _ => (),
            }
        }
    }

    /// Reads one constant or the weights of one step.
    ///
    /// # Panics
    /// When the file no longer reaches as far as when the plan was read, or the numbers are of another.
    pub fn read(
        &mut self,
        source: Source,
        (numbers, onnx): (&[Numbers], &[u8]),
        constants: &mut [f32],
    ) {
        match source {
            Source::Constant(places, values) => {
                values.read(numbers, onnx, &mut constants[places]);
            }
            Source::Weights {
                backward,
                step,
                arrangement,
                tensor,
            } => tensor.with(onnx, |values| match self.work(backward, step) {
                Work::Filter(filter) => filter.filter = arrangement.filter(values),
                Work::Product(product) => {
                    if let Packed::Groups(groups) = arrangement.pack(values, None) {
                        product.groups = groups;
                    }
                }
                Work::Tiles(tiles) => {
                    if let Packed::Winograd(made) = arrangement.pack(values, Some(&tiles.window)) {
                        tiles.winograd = made;
                    }
                }
                _ => (),
            }),
        }
    }
}
