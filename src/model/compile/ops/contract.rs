//! Einsums of two tensors that are both computed, such as attention: matrix products of maps.

use tract_onnx::tract_core::internal::*;

use super::floats;
use crate::model::run::kernel::{Gemm, Output, Patches};
use crate::model::run::product;

/// Sums products of two tensors over the axes that only they share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// Positions of each axis in the first tensor, in the second and in the result.
    pub axes: Vec<Positions>,
}

type Positions = [Option<usize>; 3];

/// Kinds of axes, by the tensors that have them.
const BATCH: [bool; 3] = [true, true, true];
const ROWS: [bool; 3] = [true, false, true];
const COLUMNS: [bool; 3] = [false, true, true];
const SUMMED: [bool; 3] = [true, true, false];

impl Contract {
    /// # Errors
    /// Unless all axes of a tensor are there, each once.
    pub fn new(axes: &[Positions]) -> TractResult<Contract> {
        for tensor in 0..3 {
            let mut positions: Vec<_> = axes.iter().filter_map(|axis| axis[tensor]).collect();
            positions.sort_unstable();
            ensure!(
                positions.iter().copied().eq(0..positions.len()),
                "axes are missing"
            );
        }
        Ok(Contract {
            axes: axes.to_vec(),
        })
    }

    /// Positions in `tensor` of its axes, by kind; those of length 1 that no other tensor has come last.
    fn order(&self, tensor: usize, kinds: [[bool; 3]; 3]) -> Vec<usize> {
        let alone = std::array::from_fn(|other| other == tensor);
        let kinds = kinds.into_iter().chain([alone]);
        kinds.flat_map(|kind| self.of(kind, tensor)).collect()
    }

    /// Positions in `tensor` of the axes of one kind.
    fn of(&self, kind: [bool; 3], tensor: usize) -> Vec<usize> {
        let axes = self.axes.iter();
        let kinds = axes.filter(|axis| axis.map(|position| position.is_some()) == kind);
        kinds.filter_map(|axis| axis[tensor]).collect()
    }

    /// Bytes that a run on inputs of these shapes takes meanwhile, and its multiplications.
    pub fn cost(&self, inputs: [&[usize]; 2]) -> (u64, u64) {
        let sizes = |tensor: usize, kind: [bool; 3]| {
            let axes = self.of(kind, tensor).into_iter();
            axes.map(|axis| inputs[tensor][axis]).collect::<Vec<_>>()
        };
        let (batch, rows) = (sizes(0, BATCH), sizes(0, ROWS));
        let (columns, summed) = (sizes(1, COLUMNS), sizes(0, SUMMED));
        let made = product([&batch[..], &rows, &columns].concat());
        let products = made.saturating_mul(product(summed.iter().copied()));
        let outputs = columns.iter().product();
        let [packed, moment] = Gemm::bytes(product(summed), outputs);
        let bytes = |shape: &[usize]| product(shape.iter().copied()).saturating_mul(4);
        let [a, b] = inputs.map(bytes);
        let sum = |all: &[u64]| all.iter().copied().fold(0, u64::saturating_add);
        // A tensor that somebody else reads is copied before its axes are moved, and moving copies.
        let scratch = [
            sum(&[a, a, a]),
            sum(&[a, b, b, b]),
            sum(&[a, b, packed, moment, outputs as u64 * 4]),
            made.saturating_mul(8),
        ];
        let packing = product(batch).saturating_mul(packed);
        let most = scratch.into_iter().max().unwrap_or(0);
        (most, products.saturating_add(packing))
    }

    /// # Errors
    /// For shapes that do not fit each other.
    fn shape(&self, inputs: [&[usize]; 2]) -> TractResult<TVec<usize>> {
        let rank = |tensor: usize| {
            self.axes
                .iter()
                .filter(|axis| axis[tensor].is_some())
                .count()
        };
        ensure!(
            inputs[0].len() == rank(0) && inputs[1].len() == rank(1),
            "another rank"
        );
        let mut shape = tvec!(0; rank(2));
        for &[a, b, result] in &self.axes {
            let sizes = [a.map(|a| inputs[0][a]), b.map(|b| inputs[1][b])];
            let size = sizes[0].or(sizes[1]).unwrap_or(1);
            ensure!(sizes.iter().flatten().all(|&s| s == size), "lengths differ");
            let alone = [a, b, result].iter().flatten().count() == 1;
            ensure!(!alone || size == 1, "a long axis of one tensor alone");
            if let Some(result) = result {
                shape[result] = size;
            }
        }
        Ok(shape)
    }
}

impl EvalOp for Contract {
    op_out_of_plan!();

    fn eval(&self, _: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let (a, b) = args_2!(inputs);
        let shape = self.shape([a.shape(), b.shape()])?;
        let size = |tensor: &Tensor, axes: &[usize]| -> usize {
            axes.iter().map(|&axis| tensor.shape()[axis]).product()
        };
        let batch = size(&a, &self.of(BATCH, 0));
        let rows = size(&a, &self.of(ROWS, 0));
        let columns = size(&b, &self.of(COLUMNS, 1));
        let summed = size(&a, &self.of(SUMMED, 0));
        let a = a
            .into_tensor()
            .permute_axes(&self.order(0, [BATCH, ROWS, SUMMED]))?;
        let b = b
            .into_tensor()
            .permute_axes(&self.order(1, [BATCH, COLUMNS, SUMMED]))?;
        let made = self.order(2, [BATCH, ROWS, COLUMNS]);
        let moved: TVec<usize> = made.iter().map(|&axis| shape[axis]).collect();
        let mut result = Tensor::zero::<f32>(&moved)?;
        let mut plain = result.try_as_plain_ram_mut()?;
        let values = plain.as_slice_mut::<f32>()?;
        let (left, right) = (floats(&a)?, floats(&b)?);
        let patches = Patches::pixels(rows, summed);
        for at in 0..batch {
            let right = &right[at * columns * summed..][..columns * summed];
            let gemm = Gemm::new(summed, &vec![0.0; columns], |column, row| {
                row.copy_from_slice(&right[column * summed..][..summed]);
            });
            let output = Output::plain(
                &mut values[at * rows * columns..][..rows * columns],
                columns,
            );
            gemm.run(&left[at * rows * summed..], &patches, output);
        }
        drop((a, b));
        let back: Vec<usize> = (0..shape.len())
            .filter_map(|axis| made.iter().position(|&m| m == axis))
            .collect();
        Ok(tvec!(result.permute_axes(&back)?.into_tvalue()))
    }
}

impl Op for Contract {
    fn name(&self) -> StaticName {
        "Contract".into()
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl TypedOp for Contract {
    fn output_facts(&self, inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        ensure!(inputs.len() == 2, "{} inputs, expected two", inputs.len());
        let float = |input: &&TypedFact| input.datum_type == f32::datum_type();
        ensure!(inputs.iter().all(float), "inputs that are not f32");
        let open = "of open shape";
        let shapes = [
            inputs[0].shape.as_concrete().context(open)?,
            inputs[1].shape.as_concrete().context(open)?,
        ];
        Ok(tvec!(f32::fact(self.shape(shapes)?)))
    }

    as_op!();
}
