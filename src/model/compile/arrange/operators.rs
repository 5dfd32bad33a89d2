//! One operator of a lowered graph → steps, or another view.

use tract_onnx::tract_core::internal::*;

use super::super::listed::{self, PoolRecord};
use super::view::{Axis, View, collapsed, over};
use super::{Arranger, push, push_loops};
use crate::model::run::kernel::Window;
use crate::model::run::record::{MOST_SIDE, Numbers};
use crate::model::run::steps::functions::{Binary, Unary};
use crate::model::run::steps::loops::Loop;
use crate::model::run::steps::record::Kind;
use crate::model::run::steps::rows::Reducer;

/// The same function of two numbers the other way round.
fn turned(function: Binary) -> Option<Binary> {
    Some(match function {
        Binary::Add | Binary::Mul | Binary::Equal => function,
        Binary::Sub => Binary::SubFrom,
        Binary::SubFrom => Binary::Sub,
        Binary::Greater => Binary::Less,
        Binary::GreaterEqual => Binary::LessEqual,
        Binary::Less => Binary::Greater,
        Binary::LessEqual => Binary::GreaterEqual,
        _ => return None,
    })
}

/// The window, if no arithmetic on it overflows.
pub(super) fn sound(window: &Window) -> TractResult<Window> {
    let Window {
        input,
        output,
        kernel,
        stride,
        dilation,
        before,
    } = *window;
    let mut sizes = [input, output, kernel, stride, dilation]
        .into_iter()
        .flatten();
    ensure!(
        sizes.all(|n| (1..=MOST_SIDE).contains(&n)) && before.iter().all(|&n| n <= MOST_SIDE),
        "a window of no sound size"
    );
    Ok(*window)
}

pub(super) fn push_window(fields: &mut Vec<u32>, window: &Window) -> TractResult<()> {
    let Window {
        input,
        output,
        kernel,
        stride,
        dilation,
        before,
    } = *window;
    let pairs = [input, output, kernel, stride, dilation, before];
    push(fields, pairs.into_iter().flatten())
}

