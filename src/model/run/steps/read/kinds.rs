//! A record → a step, by its kind.

use super::super::elementwise::Map;
use super::super::functions::{Binary, Unary};
use super::super::record::Kind;
use super::super::rows::Reducer;
use super::super::windows::Pool;
use super::super::{Step, Work};
use super::fields::{ENDLESS, Fields, Sound, area, image, places, product, range, step};
use super::{Reader, VALUE};

impl Reader<'_> {
    pub(super) fn step(
        &mut self,
        kind: Kind,
        fields: &mut Fields,
        place: (bool, usize),
    ) -> Sound<Step> {
        let out = fields.next()?;
        if kind == Kind::Set {
            let length = fields.size()?;
            let value = fields.float()?;
            self.count(&[length], VALUE);
            return step(range(out, length)?, [], Work::Set(value));
        }
        let a = fields.next()?;
        match kind {
            Kind::Set => Err("unreachable"),
            Kind::Copy => {
                let loops = fields.loops::<2>()?;
                self.written(&loops)?;
                let [output, input] = [places(out, loops.reach(0))?, places(a, loops.reach(1))?];
                step(output, [input], Work::Copy(loops))
            }
            Kind::Map | Kind::Slope => {
                let function = fields.of(&Unary::ALL)?;
                let (parameter, slope) = (fields.float()?, kind == Kind::Slope);
                let loops = fields.loops::<2>()?;
                self.written(&loops)?;
                let volume = loops.volume().ok_or(ENDLESS)?;
                self.count(&[volume, function.cost()], 1);
                let [output, input] = [places(out, loops.reach(0))?, places(a, loops.reach(1))?];
                step(
                    output,
                    [input],
                    Work::Map(
                        Map {
                            function,
                            parameter,
                            slope,
                        },
                        loops,
                    ),
                )
            }
            Kind::Pair => {
                let b = fields.next()?;
                let function = fields.of(&Binary::ALL)?;
                let loops = fields.loops::<3>()?;
                self.written(&loops)?;
                let inputs = [places(a, loops.reach(1))?, places(b, loops.reach(2))?];
                step(
                    places(out, loops.reach(0))?,
                    inputs,
                    Work::Pair(function, loops),
                )
            }
            Kind::Choose => {
                let [b, c] = [fields.next()?, fields.next()?];
                let loops = fields.loops::<4>()?;
                self.written(&loops)?;
                let inputs = [
                    places(a, loops.reach(1))?,
                    places(b, loops.reach(2))?,
                    places(c, loops.reach(3))?,
                ];
                step(places(out, loops.reach(0))?, inputs, Work::Choose(loops))
            }
            Kind::Reduce => {
                let reducer = fields.of(&Reducer::ALL)?;
                let kept = fields.loops::<2>()?;
                let reduced = fields.loops::<1>()?;
                self.written(&kept)?;
                let volumes = kept.volume().zip(reduced.volume()).ok_or(ENDLESS)?;
                self.count(&<[usize; 2]>::from(volumes), VALUE);
                let [first, second] = [kept.reach(1), reduced.reach(0)];
                let reach = first.zip(second).and_then(|(a, b)| a.checked_add(b - 1));
                let [output, input] = [places(out, kept.reach(0))?, places(a, reach)?];
                step(output, [input], Work::Reduce(reducer, kept, reduced))
            }
            Kind::Softmax | Kind::Normalise => {
                let [rows, length] = [fields.size()?, fields.size()?];
                self.count(&[rows, length], 2 * VALUE);
                let volume = rows.checked_mul(length);
                let [output, input] = [places(out, volume)?, places(a, volume)?];
                let work = match kind {
                    Kind::Softmax => Work::Softmax(length),
                    _ => Work::Normalise(length, fields.float()?),
                };
                step(output, [input], work)
            }
            Kind::Product => self.product(fields, [out, a], place),
            Kind::Tiles => self.tiles(fields, [out, a], place),
            Kind::Filter => self.filter(fields, [out, a], place),
            Kind::Pack => self.pack(fields, [out, a]),
            Kind::Multiply => self.multiply(fields, [out, a]),
            Kind::Largest => {
                let channels = fields.channels()?;
                let window = fields.window()?;
                let [output, input] = image(out, a, &window, channels)?;
                self.count(&[area(window.kernel), output.len()], 4);
                step(output, [input], Work::Largest(channels, window))
            }
            Kind::Pool => {
                let channels = fields.channels()?;
                let [mean, padding] = [fields.next()? != 0, fields.next()? != 0];
                let window = fields.window()?;
                let [output, input] = image(out, a, &window, channels)?;
                self.count(&[area(window.kernel), output.len()], 4);
                step(
                    output,
                    [input],
                    Work::Pool(Pool {
                        window,
                        channels,
                        mean,
                        padding,
                    }),
                )
            }
            Kind::Fold => {
                let planes = fields.size()?;
                let one = fields.next()? != 0;
                let window = fields.window()?;
                let taps = area(window.kernel);
                self.count(&[planes, taps, area(window.output)], 8);
                self.count(&[planes, area(window.input)], VALUE);
                let held = if one { 1 } else { taps };
                let given = product([planes, held, area(window.output)]);
                let made = product([planes, area(window.input)]);
                step(
                    places(out, made)?,
                    [places(a, given)?],
                    Work::Fold(window, one),
                )
            }
            Kind::Unpool => {
                let b = fields.next()?;
                let planes = fields.size()?;
                let window = fields.window()?;
                self.count(&[planes, area(window.kernel), area(window.output)], 8);
                self.count(&[planes, area(window.input)], VALUE);
                let image = product([planes, area(window.input)]);
                let gradient = product([planes, area(window.output)]);
                let inputs = [places(a, image)?, places(b, gradient)?];
                step(places(out, image)?, inputs, Work::Unpool(window))
            }
        }
    }
}
