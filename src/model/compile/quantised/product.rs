//! Products with quantised weights → products of whole numbers, or with the weights that are meant.

use tract_onnx::pb::{AttributeProto, NodeProto};

use super::super::limits;
use super::composite::{Apart, single};
use super::packed;
use crate::error::{Error, Result};

impl Apart<'_> {
    pub fn product(&mut self, a: String, b: String, bias: String, output: &str) {
        if bias.is_empty() {
            return self.push("MatMul", vec![a, b], output, Vec::new());
        }
        let product = format!("{output}.product");
        self.push("MatMul", vec![a, b], &product, Vec::new());
        self.push("Add", vec![product, bias], output, Vec::new());
    }

    /// A convolution or product of whole numbers; `inputs` without the weights, of which are given: their name, that of
    /// their zero points, and the axis along which these lie.
    ///
    /// A zero point that a byte cannot take in adds the same to all weights: it becomes a sum over the other factor,
    /// so that the weights stay those of the file.
    pub fn whole_product(
        &mut self,
        operator: &str,
        mut inputs: Vec<String>,
        (weights, zero, axis): (String, String, i64),
        attributes: Vec<AttributeProto>,
        output: &str,
    ) {
        let Some((dims, zero)) = self.point(operator, &weights, &zero, &attributes) else {
            inputs.insert(1, self.real(&weights, &zero, axis));
            return self.push(operator, inputs, output, attributes);
        };
        let [whole, even, same] = ["whole", "even", "same"].map(|part| format!("{output}.{part}"));
        let count = dims.iter().product::<i64>();
        let values = vec![-zero; usize::try_from(count).unwrap_or_default()];
        self.graph
            .initializer
            .push(single(same.clone(), dims, &values));
        let shifted = vec![inputs[0].clone(), same];
        inputs.insert(1, self.real(&weights, "", axis));
        self.push(operator, inputs, &whole, attributes.clone());
        self.push(operator, shifted, &even, attributes);
        self.push("Add", vec![whole, even], output, Vec::new());
    }

    /// The zero point of constant weights if it is one number and not 0, and the shape of weights that are all alike.
    fn point(
        &self,
        operator: &str,
        weights: &str,
        zero: &str,
        attributes: &[AttributeProto],
    ) -> Option<(Vec<i64>, f32)> {
        let held = |name: &str| self.graph.initializer.iter().find(|t| t.name == name);
        let zeros = held(zero).and_then(packed::values)?;
        let &first = zeros.first()?;
        let mut dims = held(weights)?.dims.clone();
        if first == 0.0 || zeros.iter().any(|&zero| zero != first) {
            return None;
        }
        match (operator, dims.len()) {
            ("Conv", 3..) if !attributes.iter().any(|a| a.name == "group" && a.i > 1) => {
                dims[0] = 1;
            }
            ("Conv", 3..) => {}
            ("MatMul", 2) => dims[1] = 1,
            _ => return None,
        }
        Some((dims, first))
    }

    /// The product of whole numbers, times both of their steps.
    pub fn scaled_product(
        &mut self,
        a: String,
        weights: (String, String, i64),
        [first, second]: [&str; 2],
        bias: String,
        output: &str,
    ) {
        let [sum, step, exact] = ["sum", "product", "exact"].map(|part| format!("{output}.{part}"));
        self.whole_product("MatMul", vec![a], weights, Vec::new(), &sum);
        self.push("Mul", vec![first.into(), second.into()], &step, Vec::new());
        if bias.is_empty() {
            return self.push("Mul", vec![sum, step], output, Vec::new());
        }
        self.push("Mul", vec![sum, step], &exact, Vec::new());
        self.push("Add", vec![exact, bias], output, Vec::new());
    }

    /// The weights of a product, unpacked from a few bits.
    pub fn few_bits(
        &mut self,
        node: &NodeProto,
        [inputs, outputs]: [usize; 2],
        matrix: impl FnOnce() -> Vec<f32>,
        output: &str,
    ) -> Result<String> {
        // Reading the same bytes many times could fill the memory.
        self.unpacked += inputs * outputs;
        let bytes = self.graph.initializer.iter().map(|t| t.raw_data.len());
        if self.unpacked > bytes.sum::<usize>().saturating_mul(4) {
            let name = limits::label(node);
            return Err(Error::UnsupportedModel(format!(
                "the weights of `{name}` are read more than once"
            )));
        }
        let name = format!("{output}.weights");
        let shape = vec![inputs as i64, outputs as i64];
        let weights = single(name.clone(), shape, &matrix());
        self.graph.initializer.push(weights);
        Ok(name)
    }
}
