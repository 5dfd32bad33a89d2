//! Nodes whose inputs and output are quantised → sums of whole numbers, scaled, and rounded as ONNX Runtime rounds.
//!
//! The formulas are those of its kernels for x86; where a sum lies half-way between two numbers, those for other
//! machines may take the other one.

use tract_onnx::pb::NodeProto;

use super::super::limits;
use super::composite::{Apart, number, single};
use super::packed;
use crate::error::{Error, Result};

impl Apart<'_> {
    /// Splits a node of an operator QLinear… or QGemm whose inputs are `given`.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`] where steps or zero points depend on the image,
    /// [`Error::UnsupportedOperator`] for attributes that cannot be run.
    pub fn linear(&mut self, mut node: NodeProto, given: &[String]) -> Result<()> {
        let input = |at: usize| given.get(at).map_or("", String::as_str);
        let output = node.output.first().cloned().unwrap_or_default();
        let [sum, exact] = ["sum", "exact"].map(|part| format!("{output}.{part}"));
        self.numbers.insert(sum.clone());
        let attributes = std::mem::take(&mut node.attribute);
        let name = limits::label(&node);
        match node.op_type.as_str() {
            "QLinearConv" => {
                let factors = self.factors(name, 1.0, [input(1), input(4)], input(6))?;
                let mut inputs = vec![self.real(input(0), input(2), 1)];
                if !input(8).is_empty() {
                    inputs.push(self.real(input(8), "", 0));
                }
                let weights = (input(3).into(), input(5).into(), 0);
                let held = self.graph.initializer.iter().find(|t| t.name == input(3));
                let places = held.map_or(2, |weights| weights.dims.len().saturating_sub(2));
                self.whole_product("Conv", inputs, weights, attributes, &sum);
                self.scaled(sum, factors, places, &exact);
                self.quantised(&exact, ["", input(7)], input(7), &output);
            }
            "QLinearMatMul" => {
                let factors = self.factors(name, 1.0, [input(1), input(4)], input(6))?;
                let a = self.real(input(0), input(2), -2);
                let weights = (input(3).into(), input(5).into(), -1);
                self.whole_product("MatMul", vec![a], weights, attributes, &sum);
                self.scaled(sum, factors, 0, &exact);
                self.quantised(&exact, ["", input(7)], input(7), &output);
            }
            "QGemm" => {
                let found = |name: &str| attributes.iter().find(|a| a.name == name);
                let transposed = found("transB").is_some_and(|a| a.i != 0);
                let alpha = found("alpha").map_or(1.0, |a| a.f);
                let factors = self.factors(name, alpha, [input(1), input(4)], input(7))?;
                let mut inputs = vec![self.real(input(0), input(2), 1)];
                inputs.push(self.real(input(3), input(5), i64::from(!transposed)));
                if !input(6).is_empty() {
                    inputs.push(self.real(input(6), "", 0));
                }
                let attributes = attributes.into_iter().filter(|a| a.name != "alpha");
                self.push("Gemm", inputs, &sum, attributes.collect());
                if input(7).is_empty() {
                    self.scaled(sum, factors, 0, &output);
                } else {
                    self.scaled(sum, factors, 0, &exact);
                    self.quantised(&exact, ["", input(8)], input(8), &output);
                }
            }
            "QLinearAdd" => {
                // Zero points are added before anything is rounded, in this order.
                let held = |name: &str| self.graph.initializer.iter().any(|t| t.name == name);
                let (mut a, mut b) = (0, 3);
                if held(input(a)) && !held(input(b)) {
                    (a, b) = (b, a);
                }
                let step = self.one_number(name, input(6))?;
                let mut fixed = self.zero(name, input(7))?;
                let mut shares = [String::new(), String::new()];
                let mut moved = 0.0;
                for (at, share) in [a, b].into_iter().zip(&mut shares) {
                    let factor = self.one_number(name, input(at + 1))? / step;
                    let zero = self.zero(name, input(at + 2))?;
                    moved += factor * zero;
                    *share = format!("{output}.{at}");
                    let real = self.real(input(at), input(at + 2), 1);
                    let number = self.raised(real, zero, &format!("{share}.number"));
                    let factor = self.constant(share, vec![], &[factor]);
                    self.push("Mul", vec![number, factor], share, Vec::new());
                }
                fixed -= moved;
                let fixed = self.constant(&output, vec![], &[fixed]);
                let [a, b] = shares;
                self.push("Add", vec![b, fixed], &sum, Vec::new());
                self.push("Add", vec![a, sum], &exact, Vec::new());
                self.numbers.insert(exact.clone());
                self.quantised(&exact, ["", ""], input(7), &output);
            }
            "QLinearMul" => {
                let factors = self.factors(name, 1.0, [input(1), input(4)], input(6))?;
                let a = self.real(input(0), input(2), 1);
                let b = self.real(input(3), input(5), 1);
                let product = format!("{output}.product");
                self.push("Mul", vec![a, b], &sum, Vec::new());
                self.scaled(sum, factors, 0, &product);
                let zero = self.zero(name, input(7))?;
                self.raised(product, zero, &exact);
                self.quantised(&exact, ["", ""], input(7), &output);
            }
            "QLinearConcat" => {
                let mut parts = Vec::new();
                for (at, part) in given
                    .get(2..)
                    .unwrap_or_default()
                    .chunks_exact(3)
                    .enumerate()
                {
                    let real = self.real(&part[0], &part[2], 1);
                    let value = format!("{output}.part.{at}");
                    self.push("Mul", vec![real, part[1].clone()], &value, Vec::new());
                    parts.push(value);
                }
                self.push("Concat", parts, &exact, attributes);
                self.quantised(&exact, [input(0), input(1)], input(1), &output);
            }
            operator => {
                let set = |name: &str| attributes.iter().find(|a| a.name == name).map(|a| a.i);
                // Before opset 13, a Softmax treated all axes from the named one on as one.
                let refused = match (set("opset"), set("axis"), set("channels_last")) {
                    (_, _, Some(1..)) => "keeps its channels last, which",
                    (Some(..13), Some(axis), _) if axis != -1 => {
                        "is from an opset before 13, whose axis"
                    }
                    _ => "",
                };
                if !refused.is_empty() {
                    return Err(Error::UnsupportedOperator(format!(
                        "operator {operator} at `{name}` {refused} cannot be run here"
                    )));
                }
                let known = attributes.into_iter();
                let known = known.filter(|a| !["opset", "channels_last"].contains(&&*a.name));
                let plain = &operator[7..];
                let real = self.real(input(0), input(2), 1);
                if plain == "GlobalAveragePool" {
                    let step = self.one_number(name, input(3))?;
                    let factor = self.one_number(name, input(1))? / step;
                    self.push(plain, vec![real], &sum, known.collect());
                    self.scaled(sum, vec![factor], 0, &exact);
                    self.quantised(&exact, ["", input(4)], input(4), &output);
                    return Ok(());
                }
                let value = format!("{output}.value");
                self.push("Mul", vec![real, input(1).into()], &value, Vec::new());
                self.push(plain, vec![value], &exact, known.collect());
                self.quantised(&exact, [input(3), input(4)], input(4), &output);
            }
        }
        Ok(())
    }

    /// Steps from zero → the numbers that stand for them, before they are rounded.
    fn raised(&mut self, steps: String, zero: f32, output: &str) -> String {
        let zero = self.constant(output, vec![], &[zero]);
        self.push("Add", vec![steps, zero], output, Vec::new());
        self.numbers.insert(output.into());
        output.into()
    }

    /// Whole numbers → the same in steps of the output. `places`: the axes after that of the factors.
    fn scaled(&mut self, sum: String, factors: Vec<f32>, places: usize, output: &str) {
        let dims = match factors.len() {
            1 => Vec::new(),
            count => [vec![count as i64], vec![1; places]].concat(),
        };
        let factors = self.constant(output, dims, &factors);
        self.push("Mul", vec![sum, factors], output, Vec::new());
    }

    /// `like` is a tensor with the type of the output.
    fn quantised(&mut self, exact: &str, [step, zero]: [&str; 2], like: &str, output: &str) {
        let step = match step {
            "" => self.one(),
            step => step.into(),
        };
        let told = self.types.get(like).copied();
        let told = told.map(|told| number("output_dtype", i64::from(told)));
        let inputs = vec![exact.into(), step, zero.into()];
        self.push("QuantizeLinear", inputs, output, told.into_iter().collect());
        self.numbers.insert(output.into());
    }

    fn constant(&mut self, of: &str, dims: Vec<i64>, values: &[f32]) -> String {
        let name = format!("{of}.constant");
        self.graph
            .initializer
            .push(single(name.clone(), dims, values));
        name
    }

    /// What a product of whole numbers is multiplied with: one number, or one for each output.
    fn factors(&self, name: &str, alpha: f32, [a, b]: [&str; 2], step: &str) -> Result<Vec<f32>> {
        let first = alpha * self.one_number(name, a)?;
        let step = match step {
            "" => 1.0,
            step => self.one_number(name, step)?,
        };
        let second = self.known(name, b)?;
        Ok(second
            .into_iter()
            .map(|second| first * second / step)
            .collect())
    }

    fn zero(&self, name: &str, zero: &str) -> Result<f32> {
        match zero {
            "" => Ok(0.0),
            zero => self.one_number(name, zero),
        }
    }

    fn one_number(&self, name: &str, tensor: &str) -> Result<f32> {
        match self.known(name, tensor)?[..] {
            [number] => Ok(number),
            ref numbers => Err(Error::UnsupportedModel(format!(
                "`{tensor}` of `{name}` has {} values, expected one step or zero point for all places",
                numbers.len()
            ))),
        }
    }

    fn known(&self, name: &str, tensor: &str) -> Result<Vec<f32>> {
        let held = self.graph.initializer.iter().find(|t| t.name == tensor);
        held.and_then(packed::values).ok_or_else(|| {
            Error::UnsupportedModel(format!(
                "`{tensor}`, a step or zero point of `{name}`, is not a constant of the file"
            ))
        })
    }
}
