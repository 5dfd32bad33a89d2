//! Typed graph → the same graph, in which everything that only weights decide is computed. tract leaves it where
//! several operators read more than 4 MiB, as in networks that standardise their weights.

use std::collections::HashMap;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::model::TypedModelPatch;
use tract_onnx::tract_core::optim::CONST_FOLD_MEM_BUDGET;

/// Computes what a decluttered graph leaves; whether there was anything.
///
/// # Errors
/// If the graph is inconsistent.
pub fn compute(graph: &mut TypedModel) -> TractResult<bool> {
    let mut known: HashMap<OutletId, TValue> = HashMap::new();
    let mut readers: HashMap<OutletId, usize> = HashMap::new();
    // What an operator reads that depends on the image, or an output.
    let mut wanted: HashMap<OutletId, Arc<Tensor>> = HashMap::new();
    for id in graph.eval_order()? {
        let node = graph.node(id);
        let made = computed(graph, node, &known)?;
        for &input in &node.inputs {
            if made.is_none()
                && let Some(value) = known.get(&input)
            {
                let value = value.clone().into_arc_tensor();
                wanted.entry(input).or_insert(value);
            }
            // Values are let go as soon as they have been read.
            let left = readers.entry(input).or_insert_with(|| {
                let outlet = &graph.node(input.node).outputs[input.slot];
                outlet.successors.len()
            });
            *left -= 1;
            if *left == 0 {
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
    let any = !wanted.is_empty();
    let mut wanted: Vec<_> = wanted.into_iter().collect();
    wanted.sort_by_key(|&(outlet, _)| outlet);
    for (outlet, value) in wanted {
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

/// The outputs of a node whose inputs are known, unless they would take much more memory than these.
fn computed(
    graph: &TypedModel,
    node: &TypedNode,
    known: &HashMap<OutletId, TValue>,
) -> TractResult<Option<TVec<TValue>>> {
    if node.inputs.is_empty() {
        return Ok(None);
    }
    let mut inputs = tvec!();
    for input in &node.inputs {
        match (known.get(input), &graph.outlet_fact(*input)?.konst) {
            (Some(value), _) => inputs.push(value.clone()),
            (None, Some(value)) => inputs.push(value.clone().into_tvalue()),
            (None, None) => return Ok(None),
        }
    }
    let bytes = |volume: usize, kind: DatumType| (volume * kind.size_of()) as u64;
    let given: u64 = inputs
        .iter()
        .map(|value| bytes(value.volume(), value.datum_type()))
        .sum();
    let mut made = 0;
    for output in &node.outputs {
        let Some(shape) = output.fact.shape.as_concrete() else {
            return Ok(None);
        };
        made += bytes(shape.iter().product(), output.fact.datum_type);
    }
    if made > given.max(CONST_FOLD_MEM_BUDGET) {
        return Ok(None);
    }
    // An operator that cannot be computed now stays.
    Ok(node.op.eval_out_of_plan(inputs).ok().flatten())
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
