//! The numbers of a record, in order, each within its limits; and the places that follow from them.

use std::ops::Range;
use std::slice;

use super::super::loops::{Loop, Loops, MOST_LOOPS};
use super::super::{Step, Work};
use crate::model::run::MOST_ELEMENTS;
use crate::model::run::kernel::{Activation, Window};
use crate::model::run::record::MOST_SIDE;

/// What is wrong with a plan.
pub type Sound<T> = Result<T, &'static str>;

/// What counts would overflow: those of wasm32 do from 2^32 on.
pub(super) const ENDLESS: &str = "loops without end";

/// Most channels.
pub(super) const MOST_CHANNELS: usize = 1 << 20;

pub(super) fn check(sound: bool, what: &'static str) -> Sound<()> {
    if sound { Ok(()) } else { Err(what) }
}

pub(super) fn area(sides: [usize; 2]) -> usize {
    sides[0].saturating_mul(sides[1])
}

pub(super) fn product(sizes: impl IntoIterator<Item = usize>) -> Option<usize> {
    sizes.into_iter().try_fold(1usize, usize::checked_mul)
}

pub(super) fn range(at: u32, length: usize) -> Sound<Range<usize>> {
    places(at, Some(length))
}

pub(super) fn places(at: u32, length: Option<usize>) -> Sound<Range<usize>> {
    let at = at as usize;
    let end = length.and_then(|length| at.checked_add(length));
    Ok(at..end.ok_or("places that cannot be counted")?)
}

/// Places of an output and of an image under a window.
pub(super) fn image(
    out: u32,
    a: u32,
    window: &Window,
    channels: usize,
) -> Sound<[Range<usize>; 2]> {
    let volume = |sides: [usize; 2]| product([sides[0], sides[1], channels]);
    Ok([
        places(out, volume(window.output))?,
        places(a, volume(window.input))?,
    ])
}

pub(super) fn step<const N: usize>(
    output: Range<usize>,
    inputs: [Range<usize>; N],
    work: Work,
) -> Sound<Step> {
    let mut all = [0..0, 0..0, 0..0];
    for (to, from) in all.iter_mut().zip(inputs) {
        *to = from;
    }
    Ok(Step {
        output,
        inputs: all,
        work,
        cost: 0,
    })
}

/// The numbers of a step, in order.
pub(super) struct Fields<'a>(pub(super) slice::Iter<'a, u32>);

impl Fields<'_> {
    pub(super) fn next(&mut self) -> Sound<u32> {
        self.0
            .next()
            .copied()
            .ok_or("a step with less than it needs")
    }

    /// A number that is not 0.
    pub(super) fn size(&mut self) -> Sound<usize> {
        let size = self.next()? as usize;
        check((1..=MOST_ELEMENTS).contains(&size), "an absurd size")?;
        Ok(size)
    }

    pub(super) fn channels(&mut self) -> Sound<usize> {
        let channels = self.size()?;
        check(channels <= MOST_CHANNELS, "an absurd number of channels")?;
        Ok(channels)
    }

    pub(super) fn float(&mut self) -> Sound<f32> {
        Ok(f32::from_bits(self.next()?))
    }

    pub(super) fn of<T: Copy>(&mut self, all: &[T]) -> Sound<T> {
        let number = self.next()? as usize;
        all.get(number)
            .copied()
            .ok_or("a function that is not known")
    }

    pub(super) fn loops<const N: usize>(&mut self) -> Sound<Loops<N>> {
        let count = self.next()? as usize;
        check(
            (1..=MOST_LOOPS).contains(&count),
            "an absurd number of loops",
        )?;
        let mut loops = Vec::with_capacity(count);
        for _ in 0..count {
            let length = self.size()?;
            let mut strides = [0; N];
            for stride in &mut strides {
                *stride = self.next()? as usize;
            }
            loops.push(Loop { length, strides });
        }
        Ok(Loops(loops))
    }

    pub(super) fn window(&mut self) -> Sound<Window> {
        let mut pairs = [[0; 2]; 6];
        for (at, number) in pairs.iter_mut().flatten().enumerate() {
            *number = self.next()? as usize;
            let least = usize::from(at < 10);
            check(
                (least..=MOST_SIDE).contains(number),
                "a window of no sound size",
            )?;
        }
        let [input, output, kernel, stride, dilation, before] = pairs;
        let window = Window {
            input,
            output,
            kernel,
            stride,
            dilation,
            before,
        };
        let padded = window.padded();
        check(
            padded[0].checked_mul(padded[1]).is_some(),
            "a window of no sound size",
        )?;
        Ok(window)
    }

    pub(super) fn activation(&mut self) -> Sound<Activation> {
        let kind = self.next()?;
        let [low, high] = [self.float()?, self.float()?];
        match kind {
            0 if !low.is_nan() && !high.is_nan() => Ok(Activation::Clamp(low, high)),
            1 => Ok(Activation::HardSwish),
            _ => Err("an activation that is not known"),
        }
    }
}
