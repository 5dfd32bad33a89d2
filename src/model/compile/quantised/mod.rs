//! Quantised operators of ONNX → the plain arithmetic that defines them.
//!
//! [`composite::expand`] splits those that compute and quantise at once; the rest, QuantizeLinear,
//! DequantizeLinear and DynamicQuantizeLinear, is read by [`register`]'s operators instead of tract's.

mod arithmetic;
mod centred;
pub mod composite;
mod floats;
mod linear;
mod packed;
mod product;
mod spelled;

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::change_axes::wire_rank_broadcast;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

pub use arithmetic::{Part, Quantise, Spread};
pub use centred::centre;
pub use spelled::spell_out;

/// Replaces tract's operators.
pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("QuantizeLinear", |_, node| {
        let parameters = Parameters::of(node)?;
        let number = |name| Some(node.attribute.iter().find(|a| a.name == name)?.i);
        // 0 means that it is not set.
        let output = number("output_dtype").filter(|&output| output != 0);
        let bounds = output.map(|output| bounds(output as i32)).transpose()?;
        Ok((expand(QuantizeLinear { parameters, bounds }), vec![]))
    });
    operators.insert("DequantizeLinear", |_, node| {
        Ok((expand(DequantizeLinear(Parameters::of(node)?)), vec![]))
    });
    operators.insert("DynamicQuantizeLinear", dynamic);
}

fn dynamic(
    _: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let outputs = node.output.len();
    ensure!((1..=3).contains(&outputs), "it has {outputs} outputs");
    Ok((expand(DynamicQuantizeLinear { outputs }), vec![]))
}

/// The least and the greatest number of an ONNX type.
///
/// # Errors
/// For a type of which there are no quantised numbers here.
pub fn bounds(data_type: i32) -> TractResult<(f32, f32)> {
    Ok(match DataType::try_from(data_type) {
        Ok(DataType::Uint4) => (0.0, 15.0),
        Ok(DataType::Int4) => (-8.0, 7.0),
        Ok(DataType::Uint8) => (0.0, 255.0),
        Ok(DataType::Int8) => (-128.0, 127.0),
        Ok(DataType::Uint16) => (0.0, 65535.0),
        Ok(DataType::Int16) => (-32768.0, 32767.0),
        _ => bail!("quantising to the data type {data_type} is not possible here"),
    })
}

/// Where steps and zero points lie along the values.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parameters {
    axis: i64,
    /// Values along the axis that share them; 0: they apply to the whole axis or to one place each.
    block: usize,
    zero: bool,
}

impl Parameters {
    fn of(node: &NodeProto) -> TractResult<Parameters> {
        let number = |name| node.attribute.iter().find(|a| a.name == name).map(|a| a.i);
        Ok(Parameters {
            axis: number("axis").unwrap_or(1),
            block: usize::try_from(number("block_size").unwrap_or(0))?,
            zero: node.input.get(2).is_some_and(|name| !name.is_empty()),
        })
    }

    /// The steps or zero points `given`, so that they broadcast with `values`.
    fn beside(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        values: OutletId,
        given: OutletId,
    ) -> TractResult<OutletId> {
        let fact = model.outlet_fact(values)?;
        let shape = fact.shape.as_concrete().context("the shape is not known")?;
        let shape: TVec<usize> = shape.into();
        let fact = model.outlet_fact(given)?;
        if let Some(konst) = fact.konst.clone() {
            let beside = self.constant(&konst, &shape)?;
            return model.add_const(model.unique_name(prefix), beside);
        }
        let mut beside = given;
        if fact.rank() == 1 && fact.shape.volume() != 1.to_dim() {
            for _ in self.place(shape.len())? + 1..shape.len() {
                let rank = model.outlet_fact(beside)?.rank();
                let op = AxisOp::Add(rank);
                beside = model.wire_node(model.unique_name(prefix), op, &[beside])?[0];
            }
        } else if fact.shape.volume() != 1.to_dim() {
            bail!("computed steps have more than one axis");
        }
        Ok(wire_rank_broadcast(prefix, model, &[values, beside])?[1])
    }

    fn place(&self, rank: usize) -> TractResult<usize> {
        let axis = if self.axis < 0 {
            self.axis + rank as i64
        } else {
            self.axis
        };
        let axis = usize::try_from(axis).ok().filter(|&axis| axis < rank);
        axis.with_context(|| format!("it names the axis {} of {rank}", self.axis))
    }

    fn constant(&self, given: &Tensor, shape: &[usize]) -> TractResult<Tensor> {
        let given = given.cast_to::<f32>()?.into_owned();
        let mut wanted = vec![1; shape.len()];
        if given.volume() == 1 {
            return given.into_shape(&wanted);
        }
        let axis = self.place(shape.len())?;
        if self.block == 0 {
            wanted[axis] = given.volume();
            ensure!(
                given.volume() == shape[axis],
                "there are {} steps for {} places",
                given.volume(),
                shape[axis]
            );
            return given.into_shape(&wanted);
        }
        wanted.copy_from_slice(shape);
        wanted[axis] = shape[axis].div_ceil(self.block);
        ensure!(
            given.shape() == wanted,
            "steps of the shape {:?} do not cover {shape:?} in blocks of {}",
            given.shape(),
            self.block
        );
        let view = given.to_plain_array_view::<f32>()?;
        let spread = tract_ndarray::ArrayD::from_shape_fn(shape, |mut at| {
            at[axis] /= self.block;
            view[&at]
        });
        Ok(spread.into_tensor())
    }

