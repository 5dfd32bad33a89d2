//! Derivatives of functions of one number.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::element_wise::ElementWiseMiniOp;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{GeluApproximate, LeakyRelu};

/// The derivative of a function of one number, as an operator.
#[derive(Debug, Clone)]
pub struct Slope {
    /// Name of the function.
    pub of: String,
    /// 0 if the name suffices.
    pub parameter: f32,
    slope: fn(f32, f32) -> f32,
}

impl PartialEq for Slope {
    fn eq(&self, other: &Slope) -> bool {
        self.of == other.of && self.parameter.to_bits() == other.parameter.to_bits()
    }
}

impl Eq for Slope {}

impl ElementWiseMiniOp for Slope {
    fn name(&self) -> String {
        format!("SlopeOf{}", self.of)
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        for value in tensor.try_as_plain_ram_mut()?.as_slice_mut::<f32>()? {
            *value = (self.slope)(*value, self.parameter);
        }
        Ok(())
    }
}

impl Slope {
    pub fn of(op: &dyn ElementWiseMiniOp) -> Option<Slope> {
        let mut parameter = 0.0;
        let of = op.name();
        let slope: fn(f32, f32) -> f32 = match of.as_str() {
            "Neg" => |_, _| -1.0,
            "Abs" => |x, _| f32::from(x > 0.0) - f32::from(x < 0.0),
            "Square" => |x, _| 2.0 * x,
            "Sqrt" => |x, _| 0.5 / x.sqrt(),
            "Rsqrt" => |x, _| -0.5 / (x * x.sqrt()),
            "Recip" => |x, _| -1.0 / (x * x),
            "PowConst" => {
                parameter = op.downcast_ref::<math::PowConst>()?.exponent;
                |x, exponent| exponent * x.powf(exponent - 1.0)
            }
            "Exp" => |x, _| x.exp(),
            "Ln" => |x, _| 1.0 / x,
            "Sin" => |x, _| x.cos(),
            "Cos" => |x, _| -x.sin(),
            "Atan" => |x, _| 1.0 / (1.0 + x * x),
            "Sinh" => |x, _| x.cosh(),
            "Cosh" => |x, _| x.sinh(),
            "Tanh" => |x, _| 1.0 - x.tanh() * x.tanh(),
            "Sigmoid" => |x, _| sigmoid(x) * (1.0 - sigmoid(x)),
            "Silu" => |x, _| sigmoid(x) * (1.0 + x * (1.0 - sigmoid(x))),
            "Erf" => |x, _| FRAC_2_SQRT_PI * (-x * x).exp(),
            "GeluExact" => |x, _| {
                0.5 * (1.0 + erf(x * FRAC_1_SQRT_2)) + x * (-0.5 * x * x).exp() / (2.0 * PI).sqrt()
            },
            "GeluApproximate" => {
                let square = op.downcast_ref::<GeluApproximate>()?.fast_impl;
                parameter = if square { 2.0 } else { 3.0 };
                |x, power| {
                    let scale = (2.0 / PI).sqrt();
                    let inner = scale * (x + 0.044715 * x.powi(power as i32));
                    let slope = scale * (1.0 + 0.044715 * power * x.powi(power as i32 - 1));
                    let tanh = inner.tanh();
                    0.5 * (1.0 + tanh) + 0.5 * x * (1.0 - tanh * tanh) * slope
                }
            }
            "HardSwish" => |x, _| match x {
                x if x <= -3.0 => 0.0,
                x if x >= 3.0 => 1.0,
                x => x / 3.0 + 0.5,
            },
            "LeakyRelu" => {
                parameter = op.downcast_ref::<LeakyRelu>()?.alpha;
                |x, alpha| if x > 0.0 { 1.0 } else { alpha }
            }
            _ => return None,
        };
        Some(Slope {
            of,
            parameter,
            slope,
        })
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}

/// Abramowitz and Stegun 7.1.26, error below 1.5e-7.
fn erf(x: f32) -> f32 {
    let x = f64::from(x);
    let t = 1.0 / (1.0 + 0.3275911 * x.abs());
    let polynomial = [
        1.061405429,
        -1.453152027,
        1.421413741,
        -0.284496736,
        0.254829592,
    ]
    .into_iter()
    .fold(0.0, |sum, coefficient| sum * t + coefficient);
    (1.0 - polynomial * t * (-x * x).exp()).copysign(x) as f32
}
