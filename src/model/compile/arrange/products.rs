//! Products of a lowered graph → steps.

use tract_onnx::tract_core::internal::*;

use super::super::listed;
use super::operators::{push_window, sound};
use super::view::{Axis, View, collapsed};
use super::{Arranger, number, push, push_loops};
use crate::model::run::kernel::{Activation, Depthwise, Panels, Patches, Window, Winograd};
use crate::model::run::steps::loops::Loop;
use crate::model::run::steps::record::Kind;

fn push_activation(fields: &mut Vec<u32>, activation: Activation) {
    let finite = |limit: f32, none: f32| if limit.is_finite() { limit } else { none };
    let numbers = match activation {
        Activation::Clamp(low, high) => {
            let low = finite(low, f32::NEG_INFINITY);
            let high = finite(high, f32::INFINITY);
            [0, low.to_bits(), high.to_bits()]
        }
        Activation::HardSwish => [1, 0, 0],
    };
    fields.extend(numbers);
}

fn push_patches(fields: &mut Vec<u32>, patches: &Patches) -> TractResult<()> {
    push(fields, patches.output)?;
    let sizes = [
        patches.row,
        patches.column,
        patches.length,
        patches.runs.len(),
    ];
    push(fields, sizes)?;
    push(fields, patches.runs.iter().copied())
}

/// The distance between neighbouring pixels of `channels` values each; none if it varies.
fn apart(view: &View, channels: usize) -> Option<usize> {
    let pixels = view.reshaped(&[view.volume() / channels, channels])?;
    let [Axis { length, stride }, inner] = pixels.axes[..] else {
        return None;
    };
    let side_by_side = inner.stride == 1 || channels == 1;
    // A single pixel is as far from the next as it is long.
    let stride = if length == 1 { channels } else { stride };
    (side_by_side && stride >= channels).then_some(stride)
}

/// Patches of dense pixels over pixels that lie further apart; none if there are no such patches.
fn strided(image: &View, patches: &Patches, groups: usize) -> Option<Patches> {
    let channels = image.axes.last()?.length;
    let apart = apart(image, channels)?;
    let sizes = [patches.row, patches.column, patches.length];
    let mut places = patches.runs.iter().chain(&sizes);
    if apart == channels {
        return Some(patches.clone());
    }
    if groups != 1 || places.any(|place| place % channels != 0) {
        return None;
    }
    let far = |place: usize| place / channels * apart;
    let runs = patches.runs.iter().flat_map(|&run| {
        let taps = 0..patches.length / channels;
        taps.map(move |tap| far(run) + tap * apart)
    });
    Some(Patches {
        output: patches.output,
        row: far(patches.row),
        column: far(patches.column),
        runs: runs.collect(),
        length: channels,
    })
}

