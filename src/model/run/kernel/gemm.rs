//! Patches of an image × packed weights → pixels × channels, by register tiles.

use std::array::from_fn;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

#[cfg(target_arch = "x86_64")]
use super::wide::{self, Width};
use super::{Activation, F4, Finish, Vector};

/// Weights of a matrix product, packed once.
#[derive(Debug, Clone, PartialEq)]
pub struct Gemm {
    panels: Vec<f32>,
    inputs: usize,
    outputs: usize,
}

/// Packed weights: groups of as many panels as a tile computes at once, each the biases and then one row per input. A
/// panel is [`Panels::width`] outputs; that there are whole ones makes the volume the same on every processor.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Panels<'a> {
    pub(super) values: &'a [f32],
    pub(super) inputs: usize,
    outputs: usize,
    /// Outputs of a panel.
    panel: usize,
}

/// Where the inputs of each output pixel lie. Pixel (y, x) starts at `y · row + x · column`; its
/// inputs are the runs of `length` neighbours that begin there plus each of `runs`.
#[derive(Debug, Clone, PartialEq)]
pub struct Patches {
    /// Rows and columns of the output.
    pub output: [usize; 2],
    /// Distance between the patches of neighbouring rows.
    pub row: usize,
    /// Distance between the patches of neighbouring columns.
    pub column: usize,
    /// Where the runs begin, relative to the patch.
    pub runs: Cow<'static, [usize]>,
    /// Length of each run.
    pub length: usize,
}

impl Patches {
    /// Neighbouring pixels of this many inputs, each a patch: a plain matrix product.
    pub fn pixels(count: usize, inputs: usize) -> Patches {
        Patches {
            output: [1, count],
            row: 0,
            column: inputs,
            runs: Cow::Borrowed(&[0]),
            length: inputs,
        }
    }

    /// How much of an image all patches cover; none if there are no patches or the count overflows.
    pub fn reach(&self) -> Option<usize> {
        let [rows, columns] = self.output;
        let down = rows.checked_sub(1)?.checked_mul(self.row)?;
        let across = columns.checked_sub(1)?.checked_mul(self.column)?;
        let run = self.runs.iter().max()?.checked_add(self.length)?;
        down.checked_add(across)?.checked_add(run)
    }
}

/// Where the sums go: `pixels × stride` values, of which those from `first` on are written.
pub struct Output<'a> {
    /// The whole output.
    pub values: &'a mut [f32],
    /// Distance between neighbouring pixels.
    pub stride: usize,
    /// The first channel written.
    pub first: usize,
    /// Values of the same shape, added before the activation.
    pub residual: Option<&'a [f32]>,
    /// The activation.
    pub activation: Activation,
}

impl<'a> Output<'a> {
    /// Pixels of `stride` sums, as they are.
    pub fn plain(values: &'a mut [f32], stride: usize) -> Output<'a> {
        Output {
            values,
            stride,
            first: 0,
            residual: None,
            activation: Activation::NONE,
        }
    }
}

impl Gemm {
    /// Bytes that such weights take, and bytes that packing them takes.
    pub fn bytes(inputs: u64, outputs: usize) -> [u64; 2] {
        let width = Panels::width(outputs);
        let row = inputs.saturating_add(1).saturating_mul(4);
        let panels = outputs.next_multiple_of(width) as u64;
        [panels.saturating_mul(row), row.saturating_mul(width as u64)]
    }

    /// Packs `outputs × inputs` weights, with one bias per output; `fill(output, row)` writes the weights
    /// of one output, in the order of the inputs.
    pub fn new(inputs: usize, bias: &[f32], mut fill: impl FnMut(usize, &mut [f32])) -> Gemm {
        let outputs = bias.len();
        let width = Panels::width(outputs);
        let mut panels = vec![0.0; Panels::volume(inputs, outputs)];
        let mut rows = vec![0.0; inputs * width];
        for group in groups(inputs, outputs, width) {
            let values = &mut panels[group.start..][..(inputs + 1) * group.width];
            for at in (0..group.outputs).step_by(width) {
                let first = group.first + at;
                let lanes = &bias[first..outputs.min(first + width)];
                values[at..at + lanes.len()].copy_from_slice(lanes);
                for (lane, row) in rows.chunks_exact_mut(inputs.max(1)).enumerate() {
                    match lane < lanes.len() {
                        true => fill(first + lane, row),
                        false => row.fill(0.0),
                    }
                }
                let values = values[group.width..].chunks_exact_mut(group.width);
                for (input, to) in values.enumerate() {
                    for (lane, to) in to[at..at + width].iter_mut().enumerate() {
                        *to = rows[lane * inputs + input];
                    }
                }
            }
        }
        Gemm {
            panels,
            inputs,
            outputs,
        }
    }

