//! Operators that work on each element alone, with broadcasting.

use std::f32::consts::{FRAC_1_SQRT_2, FRAC_2_SQRT_PI, PI};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::binary::TypedBinOp;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::element_wise::ElementWiseOp;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::logic::{Iff, comp_eq, comp_gt, comp_gte, comp_lt, comp_lte};
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::{GeluApproximate, LeakyRelu};

use super::super::quantised::{Part, Quantise};
use super::Tape;

pub fn pull(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
) -> TractResult<Option<OutletId>> {
    let (input, output) = (node.inputs[slot], OutletId::from(node.id));
    if let Some(op) = node.op_as::<TypedBinOp>() {
        return binary(tape, node, slot, gradient, op);
    }
    if let Some(op) = node.op_as::<ElementWiseOp>() {
        let Some(slope) = Slope::of(op.0.as_ref()) else {
            return Ok(None);
        };
        let slope = tape.wire(ElementWiseOp(Box::new(slope), None), &[input])?;
        return tape.wire(math::mul(), &[gradient, slope]).map(Some);
    }
    if let Some(op) = node.op_as::<Quantise>() {
        ensure!(slot == 0, "its steps depend on the layer");
        let part = Part::Slope;
        let slope = tape.wire(Quantise { part, ..op.clone() }, &node.inputs)?;
        return tape.wire(math::mul(), &[gradient, slope]).map(Some);
    }
    if node.op_is::<Cast>() {
        let to = tape.graph.outlet_fact(input)?.datum_type;
        ensure!(to.is_float(), "it casts from {to:?}");
        return tape.wire(Cast { to }, &[gradient]).map(Some);
    }
    if node.op_is::<Iff>() {
        let condition = node.inputs[0];
        let zero = tape.scalar(0.0, gradient)?;
        let (yes, no) = match slot {
            1 => (gradient, zero),
            2 => (zero, gradient),
            _ => bail!("its condition depends on the layer"),
        };
        let pulled = tape.wire(Iff, &[condition, yes, no])?;
        return tape.narrow(pulled, input, output).map(Some);
    }
    Ok(None)
}

fn binary(
    tape: &mut Tape,
    node: &TypedNode,
    slot: usize,
    gradient: OutletId,
    op: &TypedBinOp,
) -> TractResult<Option<OutletId>> {
    let (input, other, output) = (
        node.inputs[slot],
        node.inputs[1 - slot],
        OutletId::from(node.id),
    );
    let pulled = match op.0.name() {
        "Add" => gradient,
        "Sub" if slot == 0 => gradient,
        "SubF" if slot == 1 => gradient,
        "Sub" | "SubF" => negative(tape, gradient)?,
        "Mul" => tape.wire(math::mul(), &[gradient, other])?,
        "Div" if slot == 0 => tape.wire(math::div(), &[gradient, other])?,
        "Div" => {
            let pulled = tape.wire(math::mul(), &[gradient, output])?;
            let pulled = tape.wire(math::div(), &[pulled, input])?;
            negative(tape, pulled)?
        }
        "Pow" if slot == 0 => {
            let minus = tape.scalar(-1.0, other)?;
            let exponent = tape.wire(math::add(), &[other, minus])?;
            let power = tape.wire(math::pow(), &[input, exponent])?;
            let slope = tape.wire(math::mul(), &[other, power])?;
            tape.wire(math::mul(), &[gradient, slope])?
        }
        name @ ("Max" | "Min") => {
            // Against a constant the output tells as much as the input, and it is more often at
            // hand; a tie goes to the constant, as in PyTorch's relu and clamp at its bounds.
            let constant = tape.graph.node(other.node).op_is::<Const>();
            let compare = match (name, constant || slot == 1) {
                ("Max", true) => comp_gt(),
                ("Max", false) => comp_gte(),
                (_, true) => comp_lt(),
                (_, false) => comp_lte(),
            };
            let value = if constant { output } else { input };
            let taken = tape.wire(TypedBinOp(compare, None), &[value, other])?;
            tape.gate(taken, gradient)?
        }
        _ => return Ok(None),
    };
    tape.narrow(pulled, input, output).map(Some)
}

fn negative(tape: &mut Tape, gradient: OutletId) -> TractResult<OutletId> {
    let minus = tape.scalar(-1.0, gradient)?;
    tape.wire(math::mul(), &[gradient, minus])
}

/// Whether small steps of the input change nothing.
pub fn is_flat(node: &TypedNode) -> bool {
    let name = node.op_as::<ElementWiseOp>().map(|op| op.0.name());
    let name = name.as_deref().unwrap_or_default();
    ["Sign", "Floor", "Ceil", "Round", "RoundHalfToEven"].contains(&name)
}

impl Tape<'_> {
    /// The gradient where a condition holds, 0 elsewhere.
    pub(super) fn gate(
        &mut self,
        condition: OutletId,
        gradient: OutletId,
    ) -> TractResult<OutletId> {
        let zero = self.scalar(0.0, gradient)?;
        self.wire(Iff, &[condition, gradient, zero])
    }

    /// 1 where two tensors are equal, 0 elsewhere.
    pub(super) fn equal(&mut self, a: OutletId, b: OutletId) -> TractResult<OutletId> {
        let equal = self.wire(TypedBinOp(comp_eq(), None), &[a, b])?;
        let to = f32::datum_type();
        self.wire(Cast { to }, &[equal])
    }
}

/// The derivative of a function of one number, as an operator.
#[derive(Debug, Clone)]
pub struct Slope {
    /// Name of the function.
    pub of: String,
    parameter: f32,
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
    /// Whether the name says it all.
    pub fn is_plain(&self) -> bool {
        self.parameter == 0.0
    }

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
