//! A record of products → a step.

use std::ops::Range;
use std::sync::Arc;

use super::super::products::{Filter, Multiply, Pack, Product, Tiles};
use super::super::record::Kind;
use super::super::{Step, Work};
use super::fields::{ENDLESS, Fields, Sound, area, check, image, places, product, step};
use super::{Reader, VALUE};
use crate::model::run::kernel::{Depthwise, Panels, Patches, Winograd};

impl Reader<'_> {
    pub(super) fn product(
        &mut self,
        fields: &mut Fields,
        [out, a]: [u32; 2],
        place: (bool, usize),
    ) -> Sound<Step> {
        let residual = fields.next()?;
        let stride = fields.size()?;
        let weights = self.weights(Kind::Product, fields)?;
        let arrangement = &weights.arrangement;
        let output = [fields.size()?, fields.size()?];
        let [row, column] = [fields.next()? as usize, fields.next()? as usize];
        let length = fields.size()?;
        let count = fields.size()?;
        let runs = (0..count).map(|_| Ok(fields.next()? as usize));
        let runs: Vec<usize> = runs.collect::<Sound<_>>()?;
        let activation = fields.activation()?;
        let sums = arrangement.bias.len();
        let summed = product([arrangement.inputs, arrangement.taps]);
        check(
            summed.is_some() && product([count, length]) == summed,
            "patches of another size",
        )?;
        check(sums <= stride, "pixels that overlap")?;
        let far =
            product([output[0], output[1]]).and_then(|pixels| (pixels - 1).checked_mul(stride));
        let volume = far.and_then(|far| far.checked_add(sums));
        self.count(&[output[0], output[1], sums, count, length], 1);
        self.count(&[output[0], output[1], sums], VALUE);
        let patches = Patches {
            output,
            row,
            column,
            runs: runs.into(),
            length,
        };
        let last = (arrangement.groups - 1).checked_mul(length);
        let reach = patches.reach().zip(last);
        let reach = reach.and_then(|(reach, last)| reach.checked_add(last));
        let inputs = [places(a, reach)?, beside(residual, volume)?];
        let bytes = arrangement.bytes(weights.tensor.len(), None);
        self.unread(place, weights, bytes);
        let work = Product {
            groups: Arc::new([]),
            stride,
            patches,
            activation,
        };
        step(places(out, volume)?, inputs, Work::Product(work))
    }

    pub(super) fn tiles(
        &mut self,
        fields: &mut Fields,
        [out, a]: [u32; 2],
        place: (bool, usize),
    ) -> Sound<Step> {
        let residual = fields.next()?;
        let weights = self.weights(Kind::Tiles, fields)?;
        let arrangement = &weights.arrangement;
        let window = fields.window()?;
        let activation = fields.activation()?;
        let (inputs, sums) = (arrangement.inputs, arrangement.bias.len());
        check(
            arrangement.taps == 9 && arrangement.suits(Some(&window)),
            "a window that does not fit",
        )?;
        self.count(&[area(window.output), sums, inputs, 9], 1);
        self.count(&[area(window.output), sums], VALUE);
        let [image, made] = [
            product([area(window.input), inputs]),
            product([area(window.output), sums]),
        ];
        let inputs_of = [places(a, image)?, beside(residual, made)?];
        let bytes = arrangement.bytes(weights.tensor.len(), Some(&window));
        self.unread(place, weights, bytes);
        let winograd = Arc::new(Winograd::unread(window, inputs, sums));
        let work = Tiles {
            winograd,
            window,
            activation,
        };
        step(places(out, made)?, inputs_of, Work::Tiles(work))
    }

    pub(super) fn filter(
        &mut self,
        fields: &mut Fields,
        [out, a]: [u32; 2],
        place: (bool, usize),
    ) -> Sound<Step> {
        let weights = self.weights(Kind::Filter, fields)?;
        let arrangement = &weights.arrangement;
        let window = fields.window()?;
        let activation = fields.activation()?;
        let channels = arrangement.bias.len();
        check(
            area(window.kernel) == arrangement.taps,
            "a window that does not fit",
        )?;
        self.count(&[area(window.output), channels, arrangement.taps], 4);
        self.count(&[area(window.output), channels], VALUE);
        let [output, input] = image(out, a, &window, channels)?;
        let kept = Depthwise::bytes(arrangement.taps, channels);
        let bytes = [kept, 4 * weights.tensor.len() as u64];
        self.unread(place, weights, bytes);
        let filter = Arc::new(Depthwise::new(0, &[], |_, _| 0.0));
        step(
            output,
            [input],
            Work::Filter(Filter {
                filter,
                window,
                activation,
            }),
        )
    }

    pub(super) fn pack(&mut self, fields: &mut Fields, [out, a]: [u32; 2]) -> Sound<Step> {
        let [summed, columns] = [fields.size()?, fields.size()?];
        let strides = [fields.next()? as usize, fields.next()? as usize];
        let batch = fields.loops::<1>()?;
        let products = batch.volume().ok_or(ENDLESS)?;
        let panels = panels(summed, columns)?;
        self.count(&[products, panels], VALUE);
        let far = |size: usize, stride: usize| (size - 1).checked_mul(stride);
        let reach = [
            batch.reach(0),
            far(summed, strides[0]),
            far(columns, strides[1]),
        ];
        let reach = reach
            .into_iter()
            .try_fold(0usize, |sum, one| sum.checked_add(one?));
        let output = places(out, product([products, panels]))?;
        step(
            output,
            [places(a, reach)?],
            Work::Pack(Pack {
                batch,
                summed,
                columns,
                strides,
            }),
        )
    }

    pub(super) fn multiply(&mut self, fields: &mut Fields, [out, a]: [u32; 2]) -> Sound<Step> {
        let b = fields.next()?;
        let output = [fields.size()?, fields.size()?];
        let [row, column] = [fields.next()? as usize, fields.next()? as usize];
        let [summed, columns] = [fields.size()?, fields.size()?];
        let batch = fields.loops::<2>()?;
        let products = batch.volume().ok_or(ENDLESS)?;
        let runs = vec![0].into();
        let patches = Patches {
            output,
            row,
            column,
            runs,
            length: summed,
        };
        let rows = product(output);
        let made = rows.and_then(|rows| product([products, rows, columns]));
        let (each, made) = rows.zip(made).ok_or(ENDLESS)?;
        self.count(&[products, each, columns, summed], 1);
        self.count(&[made], VALUE);
        let far = |first: Option<usize>, second: Option<usize>| {
            first.zip(second).and_then(|(a, b)| (a - 1).checked_add(b))
        };
        let left = far(batch.reach(0), patches.reach());
        let right = far(batch.reach(1), Some(panels(summed, columns)?));
        let inputs = [places(a, left)?, places(b, right)?];
        step(
            places(out, Some(made))?,
            inputs,
            Work::Multiply(Multiply {
                batch,
                patches,
                columns,
            }),
        )
    }
}

/// Places of a residual by its number, a place plus one; none for 0.
fn beside(residual: u32, volume: Option<usize>) -> Sound<Range<usize>> {
    match residual.checked_sub(1) {
        Some(at) => places(at, volume),
        None => Ok(0..0),
    }
}

/// Values of the panels of one product.
fn panels(summed: usize, columns: usize) -> Sound<usize> {
    let rows = columns
        .checked_next_multiple_of(24)
        .zip(summed.checked_add(1));
    let most = rows.and_then(|(columns, rows)| columns.checked_mul(rows));
    check(most.is_some(), "panels without end")?;
    Ok(Panels::volume(summed, columns))
}