    /// Number of sums per pixel.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The packed weights.
    pub fn panels(&self) -> Panels<'_> {
        Panels::new(&self.panels, self.inputs, self.outputs)
    }

    /// Computes all pixels.
    ///
    /// # Panics
    /// Those of [`Panels::run`].
    pub fn run(&self, image: &[f32], patches: &Patches, output: Output) {
        let pixels = patches.output.iter().product();
        self.panels().run(image, patches, 0..pixels, output);
    }
}

impl<'a> Panels<'a> {
    /// All panels of a product.
    pub fn new(values: &'a [f32], inputs: usize, outputs: usize) -> Panels<'a> {
        Panels {
            values,
            inputs,
            outputs,
            panel: Panels::width(outputs),
        }
    }

    /// Those of some outputs, which begin at a multiple of [`Panels::PART`].
    ///
    /// # Panics
    /// When there are fewer.
    pub fn part(&self, outputs: Range<usize>) -> Panels<'a> {
        assert!(outputs.start.is_multiple_of(Panels::PART) && outputs.end <= self.outputs);
        Panels {
            values: &self.values[outputs.start * (self.inputs + 1)..],
            outputs: outputs.len(),
            ..*self
        }
    }

    /// Groups begin at its multiples on every processor.
    pub const PART: usize = 48;

    /// Outputs of a panel: three vectors a row keep the multipliers busier than two, but padding costs more.
    pub fn width(outputs: usize) -> usize {
        match outputs.next_multiple_of(12) <= outputs.next_multiple_of(8) {
            true => 12,
            false => 8,
        }
    }

    /// Number of packed values.
    pub fn volume(inputs: usize, outputs: usize) -> usize {
        outputs.next_multiple_of(Panels::width(outputs)) * (inputs + 1)
    }

    /// The groups, in order.
    #[cfg(target_arch = "x86_64")]
    pub fn groups(&self) -> impl Iterator<Item = Group> + use<> {
        groups(self.inputs, self.outputs, self.panel)
    }

    /// The groups of all panels of a product, in order.
    pub fn all_groups(inputs: usize, outputs: usize) -> impl Iterator<Item = Group> {
        groups(inputs, outputs, Panels::width(outputs))
    }

    /// Computes some pixels, each of which has [`Output::stride`] values in the output; the first in the output and in
    /// its residual is the first of `pixels`.
    ///
    /// # Panics
    /// When a patch reaches beyond `image`, the output is too small, or a patch has another number
    /// of inputs than the weights.
    pub fn run(&self, image: &[f32], patches: &Patches, pixels: Range<usize>, mut output: Output) {
        let Patches {
            output: [rows, columns],
            ref runs,
            length,
            ..
        } = *patches;
        if pixels.is_empty() || self.outputs == 0 {
            return;
        }
        // Every pointer that the tiles make lies within these ranges.
        let width = self.panel;
        let most = pixels.len() * output.stride;
        assert!(pixels.end <= rows * columns);
        assert!(patches.reach().is_some_and(|reach| reach <= image.len()));
        assert_eq!(runs.len() * length, self.inputs);
        assert!(self.outputs.next_multiple_of(width) * (self.inputs + 1) <= self.values.len());
        assert!(output.first + self.outputs <= output.stride);
        // The last pixel may end before the next would begin.
        let end = most - output.stride + output.first + self.outputs;
        assert!(end <= output.values.len());
        assert!(output.residual.is_none_or(|r| end <= r.len()));

        let block = (BLOCK / (self.inputs + self.outputs)).next_multiple_of(24);
        #[cfg(target_arch = "x86_64")]
        let lanes = Width::found();
        let mut first = pixels.start;
        while first < pixels.end {
            let end = (first + block.max(48)).min(pixels.end);
            #[cfg(target_arch = "x86_64")]
            if lanes != Width::Four {
                // SAFETY: the assertions above bound every patch and every pixel's outputs.
                unsafe {
                    let these = [pixels.start, first, end];
                    wide::run(lanes, self, these, image, patches, &mut output);
                }
                first = end;
                continue;
            }
            for panel in 0..self.outputs.div_ceil(width) {
                // SAFETY: the assertions above bound every patch and every pixel's outputs.
                unsafe {
                    let these = [pixels.start, first, end];
                    match (width, TALL.load(Relaxed)) {
                        (12, false) => {
                            self.panel::<3, 3>(panel, these, image, patches, &mut output)
                        }
                        (_, false) => self.panel::<4, 2>(panel, these, image, patches, &mut output),
                        (12, true) => self.panel::<6, 3>(panel, these, image, patches, &mut output),
                        (_, true) => self.panel::<8, 2>(panel, these, image, patches, &mut output),
                    }
                }
            }
            first = end;
        }
    }

