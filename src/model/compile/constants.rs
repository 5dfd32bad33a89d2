//! What only weights decide → its values. tract computes it, but not where several operators read more than 4 MiB,
//! as in networks that standardise their weights, nor while it reads a graph.

use std::collections::HashMap;
use std::fmt::{Debug, Display};

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::model::TypedModelPatch;
use tract_onnx::tract_core::ops::cnn::{Conv, Deconv};
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::scan::Scan;
use tract_onnx::tract_core::optim::CONST_FOLD_MEM_BUDGET;
use tract_onnx::tract_hir::infer::{Factoid, InferenceModel};

/// Computes what a decluttered graph leaves; whether there was anything.
///
/// # Errors
/// If the graph is inconsistent.
pub fn compute(graph: &mut TypedModel) -> TractResult<bool> {
    let values = follow(
        graph,
        |fact| fact.konst.clone(),
        |fact| Some((fact.shape.as_concrete()?.into(), fact.datum_type)),
        |op, inputs| {
            let multiplies = op.is::<EinSum>() || op.is::<Conv>() || op.is::<Deconv>();
            let quick = !multiplies && !op.is::<Scan>();
            quick.then(|| op.eval_out_of_plan(inputs).ok().flatten())?
        },
    )?;
    let any = !values.is_empty();
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by_key(|&(outlet, _)| outlet);
    for (outlet, value) in values {
        let name = format!("{}.computed.{}", graph.node(outlet.node).name, outlet.slot);
        let mut patch = TypedModelPatch::default();
        let wire = patch.add_const(name, value)?;
        patch.shunt_outside(graph, outlet, wire)?;
        patch.apply(graph)?;
    }
    if any {
        graph.compact()?;
    }
    Ok(any)
}

/// What is left of a graph whose shapes were found: by outlets.
///
/// # Errors
/// If the graph is inconsistent.
pub fn left(graph: &InferenceModel) -> TractResult<HashMap<OutletId, Arc<Tensor>>> {
    follow(
        graph,
        |fact| fact.value.concretize(),
        |fact| {
            let shape = fact.shape.as_concrete_finite().ok().flatten()?;
            Some((shape, fact.datum_type.concretize()?))
        },
        |op, inputs| {
            let name = op.name();
            let quick = QUICK.iter().any(|quick| name.starts_with(quick));
            quick.then(|| op.eval_out_of_plan(inputs).ok().flatten())?
        },
    )
}

/// How the names of operators begin that standardise weights, none of which takes longer than a file is long.
const QUICK: [&str; 19] = [
    "Add",
    "BatchNorm",
    "Div",
    "Identity",
    "Mul",
    "Neg",
    "Permute",
    "Pow",
    "Recip",
    "Reduce",
    "Reshape",
    "Rm",
    "Rsqrt",
    "Sqrt",
    "Square",
    "Squeeze",
    "Sub",
    "Transpose",
    "Unsqueeze",
];

/// What weights alone decide, and an operator reads whose output depends on the image, or is an output.
fn follow<F, O>(
    graph: &Graph<F, O>,
    constant: impl Fn(&F) -> Option<Arc<Tensor>>,
    form: impl Fn(&F) -> Option<(TVec<usize>, DatumType)>,
    eval: impl Fn(&O, TVec<TValue>) -> Option<TVec<TValue>>,
) -> TractResult<HashMap<OutletId, Arc<Tensor>>>
where
    F: Fact + Clone + 'static,
    O: Debug + Display + AsRef<dyn Op> + AsMut<dyn Op> + Clone + 'static,
{
    let mut wanted = HashMap::new();
    let mut known: HashMap<OutletId, TValue> = HashMap::new();
    let mut readers: HashMap<OutletId, usize> = HashMap::new();
    for id in graph.eval_order()? {
        let node = graph.node(id);
        let input = |input: &OutletId| match known.get(input) {
            Some(value) => Some(value.clone()),
            None => Some(constant(graph.outlet_fact(*input).ok()?)?.into_tvalue()),
        };
        let done = node
            .outputs
            .iter()
            .all(|output| constant(&output.fact).is_some());
        let inputs: Option<TVec<TValue>> = match node.inputs.is_empty() || done {
            true => None,
            false => node.inputs.iter().map(input).collect(),
        };
        let inputs = inputs.filter(|inputs| {
            let bytes = |volume: usize, kind: DatumType| (volume * kind.size_of()) as u64;
            let given = inputs
                .iter()
                .map(|value| bytes(value.volume(), value.datum_type()));
            let made = node.outputs.iter().map(|output| {
                let (shape, kind) = form(&output.fact)?;
                Some(bytes(shape.iter().product(), kind))
            });
            let most = given.sum::<u64>().max(CONST_FOLD_MEM_BUDGET);
            made.sum::<Option<u64>>().is_some_and(|made| made <= most)
        });
        // An operator that cannot be computed now stays.
        let made = inputs.and_then(|inputs| eval(&node.op, inputs));
        for &input in &node.inputs {
            if made.is_none()
                && let Some(value) = known.get(&input)
            {
                let value = value.clone().into_arc_tensor();
                wanted.entry(input).or_insert(value);
            }
            // Values are let go as soon as they have been read.
            let rest = readers.entry(input).or_insert_with(|| {
                let output = &graph.node(input.node).outputs[input.slot];
                output.successors.len()
            });
            *rest = rest.saturating_sub(1);
            if *rest == 0 {
                known.remove(&input);
            }
        }
        for (slot, value) in made.into_iter().flatten().enumerate() {
            let outlet = OutletId::new(id, slot);
            if graph.outputs.contains(&outlet) {
                wanted.insert(outlet, value.clone().into_arc_tensor());
            }
            known.insert(outlet, value);
        }
    }
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use tract_onnx::tract_core::ops::math;
    use tract_onnx::tract_core::ops::nn::{Reduce, Reducer};

    use super::*;
    use crate::model::compile::simplify;

    #[test]
    fn large_weights_that_are_standardised_become_constant() -> TractResult<()> {
        let (rows, columns) = (1200, 1000);
        let mut graph = TypedModel::default();
        let image = graph.add_source("image", f32::fact([rows, columns]))?;
        let values: Vec<f32> = (0..rows * columns).map(|at| (at % 7) as f32).collect();
        let weights = Tensor::from_shape(&[rows, columns], &values)?;
        let weights = graph.add_const("weights", weights)?;
        let largest = Reduce::new(tvec!(0), Reducer::Max);
        let largest = graph.wire_node("largest", largest, &[weights])?[0];
        let below = graph.wire_node("below", math::sub(), &[weights, largest])?[0];
        let sum = graph.wire_node("sum", math::add(), &[image, below])?;
        graph.select_output_outlets(&sum)?;

        simplify::declutter(&mut graph)?;
        assert_eq!(graph.nodes().len(), 3, "{graph}");
        let image = Tensor::zero::<f32>(&[rows, columns])?;
        let made = graph.into_runnable()?.run(tvec!(image.into_tvalue()))?;
        let made = made[0].try_as_plain_ram()?.as_slice::<f32>()?.to_vec();
        assert!(
            made.iter()
                .zip(values)
                .all(|(made, value)| *made == value - 6.0)
        );
        Ok(())
    }
}
