//! Col2Im: columns of windows → the image that they overlap on, which tract does not have.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::internal::InferenceOp;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

use super::Wiring;
use crate::model::compile::ops::{Fold, ScatterWindow};

pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("Col2Im", read);
}

fn read(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let list = |name: &str| -> TractResult<Option<TVec<usize>>> {
        let attribute = node.attribute.iter().find(|a| a.name == name);
        let sizes = attribute.map(|a| a.ints.iter().map(|&n| Ok(usize::try_from(n)?)).collect());
        sizes.transpose()
    };
    let op = Col2Im {
        dilations: list("dilations")?,
        pads: list("pads")?,
        strides: list("strides")?,
    };
    Ok((expand(op), vec![]))
}

#[derive(Debug, Clone)]
struct Col2Im {
    dilations: Option<TVec<usize>>,
    pads: Option<TVec<usize>>,
    strides: Option<TVec<usize>>,
}

fn whole(tensor: &Tensor) -> TractResult<TVec<usize>> {
    let wide = tensor.cast_to::<i64>()?;
    let numbers = wide.try_as_plain_ram()?;
    let numbers = numbers.as_slice::<i64>()?.iter();
    numbers.map(|&n| Ok(usize::try_from(n)?)).collect()
}

impl Col2Im {
    fn window(&self, image: &Tensor, kernel: &Tensor) -> TractResult<ScatterWindow> {
        let (input, kernel) = (whole(image)?, whole(kernel)?);
        let count = input.len();
        let or = |list: &Option<TVec<usize>>, value| {
            let list = list.clone().filter(|list| !list.is_empty());
            list.unwrap_or_else(|| tvec!(value; count))
        };
        let (strides, dilations) = (or(&self.strides, 1), or(&self.dilations, 1));
        let pads = self.pads.clone().unwrap_or_else(|| tvec!(0; 2 * count));
        let all = [kernel.len(), strides.len(), dilations.len(), pads.len() / 2];
        let sound = (1..=2).contains(&count) && all.iter().all(|&n| n == count);
        let sizes = input
            .iter()
            .chain(&kernel)
            .chain(&strides)
            .chain(&dilations);
        let sized = sizes.into_iter().all(|n| (1..1 << 14).contains(n));
        ensure!(
            sound && sized && pads.iter().all(|&n| n < 1 << 14),
            "a window of an unsound size"
        );
        let mut output = tvec!();
        for axis in 0..count {
            let field = (kernel[axis] - 1) * dilations[axis] + 1;
            let padded = input[axis] + pads[axis] + pads[count + axis];
            let room = padded
                .checked_sub(field)
                .context("the window is too large")?;
            output.push(room / strides[axis] + 1);
        }
        let before = pads[..count].into();
        Ok(ScatterWindow {
            input,
            output,
            kernel,
            strides,
            dilations,
            before,
        })
    }
}

impl Expansion for Col2Im {
    fn name(&self) -> StaticName {
        "Col2Im".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 3)?;
        check_output_arity(outputs, 1)?;
        solver.equals(&outputs[0].datum_type, &inputs[0].datum_type)?;
        solver.equals(&inputs[0].rank, 3)?;
        solver.given_3(
            &inputs[0].shape,
            &inputs[1].value,
            &inputs[2].value,
            move |solver, columns, image, kernel| {
                let window = self.window(&image, &kernel)?;
                let taps = window.taps();
                let mut shape = tvec!(columns[0].clone(), columns[1].clone() / taps);
                shape.extend(window.input.iter().map(|n| n.to_dim()));
                solver.equals(&outputs[0].shape, shape)
            },
        )
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let constant = |slot: usize| -> TractResult<Arc<Tensor>> {
            let konst = model.outlet_fact(inputs[slot])?.konst.clone();
            konst.context("its sizes are not constant")
        };
        let window = self.window(&*constant(1)?, &*constant(2)?)?;
        let mut to = Wiring {
            prefix,
            model,
            count: 0,
        };
        let shape = to.shape(inputs[0])?;
        let (taps, places) = (window.taps(), window.places());
        ensure!(
            shape[1].is_multiple_of(taps) && shape[2] == places,
            "the columns do not fit the window"
        );
        let channels = shape[1] / taps;
        let mut image = tvec!(shape[0], channels);
        image.extend_from_slice(&window.input);
        let columns = to.reshape(inputs[0], &[shape[0], channels, taps, places])?;
        let folded = to.wire(Fold(window.flat()), &[columns])?;
        Ok(tvec!(to.reshape(folded, &image)?))
    }
}
