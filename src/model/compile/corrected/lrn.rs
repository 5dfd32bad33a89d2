//! LRN: a value scaled by the squares of its neighbours in other channels. tract's operator has no derivative.

use tract_onnx::model::OnnxOpRegister;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

use super::{Wiring, number, one_alike};

pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("LRN", |_, node| {
        let size = node.attribute.iter().find(|a| a.name == "size");
        let size = size.context("it has no size")?.i;
        let op = Lrn {
            alpha: number(node, "alpha", 1e-4),
            beta: number(node, "beta", 0.75),
            bias: number(node, "bias", 1.0),
            size: usize::try_from(size)?,
        };
        Ok((expand(op), vec![]))
    });
}

/// x / (bias + α / size · Σ x²)^β. Krizhevsky et al., 2012, section 3.3.
#[derive(Debug, Clone)]
struct Lrn {
    alpha: f32,
    beta: f32,
    bias: f32,
    size: usize,
}

impl Expansion for Lrn {
    fn name(&self) -> StaticName {
        "LRN".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        one_alike(solver, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut to = Wiring {
            prefix,
            model,
            count: 0,
        };
        let shape = to.shape(inputs[0])?;
        let (rank, channels) = (shape.len(), *shape.get(1).context("it has no channels")?);
        ensure!(
            rank < 8 && self.size > 0 && channels <= 1 << 11,
            "an absurd size"
        );
        // The sum over neighbours is a product with a band matrix.
        let mut band = vec![0.0f32; channels * channels];
        for (at, row) in band.chunks_exact_mut(channels).enumerate() {
            let first = at.saturating_sub((self.size - 1) / 2);
            let last = at.saturating_add(self.size / 2).min(channels - 1);
            row[first..=last].fill(self.alpha / self.size as f32);
        }
        let band = to.constant(Tensor::from_shape(&[channels, channels], &band)?)?;
        let square = to.wire(math::mul(), &[inputs[0], inputs[0]])?;
        let letters: String = ('a'..).take(rank).collect();
        let axes = AxesMapping::from_strs(
            &[letters.replace('b', "x"), "yx".to_string()],
            &[letters.replace('b', "y")],
        )?;
        let sum = to.wire(EinSum::new(axes, f32::datum_type()), &[square, band])?;
        let bias = to.scalar(self.bias, rank)?;
        let sum = to.wire(math::add(), &[sum, bias])?;
        // The power is written as an exponential, for which plans have records.
        let power = to.wire(math::ln(), &[sum])?;
        let minus = to.scalar(-self.beta, rank)?;
        let power = to.wire(math::mul(), &[power, minus])?;
        let factor = to.wire(math::exp(), &[power])?;
        to.model
            .wire_node(prefix, math::mul(), &[inputs[0], factor])
    }
}