impl Arranger {
    pub(super) fn product(&mut self, step: &listed::Step, inputs: &[View]) -> TractResult<View> {
        let listed::Step::Product {
            weights,
            patches,
            padding,
            activation,
            output,
        } = step
        else {
            bail!("no product");
        };
        let residual = inputs.get(1).map(|view| self.dense(view)).transpose()?;
        let residual = residual.as_ref().map(Into::into);
        let pixels = patches.output[0] * patches.output[1];
        let sums = output.iter().product::<usize>() / pixels.max(1);
        let target = self.targeted(output, inputs);
        let target = target.filter(|_| residual.is_none());
        if padding.is_none() {
            let apart = target.as_ref().and_then(|view| apart(view, sums));
            let made = match (&target, apart) {
                (Some(view), Some(_)) => view.clone(),
                _ => self.buffer(output),
            };
            let (image, patches) = match strided(&inputs[0], patches, weights.groups) {
                Some(patches) => (inputs[0].clone(), patches),
                None => (self.dense(&inputs[0])?, patches.clone()),
            };
            let mut fields = vec![number(apart.unwrap_or(sums))?];
            fields.extend(self.weights(Kind::Product, weights, sums, None)?);
            push_patches(&mut fields, &patches)?;
            push_activation(&mut fields, *activation);
            self.draft(Kind::Product, &made, &[&image], fields).residual = Some(residual);
            return Ok(made);
        }
        let image = self.dense(&inputs[0])?;
        let made = self.buffer(output);
        let Some((channels, window)) = padding else {
            bail!("a product over nothing")
        };
        let window = sound(window)?;
        if weights.groups == 1 && Winograd::suits(&window, weights.inputs, sums) {
            let mut fields = self.weights(Kind::Tiles, weights, sums, Some(&window))?;
            push_activation(&mut fields, *activation);
            self.draft(Kind::Tiles, &made, &[&image], fields).residual = Some(residual);
            return Ok(made);
        }
        let image = self.padded(&image, *channels, &window)?;
        let mut fields = vec![number(sums)?];
        fields.extend(self.weights(Kind::Product, weights, sums, None)?);
        push_patches(&mut fields, patches)?;
        push_activation(&mut fields, *activation);
        self.draft(Kind::Product, &made, &[&image], fields).residual = Some(residual);
        Ok(made)
    }

    pub(super) fn filter(&mut self, step: &listed::Step, inputs: &[View]) -> TractResult<View> {
        let listed::Step::Filter {
            weights,
            window,
            activation,
            output,
        } = step
        else {
            bail!("no filter");
        };
        let mut window = sound(window)?;
        let mut image = self.dense(&inputs[0])?;
        let channels = output.iter().product::<usize>() / window.output.iter().product::<usize>();
        if Depthwise::pads(&window) {
            image = self.padded(&image, channels, &window)?;
            window = window.over_padded();
        }
        let made = self.buffer(output);
        let mut fields = self.weights(Kind::Filter, weights, channels, None)?;
        push_window(&mut fields, &window)?;
        push_activation(&mut fields, *activation);
        self.draft(Kind::Filter, &made, &[&image], fields);
        Ok(made)
    }

    /// An image in the middle of zeros.
    fn padded(&mut self, image: &View, channels: usize, window: &Window) -> TractResult<View> {
        let shape = [window.input[0], window.input[1], channels];
        let from = image.reshaped(&shape).context("an image of another size")?;
        let [rows, columns] = window.padded();
        let whole = self.buffer(&[rows, columns, channels]);
        let inside = whole.cut(0, window.before[0], 1, shape[0]);
        let inside = inside.cut(1, window.before[1], 1, shape[1]);
        self.set(&whole, 0.0)?;
        self.copy(&from, &inside)?;
        Ok(whole)
    }

