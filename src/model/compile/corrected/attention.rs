//! Attention of opset 23, without the cache that it keeps between calls. tract has it in a crate that is not
//! linked.

use tract_onnx::model::{OnnxOpRegister, ParsingContext};
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::einsum::EinSum;
use tract_onnx::tract_core::ops::math;
use tract_onnx::tract_core::ops::nn::Softmax;
use tract_onnx::tract_hir::infer::*;
use tract_onnx::tract_hir::internal::InferenceOp;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

use super::Wiring;

pub fn register(operators: &mut OnnxOpRegister) {
    operators.insert("Attention", read);
}

fn read(_: &ParsingContext, node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let attribute = |name: &str| node.attribute.iter().find(|a| a.name == name);
    let whole = |name: &str| attribute(name).map_or(0, |a| a.i);
    let heads = [whole("q_num_heads"), whole("kv_num_heads")];
    let plain = node.input.iter().filter(|name| !name.is_empty()).count() == node.input.len();
    ensure!(
        node.domain.is_empty() && plain && (3..=4).contains(&node.input.len()),
        "it keeps keys and values of earlier calls"
    );
    ensure!(
        node.output.len() == 1 && whole("is_causal") == 0 && heads[0] == heads[1],
        "it is causal, groups queries or outputs more than its result"
    );
    ensure!(
        attribute("softcap").is_none_or(|a| a.f == 0.0),
        "it caps its scores"
    );
    let op = Attention {
        heads: usize::try_from(heads[0])?,
        scale: attribute("scale").map(|a| a.f),
        masked: node.input.len() == 4,
    };
    Ok((expand(op), vec![]))
}

/// softmax(Q Kᵀ · scale + mask) V of each head. Vaswani et al., 2017, arXiv:1706.03762.
#[derive(Debug, Clone)]
struct Attention {
    /// 0: the heads have their own axis.
    heads: usize,
    /// None: it follows from the length of a key.
    scale: Option<f32>,
    masked: bool,
}

impl Expansion for Attention {
    fn name(&self) -> StaticName {
        "Attention".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        solver: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 3 + usize::from(self.masked))?;
        check_output_arity(outputs, 1)?;
        for tensor in [&inputs[1], &inputs[2], &outputs[0]] {
            solver.equals(&tensor.datum_type, &inputs[0].datum_type)?;
            solver.equals(&tensor.rank, &inputs[0].rank)?;
        }
        solver.given_2(
            &inputs[0].shape,
            &inputs[2].shape,
            move |solver, query, value| {
                let mut shape = query;
                let last = shape.len() - 1;
                shape[last] = value[last].clone();
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
        let mut to = Wiring {
            prefix,
            model,
            count: 0,
        };
        let query = to.shape(inputs[0])?;
        let mut parts = tvec!();
        for &input in &inputs[..3] {
            let shape = to.shape(input)?;
            parts.push(match *shape {
                [_, _, _, _] => input,
                [batch, length, width] if self.heads > 0 && width % self.heads == 0 => {
                    let split = [batch, length, self.heads, width / self.heads];
                    let split = to.reshape(input, &split)?;
                    to.wire(AxisOp::Move(2, 1), &[split])?
                }
                _ => bail!("it has other axes"),
            });
        }
        let depth = *to.shape(parts[1])?.last().context("no key")?;
        let product = |to: &mut Wiring, a: &str, b: &str, made: &str, pair: &[OutletId]| {
            let axes = AxesMapping::from_strs(&[a, b], &[made])?;
            to.wire(EinSum::new(axes, f32::datum_type()), pair)
        };
        let scale = self.scale.unwrap_or(1.0 / (depth as f32).sqrt());
        let scale = to.scalar(scale, 4)?;
        let scaled = to.wire(math::mul(), &[parts[0], scale])?;
        let mut weights = product(&mut to, "bhnd", "bhmd", "bhnm", &[scaled, parts[1]])?;
        if self.masked {
            let fact = to.model.outlet_fact(inputs[3])?;
            ensure!(
                fact.datum_type == f32::datum_type(),
                "its mask does not hold numbers"
            );
            let mut mask = inputs[3];
            while to.shape(mask)?.len() < 4 {
                mask = to.wire(AxisOp::Add(0), &[mask])?;
            }
            weights = to.wire(math::add(), &[weights, mask])?;
        }
        let softmax = Softmax {
            axes: tvec!(3),
            ..Softmax::default()
        };
        let weights = to.wire(softmax, &[weights])?;
        let mut made = product(&mut to, "bhnm", "bhmd", "bhnd", &[weights, parts[2]])?;
        if query.len() == 3 {
            made = to.wire(AxisOp::Move(1, 2), &[made])?;
            let [batch, length, heads, width] = *to.shape(made)? else {
                bail!("it has other axes");
            };
            made = to.reshape(made, &[batch, length, heads * width])?;
        }
        Ok(tvec!(made))
    }
}