impl Arranger {
    pub(super) fn operator(
        &mut self,
        step: &listed::Step,
        inputs: &[View],
        shape: &[usize],
    ) -> TractResult<View> {
        use listed::Step;
        let first = || inputs.first().context("an operator without inputs");
        Ok(match step {
            Step::Source(_) => bail!("a source among the operators"),
            Step::Constant { shape, values } => self.constant(shape, values),
            Step::Product { .. } => self.product(step, inputs)?,
            Step::Filter { .. } => self.filter(step, inputs)?,
            Step::Contract(axes) => self.contraction(axes, inputs, shape)?,
            Step::Largest {
                channels,
                window,
                output,
            } => {
                let image = self.dense(first()?)?;
                let made = self.buffer(output);
                let mut fields = Vec::new();
                push(&mut fields, [*channels])?;
                push_window(&mut fields, &sound(window)?)?;
                self.draft(Kind::Largest, &made, &[&image], fields);
                made
            }
            Step::SumPool {
                window,
                count_padding,
                mean,
            } => self.pool(window, [*mean, *count_padding], first()?, shape)?,
            Step::AddAxis(at) => first()?.with_axis(*at),
            Step::RemoveAxis(at) => first()?.without_axis(*at),
            Step::MoveAxis(from, to) => first()?.moved(*from, *to),
            Step::Reshape => {
                let given = first()?;
                match given.reshaped(shape) {
                    Some(view) => view,
                    None => {
                        let dense = self.dense(given)?;
                        dense
                            .reshaped(shape)
                            .context("a reshape that does not fit")?
                    }
                }
            }
            Step::Fill(shape) => first()?.filled(shape),
            Step::Slice(axis, start, end) => first()?.cut(*axis, *start, 1, end - start),
            Step::Downsample(axis, stride, modulo) => {
                first()?.cut(*axis, *modulo, *stride, shape[*axis])
            }
            // A truth value is 1 or 0 already.
            Step::Same => first()?.clone(),
            Step::Truncate => {
                let given = first()?;
                let sides = [given.clone(), self.scalar(0.0, shape)];
                let below = self.pair(Binary::Less, &sides, shape)?;
                let up = self.map(Kind::Map, Unary::Ceil, 0.0, given)?;
                let down = self.map(Kind::Map, Unary::Floor, 0.0, given)?;
                self.choose(&[below, up, down], shape)?
            }
            Step::Sum(axes) => self.reduce(Reducer::Sum, axes, first()?, shape)?,
            Step::Max(axes) => self.reduce(Reducer::Max, axes, first()?, shape)?,
            Step::MeanOfSquares(axes) => {
                self.reduce(Reducer::MeanOfSquares, axes, first()?, shape)?
            }
            Step::Unary(function, parameter) => {
                self.map(Kind::Map, *function, *parameter, first()?)?
            }
            Step::SlopeOf(function, parameter) => {
                self.map(Kind::Slope, *function, *parameter, first()?)?
            }
            Step::Sign => {
                let given = first()?;
                let zero = self.scalar(0.0, shape);
                let sides = [given.clone(), zero];
                let above = self.pair(Binary::Greater, &sides, shape)?;
                let below = self.pair(Binary::Less, &sides, shape)?;
                self.pair(Binary::Sub, &[above, below], shape)?
            }
            Step::Binary(function) => self.pair(*function, inputs, shape)?,
            Step::Choose => self.choose(inputs, shape)?,
            Step::Softmax(axes) => self.rows(Kind::Softmax, axes, Vec::new(), first()?)?,
            Step::RmsNorm { axis, epsilon } => {
                self.rows(Kind::Normalise, &[*axis], vec![epsilon.to_bits()], first()?)?
            }
            Step::Pad { pads, value } => {
                let given = first()?;
                let made = self.buffer_like(shape, given);
                let mut inside = made.clone();
                for (axis, (before, after)) in pads.iter().enumerate() {
                    let length = shape[axis] - before - after;
                    inside = inside.cut(axis, *before, 1, length);
                }
                self.set(&made, *value)?;
                self.copy(given, &inside)?;
                made
            }
            Step::Concat(axis) => {
                let joining = self.joining.take();
                let made = joining.or_else(|| self.targeted(shape, inputs));
                let made = match made {
                    Some(whole) => whole,
                    None => self.buffer_like(shape, first()?),
                };
                let mut start = 0;
                for part in inputs {
                    let length = part.axes[*axis].length;
                    let place = made.cut(*axis, start, 1, length);
                    // Some are there already.
                    if part.buffer == place.buffer && *part != place {
                        let apart = self.buffer_like(&part.shape(), part);
                        self.copy(part, &apart)?;
                        self.copy(&apart, &place)?;
                    } else if *part != place {
                        self.copy(part, &place)?;
                    }
                    start += length;
                }
                made
            }
            Step::Fold(window) => {
                let taps = self.dense(first()?)?;
                let window = sound(window)?;
                let made = self.buffer(shape);
                let mut fields = Vec::new();
                let one = usize::from(taps.axes[2].length == 1);
                push(&mut fields, [shape[0] * shape[1], one])?;
                push_window(&mut fields, &window)?;
                self.draft(Kind::Fold, &made, &[&taps], fields);
                made
            }
            Step::Unpool(window) => {
                let [image, gradient] = inputs else {
                    bail!("an unpooling of another number")
                };
                let [image, gradient] = [self.dense(image)?, self.dense(gradient)?];
                let window = sound(window)?;
                let made = self.buffer(shape);
                let mut fields = Vec::new();
                push(&mut fields, [shape[0] * shape[1]])?;
                push_window(&mut fields, &window)?;
                self.draft(Kind::Unpool, &made, &[&image, &gradient], fields);
                made
            }
        })
    }

