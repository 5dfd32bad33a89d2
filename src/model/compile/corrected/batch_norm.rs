//! BatchNormalization by the mean and variance of its input, and by those that the graph computes. Some
//! networks standardise their weights so in every run: Qiao et al., 2019, arXiv:1903.10520. tract has only the
//! mode with constants.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::internal::InferenceOp;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

use super::{Wiring, number};

const NAME: &str = "BatchNormalization";

pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert(NAME, read);
}

fn read(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let mode = node.attribute.iter().find(|a| a.name == "training_mode");
    // Before opset 14, the number of outputs decides.
    let trains = match mode {
        Some(mode) => mode.i != 0,
        None => node.output.iter().skip(1).any(|name| !name.is_empty()),
    };
    let epsilon = number(node, "epsilon", 1e-5);
    if !trains {
        let (op, more) = (tract_onnx::onnx().op_register.0[NAME])(context, node)?;
        let constant = op.as_op().downcast_ref::<Box<dyn Expansion>>().cloned();
        let Some(constant) = constant else {
            return Ok((op, more));
        };
        return Ok((expand(GivenStatistics { constant, epsilon }), more));
    }
    let op = BatchStatistics {
        epsilon,
        momentum: number(node, "momentum", 0.9),
        outputs: node.output.len(),
    };
    Ok((expand(op), vec![]))
}

/// With a mean and a variance that may depend on the image.
#[derive(Debug, Clone)]
struct GivenStatistics {
    /// tract's operator.
    constant: Box<dyn Expansion>,
    epsilon: f32,
}

impl Expansion for GivenStatistics {
    fn name(&self) -> StaticName {
        self.constant.name()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.constant.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let mut known = true;
        for &input in &inputs[1..] {
            known &= model.outlet_fact(input)?.konst.is_some();
        }
        if known {
            return self.constant.wire(prefix, model, inputs);
        }
        let mut to = Wiring {
            prefix,
            model,
            count: 0,
        };
        let shape = to.shape(inputs[0])?;
        let rank = shape.len();
        ensure!(rank > 1, "an absurd normalisation");
        let mut beside = tvec!(1; rank);
        beside[1] = shape[1];
        let [gain, bias, mean, variance] =
            [1, 2, 3, 4].map(|slot| to.reshape(inputs[slot], &beside));
        let epsilon = to.scalar(self.epsilon, rank)?;
        let spread = to.wire(math::add(), &[variance?, epsilon])?;
        let scale = to.wire(math::rsqrt(), &[spread])?;
        let scale = to.wire(math::mul(), &[scale, gain?])?;
        let centred = to.wire(math::sub(), &[inputs[0], mean?])?;
        let values = to.wire(math::mul(), &[centred, scale])?;
        Ok(tvec!(to.wire(math::add(), &[values, bias?])?))
    }
}

/// The outputs are the values, then the running means and variances, then those of these values.
#[derive(Debug, Clone)]
struct BatchStatistics {
    epsilon: f32,
    momentum: f32,
    outputs: usize,
}

impl Expansion for BatchStatistics {
    fn name(&self) -> StaticName {
        NAME.into()
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.outputs)
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 5)?;
        check_output_arity(outputs, self.outputs)?;
        solver.equals(&outputs[0].shape, &inputs[0].shape)?;
        for output in outputs {
            solver.equals(&output.datum_type, &inputs[0].datum_type)?;
        }
        for output in &outputs[1..] {
            solver.equals(&output.shape, &inputs[3].shape)?;
        }
        Ok(())
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
        let rank = shape.len();
        ensure!(rank > 1 && self.outputs < 6, "an absurd normalisation");
        let axes: TVec<usize> = (0..rank).filter(|&axis| axis != 1).collect();
        let count: usize = axes.iter().map(|&axis| shape[axis]).product();
        let share = to.scalar(1.0 / count.max(1) as f32, rank)?;
        let mean = |to: &mut Wiring, of: OutletId| {
            let sum = to.wire(Reduce::new(axes.clone(), Reducer::Sum), &[of])?;
            to.wire(math::mul(), &[sum, share])
        };
        let middle = mean(&mut to, inputs[0])?;
        let centred = to.wire(math::sub(), &[inputs[0], middle])?;
        let square = to.wire(math::mul(), &[centred, centred])?;
        let variance = mean(&mut to, square)?;
        let epsilon = to.scalar(self.epsilon, rank)?;
        let spread = to.wire(math::add(), &[variance, epsilon])?;
        let scale = to.wire(math::rsqrt(), &[spread])?;
        let values = to.wire(math::mul(), &[centred, scale])?;
        let mut beside = tvec!(1; rank);
        beside[1] = shape[1];
        let gain = to.reshape(inputs[1], &beside)?;
        let bias = to.reshape(inputs[2], &beside)?;
        let values = to.wire(math::mul(), &[values, gain])?;
        let values = to.wire(math::add(), &[values, bias])?;
        let mut outlets = tvec!(values);
        let own = [
            to.reshape(middle, &[shape[1]])?,
            to.reshape(variance, &[shape[1]])?,
        ];
        for (&own, &given) in own.iter().zip(&inputs[3..]) {
            let kept = to.scalar(self.momentum, 1)?;
            let new = to.scalar(1.0 - self.momentum, 1)?;
            let kept = to.wire(math::mul(), &[given, kept])?;
            let new = to.wire(math::mul(), &[own, new])?;
            outlets.push(to.wire(math::add(), &[kept, new])?);
        }
        outlets.extend(own);
        outlets.truncate(self.outputs);
        Ok(outlets)
    }
}
