//! weights as a graph or a file has them → packed for the kernels.

use std::sync::Arc;

use super::kernel::{Depthwise, Gemm, Window, Winograd, widen};
use super::product;

/// Weights of a product, packed for its kernel.
#[derive(Debug, Clone, PartialEq)]
pub enum Packed {
    /// One for each group, over neighbouring channels.
    Groups(Arc<[Gemm]>),
    /// For a 3×3 window over all channels.
    Winograd(Arc<Winograd>),
    /// They are still in the file.
    #[cfg(feature = "compile")]
    Unread {
        /// Whether they are for a 3×3 window over all channels.
        winograd: bool,
    },
}

/// How the weights of a convolution or product lie in their tensor: each output has `inputs` inputs of
/// its group with `taps` weights each.
#[derive(Debug, Clone, PartialEq)]
pub struct Arrangement {
    pub groups: usize,
    pub inputs: usize,
    pub taps: usize,
    /// Distances between neighbouring outputs, inputs and taps.
    pub strides: [usize; 3],
    /// Factor of each output; empty: all 1.
    pub scale: Vec<f32>,
    /// Summand of each output.
    pub bias: Vec<f32>,
}

/// The values of a tensor, row-major.
#[derive(Debug, Clone, Copy)]
pub enum Values<'a> {
    #[cfg(feature = "compile")]
    Single(&'a [f32]),
    /// Little-endian bytes.
    SingleBytes(&'a [u8]),
    /// Little-endian bytes.
    HalfBytes(&'a [u8]),
    /// Whole numbers from -128 to 127.
    Bytes(&'a [u8]),
    /// Whole numbers from 0 to 255.
    Unsigned(&'a [u8]),
    Blocks(&'a Blocks<'a>),
}

/// Most numbers of a [`Blocks`] in a byte.
pub const MOST_IN_A_BYTE: usize = 4;

/// Numbers of a few bits, the first in the lowest bits of a byte. Blocks of neighbours share a step and a zero point:
/// each stands for `(number - zero) × step`.
#[derive(Debug)]
pub struct Blocks<'a> {
    pub numbers: &'a [u8],
    /// 2, 4 or 8.
    pub bits: usize,
    /// Numbers of a block.
    pub block: usize,
    /// Blocks of a row.
    pub row: usize,
    /// One for each block.
    pub steps: Values<'a>,
    /// One for each block; as [`Values::Unsigned`], those of a row are packed like the numbers and begin with a byte.
    /// None: the middle.
    pub zeros: Option<Values<'a>>,
    /// The first number that is meant.
    pub start: usize,
}

impl Blocks<'_> {
    /// The number at a place of some bytes.
    fn number(&self, bytes: &[u8], at: usize) -> f32 {
        let each = 8 / self.bits;
        let shifted = u32::from(bytes[at / each]) >> (self.bits * (at % each));
        (shifted & ((1 << self.bits) - 1)) as f32
    }

    fn zero(&self, block: usize) -> f32 {
        match self.zeros {
            None => (1 << (self.bits - 1)) as f32,
            Some(Values::Unsigned(bytes)) => {
                let across = (self.row * self.bits).div_ceil(8);
                let (row, at) = (block / self.row, block % self.row);
                self.number(&bytes[row * across..], at)
            }
            Some(values) => values.one(block),
        }
    }

    fn read(&self, at: usize, to: &mut [f32]) {
        let (mut at, mut rest) = (self.start + at, to);
        while !rest.is_empty() {
            let block = at / self.block;
            let count = rest.len().min(self.block - at % self.block);
            let (now, later) = rest.split_at_mut(count);
            let (step, zero) = (self.steps.one(block), self.zero(block));
            for (to, at) in now.iter_mut().zip(at..) {
                *to = (self.number(self.numbers, at) - zero) * step;
            }
            (at, rest) = (at + count, later);
        }
    }
}

impl<'a> Values<'a> {
    /// Those from `start` on; none where there are fewer.
    pub fn skip(self, start: usize) -> Option<Values<'a>> {
        Some(match self {
            #[cfg(feature = "compile")]
            Values::Single(values) => Values::Single(values.get(start..)?),
            Values::SingleBytes(bytes) => Values::SingleBytes(bytes.get(start.checked_mul(4)?..)?),
            Values::HalfBytes(bytes) => Values::HalfBytes(bytes.get(start.checked_mul(2)?..)?),
            Values::Bytes(bytes) => Values::Bytes(bytes.get(start..)?),
            Values::Unsigned(bytes) => Values::Unsigned(bytes.get(start..)?),
            Values::Blocks(_) => return None,
        })
    }

    pub fn len(&self) -> usize {
        match self {
            #[cfg(feature = "compile")]
            Values::Single(values) => values.len(),
            Values::SingleBytes(bytes) => bytes.len() / 4,
            Values::HalfBytes(bytes) => bytes.len() / 2,
            Values::Bytes(bytes) | Values::Unsigned(bytes) => bytes.len(),
            Values::Blocks(blocks) => {
                let all = blocks.numbers.len() * (8 / blocks.bits);
                all.saturating_sub(blocks.start)
            }
        }
    }

    fn one(&self, at: usize) -> f32 {
        let mut one = [0.0];
        self.read(at, &mut one);
        one[0]
    }

    /// Neighbouring values from `at` on.
    pub fn read(&self, at: usize, to: &mut [f32]) {
        match self {
            #[cfg(feature = "compile")]
            Values::Single(values) => to.copy_from_slice(&values[at..at + to.len()]),
            Values::SingleBytes(bytes) => {
                let bytes = bytes[at * 4..(at + to.len()) * 4].chunks_exact(4);
                for (to, b) in to.iter_mut().zip(bytes) {
                    *to = f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                }
            }
            Values::HalfBytes(bytes) => widen(&bytes[at * 2..(at + to.len()) * 2], to),
            Values::Bytes(bytes) => {
                for (to, &byte) in to.iter_mut().zip(&bytes[at..]) {
                    *to = f32::from(byte as i8);
                }
            }
            Values::Unsigned(bytes) => {
                for (to, &byte) in to.iter_mut().zip(&bytes[at..]) {
                    *to = f32::from(byte);
                }
            }
            Values::Blocks(blocks) => blocks.read(at, to),
        }
    }
}

/// Outputs that are read at once where they lie side by side: panels of 8 and of 12 begin at a multiple.
const BAND: usize = 24;

impl Arrangement {
    /// Number of values between the first and the last that are read, both included; none if there are none
    /// or the count overflows.
    pub fn reach(&self) -> Option<usize> {
        let sizes = [self.bias.len(), self.inputs, self.taps];
        let mut reach = 1usize;
        for (size, stride) in sizes.into_iter().zip(self.strides) {
            reach = reach.checked_add(size.checked_sub(1)?.checked_mul(stride)?)?;
        }
        Some(reach)
    }

    /// Whether the weights of one output lie side by side, as in ONNX's Conv.
    pub fn in_rows(&self) -> bool {
        self.strides[1] == self.taps && (self.strides[2] == 1 || self.taps == 1)
    }

    /// Whether they are packed for this window.
    pub fn suits(&self, window: Option<&Window>) -> bool {
        let outputs = self.bias.len();
        let suits = |window| Winograd::suits(window, self.inputs, outputs);
        self.groups == 1 && window.is_some_and(suits)
    }

    /// Bytes that [`Arrangement::pack`] makes from this many values, and those that it takes meanwhile.
    pub fn bytes(&self, values: usize, window: Option<&Window>) -> [u64; 2] {
        let outputs = self.bias.len();
        let row = product([self.inputs, self.taps]);
        let [kept, moment] = match window.filter(|_| self.suits(window)) {
            Some(window) => Winograd::bytes(window, self.inputs, outputs),
            None => {
                let [group, moment] = Gemm::bytes(row, outputs / self.groups);
                // The list of the groups is copied once.
                let all = group.saturating_add(size_of::<Gemm>() as u64);
                let all = all.saturating_mul(self.groups as u64);
                let list = size_of::<Gemm>() as u64 * self.groups as u64;
                [all, moment.saturating_add(list)]
            }
        };
        let read = match (self.in_rows(), self.strides[0]) {
            (true, _) => row,
            (false, 1) => row.saturating_mul(BAND as u64),
            (false, _) => values as u64,
        };
        [kept, moment.saturating_add(read.saturating_mul(4))]
    }

    /// Packed for products, or for the window over padded images if there is one and it is faster.
    ///
    /// # Panics
    /// When fewer values than [`Arrangement::reach`] are given.
    pub fn pack(&self, values: Values, window: Option<&Window>) -> Packed {
        let (inputs, taps) = (self.inputs, self.taps);
        let rows = self.in_rows();
        let banded = !rows && self.strides[0] == 1;
        let mut band = vec![0.0; if banded { inputs * taps * BAND } else { 0 }];
        let mut begins = None;
        let mut all = Vec::new();
        if !rows && !banded {
            all.resize(values.len(), 0.0);
            values.read(0, &mut all);
        }
        let mut row = vec![0.0; if rows { inputs * taps } else { 0 }];
        // Those of one output, tap by tap.
        let mut fill = |output: usize, to: &mut [f32]| {
            let start = output * self.strides[0];
            if rows && taps == 1 {
                values.read(start, to);
            } else if banded {
                let first = output - output % BAND;
                let count = BAND.min(self.bias.len() - first);
                let [_, across, deep] = self.strides;
                if begins.replace(first) != Some(first) {
                    for (at, to) in band.chunks_exact_mut(BAND).enumerate() {
                        let place = first + at % inputs * across + at / inputs * deep;
                        values.read(place, &mut to[..count]);
                    }
                }
                for (to, band) in to.iter_mut().zip(band.chunks_exact(BAND)) {
                    *to = band[output - first];
                }
            } else {
                if rows {
                    values.read(start, &mut row);
                }
                let (from, [_, across, deep]) = match rows {
                    true => (&row[..], [0, taps, 1]),
                    false => (&all[start..], self.strides),
                };
                for (tap, to) in to.chunks_exact_mut(inputs).enumerate() {
                    for (input, to) in to.iter_mut().enumerate() {
                        *to = from[input * across + tap * deep];
                    }
                }
            }
            if let Some(scale) = self.scale.get(output) {
                to.iter_mut().for_each(|value| *value *= scale);
            }
        };
        let outputs = self.bias.len();
        if let Some(window) = window.filter(|window| self.suits(Some(window))) {
            let convolution = Winograd::new(*window, inputs, &self.bias, fill);
            return Packed::Winograd(Arc::new(convolution));
        }
        let each = outputs / self.groups;
        let group = |group: usize| {
            let first = group * each;
            let bias = &self.bias[first..first + each];
            Gemm::new(inputs * taps, bias, |output, to| fill(first + output, to))
        };
        Packed::Groups((0..self.groups).map(group).collect())
    }

    /// One filter for each channel.
    ///
    /// # Panics
    /// When fewer values than [`Arrangement::reach`] are given.
    pub fn filter(&self, values: Values) -> Arc<Depthwise> {
        let mut all = vec![0.0; values.len()];
        values.read(0, &mut all);
        let weight = |channel: usize, tap: usize| {
            let scale = self.scale.get(channel).copied().unwrap_or(1.0);
            all[channel * self.strides[0] + tap * self.strides[2]] * scale
        };
        Arc::new(Depthwise::new(self.taps, &self.bias, weight))
    }
}
