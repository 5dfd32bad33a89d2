//! Steps that sum products: convolutions and matrix products with constant weights, and those of two computed tensors.

use std::ops::Range;
use std::sync::Arc;

use super::super::kernel::{
    Activation, Depthwise, Gemm, Group, Output, Panels, Patches, Window, Winograd, transpose,
};
use super::elementwise::load;
use super::loops::Loops;

/// A convolution, full or grouped, or a matrix product: output (pixel, sum).
#[derive(Debug, Clone)]
pub struct Product {
    /// One for each group, over neighbouring channels.
    pub groups: Arc<[Gemm]>,
    /// Distance between neighbouring pixels of the output.
    pub stride: usize,
    pub patches: Patches,
    pub activation: Activation,
}

impl Product {
    /// The number of turns, and the distance between their parts of the output: pixels, or parts of the only one.
    pub fn turns(&self) -> [usize; 2] {
        match self.single() {
            Some(gemm) => [gemm.outputs().div_ceil(Panels::PART), Panels::PART],
            None => [self.patches.output.iter().product(), self.stride],
        }
    }

    /// The weights of a product with one pixel, as at the end of most classifiers.
    fn single(&self) -> Option<&Gemm> {
        match &*self.groups {
            [gemm] if self.patches.output == [1, 1] => Some(gemm),
            _ => None,
        }
    }

    pub fn run(
        &self,
        turns: Range<usize>,
        (image, residual): (&[f32], Option<&[f32]>),
        output: &mut [f32],
    ) {
        if let Some(gemm) = self.single() {
            let [start, end] = [turns.start, turns.end].map(|turn| turn * Panels::PART);
            let outputs = start..end.min(gemm.outputs());
            let residual = residual.map(|all| &all[outputs.clone()]);
            let output = Output {
                stride: outputs.len(),
                values: output,
                first: 0,
                residual,
                activation: self.activation,
            };
            let panels = gemm.panels().part(outputs);
            return panels.run(image, &self.patches, 0..1, output);
        }
        let (pixels, stride) = (turns, self.stride);
        let residual = residual.map(|all| &all[pixels.start * stride..]);
        let (mut first, mut input) = (0, 0);
        for group in &*self.groups {
            let output = Output {
                values: output,
                stride,
                first,
                residual,
                activation: self.activation,
            };
            let panels = group.panels();
            panels.run(&image[input..], &self.patches, pixels.clone(), output);
            first += group.outputs();
            input += self.patches.length;
        }
    }
}

/// A 3×3 convolution over all channels, by Winograd's method.
#[derive(Debug, Clone)]
pub struct Tiles {
    pub winograd: Arc<Winograd>,
    pub window: Window,
    pub activation: Activation,
}

impl Tiles {
    pub fn run(
        &self,
        turns: Range<usize>,
        (image, residual): (&[f32], Option<&[f32]>),
        output: &mut [f32],
        scratch: &mut [f32],
    ) {
        let [_, apart] = self.winograd.turns();
        let start = turns.start * apart;
        let residual = residual.map(|all| &all[start..start + output.len()]);
        let output = Output {
            values: output,
            stride: self.winograd.outputs(),
            first: 0,
            residual,
            activation: self.activation,
        };
        self.winograd.run_rows(turns, image, output, scratch);
    }
}

/// A depthwise convolution.
#[derive(Debug, Clone)]
pub struct Filter {
    pub filter: Arc<Depthwise>,
    pub window: Window,
    pub activation: Activation,
}

/// The second factor of a [`Multiply`] → the same, packed for it: one block of panels for each product.
#[derive(Debug, Clone, PartialEq)]
pub struct Pack {
    /// Over the products: places of the factor.
    pub batch: Loops<1>,
    pub summed: usize,
    pub columns: usize,
    /// Distances in the factor between values that are summed, and between columns.
    pub strides: [usize; 2],
}

impl Pack {
    pub fn run(&self, products: Range<usize>, from: &[f32], output: &mut [f32]) {
        let volume = Panels::volume(self.summed, self.columns);
        let [down, across] = self.strides;
        for (product, panels) in products.zip(output.chunks_exact_mut(volume)) {
            let [at] = self.batch.place(product);
            for Group {
                start,
                first,
                outputs: count,
                width,
            } in Panels::all_groups(self.summed, self.columns)
            {
                let values = &mut panels[start..][..(self.summed + 1) * width];
                let (bias, rows) = values.split_at_mut(width);
                bias.fill(0.0);
                if down == 1 {
                    if count < width {
                        rows.fill(0.0);
                    }
                    let from = &from[at + first * across..];
                    transpose(from, [self.summed, count], [width, across], rows);
                    continue;
                }
                for (row, to) in rows.chunks_exact_mut(width).enumerate() {
                    let from = &from[at + row * down + first * across..];
                    let (to, rest) = to.split_at_mut(count);
                    load(from, 0, across, to);
                    rest.fill(0.0);
                }
            }
        }
    }
}

/// Products of two computed tensors: output (product, row, column).
#[derive(Debug, Clone, PartialEq)]
pub struct Multiply {
    /// Over the products: places of the first factor, and of the second's panels.
    pub batch: Loops<2>,
    /// The rows of the first factor.
    pub patches: Patches,
    pub columns: usize,
}

impl Multiply {
    /// Rows of a product.
    pub fn rows(&self) -> usize {
        self.patches.output.iter().product()
    }

    /// `rows` counts those of all products.
    pub fn run(&self, rows: Range<usize>, [left, right]: [&[f32]; 2], output: &mut [f32]) {
        let each = self.rows();
        let mut begin = rows.start;
        while begin < rows.end {
            let product = begin / each;
            let end = rows.end.min((product + 1) * each);
            let [at, panels] = self.batch.place(product);
            let panels = Panels::new(&right[panels..], self.patches.length, self.columns);
            let from = (begin - rows.start) * self.columns;
            let output = Output::plain(
                &mut output[from..from + (end - begin) * self.columns],
                self.columns,
            );
            let pixels = begin - product * each..end - product * each;
            panels.run(&left[at..], &self.patches, pixels, output);
            begin = end;
        }
    }
}