    /// A new buffer whose axes lie as those of the first tensor of the same size.
    fn buffer_of(&mut self, shape: &[usize], inputs: &[View]) -> View {
        match inputs.iter().find(|view| view.shape() == shape) {
            Some(like) => self.buffer_like(shape, like),
            None => self.buffer(shape),
        }
    }

    /// The same number everywhere.
    fn scalar(&mut self, value: f32, shape: &[usize]) -> View {
        let ones = vec![1; shape.len()];
        let constant = self.constant(&ones, &Numbers::These(vec![value]));
        constant.filled(shape)
    }

    pub(super) fn set(&mut self, view: &View, value: f32) -> TractResult<()> {
        let mut fields = Vec::new();
        push(&mut fields, [view.volume()])?;
        fields.push(value.to_bits());
        self.draft(Kind::Set, view, &[], fields);
        Ok(())
    }

    fn map(
        &mut self,
        kind: Kind,
        function: Unary,
        parameter: f32,
        from: &View,
    ) -> TractResult<View> {
        let shape = from.shape();
        let target = self.targeted(&shape, std::slice::from_ref(from));
        let made = target.unwrap_or_else(|| self.buffer_like(&shape, from));
        let in_place = self.replaces(from, &made);
        let mut fields = vec![function as u32, parameter.to_bits()];
        push_loops(&mut fields, &over([&made, from]))?;
        self.draft(kind, &made, &[from], fields).in_place = in_place;
        Ok(made)
    }

    fn pair(&mut self, function: Binary, inputs: &[View], shape: &[usize]) -> TractResult<View> {
        let [a, b] = inputs else {
            bail!("a pair of another number")
        };
        ensure!(
            a.axes.len() == b.axes.len(),
            "tensors of different numbers of axes"
        );
        let target = self.targeted(shape, inputs);
        let made = target.unwrap_or_else(|| self.buffer_of(shape, inputs));
        let (mut function, mut sides) = (function, [a, b]);
        let whole = |view: &View| view.shape() == shape;
        if (!whole(a) || self.is_constant(a))
            && whole(b)
            && let Some(other) = turned(function)
        {
            (function, sides) = (other, [b, a]);
        }
        let [a, b] = sides;
        let in_place = self.replaces(a, &made) && a.buffer != b.buffer;
        let mut fields = vec![function as u32];
        push_loops(&mut fields, &over([&made, a, b]))?;
        self.draft(Kind::Pair, &made, &[a, b], fields).in_place = in_place;
        Ok(made)
    }

    fn choose(&mut self, inputs: &[View], shape: &[usize]) -> TractResult<View> {
        let [truth, a, b] = inputs else {
            bail!("a choice of another number")
        };
        let made = self.buffer_of(shape, inputs);
        let mut fields = Vec::new();
        push_loops(&mut fields, &over([&made, truth, a, b]))?;
        self.draft(Kind::Choose, &made, &[truth, a, b], fields);
        Ok(made)
    }

    fn is_constant(&self, view: &View) -> bool {
        self.buffers[view.buffer].constant.is_some()
    }

    /// Whether a new tensor may take the place of another: it has as many values, in the same order.
    fn replaces(&self, old: &View, new: &View) -> bool {
        let places = |view: &View| {
            let axes = view.axes.iter().map(|axis| match axis.length {
                1 => Axis {
                    length: 1,
                    stride: 0,
                },
                _ => *axis,
            });
            axes.collect::<Vec<_>>()
        };
        let [from, to] = [old.buffer, new.buffer].map(|buffer| &self.buffers[buffer]);
        from.constant.is_none()
            && from.size == to.size
            && [old.start, new.start] == [0, 0]
            && places(old) == places(new)
    }

