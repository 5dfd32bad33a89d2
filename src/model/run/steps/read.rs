//! A plan → steps that are ready to run, each checked; what they take is counted before anything is allocated.

use std::ops::Range;
use std::slice;
use std::sync::Arc;

use super::super::file::Span;
use super::super::kernel::{Activation, Depthwise, Panels, Patches, Window, Winograd};
use super::super::record::{MOST_SIDE, Numbers};
use super::super::weights::{Arrangement, Packed, Values};
use super::super::{File, MOST_ELEMENTS, MOST_OPERATIONS};
use super::elementwise::Map;
use super::functions::{Binary, Unary};
use super::loops::{Loop, Loops, MOST_LOOPS};
use super::memory::{Sizes, Space};
use super::products::{Filter, Multiply, Pack, Product, Tiles};
use super::record::{Half, Kind, Plan};
use super::rows::Reducer;
use super::windows::Pool;
use super::{Step, Work};

/// What is wrong with a plan.
pub type Sound<T> = Result<T, &'static str>;

/// Multiplications of a product that take as long as a value that goes through memory.
const VALUE: u64 = 16;

/// Most channels.
const MOST_CHANNELS: usize = 1 << 20;

fn check(sound: bool, what: &'static str) -> Sound<()> {
    if sound { Ok(()) } else { Err(what) }
}

/// A plan whose weights are still in the file.
#[derive(Debug)]
pub struct Draft {
    /// Shape of the input.
    pub input: Vec<usize>,
    pub sizes: Sizes,
    /// Values that a thread takes meanwhile.
    pub scratch: usize,
    pub forward: Pass,
    pub backward: Option<Pass>,
    /// What is to be read from the file.
    pub unread: Vec<Unread>,
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

/// Weights or a constant, still in the file.
#[derive(Debug)]
pub struct Unread {
    /// Where in the file it ends; 0: it is in the plan.
    pub end: usize,
    /// Bytes that it takes permanently, and those that it takes meanwhile.
    pub bytes: [u64; 2],
    /// Bytes of what the plan says about it, which are taken from the start.
    pub told: u64,
    pub source: Source,
}

#[derive(Debug)]
pub enum Source {
    /// At a place.
    Constant(Range<usize>, Given),
    /// Of a step of the forward pass, or of the other.
    Weights {
        backward: bool,
        step: usize,
        arrangement: Arrangement,
        span: Span,
    },
}

/// Values of a plan, by their index and number, or those of a tensor of the file.
#[derive(Debug)]
pub enum Given {
    These(u32, usize),
    Of(Span),
}

impl Given {
    fn len(&self) -> usize {
        match self {
            Given::These(_, length) => *length,
            Given::Of(span) => span.len(),
        }
    }

    fn end(&self) -> usize {
        match self {
            Given::These(..) => 0,
            Given::Of(span) => span.bytes.end,
        }
    }

    fn read(&self, numbers: &[Numbers], onnx: &[u8], to: &mut [f32]) {
        match self {
            Given::Of(span) => span.values(onnx).read(0, to),
            Given::These(at, _) => {
                if let Some(Numbers::These(values)) = numbers.get(*at as usize) {
                    to.copy_from_slice(values);
                }
            }
        }
    }
}

struct Reader<'a> {
    plan: &'a Plan,
    file: &'a File<'a>,
    sizes: Sizes,
    unread: Vec<Unread>,
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
        // Each reading is a copy. A sound plan reads a tensor once, or twice where layers share it.
        let held: usize = file.tensors.values().map(Values::len).sum();
        let mut reader = Reader {
            plan: self,
            file,
            sizes,
            unread: Vec::new(),
            operations: 0,
            left: held.saturating_mul(2),
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
        let forward = reader.pass(&self.forward, false, input, &made)?;
        let backward = match (heatmap, &self.backward) {
            (false, _) => None,
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
            forward,
            backward,
            unread: reader.unread,
        })
    }
}