    /// Steps and zero points, so that both broadcast with `values`.
    fn both(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        values: OutletId,
        inputs: &[OutletId],
    ) -> TractResult<[OutletId; 2]> {
        let step = single(prefix, model, inputs[1])?;
        let step = self.beside(&format!("{prefix}.step"), model, values, step)?;
        let zero = match inputs.get(2) {
            Some(&zero) if self.zero => single(prefix, model, zero)?,
            _ => model.add_const(model.unique_name(format!("{prefix}.zero")), tensor0(0f32))?,
        };
        let zero = self.beside(&format!("{prefix}.zero"), model, values, zero)?;
        Ok([step, zero])
    }

    fn rules<'r, 'p: 'r>(
        &self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 2 + usize::from(self.zero))?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, f32::datum_type())?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)
    }
}

/// A tensor as FP32, at once if constant: tract does not fold what grows.
fn single(prefix: &str, model: &mut TypedModel, given: OutletId) -> TractResult<OutletId> {
    if let Some(konst) = model.outlet_fact(given)?.konst.clone() {
        let single = konst.cast_to::<f32>()?.into_owned();
        return model.add_const(model.unique_name(format!("{prefix}.single")), single);
    }
    Ok(
        tract_onnx::tract_core::ops::cast::wire_cast(prefix, model, &[given], f32::datum_type())?
            [0],
    )
}

#[derive(Debug, Clone)]
struct QuantizeLinear {
    parameters: Parameters,
    /// If the node gives them.
    bounds: Option<(f32, f32)>,
}

impl Expansion for QuantizeLinear {
    fn name(&self) -> StaticName {
        "QuantizeLinear".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.parameters.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let told = match inputs.get(2) {
            Some(&zero) => match model.outlet_fact(zero)?.datum_type {
                DatumType::I8 => DataType::Int8,
                DatumType::U16 => DataType::Uint16,
                DatumType::I16 => DataType::Int16,
                DatumType::U8 | DatumType::F32 => DataType::Uint8,
                other => bail!("zero points of the type {other:?}"),
            },
            None => DataType::Uint8,
        };
        let (low, high) = match self.bounds {
            Some(bounds) => bounds,
            None => bounds(told as i32)?,
        };
        let values = single(prefix, model, inputs[0])?;
        let [step, zero] = self.parameters.both(prefix, model, values, inputs)?;
        let part = Part::Number;
        let op = Quantise { low, high, part };
        model.wire_node(prefix, op, &[values, step, zero])
    }
}

#[derive(Debug, Clone)]
struct DequantizeLinear(Parameters);

impl Expansion for DequantizeLinear {
    fn name(&self) -> StaticName {
        "DequantizeLinear".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        self.0.rules(solver, inputs, outputs)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let values = single(prefix, model, inputs[0])?;
        let [step, zero] = self.0.both(prefix, model, values, inputs)?;
        let konst = |outlet| model.outlet_fact(outlet).map(|fact| fact.konst.clone());
        if let (Some(values), Some(step), Some(zero)) = (konst(values)?, konst(step)?, konst(zero)?)
        {
            let views = [&values, &step, &zero].map(|tensor| tensor.to_plain_array_view::<f32>());
            let [values, step, zero] = views;
            let real = (&values? - &zero?) * &step?;
            return Ok(tvec!(model.add_const(prefix, real.into_tensor())?));
        }
        let name = model.unique_name(format!("{prefix}.steps"));
        let steps = model.wire_node(name, math::sub(), &[values, zero])?[0];
        model.wire_node(prefix, math::mul(), &[steps, step])
    }
}

#[derive(Debug, Clone)]
struct DynamicQuantizeLinear {
    outputs: usize,
}

impl Expansion for DynamicQuantizeLinear {
    fn name(&self) -> StaticName {
        "DynamicQuantizeLinear".into()
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
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, self.outputs)?;
        solver.equals(&inputs[0].shape, &outputs[0].shape)?;
        for output in outputs {
            solver.equals(&output.datum_type, f32::datum_type())?;
        }
        for number in &outputs[1..] {
            solver.equals(&number.rank, 0)?;
        }
        Ok(())
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let values = single(prefix, model, inputs[0])?;
        let numbers = model.wire_node(format!("{prefix}.spread"), Spread, &[values])?;
        let wires = [values, numbers[0], numbers[1]];
        let wires = wire_rank_broadcast(prefix, model, &wires)?;
        let (low, high) = bounds(DataType::Uint8 as i32)?;
        let part = Part::Number;
        let quantised = model.wire_node(prefix, Quantise { low, high, part }, &wires)?[0];
        let mut outputs = tvec![quantised, numbers[0], numbers[1]];
        outputs.truncate(self.outputs);
        Ok(outputs)
    }
}
