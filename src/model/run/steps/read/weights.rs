//! Weights and constants: where they are in the file, and what they take once they are read.

use super::super::record::Kind;
use super::fields::{Fields, MOST_CHANNELS, Sound, check, product};
use super::{Range, Reader};
use crate::model::run::MOST_ELEMENTS;
use crate::model::run::file::Span;
use crate::model::run::record::Numbers;
use crate::model::run::weights::{Arrangement, Blocks, Values};

/// Weights of a step, and what the record says of them.
pub(super) struct Weights {
    pub arrangement: Arrangement,
    pub tensor: Tensor,
    record: Vec<u32>,
}

/// A tensor of the file, from some value on.
#[derive(Debug)]
pub enum Tensor {
    Plain(Span),
    Blocks {
        numbers: Span,
        /// Bits of a number, numbers of a block, blocks of a row.
        sizes: [usize; 3],
        steps: Span,
        zeros: Option<Span>,
        start: usize,
    },
}

impl Tensor {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Tensor::Plain(span) => span.len(),
            Tensor::Blocks {
                numbers,
                sizes,
                start,
                ..
            } => (numbers.len() * (8 / sizes[0])).saturating_sub(*start),
        }
    }

    /// Where in the file the last of its parts ends.
    fn end(&self) -> usize {
        match self {
            Tensor::Plain(span) => span.bytes.end,
            Tensor::Blocks {
                numbers,
                steps,
                zeros,
                ..
            } => {
                let zeros = zeros.as_ref().map_or(0, |zeros| zeros.bytes.end);
                numbers.bytes.end.max(steps.bytes.end).max(zeros)
            }
        }
    }

    /// Passes on its values.
    ///
    /// # Panics
    /// When the file no longer reaches that far.
    pub fn with<T>(&self, onnx: &[u8], then: impl FnOnce(Values) -> T) -> T {
        match self {
            Tensor::Plain(span) => then(span.values(onnx)),
            Tensor::Blocks {
                numbers,
                sizes: [bits, block, row],
                steps,
                zeros,
                start,
            } => then(Values::Blocks(&Blocks {
                numbers: &onnx[numbers.bytes.clone()],
                bits: *bits,
                block: *block,
                row: *row,
                steps: steps.values(onnx),
                zeros: zeros.as_ref().map(|zeros| zeros.values(onnx)),
                start: *start,
            })),
        }
    }
}

/// Numbers of weights in a record, and of a window.
const WEIGHTS: usize = 11;
const WINDOW: usize = 12;

/// Weights or a constant, still in the file.
#[derive(Debug)]
pub struct Unread {
    /// Where in the file it ends; 0: it is in the plan.
    pub end: usize,
    /// Bytes that it takes permanently, and those that it takes meanwhile.
    pub bytes: [u64; 2],
    /// Bytes of what the plan says about it, which are taken from the start.
    pub told: u64,
    pub source: Source,
}

#[derive(Debug)]
pub enum Source {
    /// At a place.
    Constant(Range<usize>, Given),
    /// Of a step of the forward pass, or of the other.
    Weights {
        backward: bool,
        step: usize,
        arrangement: Arrangement,
        tensor: Tensor,
    },
}

/// Values of a plan, by their index and number, or those of a tensor of the file.
#[derive(Debug)]
pub enum Given {
    These(u32, usize),
    Of(Span),
}

impl Given {
    pub(super) fn len(&self) -> usize {
        match self {
            Given::These(_, length) => *length,
            Given::Of(span) => span.len(),
        }
    }

    pub(super) fn end(&self) -> usize {
        match self {
            Given::These(..) => 0,
            Given::Of(span) => span.bytes.end,
        }
    }

    pub(super) fn read(&self, numbers: &[Numbers], onnx: &[u8], to: &mut [f32]) {
        match self {
            Given::Of(span) => span.values(onnx).read(0, to),
            Given::These(at, _) => {
                if let Some(Numbers::These(values)) = numbers.get(*at as usize) {
                    to.copy_from_slice(values);
                }
            }
        }
    }
}