    /// One panel of outputs for the pixels from `first` to `end`, `R` pixels at a time; the output begins with pixel
    /// `start`.
    ///
    /// # Safety
    /// The patch of every pixel lies in `image`, and its outputs in `output`.
    #[inline(never)]
    unsafe fn panel<const R: usize, const C: usize>(
        &self,
        panel: usize,
        [start, first, end]: [usize; 3],
        image: &[f32],
        patches: &Patches,
        output: &mut Output,
    ) {
        let weights =
            &self.values[panel * (self.inputs + 1) * 4 * C..][..(self.inputs + 1) * 4 * C];
        let mut tiles = Tiles {
            weights: weights.as_ptr(),
            image: image.as_ptr(),
            patches,
            finish: Finish::new(output.activation),
            values: output.values.as_mut_ptr(),
            residual: output.residual.map(<[f32]>::as_ptr),
            stride: output.stride,
            first: output.first + panel * 4 * C,
            count: (self.outputs - panel * 4 * C).min(4 * C),
            pixel: first - start,
            y: first / patches.output[1],
            x: first % patches.output[1],
        };
        unsafe {
            while tiles.pixel + R <= end - start {
                tiles.tile::<R, C>();
            }
            while tiles.pixel < end - start {
                tiles.tile::<1, C>();
            }
        }
    }
}

/// Neighbouring panels that a tile computes at once.
pub struct Group {
    /// Where its values begin.
    pub start: usize,
    /// Its first output, and how many there are.
    pub first: usize,
    pub outputs: usize,
    /// Values of a row: whole panels.
    pub width: usize,
}

fn groups(inputs: usize, outputs: usize, panel: usize) -> impl Iterator<Item = Group> {
    #[cfg(target_arch = "x86_64")]
    let most = Width::found().outputs() / panel * panel;
    #[cfg(not(target_arch = "x86_64"))]
    let most = panel;
    (0..outputs).step_by(most).map(move |first| {
        let outputs = most.min(outputs - first);
        Group {
            start: first * (inputs + 1),
            first,
            outputs,
            width: outputs.next_multiple_of(panel),
        }
    })
}

/// Takes some time, in proportion to `pixels`, as a product does.
#[cfg(all(target_arch = "wasm32", target_feature = "atomics"))]
pub fn exercise(pixels: usize) {
    const SIDE: usize = 64;
    let panels = vec![0.5; Panels::volume(SIDE, SIDE)];
    let (image, mut values) = (vec![0.5; pixels * SIDE], vec![0.0; pixels * SIDE]);
    let panels = Panels::new(&panels, SIDE, SIDE);
    let output = Output::plain(&mut values, SIDE);
    panels.run(&image, &Patches::pixels(pixels, SIDE), 0..pixels, output);
}

/// Whether tiles have twice the rows. x86 machines have 16 vector registers, and such a tile spills;
/// Arm machines have 32.
static TALL: AtomicBool = AtomicBool::new(cfg!(target_arch = "aarch64"));

