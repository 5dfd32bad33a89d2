//! The arithmetic of quantised tensors, whose whole numbers are held as FP32.
//!
//! tract has integer kernels for them and tables for what lies between two of them. Here, a quantised
//! tensor is like any other, so that every rewrite, kernel and derivative applies to it.

use tract_onnx::tract_core::internal::*;

/// Values, steps, zero points → the nearest whole number of steps, ties to even, plus the zero point,
/// clipped to bounds. All inputs have equally many axes; the last two have length 1 where they repeat.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantise {
    /// The least number.
    pub low: f32,
    /// The greatest number.
    pub high: f32,
    /// What is computed.
    pub part: Part,
}

/// What [`Quantise`] computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The number.
    Number,
    /// The derivative with respect to the value, by the straight-through estimator (Bengio, Léonard
    /// and Courville, 2013): rounding is ignored, and nothing passes where a value was clipped.
    Slope,
}

// The bounds are never NaN.
impl Eq for Quantise {}

impl Quantise {
    fn of(&self, value: f32, step: f32, zero: f32) -> f32 {
        let number = (value / step).round_ties_even() + zero;
        match self.part {
            Part::Number => number.max(self.low).min(self.high),
            Part::Slope if number >= self.low && number <= self.high => 1.0 / step,
            Part::Slope => 0.0,
        }
    }
}

impl Op for Quantise {
    fn name(&self) -> StaticName {
        match self.part {
            Part::Number => "Quantise".into(),
            Part::Slope => "SlopeOfQuantise".into(),
        }
    }

    op_as_typed_op!();
}

impl EvalOp for Quantise {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (values, step, zero) = args_3!(inputs);
        let mut values = values.into_tensor();
        let (steps, zeros) = (step.try_as_plain_ram()?, zero.try_as_plain_ram()?);
        if let (&[step], &[zero]) = (steps.as_slice::<f32>()?, zeros.as_slice::<f32>()?) {
            for value in values.try_as_plain_ram_mut()?.as_slice_mut::<f32>()? {
                *value = self.of(*value, step, zero);
            }
            return Ok(tvec!(values.into_tvalue()));
        }
        let shape = values.shape().to_vec();
        let step = step.broadcast_to_shape(&shape)?;
        let zero = zero.broadcast_to_shape(&shape)?;
        let (steps, zeros) = (step.try_as_plain_ram()?, zero.try_as_plain_ram()?);
        let others = steps
            .as_slice::<f32>()?
            .iter()
            .zip(zeros.as_slice::<f32>()?);
        let mut plain = values.try_as_plain_ram_mut()?;
        for (value, (&step, &zero)) in plain.as_slice_mut::<f32>()?.iter_mut().zip(others) {
            *value = self.of(*value, step, zero);
        }
        Ok(tvec!(values.into_tvalue()))
    }
}

impl TypedOp for Quantise {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(tvec!(inputs[0].without_value()))
    }

    fn axes_mapping(
        &self,
        inputs: &[&TypedFact],
        outputs: &[&TypedFact],
    ) -> TractResult<AxesMapping> {
        AxesMapping::natural(inputs, outputs)
    }

    as_op!();
}

/// Values → step and zero point, two numbers that spread 0 and all values over 0 to 255, like ONNX's
/// DynamicQuantizeLinear. The gradient treats them as constants.
#[derive(Debug, Clone, Hash, PartialEq, Eq)]
pub struct Spread;

impl Op for Spread {
    fn name(&self) -> StaticName {
        "Spread".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Spread {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let values = inputs[0].try_as_plain_ram()?;
        let values = values.as_slice::<f32>()?;
        let low = values.iter().fold(0f32, |low, &value| low.min(value));
        let high = values.iter().fold(0f32, |high, &value| high.max(value));
        let step = match (high - low) / 255.0 {
            0.0 => 1.0,
            step => step,
        };
        let zero = (-low / step).round_ties_even().clamp(0.0, 255.0);
        Ok(tvec!(tensor0(step).into(), tensor0(zero).into()))
    }
}

impl TypedOp for Spread {
    fn output_facts(&self, _: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let number = f32::fact([0usize; 0]);
        Ok(tvec!(number.clone(), number))
    }

    as_op!();
}
