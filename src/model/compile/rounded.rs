//! graph in FP32, weights to be rounded to FP16 → the graph with them rounded, without writing a file.

use std::borrow::Cow;
use std::sync::Arc;

use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;

use super::{onnx, unusable, weights};
use crate::error::Result;
use crate::manifest::Manifest;
use crate::model::Model;
use crate::model::compile::ops::floats;
use crate::model::error::{contained, failed};

/// A graph in FP32, as [`shrink`](super::shrink::shrink()) makes it.
pub struct Rounding<'a> {
    read: onnx::Read,
    manifest: &'a Manifest,
    /// Those that FP16 can hold, the least changed first.
    pub weights: Vec<Rounded>,
}

/// A tensor of weights.
pub struct Rounded {
    /// Its name in the graph.
    pub name: String,
    /// Bytes in FP32.
    pub bytes: usize,
    /// Length of the rounding errors as a share of the length of the values.
    loss: f64,
    node: usize,
}

impl<'a> Rounding<'a> {
    /// Reads a graph; an owned file is freed first.
    ///
    /// # Errors
    /// Those of [`Model::as_given`].
    pub fn new(onnx: Cow<[u8]>, manifest: &'a Manifest) -> Result<Rounding<'a>> {
        let read = contained(|| onnx::read(onnx, manifest))?;
        let mut weights = Vec::new();
        for node in read.graph.nodes() {
            let Some(tensor) = held(node).filter(|tensor| tensor.rank() > 1) else {
                continue;
            };
            let values = floats(&tensor).map_err(failed)?;
            let (mut error, mut length) = (0.0, 0.0);
            for &value in values {
                let (value, kept) = (f64::from(value), f64::from(half(value)));
                error += (value - kept).powi(2);
                length += value.powi(2);
            }
            let loss = match error == 0.0 {
                true => 0.0,
                false => (error / length).sqrt(),
            };
            if loss.is_finite() {
                weights.push(Rounded {
                    name: node.name.clone(),
                    bytes: 4 * values.len(),
                    loss,
                    node: node.id,
                });
            }
        }
        weights.sort_by(|a, b| a.loss.total_cmp(&b.loss));
        Ok(Rounding {
            read,
            manifest,
            weights,
        })
    }

    /// The graph, operator by operator, with these of [`Rounding::weights`] rounded.
    ///
    /// # Errors
    /// Those of [`Model::as_given`].
    pub fn rounded(&self, rounded: &[usize]) -> Result<Model> {
        contained(|| {
            let mut read = self.read.clone();
            for &at in rounded.iter().filter(|&&at| self.weights[at].loss > 0.0) {
                let node = read.graph.node_mut(self.weights[at].node);
                let Some(mut tensor) = held(node) else {
                    continue;
                };
                let values = Arc::make_mut(&mut tensor);
                let mut plain = values.try_as_plain_ram_mut().map_err(unusable)?;
                let values = plain.as_slice_mut::<f32>().map_err(unusable)?;
                values.iter_mut().for_each(|value| *value = half(*value));
                weights::set(node, tensor).map_err(unusable)?;
            }
            Model::kept(read.typed(self.manifest, &[], 1)?)
        })
    }
}

fn held(node: &weights::Node) -> Option<Arc<Tensor>> {
    let tensor = node.op_as::<Const>()?.val();
    (tensor.datum_type() == f32::datum_type()).then(|| tensor.clone())
}

fn half(value: f32) -> f32 {
    f16::from_f32(value).to_f32()
}