    fn reduce(
        &mut self,
        reducer: Reducer,
        axes: &[usize],
        from: &View,
        shape: &[usize],
    ) -> TractResult<View> {
        let made = self.buffer_like(shape, from);
        let stride = |axis: usize| from.axes[axis].stride;
        let mut kept: Vec<Loop<2>> = (0..shape.len())
            .filter(|axis| !axes.contains(axis))
            .map(|axis| Loop {
                length: shape[axis],
                strides: [made.axes[axis].stride, stride(axis)],
            })
            .collect();
        kept.sort_by_key(|one| std::cmp::Reverse(one.strides[0]));
        let mut reduced: Vec<Loop<1>> = axes
            .iter()
            .map(|&axis| Loop {
                length: from.axes[axis].length,
                strides: [stride(axis)],
            })
            .collect();
        reduced.sort_by_key(|one| std::cmp::Reverse(one.strides));
        let mut fields = vec![reducer as u32];
        push_loops(&mut fields, &collapsed(kept))?;
        push_loops(&mut fields, &collapsed(reduced))?;
        self.draft(Kind::Reduce, &made, &[from], fields);
        Ok(made)
    }

    /// A step over rows along some axes.
    fn rows(
        &mut self,
        kind: Kind,
        axes: &[usize],
        after: Vec<u32>,
        from: &View,
    ) -> TractResult<View> {
        let others = (0..from.axes.len()).filter(|axis| !axes.contains(axis));
        let mut order: Vec<usize> = others.collect();
        // Rows in the order in which they lie, so that fewer have to be copied.
        order.sort_by_key(|&axis| std::cmp::Reverse(from.axes[axis].stride));
        order.extend(axes);
        let rows = self.dense(&from.permuted(&order))?;
        let made = self.buffer(&rows.shape());
        let in_place = self.replaces(&rows, &made);
        let length: usize = axes.iter().map(|&axis| from.axes[axis].length).product();
        let mut fields = Vec::new();
        push(&mut fields, [made.volume() / length, length])?;
        fields.extend(after);
        self.draft(kind, &made, &[&rows], fields).in_place = in_place;
        Ok(made.restored(&order))
    }

    fn pool(
        &mut self,
        record: &PoolRecord,
        [mean, padding]: [bool; 2],
        from: &View,
        shape: &[usize],
    ) -> TractResult<View> {
        let rank = shape.len();
        let lead = usize::from(record.batch);
        // The channels last.
        let mut order: Vec<usize> = (0..rank).collect();
        if !record.last {
            let channels = order.remove(lead);
            order.push(channels);
        }
        let image = self.dense(&from.permuted(&order))?;
        let out: Vec<usize> = order.iter().map(|&axis| shape[axis]).collect();
        let made = self.buffer(&out);
        let given = image.shape();
        let count = record.kernel.len();
        ensure!((1..=2).contains(&count), "a pooling over {count} axes");
        let pair = |sizes: &[usize], other: usize| match *sizes {
            [one] => [other, one],
            _ => [sizes[0], sizes[1]],
        };
        let ones = vec![1; count];
        let window = Window {
            input: pair(&given[lead..lead + count], 1),
            output: pair(&out[lead..lead + count], 1),
            kernel: pair(&record.kernel, 1),
            stride: pair(record.strides.as_ref().unwrap_or(&ones), 1),
            dilation: pair(record.dilations.as_ref().unwrap_or(&ones), 1),
            before: pair(&record.before, 0),
        };
        let channels = out[rank - 1];
        let batch = if record.batch { given[0] } else { 1 };
        for one in 0..batch {
            let mut fields = Vec::new();
            push(
                &mut fields,
                [channels, usize::from(mean), usize::from(padding)],
            )?;
            push_window(&mut fields, &window)?;
            let [mut to, mut at] = [made.clone(), image.clone()];
            to.start += one * (made.volume() / batch);
            at.start += one * (image.volume() / batch);
            self.draft(Kind::Pool, &to, &[&at], fields);
        }
        Ok(made.restored(&order))
    }
}