impl Reader<'_> {
    fn given(&mut self, at: u32) -> Sound<Given> {
        let numbers = self
            .plan
            .numbers
            .get(at as usize)
            .ok_or("numbers that are not there")?;
        Ok(match numbers {
            Numbers::These(values) => Given::These(at, values.len()),
            Numbers::Of(name) => {
                let span = self.span(name, 0)?;
                self.spend(span.len())?;
                Given::Of(span)
            }
        })
    }

    fn span(&self, name: &str, start: usize) -> Sound<Span> {
        let values = self
            .file
            .tensors
            .get(name)
            .ok_or("there is no such tensor")?;
        let values = values
            .skip(start)
            .ok_or("weights begin outside their tensor")?;
        Span::of(values, self.file.onnx).ok_or("a tensor that is not in the file")
    }

    fn spend(&mut self, values: usize) -> Sound<()> {
        let left = self.left.checked_sub(values);
        self.left = left.ok_or("it reads the file's tensors too often")?;
        Ok(())
    }

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
            let step = self.step(*kind, &mut fields, (backward, at))?;
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
        let volume = loops.volume().ok_or("loops without end")?;
        self.count(&[volume], VALUE);
        Ok(())
    }

    fn step(&mut self, kind: Kind, fields: &mut Fields, place: (bool, usize)) -> Sound<Step> {
        let out = fields.next()?;
        if kind == Kind::Set {
            let length = fields.size()?;
            let value = fields.float()?;
            self.count(&[length], VALUE);
            return step(range(out, length)?, [], Work::Set(value));
        }
        let a = fields.next()?;
        match kind {
            Kind::Set => Err("unreachable"),
            Kind::Copy => {
                let loops = fields.loops::<2>()?;
                self.written(&loops)?;
                let [output, input] = [places(out, loops.reach(0))?, places(a, loops.reach(1))?];
                step(output, [input], Work::Copy(loops))
            }
            Kind::Map | Kind::Slope => {
                let function = fields.of(&Unary::ALL)?;
                let (parameter, slope) = (fields.float()?, kind == Kind::Slope);
                let loops = fields.loops::<2>()?;
                self.written(&loops)?;
                let volume = loops.volume().unwrap_or(usize::MAX);
                self.count(&[volume, function.cost()], 1);
                let [output, input] = [places(out, loops.reach(0))?, places(a, loops.reach(1))?];
                step(
                    output,
                    [input],
                    Work::Map(
                        Map {
                            function,
                            parameter,
                            slope,
                        },
                        loops,
                    ),
                )
            }
            Kind::Pair => {
                let b = fields.next()?;
                let function = fields.of(&Binary::ALL)?;
                let loops = fields.loops::<3>()?;
                self.written(&loops)?;
                let inputs = [places(a, loops.reach(1))?, places(b, loops.reach(2))?];
                step(
                    places(out, loops.reach(0))?,
                    inputs,
                    Work::Pair(function, loops),
                )
            }
            Kind::Choose => {
                let [b, c] = [fields.next()?, fields.next()?];
                let loops = fields.loops::<4>()?;
                self.written(&loops)?;
                let inputs = [
                    places(a, loops.reach(1))?,
                    places(b, loops.reach(2))?,
                    places(c, loops.reach(3))?,
                ];
                step(places(out, loops.reach(0))?, inputs, Work::Choose(loops))
            }
            Kind::Reduce => {
                let reducer = fields.of(&Reducer::ALL)?;
                let kept = fields.loops::<2>()?;
                let reduced = fields.loops::<1>()?;
                self.written(&kept)?;
                let volumes = [kept.volume(), reduced.volume()];
                let volumes = volumes.map(|volume| volume.unwrap_or(usize::MAX));
                self.count(&volumes, VALUE);
                let [first, second] = [kept.reach(1), reduced.reach(0)];
                let reach = first.zip(second).and_then(|(a, b)| a.checked_add(b - 1));
                let [output, input] = [places(out, kept.reach(0))?, places(a, reach)?];
                step(output, [input], Work::Reduce(reducer, kept, reduced))
            }
            Kind::Softmax | Kind::Normalise => {
                let [rows, length] = [fields.size()?, fields.size()?];
                self.count(&[rows, length], 2 * VALUE);
                let volume = rows.checked_mul(length);
                let [output, input] = [places(out, volume)?, places(a, volume)?];
                let work = match kind {
                    Kind::Softmax => Work::Softmax(length),
                    _ => Work::Normalise(length, fields.float()?),
                };
                step(output, [input], work)
            }
            Kind::Product => self.product(fields, [out, a], place),
            Kind::Tiles => self.tiles(fields, [out, a], place),
            Kind::Filter => self.filter(fields, [out, a], place),
            Kind::Pack => self.pack(fields, [out, a]),
            Kind::Multiply => self.multiply(fields, [out, a]),
            Kind::Largest => {
                let channels = fields.channels()?;
                let window = fields.window()?;
                let [output, input] = image(out, a, &window, channels)?;
                self.count(&[area(window.kernel), output.len()], 4);
                step(output, [input], Work::Largest(channels, window))
            }
            Kind::Pool => {
                let channels = fields.channels()?;
                let [mean, padding] = [fields.next()? != 0, fields.next()? != 0];
                let window = fields.window()?;
                let [output, input] = image(out, a, &window, channels)?;
                self.count(&[area(window.kernel), output.len()], 4);
                step(
                    output,
                    [input],
                    Work::Pool(Pool {
                        window,
                        channels,
                        mean,
                        padding,
                    }),
                )
            }
            Kind::Fold => {
                let planes = fields.size()?;
                let one = fields.next()? != 0;
                let window = fields.window()?;
                let taps = area(window.kernel);
                self.count(&[planes, taps, area(window.output)], 8);
                self.count(&[planes, area(window.input)], VALUE);
                let held = if one { 1 } else { taps };
                let given = product([planes, held, area(window.output)]);
                let made = product([planes, area(window.input)]);
                step(
                    places(out, made)?,
                    [places(a, given)?],
                    Work::Fold(window, one),
                )
            }
            Kind::Unpool => {
                let b = fields.next()?;
                let planes = fields.size()?;
                let window = fields.window()?;
                self.count(&[planes, area(window.kernel), area(window.output)], 8);
                self.count(&[planes, area(window.input)], VALUE);
                let image = product([planes, area(window.input)]);
                let gradient = product([planes, area(window.output)]);
                let inputs = [places(a, image)?, places(b, gradient)?];
                step(places(out, image)?, inputs, Work::Unpool(window))
            }
        }
    }

    /// Weights, and those that are to be read.
    fn weights(&mut self, fields: &mut Fields) -> Sound<(Arrangement, Span)> {
        let name = fields.next()?;
        let name = self
            .plan
            .tensors
            .get(name as usize)
            .ok_or("a tensor without a name")?;
        let start = fields.next()? as usize;
        let span = self.span(name, start)?;
        let [groups, sums] = [fields.size()?, fields.size()?];
        let [inputs, taps] = [fields.size()?, fields.size()?];
        let strides = [fields.next()?, fields.next()?, fields.next()?];
        let lists = [fields.next()?, fields.next()?];
        let [scale, bias] = [self.list(lists[0], sums)?, self.list(lists[1], sums)?];
        check(sums <= MOST_CHANNELS, "an absurd number of sums")?;
        check(
            sums.is_multiple_of(groups),
            "groups that do not fit the sums",
        )?;
        let arrangement = Arrangement {
            groups,
            inputs,
            taps,
            strides: strides.map(|stride| stride as usize),
            scale,
            bias: if bias.is_empty() {
                vec![0.0; sums]
            } else {
                bias
            },
        };
        let reach = arrangement.reach();
        check(
            reach.is_some_and(|reach| reach <= span.len()),
            "weights outside their tensor",
        )?;
        let values = product([sums, inputs, taps]).ok_or("weights without end")?;
        self.spend(values)?;
        Ok((arrangement, span))
    }

    /// A list of one value for each sum; empty if there is none.
    fn list(&mut self, number: u32, sums: usize) -> Sound<Vec<f32>> {
        let Some(number) = number.checked_sub(1) else {
            return Ok(Vec::new());
        };
        let given = self.given(number)?;
        check(given.len() == sums, "a list of another length")?;
        let mut values = vec![0.0; sums];
        given.read(&self.plan.numbers, self.file.onnx, &mut values);
        Ok(values)
    }

    fn unread(
        &mut self,
        (backward, step): (bool, usize),
        arrangement: Arrangement,
        span: Span,
        bytes: [u64; 2],
    ) {
        self.unread.push(Unread {
            end: span.bytes.end,
            bytes,
            told: 4 * (arrangement.scale.len() + arrangement.bias.len()) as u64,
            source: Source::Weights {
                backward,
                step,
                arrangement,
                span,
            },
        });
    }

    fn product(
        &mut self,
        fields: &mut Fields,
        [out, a]: [u32; 2],
        place: (bool, usize),
    ) -> Sound<Step> {
        let residual = fields.next()?;
        let stride = fields.size()?;
        let (arrangement, span) = self.weights(fields)?;
        let output = [fields.size()?, fields.size()?];
        let [row, column] = [fields.next()? as usize, fields.next()? as usize];
        let length = fields.size()?;
        let count = fields.size()?;
        let runs = (0..count).map(|_| Ok(fields.next()? as usize));
        let runs: Vec<usize> = runs.collect::<Sound<_>>()?;
        let activation = fields.activation()?;
        let sums = arrangement.bias.len();
        let summed = product([arrangement.inputs, arrangement.taps]);
        check(
            summed.is_some() && product([count, length]) == summed,
            "patches of another size",
        )?;
        check(sums <= stride, "pixels that overlap")?;
        let far =
            product([output[0], output[1]]).and_then(|pixels| (pixels - 1).checked_mul(stride));
        let volume = far.and_then(|far| far.checked_add(sums));
        self.count(&[output[0], output[1], sums, count, length], 1);
        self.count(&[output[0], output[1], sums], VALUE);
        let patches = Patches {
            output,
            row,
            column,
            runs: runs.into(),
            length,
        };
        let last = (arrangement.groups - 1).checked_mul(length);
        let reach = patches.reach().zip(last);
        let reach = reach.and_then(|(reach, last)| reach.checked_add(last));
        let residual = residual.checked_sub(1).map(|at| places(at, volume));
        let inputs = [places(a, reach)?, residual.unwrap_or(Ok(0..0))?];
        let bytes = arrangement.bytes(span.len(), None);
        self.unread(place, arrangement, span, bytes);
        let work = Product {
            groups: Arc::new([]),
            stride,
            patches,
            activation,
        };
        step(places(out, volume)?, inputs, Work::Product(work))
    }

    fn tiles(
        &mut self,
        fields: &mut Fields,
        [out, a]: [u32; 2],
        place: (bool, usize),
    ) -> Sound<Step> {
        let residual = fields.next()?;
        let (arrangement, span) = self.weights(fields)?;
        let window = fields.window()?;
        let activation = fields.activation()?;
        let (inputs, sums) = (arrangement.inputs, arrangement.bias.len());
        check(
            arrangement.taps == 9 && arrangement.suits(Some(&window)),
            "a window that does not fit",
        )?;
        self.count(&[area(window.output), sums, inputs, 9], 1);
        self.count(&[area(window.output), sums], VALUE);
        let [image, made] = [
            product([area(window.input), inputs]),
            product([area(window.output), sums]),
        ];
        let residual = residual.checked_sub(1).map(|at| places(at, made));
        let inputs_of = [places(a, image)?, residual.unwrap_or(Ok(0..0))?];
        let bytes = arrangement.bytes(span.len(), Some(&window));
        self.unread(place, arrangement, span, bytes);
        let winograd = Arc::new(Winograd::unread(window, inputs, sums));
        let work = Tiles {
            winograd,
            window,
            activation,
        };
        step(places(out, made)?, inputs_of, Work::Tiles(work))
    }

    fn filter(
        &mut self,
        fields: &mut Fields,
        [out, a]: [u32; 2],
        place: (bool, usize),
    ) -> Sound<Step> {
        let (arrangement, span) = self.weights(fields)?;
        let window = fields.window()?;
        let activation = fields.activation()?;
        let channels = arrangement.bias.len();
        check(
            area(window.kernel) == arrangement.taps,
            "a window that does not fit",
        )?;
        self.count(&[area(window.output), channels, arrangement.taps], 4);
        self.count(&[area(window.output), channels], VALUE);
        let [output, input] = image(out, a, &window, channels)?;
        let kept = Depthwise::bytes(arrangement.taps, channels);
        let bytes = [kept, 4 * span.len() as u64];
        self.unread(place, arrangement, span, bytes);
        let filter = Arc::new(Depthwise::new(0, &[], |_, _| 0.0));
        step(
            output,
            [input],
            Work::Filter(Filter {
                filter,
                window,
                activation,
            }),
        )
    }

    fn pack(&mut self, fields: &mut Fields, [out, a]: [u32; 2]) -> Sound<Step> {
        let [summed, columns] = [fields.size()?, fields.size()?];
        let strides = [fields.next()? as usize, fields.next()? as usize];
        let batch = fields.loops::<1>()?;
        let products = batch.volume().ok_or("loops without end")?;
        let panels = panels(summed, columns)?;
        self.count(&[products, panels], VALUE);
        let far = |size: usize, stride: usize| (size - 1).checked_mul(stride);
        let reach = [
            batch.reach(0),
            far(summed, strides[0]),
            far(columns, strides[1]),
        ];
        let reach = reach
            .into_iter()
            .try_fold(0usize, |sum, one| sum.checked_add(one?));
        let output = places(out, product([products, panels]))?;
        step(
            output,
            [places(a, reach)?],
            Work::Pack(Pack {
                batch,
                summed,
                columns,
                strides,
            }),
        )
    }

    fn multiply(&mut self, fields: &mut Fields, [out, a]: [u32; 2]) -> Sound<Step> {
        let b = fields.next()?;
        let output = [fields.size()?, fields.size()?];
        let [row, column] = [fields.next()? as usize, fields.next()? as usize];
        let [summed, columns] = [fields.size()?, fields.size()?];
        let batch = fields.loops::<2>()?;
        let products = batch.volume().ok_or("loops without end")?;
        let runs = vec![0].into();
        let patches = Patches {
            output,
            row,
            column,
            runs,
            length: summed,
        };
        let rows = product(output);
        let made = rows.and_then(|rows| product([products, rows, columns]));
        self.count(&[products, rows.unwrap_or(usize::MAX), columns, summed], 1);
        self.count(&[made.unwrap_or(usize::MAX)], VALUE);
        let far = |first: Option<usize>, second: Option<usize>| {
            first.zip(second).and_then(|(a, b)| (a - 1).checked_add(b))
        };
        let left = far(batch.reach(0), patches.reach());
        let right = far(batch.reach(1), Some(panels(summed, columns)?));
        let inputs = [places(a, left)?, places(b, right)?];
        step(
            places(out, made)?,
            inputs,
            Work::Multiply(Multiply {
                batch,
                patches,
                columns,
            }),
        )
    }
}

