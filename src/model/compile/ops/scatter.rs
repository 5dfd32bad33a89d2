//! Operators that bring the gradient of a window's values back to where they came from.

use tract_onnx::tract_core::internal::*;

use crate::model::run::product;

/// Where a window lies on its input, one number per axis.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct ScatterWindow {
    pub input: TVec<usize>,
    pub output: TVec<usize>,
    pub kernel: TVec<usize>,
    pub strides: TVec<usize>,
    pub dilations: TVec<usize>,
    pub before: TVec<usize>,
}

impl ScatterWindow {
    pub fn places(&self) -> usize {
        self.output.iter().product()
    }

    pub fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    fn size(&self) -> usize {
        self.input.iter().product()
    }

    /// Bytes of [`Window::indices`], and operations to find them.
    pub fn cost(&self) -> (u64, u64) {
        let indices = product(self.kernel.iter().chain(&self.output).copied());
        let bytes = indices.saturating_mul(size_of::<Option<usize>>() as u64);
        (bytes, indices.saturating_mul(32))
    }

    /// Position on the padded input of a tap of the window at a place, axis by axis.
    pub fn reach(&self, mut tap: usize, mut place: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.input.len()).rev().map(move |axis| {
            let at = (tap % self.kernel[axis], place % self.output[axis]);
            tap /= self.kernel[axis];
            place /= self.output[axis];
            (
                axis,
                at.0 * self.dilations[axis] + at.1 * self.strides[axis],
            )
        })
    }

    /// For each tap, for each place: index of the input value under it; none over the padding.
    pub fn indices(&self) -> Vec<Option<usize>> {
        let taps = self.taps();
        let mut indices = Vec::with_capacity(taps * self.places());
        for tap in 0..taps {
            for place in 0..self.places() {
                let (mut index, mut step) = (Some(0), 1);
                for (axis, at) in self.reach(tap, place) {
                    let at = at.checked_sub(self.before[axis]);
                    let at = at.filter(|&at| at < self.input[axis]);
                    index = index.zip(at).map(|(index, at)| index + at * step);
                    step *= self.input[axis];
                }
                indices.push(index);
            }
        }
        indices
    }
}

/// Adds each tap's values (batch, channel, tap, place) up where they came from: batch, channel,
/// place on the input. If there is only one tap, it stands for all.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Fold(pub ScatterWindow);

impl Op for Fold {
    fn name(&self) -> StaticName {
        "Fold".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Fold {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let columns = args_1!(inputs);
        let (batch, channels, taps) = (columns.shape()[0], columns.shape()[1], columns.shape()[2]);
        let indices = self.0.indices();
        let (places, size) = (self.0.places(), self.0.size());
        let mut image = Tensor::zero::<f32>(&[batch, channels, size])?;
        let columns = columns.try_as_plain_ram()?;
        let columns = columns.as_slice::<f32>()?;
        let mut plain = image.try_as_plain_ram_mut()?;
        let planes = plain.as_slice_mut::<f32>()?.chunks_exact_mut(size);
        for (plane, columns) in planes.zip(columns.chunks_exact(taps * places)) {
            for (tap, indices) in indices.chunks_exact(places).enumerate() {
                let column = &columns[if taps == 1 { 0 } else { tap * places }..][..places];
                for (index, value) in indices.iter().zip(column) {
                    if let &Some(index) = index {
                        plane[index] += value;
                    }
                }
            }
        }
        Ok(tvec!(image.into_tvalue()))
    }
}

impl TypedOp for Fold {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let &[_, _, taps, places] = inputs[0].shape.as_concrete().context("of open shape")? else {
            bail!("no columns");
        };
        ensure!(
            places == self.0.places() && (taps == 1 || taps == self.0.taps()),
            "columns of another window"
        );
        let size = self.0.size().to_dim();
        let (batch, channels) = (inputs[0].shape[0].clone(), inputs[0].shape[1].clone());
        Ok(tvec!(f32::fact([batch, channels, size])))
    }

    as_op!();
}

/// The gradient of max pooling: input and gradient (batch, channel, place) → the gradient at the
/// first largest value of each window.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Unpool(pub ScatterWindow);

impl Op for Unpool {
    fn name(&self) -> StaticName {
        "Unpool".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Unpool {
    op_out_of_plan!();

    fn eval(&self, _ctx: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (input, gradient) = args_2!(inputs);
        let indices = self.0.indices();
        let (places, size) = (self.0.places(), self.0.size());
        let mut pulled = Tensor::zero::<f32>(input.shape())?;
        let input = input.try_as_plain_ram()?;
        let gradient = gradient.try_as_plain_ram()?;
        let mut plain = pulled.try_as_plain_ram_mut()?;
        let planes = plain.as_slice_mut::<f32>()?.chunks_exact_mut(size);
        let inputs = input.as_slice::<f32>()?.chunks_exact(size);
        let gradients = gradient.as_slice::<f32>()?.chunks_exact(places);
        for ((plane, input), gradient) in planes.zip(inputs).zip(gradients) {
            for (place, value) in gradient.iter().enumerate() {
                let mut largest: Option<usize> = None;
                for &index in indices.iter().skip(place).step_by(places).flatten() {
                    if largest.is_none_or(|largest| input[index] > input[largest]) {
                        largest = Some(index);
                    }
                }
                if let Some(index) = largest {
                    plane[index] += value;
                }
            }
        }
        Ok(tvec!(pulled.into_tvalue()))
    }
}

impl TypedOp for Unpool {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let shape = |fact: &TypedFact| fact.shape.as_concrete().map(<[usize]>::to_vec);
        let [image, gradient] = [inputs[0], inputs[1]].map(|fact| shape(fact).unwrap_or_default());
        let fits = image.len() == 3
            && image[2] == self.0.size()
            && gradient == [image[0], image[1], self.0.places()];
        ensure!(fits, "an image of another window");
        Ok(tvec!(inputs[0].without_value()))
    }

    as_op!();
}