    /// An einsum of two computed tensors: the second is packed, then multiplied.
    pub(super) fn contraction(
        &mut self,
        axes: &[[Option<usize>; 3]],
        inputs: &[View],
        shape: &[usize],
    ) -> TractResult<View> {
        let [a, b] = inputs else {
            bail!("a contraction of another number")
        };
        let of = |kind: [bool; 3]| {
            let axes = axes
                .iter()
                .filter(move |axis| axis.map(|at| at.is_some()) == kind);
            axes.copied().collect::<Vec<_>>()
        };
        let batch = of([true, true, true]);
        let rows = of([true, false, true]);
        let columns = of([false, true, true]);
        let summed = of([true, true, false]);
        let axis = |tensor: usize, at: &[Option<usize>; 3]| {
            let view = if tensor == 0 { a } else { b };
            at[tensor].map_or(
                Axis {
                    length: 1,
                    stride: 0,
                },
                |at| view.axes[at],
            )
        };
        // Values that are summed lie side by side in the first, and in both in the same order.
        let loops = |tensor: usize, kind: &[[Option<usize>; 3]]| {
            collapsed(kind.iter().map(|at| {
                let Axis { length, stride } = axis(tensor, at);
                Loop {
                    length,
                    strides: [stride],
                }
            }))
            .0
        };
        let order = |tensor: usize, kinds: [&[[Option<usize>; 3]]; 3]| {
            let mut order: Vec<usize> = kinds
                .into_iter()
                .flatten()
                .filter_map(|at| at[tensor])
                .collect();
            let alone = axes.iter().filter_map(|at| at[tensor]);
            let rest: Vec<usize> = alone.filter(|at| !order.contains(at)).collect();
            order.extend(rest);
            order
        };
        let fits = |loops: &[Loop<1>], most: usize| loops.len() <= most;
        let [deep, down] = [loops(0, &summed), loops(0, &rows)];
        let plain_a =
            !(fits(&deep, 1) && fits(&down, 2) && (deep[0].strides == [1] || deep[0].length == 1));
        let [deep, across] = [loops(1, &summed), loops(1, &columns)];
        let plain_b = !(fits(&deep, 1) && fits(&across, 1));
        let a = match plain_a {
            true => {
                let order = order(0, [&batch, &rows, &summed]);
                self.dense(&a.permuted(&order))?.restored(&order)
            }
            false => a.clone(),
        };
        let b = match plain_b {
            true => {
                let order = order(1, [&batch, &columns, &summed]);
                self.dense(&b.permuted(&order))?.restored(&order)
            }
            false => b.clone(),
        };
        let stride = |view: &View, at: Option<usize>| at.map_or(0, |at| view.axes[at].stride);
        let length = |at: &[Option<usize>; 3]| match (at[0], at[1]) {
            (Some(at), _) => a.axes[at].length,
            (_, Some(at)) => b.axes[at].length,
            _ => 1,
        };
        let total = |kind: &[[Option<usize>; 3]]| kind.iter().map(length).product::<usize>();
        let one = |tensor: usize, kind: &[[Option<usize>; 3]]| {
            let view = if tensor == 0 { &a } else { &b };
            collapsed(kind.iter().map(|at| Loop {
                length: length(at),
                strides: [stride(view, at[tensor])],
            }))
            .0
        };
        let [products, width, depth] = [total(&batch), total(&columns), total(&summed)];
        let deep = one(1, &summed);
        let across = one(1, &columns);
        ensure!(
            deep.len() == 1 && across.len() == 1,
            "a factor that is not packed"
        );
        let panels = Panels::volume(depth, width);
        let packed = self.buffer(&[products, panels]);
        let mut fields = Vec::new();
        push(
            &mut fields,
            [depth, width, deep[0].strides[0], across[0].strides[0]],
        )?;
        push_loops(
            &mut fields,
            &collapsed(batch.iter().map(|at| Loop {
                length: length(at),
                strides: [stride(&b, at[1])],
            })),
        )?;
        self.draft(Kind::Pack, &packed, &[&b], fields);
        let down = one(0, &rows);
        let (output, row, column) = match *down {
            [one] => ([1, one.length], 0, one.strides[0]),
            [first, second] => (
                [first.length, second.length],
                first.strides[0],
                second.strides[0],
            ),
            _ => bail!("rows that are not side by side"),
        };
        let mut fields = Vec::new();
        push(&mut fields, output)?;
        push(&mut fields, [row, column, depth, width])?;
        let mut each = panels * products;
        let batches: Vec<Loop<2>> = batch
            .iter()
            .map(|at| {
                each /= length(at);
                Loop {
                    length: length(at),
                    strides: [stride(&a, at[0]), each],
                }
            })
            .collect();
        push_loops(&mut fields, &collapsed(batches))?;
        let made_order = order(2, [&batch, &rows, &columns]);
        let made_shape: Vec<usize> = made_order.iter().map(|&axis| shape[axis]).collect();
        let made = self.buffer(&made_shape);
        self.draft(Kind::Multiply, &made, &[&a, &packed], fields);
        Ok(made.restored(&made_order))
    }
}