fn area(sides: [usize; 2]) -> usize {
    sides[0].saturating_mul(sides[1])
}

fn product(sizes: impl IntoIterator<Item = usize>) -> Option<usize> {
    sizes.into_iter().try_fold(1usize, usize::checked_mul)
}

/// Values of the panels of one product.
fn panels(summed: usize, columns: usize) -> Sound<usize> {
    let rows = columns
        .checked_next_multiple_of(24)
        .zip(summed.checked_add(1));
    let most = rows.and_then(|(columns, rows)| columns.checked_mul(rows));
    check(most.is_some(), "panels without end")?;
    Ok(Panels::volume(summed, columns))
}

fn range(at: u32, length: usize) -> Sound<Range<usize>> {
    places(at, Some(length))
}

fn places(at: u32, length: Option<usize>) -> Sound<Range<usize>> {
    let at = at as usize;
    let end = length.and_then(|length| at.checked_add(length));
    Ok(at..end.ok_or("places that cannot be counted")?)
}

/// Places of an output and of an image under a window.
fn image(out: u32, a: u32, window: &Window, channels: usize) -> Sound<[Range<usize>; 2]> {
    let volume = |sides: [usize; 2]| product([sides[0], sides[1], channels]);
    Ok([
        places(out, volume(window.output))?,
        places(a, volume(window.input))?,
    ])
}