impl Reader<'_> {
    pub(super) fn given(&mut self, at: u32) -> Sound<Given> {
        let numbers = self
            .plan
            .numbers
            .get(at as usize)
            .ok_or("numbers that are not there")?;
        Ok(match numbers {
            Numbers::These(values) => Given::These(at, values.len()),
            Numbers::Of(name) => {
                let span = self.span(name, 0)?;
                self.spend(span.len())?;
                Given::Of(span)
            }
        })
    }

    fn span(&self, name: &str, start: usize) -> Sound<Span> {
        let values = self
            .file
            .tensors
            .get(name)
            .ok_or("there is no such tensor")?;
        let values = values
            .skip(start)
            .ok_or("weights begin outside their tensor")?;
        Span::of(values, self.file.onnx).ok_or("a tensor that is not in the file")
    }

    fn named(&self, tensor: u32) -> Sound<&str> {
        let name = self.plan.tensors.get(tensor as usize);
        Ok(name.ok_or("a tensor without a name")?)
    }

    fn tensor(&self, tensor: u32, start: usize) -> Sound<Tensor> {
        let mut blocks = self.plan.blocks.iter();
        let Some(&[_, bits, block, row, steps, zeros]) = blocks.find(|blocks| blocks[0] == tensor)
        else {
            return Ok(Tensor::Plain(self.span(self.named(tensor)?, start)?));
        };
        let numbers = self.span(self.named(tensor)?, 0)?;
        let steps = self.span(self.named(steps)?, 0)?;
        let zeros = zeros.checked_sub(1);
        let zeros = zeros.map(|zeros| self.span(self.named(zeros)?, 0));
        let zeros = zeros.transpose()?;
        let sizes @ [bits, block, row] = [bits, block, row].map(|size| size as usize);
        let sound = [2, 4, 8].contains(&bits)
            && (1..=MOST_ELEMENTS).contains(&block)
            && (1..=MOST_ELEMENTS).contains(&row)
            && numbers.is_unsigned();
        check(sound, "numbers of another form")?;
        let count = numbers.len().checked_mul(8 / bits);
        let count = count.ok_or("numbers without end")?.div_ceil(block);
        let fits = |zeros: &Span| match zeros.is_unsigned() {
            true => {
                let across = row.checked_mul(bits).map(|bits| bits.div_ceil(8));
                let whole = across.and_then(|across| count.div_ceil(row).checked_mul(across));
                whole.is_some_and(|whole| whole <= zeros.len())
            }
            false => count <= zeros.len(),
        };
        check(
            count <= steps.len() && zeros.as_ref().is_none_or(fits),
            "steps outside their tensor",
        )?;
        Ok(Tensor::Blocks {
            numbers,
            sizes,
            steps,
            zeros,
            start,
        })
    }

    pub(super) fn spend(&mut self, values: usize) -> Sound<()> {
        let left = self.left.checked_sub(values);
        self.left = left.ok_or("it reads the file's tensors too often")?;
        Ok(())
    }

    /// Weights of a step of this kind. Those that an earlier step has in the same form are not read again.
    pub(super) fn weights(&mut self, kind: Kind, fields: &mut Fields) -> Sound<Weights> {
        let length = match kind {
            Kind::Tiles => WEIGHTS + WINDOW,
            _ => WEIGHTS,
        };
        let record = fields.0.as_slice().iter().take(length);
        let record: Vec<u32> = [kind as u32].into_iter().chain(record.copied()).collect();
        let again = self.packed.contains_key(&record);
        let [tensor, start] = [fields.next()?, fields.next()?];
        let tensor = self.tensor(tensor, start as usize)?;
        let [groups, sums] = [fields.size()?, fields.size()?];
        let [inputs, taps] = [fields.size()?, fields.size()?];
        let strides = [fields.next()?, fields.next()?, fields.next()?];
        let lists = [fields.next()?, fields.next()?];
        check(sums <= MOST_CHANNELS, "an absurd number of sums")?;
        let [scale, bias] = match again {
            true => [Vec::new(), Vec::new()],
            false => [self.list(lists[0], sums)?, self.list(lists[1], sums)?],
        };
        check(
            sums.is_multiple_of(groups),
            "groups that do not fit the sums",
        )?;
        let arrangement = Arrangement {
            groups,
            inputs,
            taps,
            strides: strides.map(|stride| stride as usize),
            scale,
            bias: if bias.is_empty() {
                vec![0.0; sums]
            } else {
                bias
            },
        };
        let reach = arrangement.reach();
        check(
            reach.is_some_and(|reach| reach <= tensor.len()),
            "weights outside their tensor",
        )?;
        let values = product([sums, inputs, taps]).ok_or("weights without end")?;
        if !again {
            self.spend(values)?;
        }
        Ok(Weights {
            arrangement,
            tensor,
            record,
        })
    }

    /// A list of one value for each sum; empty if there is none.
    pub(super) fn list(&mut self, number: u32, sums: usize) -> Sound<Vec<f32>> {
        let Some(number) = number.checked_sub(1) else {
            return Ok(Vec::new());
        };
        let given = self.given(number)?;
        check(given.len() == sums, "a list of another length")?;
        let mut values = vec![0.0; sums];
        given.read(&self.plan.numbers, self.file.onnx, &mut values);
        Ok(values)
    }

    pub(super) fn unread(&mut self, place: (bool, usize), weights: Weights, bytes: [u64; 2]) {
        let Weights {
            arrangement,
            tensor,
            record,
        } = weights;
        if let Some(&first) = self.packed.get(&record) {
            return self.again.push([place, first]);
        }
        self.packed.insert(record, place);
        let (backward, step) = place;
        self.unread.push(Unread {
            end: tensor.end(),
            bytes,
            told: 4 * (arrangement.scale.len() + arrangement.bias.len()) as u64,
            source: Source::Weights {
                backward,
                step,
                arrangement,
                tensor,
            },
        });
    }
}