/// Measures both tiles on a product that fits a first-level cache and keeps the faster one: for each, the
/// best of `rounds`, timed by `now` in any unit.
#[cfg(any(target_arch = "wasm32", test))]
pub fn tune(rounds: usize, now: impl Fn() -> f64) -> bool {
    const SIDE: usize = 48;
    let gemm = Gemm::new(SIDE, &[0.0; SIDE], |_, row| row.fill(0.5));
    let patches = Patches::pixels(SIDE, SIDE);
    let (image, mut values) = (vec![0.5; SIDE * SIDE], vec![0.0; SIDE * SIDE]);
    let mut best = [f64::INFINITY; 2];
    for round in 0..2 * rounds {
        TALL.store(round % 2 == 1, Relaxed);
        let start = now();
        for _ in 0..16 {
            let output = Output::plain(&mut values, SIDE);
            gemm.run(&image, &patches, output);
        }
        best[round % 2] = best[round % 2].min(now() - start);
    }
    let tall = best[1] < best[0];
    TALL.store(tall, Relaxed);
    tall
}

/// Values of the image and the output that are worked on before the next block of pixels: what a
/// second-level cache holds.
const BLOCK: usize = 48 * 1024;

struct Tiles<'a> {
    weights: *const f32,
    image: *const f32,
    patches: &'a Patches,
    finish: Finish,
    values: *mut f32,
    residual: Option<*const f32>,
    stride: usize,
    first: usize,
    count: usize,
    pixel: usize,
    y: usize,
    x: usize,
}

impl Tiles<'_> {
    /// The next `R` pixels × `4 C` outputs. `R · C + R + C` registers are live in the inner loop; an
    /// x86 machine has 15 to spare.
    #[inline(always)]
    unsafe fn tile<const R: usize, const C: usize>(&mut self) {
        unsafe {
            let starts: [*const f32; R] = from_fn(|_| {
                let start = self.y * self.patches.row + self.x * self.patches.column;
                self.x += 1;
                if self.x == self.patches.output[1] {
                    (self.y, self.x) = (self.y + 1, 0);
                }
                self.image.add(start)
            });
            let sums = self.sums::<R, C>(starts);
            self.store(sums);
            self.pixel += R;
        }
    }

    #[inline(always)]
    unsafe fn sums<const R: usize, const C: usize>(&self, starts: [*const f32; R]) -> [[F4; C]; R] {
        unsafe {
            let mut weights = self.weights;
            let biases: [F4; C] = from_fn(|c| F4::load(weights.add(4 * c)));
            let mut sums = [biases; R];
            weights = weights.add(4 * C);
            for &run in &*self.patches.runs {
                let mut inputs = starts.map(|start| start.add(run));
                // Not unrolled: the compiler would keep several steps in flight and spill.
                for _ in 0..self.patches.length {
                    step(&mut sums, inputs, weights);
                    weights = weights.add(4 * C);
                    inputs = inputs.map(|input| input.add(1));
                }
            }
            sums
        }
    }

    #[inline(always)]
    unsafe fn store<const R: usize, const C: usize>(&self, sums: [[F4; C]; R]) {
        unsafe {
            for (r, mut sums) in sums.into_iter().enumerate() {
                let at = (self.pixel + r) * self.stride + self.first;
                let to = self.values.add(at);
                if self.count == 4 * C {
                    for (c, sum) in sums.iter().enumerate() {
                        let mut sum = *sum;
                        if let Some(residual) = self.residual {
                            sum = sum.add(F4::load(residual.add(at + 4 * c)));
                        }
                        self.finish.apply(sum).store(to.add(4 * c));
                    }
                    continue;
                }
                let mut lanes = [0.0; 12];
                if let Some(residual) = self.residual {
                    residual
                        .add(at)
                        .copy_to_nonoverlapping(lanes.as_mut_ptr(), self.count);
                    for (c, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add(F4::load(lanes.as_ptr().add(4 * c)));
                    }
                }
                for (c, sum) in sums.into_iter().enumerate() {
                    self.finish.apply(sum).store(lanes.as_mut_ptr().add(4 * c));
                }
                lanes.as_ptr().copy_to_nonoverlapping(to, self.count);
            }
        }
    }
}

#[inline(always)]
unsafe fn step<const R: usize, const C: usize>(
    sums: &mut [[F4; C]; R],
    inputs: [*const f32; R],
    weights: *const f32,
) {
    unsafe {
        let weights: [F4; C] = from_fn(|c| F4::load(weights.add(4 * c)));
        for r in 0..R {
            let input = F4::load_splat(inputs[r]);
            for c in 0..C {
                sums[r][c] = sums[r][c].add_product(input, weights[c]);
            }
        }
    }
}