fn step<const N: usize>(
    output: Range<usize>,
    inputs: [Range<usize>; N],
    work: Work,
) -> Sound<Step> {
    let mut all = [0..0, 0..0, 0..0];
    for (to, from) in all.iter_mut().zip(inputs) {
        *to = from;
    }
    Ok(Step {
        output,
        inputs: all,
        work,
    })
}

/// The numbers of a step, in order.
struct Fields<'a>(slice::Iter<'a, u32>);

impl Fields<'_> {
    fn next(&mut self) -> Sound<u32> {
        self.0
            .next()
            .copied()
            .ok_or("a step with less than it needs")
    }

    /// A number that is not 0.
    fn size(&mut self) -> Sound<usize> {
        let size = self.next()? as usize;
        check((1..=MOST_ELEMENTS).contains(&size), "an absurd size")?;
        Ok(size)
    }

    fn channels(&mut self) -> Sound<usize> {
        let channels = self.size()?;
        check(channels <= MOST_CHANNELS, "an absurd number of channels")?;
        Ok(channels)
    }

    fn float(&mut self) -> Sound<f32> {
        Ok(f32::from_bits(self.next()?))
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> Sound<T> {
        let number = self.next()? as usize;
        all.get(number)
            .copied()
            .ok_or("a function that is not known")
    }

    fn loops<const N: usize>(&mut self) -> Sound<Loops<N>> {
        let count = self.next()? as usize;
        check(
            (1..=MOST_LOOPS).contains(&count),
            "an absurd number of loops",
        )?;
        let mut loops = Vec::with_capacity(count);
        for _ in 0..count {
            let length = self.size()?;
            let mut strides = [0; N];
            for stride in &mut strides {
                *stride = self.next()? as usize;
            }
            loops.push(Loop { length, strides });
        }
        Ok(Loops(loops))
    }

    fn window(&mut self) -> Sound<Window> {
        let mut pairs = [[0; 2]; 6];
        for (at, number) in pairs.iter_mut().flatten().enumerate() {
            *number = self.next()? as usize;
            let least = usize::from(at < 10);
            check(
                (least..=MOST_SIDE).contains(number),
                "a window of no sound size",
            )?;
        }
        let [input, output, kernel, stride, dilation, before] = pairs;
        let window = Window {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
        };
        let padded = window.padded();
        check(
            padded[0].checked_mul(padded[1]).is_some(),
            "a window of no sound size",
        )?;
        Ok(window)
    }

    fn activation(&mut self) -> Sound<Activation> {
        let kind = self.next()?;
        let [low, high] = [self.float()?, self.float()?];
        match kind {
            0 if !low.is_nan() && !high.is_nan() => Ok(Activation::Clamp(low, high)),
            1 => Ok(Activation::HardSwish),
            _ => Err("an activation that is not known"),
        }
    }
}

impl Draft {
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
                span,
            } => {
                let pass = match (backward, &mut self.backward) {
                    (true, Some(pass)) => pass,
                    _ => &mut self.forward,
                };
                let values = span.values(onnx);
                match &mut pass.steps[step].work {
                    Work::Filter(filter) => filter.filter = arrangement.filter(values),
                    Work::Product(product) => {
                        if let Packed::Groups(groups) = arrangement.pack(values, None) {
                            product.groups = groups;
                        }
                    }
                    Work::Tiles(tiles) => {
                        if let Packed::Winograd(made) =
                            arrangement.pack(values, Some(&tiles.window))
                        {
                            tiles.winograd = made;
                        }
                    }
                    _ => (),
                }
            }
        }
    }
}
